//! C programs: what there are, and how they are compiled.

mod engine;
mod guests;

use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(super) use engine::run as run_on_engine;
pub(super) use guests::run as run_on_kernels;

use super::debian::Debian;
use super::link::LIBRARIES;
use dlm_lab::vm::apt::output;
use dlm_lab::vm::store::{remove_all, workspace_root};

/// What is expected, by the folder of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Parity,
    LibdlmBug,
    Ours,
}

const KINDS: [(&str, Kind); 3] =
    [("parity", Kind::Parity), ("libdlm_bugs", Kind::LibdlmBug), ("ours", Kind::Ours)];

/// The variable with the seconds after which a program gives up.
const SECONDS: &str = "CHECK_SECONDS";

/// A program for one of the libraries.
#[derive(Debug)]
pub(super) struct Program {
    kind: Kind,
    source: PathBuf,
    library: &'static str,
    /// LIBRARY-SOURCE.
    name: String,
    /// How it comes to the library, if it is not linked with it.
    not_linked: Option<String>,
    /// Why it runs on kernels only.
    not_on_engine: Option<String>,
    /// Why it runs on the engine only.
    only_on_engine: Option<String>,
    /// Why valgrind would make it fail.
    not_under_valgrind: Option<String>,
}

/// The programs, compiled: a folder for each machine, with the libraries that it is to have.
#[derive(Debug)]
pub(super) struct Programs {
    all: Vec<Program>,
    ours: PathBuf,
    theirs: PathBuf,
}

/// Compiles the programs with Debian's header, for either library.
pub(super) fn compile(
    ours: &Path,
    debian: &Debian,
    filter: Option<&str>,
    address: bool,
) -> Result<Programs> {
    let all = all(filter)?;
    if all.is_empty() {
        bail!("no such program in tests/c");
    }
    let folder = ours.join("programs");
    let [their, our] = ["debian", "ours"].map(|who| folder.join(who));
    remove_all(&folder)?;
    for (folder, libraries) in [(&their, debian.libraries.as_path()), (&our, ours)] {
        fs::create_dir_all(folder.join("lib"))?;
        for name in LIBRARIES {
            let file = format!("{name}.so.3");
            fs::copy(libraries.join(&file), folder.join("lib").join(file))?;
        }
    }
    for program in &all {
        compile_one(program, debian, &their, address)?;
        fs::copy(their.join(&program.name), our.join(&program.name))?;
    }
    Ok(Programs { all, ours: our, theirs: their })
}

/// The programs: the comment at the head of a source says `Libraries:` and for which, and where it
/// cannot run.
fn all(filter: Option<&str>) -> Result<Vec<Program>> {
    let mut programs = Vec::new();
    for (folder, kind) in KINDS {
        let folder = workspace_root().join("tests/c").join(folder);
        let mut sources = Vec::new();
        for entry in fs::read_dir(&folder).with_context(|| format!("{}", folder.display()))? {
            sources.push(entry?.path());
        }
        sources.sort();
        for source in sources {
            let text = fs::read_to_string(&source)?;
            let said = |what| said(&text, what);
            let named =
                said("Libraries").with_context(|| format!("{}: for what?", source.display()));
            let named = named?;
            let stem = source.file_stem().unwrap_or_default().to_string_lossy();
            for library in LIBRARIES {
                let name = format!("{library}-{stem}");
                let is_wanted = filter.is_none_or(|filter| name.contains(filter));
                if is_wanted && named.split_whitespace().any(|word| word == library) {
                    programs.push(Program {
                        kind,
                        source: source.clone(),
                        library,
                        name,
                        not_linked: said("Not linked with it"),
                        not_on_engine: said("Not on dlm-engine"),
                        only_on_engine: said("Only on dlm-engine"),
                        not_under_valgrind: said("Not under valgrind"),
                    });
                }
            }
        }
    }
    Ok(programs)
}

/// The names of the programs with this in them.
pub(super) fn named(filter: &str) -> Result<Vec<String>> {
    Ok(all(Some(filter))?.into_iter().map(|program| program.name).collect())
}

/// What a line `WHAT: ...` in the comment of a source says.
fn said(text: &str, what: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let line = line.trim().strip_prefix("* ")?.strip_prefix(what)?;
        Some(line.strip_prefix(':')?.trim().to_owned())
    })
}

fn compile_one(program: &Program, debian: &Debian, folder: &Path, address: bool) -> Result<()> {
    let mut compiler = Command::new("cc");
    if address {
        compiler.arg("-fsanitize=address");
    }
    compiler.args(["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror"]);
    if program.library == LIBRARIES[0] {
        compiler.args(["-D_REENTRANT", "-DTHREADED"]);
    }
    compiler.arg("-I").arg(workspace_root().join("tests/c")).arg("-I").arg(&debian.headers);
    compiler.arg("-o").arg(folder.join(&program.name)).arg(&program.source);
    if program.not_linked.is_none() {
        compiler.arg("-L").arg(&debian.libraries);
        compiler.arg(program.library.replacen("lib", "-l", 1));
    }
    output(compiler.args(["-pthread", "-ldl"])).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_says_where_its_program_runs() {
        let text =
            "/*\n * Two of them.\n *\n * Not on dlm-engine: two processes.\n * Libraries: a b\n";
        assert_eq!(said(text, "Not on dlm-engine").as_deref(), Some("two processes."));
        assert_eq!(said(text, "Libraries").as_deref(), Some("a b"));
        assert_eq!(said(text, "Only on dlm-engine"), None);
    }

    #[test]
    fn every_program_runs_somewhere() {
        let programs = all(None).unwrap();
        for kind in [Kind::Parity, Kind::LibdlmBug, Kind::Ours] {
            assert!(programs.iter().filter(|program| program.kind == kind).count() > 10);
        }
        for program in programs {
            assert!(program.not_on_engine.is_none() || program.only_on_engine.is_none());
            assert!(program.only_on_engine.is_none() || program.kind == Kind::Ours);
        }
        assert!(all(Some("no such")).unwrap().is_empty());
    }
}
