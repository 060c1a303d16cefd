//! The example in the scenarios' README.

use dlm_tests::scenario::Scenario;

const README: &str = include_str!("../scenarios/README.md");

#[test]
fn the_example_of_the_readme_is_a_scenario() {
    let (_, rest) = README.split_once("```text\n").unwrap();
    let (text, _) = rest.split_once("```").unwrap();
    let example = Scenario::parse("README.md", text).unwrap();
    assert_eq!(example.shows, ["waiters-are-granted-in-order"]);
    assert!(example.steps.len() > 8);
}
