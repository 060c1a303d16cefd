use super::cite::{in_scenario, in_source};
use super::*;

#[test]
fn the_account_its_citations_and_the_page_agree() {
    let (facts, found) = read(root()).unwrap();
    assert_eq!(problems(&facts, &found), [""; 0]);
    let page = fs::read_to_string(root().join(PAGE)).unwrap();
    assert!(page == page::page(&facts, &found), "{PAGE} is not up to date: run cargo xtask facts");
}

const ACCOUNT: &str = "\
Words.

# A section

## Ids are numbers

They are.

## Names, too

*Not shown: it is
clear.*

# Another section

*Not shown: this is no fact's.*
";

fn account() -> Vec<Fact> {
    account::facts_of("a.md", ACCOUNT)
}

#[test]
fn facts_are_headings() {
    let facts = account();
    let told: Vec<_> =
        facts.iter().map(|it| (it.anchor.as_str(), it.not_shown.as_deref())).collect();
    assert_eq!(told, [("ids-are-numbers", None), ("names-too", Some("it is clear."))]);
}

const SOURCE: &str = "\
//! About #ids-are-numbers; a [link](#not-this-one), another (page#nor-this-one), #nor_that.

/// Shows #ids-are-numbers and
/// more.
#[test]
#[ignore = \"so\"]
fn ids() {
    assert_eq!(rule(), \"#names-too\");
}

/// Guards against #names-too.
fn listed(place: &Place) {}

everywhere! {
    listed,
}

/// Not a test: #names-too.
fn helper() {}
";

#[test]
fn citations_are_found_with_their_tests() {
    let found = in_source("a.rs", SOURCE);
    let told: Vec<_> = found
        .iter()
        .map(|it| (it.line, it.anchor.as_str(), it.test.as_ref().map(|it| (it.0.as_str(), it.1))))
        .collect();
    assert_eq!(
        told,
        [
            (1, "ids-are-numbers", None),
            (3, "ids-are-numbers", Some(("ids", Verb::Shows))),
            (8, "names-too", Some(("ids", Verb::Guards))),
            (11, "names-too", Some(("listed", Verb::Guards))),
            (18, "names-too", None),
        ]
    );
    let found = in_scenario("tests/scenarios/s.dlm", "# x\nshows ids-are-numbers names-too\n");
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|it| it.line == 2 && it.is(Verb::Shows)));
}

#[test]
fn whatever_does_not_fit_is_told() {
    let told = |source: &str| problems(&account(), &in_source("a.rs", source)).join("\n");
    assert!(told("").starts_with("a.md: #ids-are-numbers: no test cites it"), "{}", told(""));
    let shown = "/// Shows #ids-are-numbers.\n#[test]\nfn a() {}\n";
    assert_eq!(told(shown), "");
    assert_eq!(told(&format!("{shown}// #no-such-fact\n")), "a.rs:4: no fact #no-such-fact");
    let both = shown.replace('.', " and #names-too.");
    assert_eq!(told(&both), "a.md: #names-too: is shown and says that it is not");
    // A test that is none shows nothing.
    assert!(told(&shown.replace("#[test]", "")).contains("no test cites it"));
}
