//! Whether the scenarios show the whole checklist.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeSet;
use std::path::Path;

use dlm_tests::scenario::{CHECKLIST, FILES, scenario};

const README: &str = include_str!("scenarios/README.md");

/// A line that no scenario shows, and what the list says of it.
struct Elsewhere<'a> {
    line: u32,
    reason: &'a str,
    place: &'a str,
}

fn elsewhere() -> Vec<Elsewhere<'static>> {
    let (_, list) = README.split_once("## Lines of the checklist").expect("the list");
    let row = |text: &'static str| {
        let mut cells = text.trim_matches('|').split('|').map(str::trim);
        let line = cells.next()?.parse().ok()?;
        Some(Elsewhere { line, reason: cells.next()?, place: cells.next()? })
    };
    list.lines().filter_map(row).collect()
}

#[test]
fn every_line_of_the_checklist_is_shown_or_told_to_be_elsewhere() {
    let shown: BTreeSet<u32> = FILES.iter().flat_map(|(name, _)| scenario(name).lines).collect();
    let listed: BTreeSet<u32> = elsewhere().iter().map(|it| it.line).collect();
    let both: Vec<_> = shown.intersection(&listed).collect();
    assert!(both.is_empty(), "shown and listed as not shown: {both:?}");
    let neither: Vec<_> =
        (1..=CHECKLIST).filter(|line| !shown.contains(line) && !listed.contains(line)).collect();
    assert!(neither.is_empty(), "neither shown nor listed: {neither:?}");
}

#[test]
fn what_is_told_to_be_elsewhere_is_there() {
    for Elsewhere { line, reason, place } in elsewhere() {
        assert!(!reason.is_empty(), "line {line} has no reason");
        if place == "nowhere" {
            continue;
        }
        let mut parts = place.split('`');
        let file = parts.nth(1).expect(place);
        let test = parts.next().expect(place).trim();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
        let text = std::fs::read_to_string(&path).expect(file);
        assert!(text.contains(&format!("fn {test}()")), "line {line}: no test {test} in {file}");
    }
}

#[test]
fn the_example_of_the_readme_is_a_scenario() {
    let (_, rest) = README.split_once("```text\n").expect("an example");
    let (text, _) = rest.split_once("```").expect("its end");
    let example = dlm_tests::scenario::Scenario::parse("README.md", text).expect("readable");
    assert_eq!(example.lines, [24]);
    assert!(example.steps.len() > 8);
}
