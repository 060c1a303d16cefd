//! The account of the kernel: pages of Markdown, in which each heading of the second level is a fact.

use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// The pages, and what rustdoc calls them.
pub(super) const PAGES: [(&str, &str); 3] = [
    ("dlm-proto/docs/interface.md", "dlm_proto::interface"),
    ("dlm-runtime/docs/locks.md", "crate::manual::locks"),
    ("dlm-runtime/docs/hazards.md", "crate::manual::hazards"),
];

/// A fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fact {
    /// The page's file.
    pub(super) file: &'static str,
    pub(super) title: String,
    /// The heading as rustdoc makes an anchor of it.
    pub(super) anchor: String,
    /// Why no test shows it.
    pub(super) not_shown: Option<String>,
}

/// The facts of all pages.
pub(super) fn facts(root: &Path) -> Result<Vec<Fact>> {
    let mut facts = Vec::new();
    for (file, _) in PAGES {
        let text = fs::read_to_string(root.join(file)).context(file)?;
        facts.extend(facts_of(file, &text));
    }
    Ok(facts)
}

pub(super) fn facts_of(file: &'static str, text: &str) -> Vec<Fact> {
    let mut facts = Vec::new();
    for part in text.split("\n## ").skip(1) {
        let (title, body) = part.split_once('\n').unwrap_or((part, ""));
        // A section of the first level ends the fact.
        let body = body.split("\n# ").next().unwrap_or_default();
        let reason = body.split_once("*Not shown: ").and_then(|(_, rest)| rest.split_once('*'));
        facts.push(Fact {
            file,
            title: title.to_owned(),
            anchor: anchor(title),
            not_shown: reason.map(|(reason, _)| reason.replace('\n', " ")),
        });
    }
    facts
}

fn anchor(title: &str) -> String {
    let kept = title.chars().filter(|it| it.is_alphanumeric() || matches!(it, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}
