//! `cargo xtask facts`: what the project knows of the kernel, and which tests show it.
//!
//! The module `account` reads the facts, `cite` the citations in sources and tests, and the page `shown`
//! of dlm-runtime is made from both. A test here holds them together.

mod account;
mod cite;
#[cfg(test)]
mod documents;
mod page;
#[cfg(test)]
mod tests;

use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use crate::Usage;
use account::Fact;
use cite::{Found, Verb};

const USAGE: &str = "\
usage: cargo xtask facts

Checks that each fact of the account of the kernel (dlm-proto/docs/interface.md,
dlm-runtime/docs/locks.md and hazards.md) is shown by a test or says why not, and that
whatever cites a heading by its words behind a # is right. Writes dlm-runtime/docs/shown.md.
";

/// The page that is made here.
const PAGE: &str = "dlm-runtime/docs/shown.md";

/// Runs the command.
///
/// # Errors
///
/// For wrong arguments, and for files that cannot be read or written.
pub fn run(arguments: Vec<OsString>) -> Result<ExitCode> {
    match arguments.into_iter().next().as_ref().map(|it| it.to_str()) {
        None => {}
        Some(Some("--help" | "-h")) => {
            print!("{USAGE}");
            return Ok(ExitCode::SUCCESS);
        }
        _ => return Err(Usage::new(&"facts has no arguments", USAGE).into()),
    }
    let root = root();
    let (facts, found) = read(root)?;
    let problems = problems(&facts, &found);
    if !problems.is_empty() {
        eprintln!("{}", problems.join("\n"));
        return Ok(ExitCode::FAILURE);
    }
    fs::write(root.join(PAGE), page::page(&facts, &found)).context(PAGE)?;
    println!("{} facts, {} tests that cite them: {PAGE}", facts.len(), tests(&found));
    Ok(ExitCode::SUCCESS)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

fn read(root: &Path) -> Result<(Vec<Fact>, Vec<Found>)> {
    Ok((account::facts(root)?, cite::citations(root)?))
}

fn tests(found: &[Found]) -> usize {
    found
        .iter()
        .filter_map(|it| it.test.as_ref())
        .map(|test| &test.0)
        .collect::<BTreeSet<_>>()
        .len()
}

/// What is wrong with the account and its citations, a line each.
fn problems(facts: &[Fact], found: &[Found]) -> Vec<String> {
    let known: BTreeSet<&str> = facts.iter().map(|fact| fact.anchor.as_str()).collect();
    let mut problems: Vec<String> = found
        .iter()
        .filter(|it| !known.contains(it.anchor.as_str()))
        .map(|it| format!("{}:{}: no fact #{}", it.file, it.line, it.anchor))
        .collect();
    for (at, fact) in facts.iter().enumerate() {
        let name = format!("{}: #{}", fact.file, fact.anchor);
        if facts.iter().take(at).any(|other| other.anchor == fact.anchor) {
            problems.push(format!("{name}: is there twice"));
        }
        if !fact.anchor.contains('-') {
            problems.push(format!("{name}: needs two words, to be told from other uses of #"));
        }
        let tests = |verb| found.iter().any(|it| it.anchor == fact.anchor && it.is(verb));
        match (&fact.not_shown, tests(Verb::Shows), tests(Verb::Guards)) {
            (None, false, false) => problems.push(format!(
                "{name}: no test cites it; say \"/// Shows #{}.\" above one, or \"*Not shown: why.*\" \
                 in the account",
                fact.anchor
            )),
            (Some(_), true, _) => problems.push(format!("{name}: is shown and says that it is not")),
            _ => {}
        }
    }
    problems
}
