//! The program on the cluster that it has in itself with `--engine`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::process::Output;

use serde_json::Value;

mod common;
use common::program;

fn dlm(arguments: &[&str]) -> Output {
    program().args(arguments).output().unwrap()
}

/// What it says on the engine, with this exit status.
fn says(status: i32, arguments: &[&str]) -> String {
    let output = dlm(&[&["--engine"], arguments].concat());
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {errors}");
    assert_eq!(errors, "");
    String::from_utf8(output.stdout).unwrap()
}

fn json(status: i32, arguments: &[&str]) -> Value {
    serde_json::from_str(&says(status, &[&["--json"], arguments].concat())).unwrap()
}

#[test]
fn lockspaces_are_listed_by_node() {
    let text = says(0, &["ls"]);
    assert!(text.starts_with("NODE  LOCKSPACE"), "{text}");
    assert!(!text.contains('\x1b'), "no colours on a pipe");
    let all = json(0, &["ls"]);
    let of_two: Vec<&Value> =
        all.as_array().unwrap().iter().filter(|space| space["node"] == 2).collect();
    assert_eq!(of_two.len(), 1);
    assert_eq!(of_two[0]["name"], "demo");
    assert_eq!(of_two[0]["members"], serde_json::json!([1, 2, 3]));
    assert_eq!(of_two[0]["state"], "running");
}

#[test]
fn locks_are_listed_in_their_order_with_programs() {
    let text = says(0, &["locks", "demo", "--contended"]);
    let wanted = "\
demo/disk0  master: node 1
  granted     EX       backup[4711] on node 1
  waiting     -> PR    web[815] on node 2
  waiting     -> EX    report[1234] on node 3
";
    assert!(text.contains(wanted), "{text}");
    assert!(!text.contains("disk1"), "nobody waits for it");
    assert!(says(0, &["locks"]).contains("(LVM: metadata of volume group vg0)"));
    assert_eq!(says(0, &["locks", "--pid", "902"]).matches("lvmlockd[902]").count(), 2);
    let all = json(0, &["locks", "demo"]);
    let disk = all.as_array().unwrap().iter().find(|it| it["name"] == "disk0").unwrap();
    assert_eq!(disk["locks"][2]["waits_for"][1], serde_json::json!({"lock": 1, "why": "precedes"}));
    assert_eq!(disk["block"]["valid"], true);
    let output = dlm(&["--engine", "locks", "nowhere"]);
    assert_eq!(output.status.code(), Some(66));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(errors, "dlm: no lockspace nowhere here: demo, lvm_global, lvm_vg0\n");
}

