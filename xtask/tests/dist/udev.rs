//! The udev rules, on devices as the kernel names them.

use std::fs;

/// One part of a rule: key, operator, value.
type Part = (String, String, String);

/// What rules make of a device.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    mode: Option<String>,
    links: Vec<String>,
}

fn ours() -> String {
    fs::read_to_string(xtask::dist::sources().join("udev/51-dlm.rules")).unwrap()
}

/// The parts of a line, or `None` for one without rule.
fn parse(line: &str) -> Option<Vec<Part>> {
    let mut rest = line.trim();
    if rest.is_empty() || rest.starts_with('#') {
        return None;
    }
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let (key, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_uppercase()).unwrap());
        let (operator, after) = after.split_once('"').unwrap();
        let (value, after) = after.split_once('"').unwrap();
        assert!(["==", "!=", "=", "+="].contains(&operator), "{line}");
        parts.push((key.into(), operator.into(), value.into()));
        rest = after.trim_start_matches([',', ' ']);
    }
    Some(parts)
}

/// Whether a name is of a pattern, which may end in a star.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(begin) => name.starts_with(begin),
        None => pattern == name,
    }
}

/// As udev(7) describes it, for what is used here.
fn apply(rules: &str, action: &str, subsystem: &str, kernel: &str) -> Outcome {
    let mut outcome = Outcome::default();
    let mut wanted: Option<String> = None;
    for parts in rules.lines().filter_map(parse) {
        let label = parts.iter().find(|part| part.0 == "LABEL");
        if wanted.is_some() && label.map(|part| &part.2) != wanted.as_ref() {
            continue;
        }
        wanted = None;
        let fits = parts.iter().all(|(key, operator, value)| {
            let name = match key.as_str() {
                "ACTION" => action,
                "SUBSYSTEM" => subsystem,
                "KERNEL" => kernel,
                _ => return true,
            };
            matches(value, name) == (operator == "==")
        });
        if !fits {
            continue;
        }
        for (key, operator, value) in parts {
            match (key.as_str(), operator.as_str()) {
                ("MODE", "=") => outcome.mode = Some(value),
                ("SYMLINK", "+=") => outcome.links.push(value.replace("%k", kernel)),
                ("GOTO", "=") => wanted = Some(value),
                ("LABEL", "=") | ("ACTION" | "SUBSYSTEM" | "KERNEL", _) => {}
                _ => panic!("{key}{operator}{value}"),
            }
        }
    }
    assert_eq!(wanted, None, "a label is missing");
    outcome
}

#[test]
fn each_device_has_its_permissions_and_its_link() {
    let rules = ours();
    for (kernel, added, changed) in [
        ("dlm-control", "0666", Some("0666")),
        ("dlm-monitor", "0600", Some("0600")),
        ("dlm_plock", "0600", Some("0600")),
        // Who has created them may have given them others since.
        ("dlm_clvmd", "0660", None),
        ("dlm_plocks", "0660", None),
    ] {
        for (action, mode) in [("add", Some(added)), ("change", changed)] {
            let links = vec![format!("misc/{kernel}")];
            let wanted = Outcome { mode: mode.map(Into::into), links };
            assert_eq!(apply(&rules, action, "misc", kernel), wanted);
        }
    }
}

#[test]
fn other_devices_are_left_alone() {
    let rules = ours();
    for (action, subsystem, kernel) in [
        ("add", "misc", "fuse"),
        ("add", "misc", "dlm"),
        ("add", "block", "dlm_x"),
        ("remove", "misc", "dlm_x"),
    ] {
        assert_eq!(apply(&rules, action, subsystem, kernel), Outcome::default(), "{kernel}");
    }
}

#[test]
fn the_rule_for_lockspaces_would_take_plock_along_without_the_jump() {
    let rules = ours().replace(r#", GOTO="dlm_end""#, "");
    assert_eq!(apply(&rules, "add", "misc", "dlm_plock").mode.as_deref(), Some("0660"));
}
