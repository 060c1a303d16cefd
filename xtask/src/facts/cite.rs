//! Citations of facts: the words of a heading behind a `#` in sources, documents and tests, `shows WORDS` in
//! scenarios.

use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// Folders and files that are looked through.
const SOURCES: [&str; 8] =
    [".github", "dlm-proto", "dlm-sys", "dlm-runtime", "fuzz", "tests", "xtask", "README.md"];

/// Folders without citations: what is built, what fuzzers write, and the examples of this module.
const NOT_READ: [&str; 4] = ["target", "corpus", "artifacts", "xtask/src/facts"];

/// What a citation in a test claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verb {
    /// The test shows that the fact holds.
    Shows,
    /// The test shows that a program is kept from it.
    Guards,
}

/// A citation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) anchor: String,
    /// The test that it stands in.
    pub(super) test: Option<(String, Verb)>,
}

impl Found {
    /// Whether a test says so.
    pub(super) fn is(&self, verb: Verb) -> bool {
        self.test.as_ref().is_some_and(|(_, its)| *its == verb)
    }
}

/// All citations, apart from those on the page that is made from them.
pub(super) fn citations(root: &Path) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for source in SOURCES {
        walk(root, &root.join(source), &mut found)?;
    }
    found.retain(|it| it.file != super::PAGE);
    Ok(found)
}

fn walk(root: &Path, path: &Path, found: &mut Vec<Found>) -> Result<()> {
    let told = || path.display().to_string();
    if path.is_dir() {
        let mut entries: Vec<_> =
            fs::read_dir(path).with_context(told)?.collect::<std::io::Result<_>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            if !NOT_READ.iter().any(|it| entry.path().ends_with(it)) {
                walk(root, &entry.path(), found)?;
            }
        }
        return Ok(());
    }
    let extension = path.extension().and_then(|it| it.to_str()).unwrap_or_default();
    let file = path.strip_prefix(root).unwrap_or(path).display().to_string();
    match extension {
        "dlm" => found.extend(in_scenario(&file, &fs::read_to_string(path).with_context(told)?)),
        "rs" | "md" | "c" | "h" | "sh" => {
            found.extend(in_source(&file, &fs::read_to_string(path).with_context(told)?));
        }
        _ => {}
    }
    Ok(())
}

/// The line `shows WORDS...` of a scenario, which is a test by the name of its file.
pub(super) fn in_scenario(file: &str, text: &str) -> Vec<Found> {
    let name = Path::new(file).file_stem().unwrap_or_default().to_string_lossy();
    let lines = text.lines().enumerate();
    let shows = lines.filter_map(|(at, line)| Some((at + 1, line.strip_prefix("shows ")?)));
    let anchors = shows.flat_map(|(line, rest)| rest.split(' ').map(move |it| (line, it)));
    anchors
        .map(|(line, anchor)| Found {
            file: file.to_owned(),
            line,
            anchor: anchor.to_owned(),
            test: Some((format!("{name}.dlm"), Verb::Shows)),
        })
        .collect()
}

/// The citations in any other text, and the tests around them if it is Rust.
pub(super) fn in_source(file: &str, text: &str) -> Vec<Found> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        for anchor in anchors(line) {
            let test = if file.ends_with(".rs") { test_around(&lines, at) } else { None };
            let anchor = anchor.to_owned();
            found.push(Found { file: file.to_owned(), line: at + 1, anchor, test });
        }
    }
    found
}

/// Words joined by hyphens behind a `#`, but for links in the page and to pages.
fn anchors(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices('#').filter_map(|(at, _)| {
        let before = line.get(..at)?;
        let is_link = before.ends_with("](") || before.ends_with(|it: char| it.is_alphanumeric());
        let rest = line.get(at + 1..)?;
        let end = rest.find(|it: char| !matches!(it, 'a'..='z' | '0'..='9' | '-'));
        let word = rest.get(..end.unwrap_or(rest.len()))?.trim_end_matches('-');
        let is_word = word.contains('-') && word.starts_with(|it: char| it.is_ascii_lowercase());
        (is_word && !is_link).then_some(word)
    })
}

/// The test that a line belongs to, by its comment or its body, and what it claims there.
fn test_around(lines: &[&str], at: usize) -> Option<(String, Verb)> {
    let is_head = |line: &str| line.starts_with("///") || line.starts_with("#[");
    let line = lines.get(at)?.trim_start();
    let start = if is_head(line) {
        let behind = lines.get(at..)?.iter().position(|line| !is_head(line.trim_start()))?;
        at + behind
    } else {
        (0..at).rev().find(|&it| {
            let line = lines.get(it).copied().unwrap_or_default();
            // The end of another item.
            line == "}" || line.trim_start().starts_with("fn ")
        })?
    };
    let rest = lines.get(start)?.trim_start().strip_prefix("fn ")?;
    let name = rest.get(..rest.find('(')?)?;
    let heads = lines.get(..start)?.iter().rev();
    let is_marked =
        heads.take_while(|line| is_head(line.trim_start())).any(|line| line.trim() == "#[test]");
    // Or it is in a list of `everywhere!`.
    let listed = format!("{name},");
    if !is_marked && !lines.iter().any(|line| line.trim() == listed) {
        return None;
    }
    let verb = if line.starts_with("/// Shows #") { Verb::Shows } else { Verb::Guards };
    Some((name.to_owned(), verb))
}
