//! The documents name files that exist.

use std::fs;
use std::path::Path;

use super::root;

/// Pages for people, with links to files and names of files in them.
const DOCUMENTS: [&str; 12] = [
    ".github/CHANGELOG.md",
    ".github/CONTRIBUTING.md",
    "README.md",
    "dlm-proto/docs/interface.md",
    "dlm-runtime/README.md",
    "dlm-runtime/capi/README.md",
    "dlm-runtime/docs/architecture.md",
    "dlm-runtime/docs/cluster.md",
    "dlm-runtime/docs/hazards.md",
    "dlm-runtime/docs/locks.md",
    "dlm-runtime/docs/speed.md",
    "tests/scenarios/README.md",
];

/// What a name in backticks may be relative to, besides the document's own folder.
const BASES: [&str; 6] =
    ["", "dlm-runtime", "dlm-runtime/src", "dlm-runtime/engine/src", "dlm-proto/src", "dlm-proto"];

const ENDINGS: [&str; 7] = [".rs", ".md", ".toml", ".h", ".3", ".sh", ".dlm"];

/// Files that are linked to: they must be where the link says.
fn linked(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let files = targets.map(|target| target.split('#').next().unwrap_or_default());
    files.filter(|file| !file.is_empty() && !file.contains("://") && !file.contains("::")).collect()
}

/// The top of the repository: what begins with one of these is a path, also if it is a folder.
const TOPS: [&str; 6] = ["dlm-proto/", "dlm-sys/", "dlm-runtime/", "fuzz/", "tests/", "xtask/"];

/// Files and folders whose paths stand in backticks.
fn named(text: &str) -> Vec<&str> {
    let quoted = text.split('`').skip(1).step_by(2);
    let is_path = |word: &str| {
        let is_plain = |it: char| it.is_ascii_alphanumeric() || "._-/".contains(it);
        word.contains('/') && !word.starts_with('/') && word.chars().all(is_plain)
    };
    quoted
        .filter(|word| is_path(word))
        .filter(|word| {
            ENDINGS.iter().any(|ending| word.ends_with(ending))
                || TOPS.iter().any(|top| word.starts_with(top))
        })
        .collect()
}

#[test]
fn what_documents_link_to_and_name_is_there() {
    let mut missing = Vec::new();
    for document in DOCUMENTS {
        let path = root().join(document);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{document}: {error}"));
        // Examples of code have backticks and brackets of their own.
        let text: String = text.split("```").step_by(2).collect();
        let folder = path.parent().unwrap();
        for file in linked(&text) {
            if !folder.join(file).exists() {
                missing.push(format!("{document}: link to {file}"));
            }
        }
        for file in named(&text) {
            let is_there = |base: &Path| base.join(file).exists();
            if !is_there(folder) && !BASES.iter().any(|base| is_there(&root().join(base))) {
                missing.push(format!("{document}: {file}"));
            }
        }
    }
    assert_eq!(missing, [""; 0]);
}

#[test]
fn links_and_names_are_found() {
    let text = "A [page](a/b.md#part), [another](https://x.y/z.md), [an item](crate::a), \
                `src/lib.rs`, `/dev/dlm-control.rs`, `a b/c.rs`, `lib.rs`, `tests/c`, `and/or`.";
    assert_eq!(linked(text), ["a/b.md"]);
    assert_eq!(named(text), ["src/lib.rs", "tests/c"]);
}
