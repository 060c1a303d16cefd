//! The tests with a given text in their name: where they are, and running them there.
//!
//! A test is called PACKAGE::PROGRAM::MODULE::FUNCTION, a scenario as its file, and a C program
//! LIBRARY-FILE. Programs are built only of packages whose sources have the text.

mod near;
mod sources;

use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::process::Command;

use super::host;
use super::tally::Tally;
use super::{cluster, guest, libraries};
use crate::capi;
use dlm_lab::cargo::{self, Program};
use sources::Package;

/// The package whose ignored tests want a kernel.
pub(super) const TESTS: &str = "dlm-tests";
/// Programs of which the ignored tests run on this machine: they build for long or start machines
/// by themselves. Elsewhere an ignored test is one that writes files.
const SLOW: [&str; 2] = ["dlm-lab::vm", "xtask::dist"];

/// Where to look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places<'a> {
    pub(super) host: bool,
    pub(super) kernels: &'a [&'a str],
}

/// A program of tests with those that are meant.
struct Group {
    /// PACKAGE::PROGRAM.
    name: String,
    program: PathBuf,
    /// Where its package is.
    folder: PathBuf,
    /// Run on this machine.
    host: Vec<String>,
    /// Ignored, and run on this machine when they are asked for.
    slow: Vec<String>,
    /// Run on each kernel.
    kernel: Vec<String>,
    /// Run on clusters.
    cluster: Vec<String>,
}

/// Whether a text means a test of this name: any part of it, but with `::` whole parts from the
/// first on, or `kernel::` would mean all that are `on_kernel::`.
pub(super) fn means(text: &str, name: &str) -> bool {
    let mut found = name.match_indices(text).map(|(at, _)| &name[..at]);
    let whole = text.contains("::");
    found.any(|before| !whole || before.is_empty() || before.ends_with("::"))
}

/// Runs what is meant where it can be run, and says in a line what that was.
///
/// # Errors
///
/// When no test is meant, or it does not build.
pub(super) fn run(text: &str, places: Places<'_>, tally: &mut Tally) -> Result<String> {
    if text.starts_with("model::") && places.host {
        host::schedules(text, tally)?;
        return Ok(format!("{text}: the schedules, on this machine"));
    }
    let packages = sources::packages_with(text)?;
    let (groups, known) = groups(&packages, text)?;
    let in_c = capi::programs_named(text)?;
    let count = |of: fn(&Group) -> &Vec<String>| groups.iter().map(|it| of(it).len()).sum();
    let mut parts = Vec::new();
    let host: usize = count(|it| &it.host) + count(|it| &it.slow);
    let (kernel, cluster): (usize, usize) = (count(|it| &it.kernel), count(|it| &it.cluster));
    if places.host && host > 0 {
        parts.push(format!("{host} on this machine"));
    }
    for where_ in places.kernels {
        if kernel > 0 {
            parts.push(format!("{kernel} on {where_}"));
        }
        if cluster > 0 {
            parts.push(format!("{cluster} on clusters of {where_}"));
        }
    }
    if !in_c.is_empty() {
        let mut on: Vec<_> = places.host.then_some("this machine").into_iter().collect();
        on.extend(places.kernels);
        parts.push(format!("{} in C on {}", in_c.len(), on.join(" and ")));
    }
    if parts.is_empty() {
        bail!("{}", nothing(text, host + kernel + cluster > 0, known, &packages)?);
    }
    let line = format!("{text}: {}", parts.join(", "));
    println!("=== {line}");
    if places.host {
        for group in &groups {
            on_host(group, &group.host, &[], tally)?;
            on_host(group, &group.slow, &["--ignored"], tally)?;
        }
    }
    if !in_c.is_empty() {
        libraries::run(places.host, places.kernels, Some(text), tally);
    }
    if kernel > 0 {
        guest::run(places.kernels, Some(text), None, tally)?;
    }
    if cluster > 0 {
        cluster::run(places.kernels, Some(text), tally)?;
    }
    Ok(line)
}