#[test]
fn why_tells_holder_order_and_what_to_do() {
    let text = says(0, &["why", "disk0"]);
    for part in [
        "demo/disk0: Held: EX by backup[4711] on node 1.",
        "1. PR by web[815] on node 2; 2. EX by report[1234] on node 3.",
        "The lockspace runs.",
        "kill 4711",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(says(0, &["why", "credit"]).contains("deadlock of 2: "));
    assert!(says(1, &["why", "disk2"]).contains("nobody here holds or wants"));
    assert!(says(0, &["why", "disk1"]).contains("Nobody waits."));
    assert_eq!(json(0, &["why", "debit"])[0]["deadlocks"][0]["parties"][0]["node"], 2);
}

#[test]
fn graphs_are_drawn_in_all_forms() {
    let text = says(1, &["graph"]);
    assert!(text.contains("web[815] on node 2 --> backup[4711] on node 1"), "{text}");
    assert!(text.contains("deadlock of 2: left[2001] on node 2 waits for EX on demo/credit"));
    let dot = says(1, &["graph", "--format", "dot"]);
    assert!(dot.starts_with("digraph") && dot.matches("color=red").count() == 2 * 2, "{dot}");
    let svg = says(1, &["graph", "--format", "svg"]);
    assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
    assert_eq!(svg.matches("<path d=").count(), 1 + 5, "the tip and five arrows");
    assert_eq!(says(0, &["graph", "lvm_vg0"]), "nobody waits\n");
    assert_eq!(json(1, &["graph"])["deadlocks"][0]["parties"].as_array().unwrap().len(), 2);
}

#[test]
fn watch_tells_what_happens_and_ends_deadlocks() {
    let text = says(0, &["watch", "--count", "1"]);
    assert!(text.contains(" node 3 has joined demo\n") && text.contains(" demo runs\n"), "{text}");
    assert!(!text.contains("deadlock"), "nobody asked for it");
    // Two looks, and then it is gone: the next two do not show it any more.
    let arguments = ["watch", "--end-deadlocks", "--interval", "0.02", "--count", "4"];
    let text = says(0, &arguments);
    assert_eq!(text.matches(" deadlock of 2: ").count(), 1, "{text}");
    assert!(
        text.contains("cancelled lock ") && text.contains(" of right[2002] on node 3"),
        "{text}"
    );
    let lines = says(0, &["watch", "--json", "--count", "1"]);
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(
        (first["event"].as_str(), first["lockspace"].as_str()),
        (Some("created"), Some("demo"))
    );
}

#[test]
fn top_has_the_most_wanted_first() {
    let text = says(0, &["top", "--count", "1"]);
    let rows: Vec<&str> = text.lines().skip_while(|line| !line.starts_with("WAIT")).collect();
    assert!(rows[1].starts_with("2 ") && rows[1].contains("demo/disk0"), "{text}");
    let frames = says(0, &["top", "--json", "--count", "2", "--interval", "0.01"]);
    assert_eq!(frames.lines().count(), 2);
    let frame: Value = serde_json::from_str(frames.lines().next().unwrap()).unwrap();
    assert_eq!(frame["contended"][0]["waiting"], 2);
    // This node's kernel is what the doctor looks at, and nothing else.
    assert_eq!(dlm(&["--engine", "doctor"]).status.code(), Some(64));
}

#[test]
fn a_dump_is_looked_at_in_place_of_a_node() {
    let file = std::env::temp_dir().join(format!("dlm-dump-{}", std::process::id()));
    fs::write(&file, says(0, &["dump"])).unwrap();
    let path = file.to_str().unwrap();
    let output = dlm(&["--dump", path, "why", "disk0"]);
    let text = String::from_utf8(output.stdout).unwrap();
    // Of the other nodes' programs it knows the threads.
    assert!(text.contains("Held: EX by backup[4711] on node 1."), "{text}");
    assert!(text.contains("1. PR by thread "), "{text}");
    let cut = fs::read(&file).unwrap();
    fs::write(&file, &cut[..cut.len() - 4]).unwrap();
    let output = dlm(&["--dump", path, "ls"]);
    assert_eq!(output.status.code(), Some(71));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("it was cut"), "{errors}");
    fs::remove_file(file).unwrap();
}

#[test]
fn lock_runs_a_command_and_has_its_status() {
    let output = dlm(&["--engine", "lock", "-v", "r", "--", "sh", "-c", "echo run; exit 3"]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(output.stdout, b"run\n");
    assert!(output.stderr.starts_with(b"dlm: EX on r after "), "{output:?}");
    let output = dlm(&["--engine", "lock", "-l", "demo", "-n", "-E", "9", "disk0", "true"]);
    assert_eq!(output.status.code(), Some(9));
    let output = dlm(&["--engine", "lock", "r", "/nonexistent"]);
    assert_eq!(output.status.code(), Some(69));
    let said = says(0, &["hold", "--for", "0.01", "r"]);
    assert_eq!(said, "granted EX r\nunlocked r\n");
}

#[test]
fn wrong_arguments_are_explained() {
    for wrong in [
        &["nonsense"][..],
        &["lock", "r"],
        &["lock", "-w", "soon", "r", "true"],
        &["lock", "-m", "XX", "r", "true"],
        &["why", "a\\q"],
        &["--engine", "--dump", "x", "ls"],
        &[],
    ] {
        let output = dlm(&[&["--engine"], wrong].concat());
        assert_eq!(output.status.code(), Some(64), "{wrong:?}: {output:?}");
        assert!(!output.stderr.is_empty());
    }
    assert_eq!(dlm(&["--help"]).status.code(), Some(0));
}

#[test]
fn manual_and_completions_know_all_verbs() {
    let verbs = ["ls", "locks", "why", "graph", "dump", "lock", "hold", "adopt", "purge", "leave"];
    let manual = String::from_utf8(dlm(&["manual"]).stdout).unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let text = String::from_utf8(dlm(&["completion", shell]).stdout).unwrap();
        for verb in verbs {
            assert!(text.contains(verb), "{verb} for {shell}");
        }
    }
    for verb in verbs {
        assert!(manual.contains(&format!(".SH dlm {verb}\n")), "{verb}");
    }
    assert!(!manual.contains(".SH dlm exec"));
    // What all verbs have is told once.
    assert_eq!(manual.matches("Print JSON").count(), 1);
}
