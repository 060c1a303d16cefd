//! The files in `tests/scenarios`.

use super::step::Scenario;

include!(concat!(env!("OUT_DIR"), "/corpus.rs"));

/// The text of a file.
#[must_use]
pub fn named(name: &str) -> Option<&'static str> {
    FILES.iter().find(|(file, _)| *file == name).map(|(_, text)| *text)
}

/// The scenario in a file.
///
/// # Panics
///
/// If there is no such file, or a mistake in it.
#[must_use]
pub fn scenario(name: &str) -> Scenario {
    let text = named(name).unwrap_or_else(|| panic!("no scenario {name}"));
    match Scenario::parse(&format!("tests/scenarios/{name}.dlm"), text) {
        Ok(scenario) => scenario,
        Err(mistake) => panic!("{mistake}"),
    }
}