/// The programs of these packages with the tests that are meant, and the names of all others.
fn groups(packages: &[Package], text: &str) -> Result<(Vec<Group>, Vec<String>)> {
    let (mut groups, mut others) = (Vec::new(), Vec::new());
    for package in packages {
        let words = [&["test", "--no-run"][..], &package.selection()].concat();
        for program in cargo::build(&words)? {
            gather(package, program, text, &mut groups, &mut others)?;
        }
    }
    Ok((groups, others))
}

/// Adds a program of a package.
fn gather(
    package: &Package,
    program: Program,
    text: &str,
    groups: &mut Vec<Group>,
    others: &mut Vec<String>,
) -> Result<()> {
    let name = format!("{}::{}", package.name, program.name);
    let meant = |test: &String| means(text, &format!("{name}::{test}"));
    let ignored = tests_of(&program, &["--ignored"])?;
    let mut host = tests_of(&program, &[])?;
    host.retain(|test| !ignored.contains(test));
    let all = host.iter().chain(&ignored).filter(|test| !meant(test));
    others.extend(all.map(|test| format!("{name}::{test}")));
    host.retain(meant);
    let ignored: Vec<_> = ignored.into_iter().filter(meant).collect();
    let take = |wanted: bool| if wanted { ignored.clone() } else { Vec::new() };
    groups.push(Group {
        host,
        slow: take(SLOW.contains(&name.as_str())),
        kernel: take(package.name == TESTS && program.name != cluster::PROGRAM),
        cluster: take(name == format!("{TESTS}::{}", cluster::PROGRAM)),
        name,
        program: program.path,
        folder: package.folder.clone(),
    });
    Ok(())
}

/// The names of the tests of a program. It needs no DLM for that.
pub(super) fn tests_of(program: &Program, options: &[&str]) -> Result<Vec<String>> {
    let mut command = Command::new(&program.path);
    let output = command.args(["--list", "--format=terse"]).args(options).output();
    let output = output.with_context(|| format!("cannot run {}", program.path.display()))?;
    anyhow::ensure!(output.status.success(), "{} does not list its tests", program.path.display());
    let list = String::from_utf8_lossy(&output.stdout);
    Ok(list.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
}

fn on_host(group: &Group, tests: &[String], options: &[&str], tally: &mut Tally) -> Result<()> {
    if tests.is_empty() {
        return Ok(());
    }
    let mut command = Command::new(&group.program);
    command.args(["--exact", "--format=pretty"]).args(options).args(tests);
    command.current_dir(&group.folder).env("CARGO_MANIFEST_DIR", &group.folder);
    host::test(&group.name, "test", &mut command, tally)
}

/// Why nothing was run.
fn nothing(
    text: &str,
    elsewhere: bool,
    mut known: Vec<String>,
    packages: &[Package],
) -> Result<String> {
    if elsewhere {
        return Ok(format!("tests called {text} there are, but not in this place"));
    }
    // The packages that have the text may not be those with the test that was thought of.
    if packages.is_empty() {
        known.extend(sources::functions()?);
    }
    let mut message = format!("no test, scenario or C program has {text} in its name");
    let near = near::nearest(text, &known);
    if !near.is_empty() {
        message.push_str(&format!("; near: {}", near.join(", ")));
    }
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_with_a_path_begins_where_a_part_does() {
        assert!(means("close", "dlm-tests::kernel::close::a_test"));
        assert!(means("los", "dlm-tests::kernel::close::a_test"));
        assert!(means("close::a", "dlm-tests::kernel::close::a_test"));
        assert!(means("kernel::", "dlm-tests::kernel::close::a_test"));
        assert!(!means("kernel::", "dlm-tests::runtime::lvb::on_kernel::a_test"));
        assert!(!means("lose::a", "dlm-tests::kernel::close::a_test"));
    }

    #[test]
    fn what_no_test_is_called_is_told_with_what_is_near() {
        let places = Places { host: true, kernels: &[] };
        let name = ["waiters_are_granted", "in_ordre"].join("_");
        let error = run(&name, places, &mut Tally::default()).unwrap_err().to_string();
        assert!(
            error.contains("near: ") && error.contains("waiters_are_granted_in_order"),
            "{error}"
        );
    }
}
