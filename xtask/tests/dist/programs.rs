//! Programs in C against the whole tree, after it was moved: compiled as the manual says, and run
//! as far as they get without a DLM.

use dlm_lab::vm::apt::find_program;
use goblin::elf::Elf;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;
use xtask::dist::manual::pages;

use crate::functions::{COMMON, THREADED, exported};
use crate::{folder, output};

const ERRORS: &str = include_str!("errors.c");

/// How a program is linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Linked {
    Shared,
    Static,
}

/// The tree, at a place where it was not made.
static TREE: LazyLock<PathBuf> = LazyLock::new(|| {
    let (made, moved) = (folder("tree"), folder("moved").join("local"));
    let placed = xtask::dist::make(&made).unwrap();
    assert!(!placed.is_empty());
    fs::rename(made, &moved).unwrap();
    moved
});

/// The words that pkg-config has for a library of the tree.
fn flags(library: &str, linked: Linked) -> Vec<String> {
    let mut command = Command::new("pkg-config");
    command.args((linked == Linked::Static).then_some("--static"));
    command.args(["--cflags", "--libs", library]);
    command.env_remove("PKG_CONFIG_PATH").env("PKG_CONFIG_LIBDIR", TREE.join("lib/pkgconfig"));
    output(&mut command).split_whitespace().map(str::to_owned).collect()
}

/// Compiles a program.
fn compile(compiler: &str, text: &str, name: &str, library: &str, linked: Linked) -> PathBuf {
    let program = folder(&format!("{compiler}-{name}-{library}-{linked:?}")).join(name);
    let source = program.with_extension(if compiler == "cc" { "c" } else { "cc" });
    fs::write(&source, text).unwrap();
    let mut command = Command::new(compiler);
    command.args(["-Wall", "-Wextra", "-Werror", "-o"]).args([&program, &source]);
    command.args((linked == Linked::Static).then_some("-static"));
    output(command.args(flags(library, linked)));
    program
}

/// Runs it, with the libraries of the tree.
fn run(program: &Path) -> Output {
    let mut command = Command::new(program);
    command.env("LD_LIBRARY_PATH", TREE.join("lib")).env_remove("DLM_BACKEND");
    command.stdin(std::process::Stdio::null()).output().unwrap()
}

/// Whether this machine has what it takes, and no DLM, which these programs would use.
fn can_run() -> bool {
    let devices = ["/dev/dlm-control", "/dev/misc/dlm-control"];
    if let Some(device) = devices.iter().find(|device| Path::new(device).exists()) {
        println!("SKIPPED: there is a {device}");
        return false;
    }
    if find_program("pkg-config").is_none() {
        println!("SKIPPED: no pkg-config");
        return false;
    }
    true
}

/// The shared objects that a program or library asks for, and the versions of symbols.
fn needed(path: &Path) -> (Vec<String>, BTreeSet<String>) {
    let content = fs::read(path).unwrap();
    let elf = Elf::parse(&content).unwrap();
    let libraries = elf.libraries.iter().map(ToString::to_string).collect();
    let mut versions = BTreeSet::new();
    for needs in elf.verneed.iter().flat_map(|section| section.iter()) {
        for version in needs.iter() {
            versions.extend(elf.dynstrtab.get_at(version.vna_name).map(str::to_owned));
        }
    }
    (libraries, versions)
}

#[test]
#[ignore = "builds the libraries, which takes a while"]
fn the_libraries_are_complete() {
    for (name, more) in [("libdlm", &THREADED[..]), ("libdlm_lt", &[])] {
        let folder = TREE.join("lib");
        let soname = format!("{name}.so.3");
        let file = fs::canonicalize(folder.join(&soname)).unwrap();
        assert_eq!(file.file_name().unwrap().to_str().unwrap(), format!("{name}.so.3.0"));
        assert_eq!(fs::canonicalize(folder.join(format!("{name}.so"))).unwrap(), file);
        assert!(folder.join(format!("{name}.a")).is_file());
        let content = fs::read(file).unwrap();
        let elf = Elf::parse(&content).unwrap();
        assert_eq!(elf.soname, Some(soname.as_str()));
        let wanted: BTreeSet<_> = COMMON.iter().chain(more).map(ToString::to_string).collect();
        assert_eq!(exported(&content), wanted, "{name}");
    }
}

#[test]
#[ignore = "builds the libraries, which takes a while"]
fn wrong_calls_fail_with_an_error_and_nothing_worse() {
    if !can_run() {
        return;
    }
    for library in ["libdlm", "libdlm_lt"] {
        for linked in [Linked::Shared, Linked::Static] {
            let program = compile("cc", ERRORS, "errors", library, linked);
            let output = run(&program);
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{library} {linked:?}: {:?}\n{text}", output.status);
            let (libraries, versions) = needed(&program);
            match linked {
                Linked::Shared => {
                    assert!(libraries.contains(&format!("{library}.so.3")), "{libraries:?}");
                    assert!(versions.contains("V_4.1.0"), "{versions:?}");
                }
                Linked::Static => assert_eq!(libraries, [""; 0]),
            }
            println!("{library} {linked:?}: {} bytes", fs::metadata(program).unwrap().len());
        }
        // The same from C++, without anything around the header.
        assert!(run(&compile("c++", ERRORS, "errors", library, Linked::Shared)).status.success());
    }
}

#[test]
#[ignore = "builds the libraries, which takes a while"]
fn the_programs_of_the_manual_link_and_say_what_they_lack() {
    if !can_run() {
        return;
    }
    let mut count = 0;
    for page in pages(&TREE.join("share/man/man3")).unwrap() {
        for text in page.programs() {
            let threaded = THREADED.iter().any(|name| text.contains(&format!("{name}(")));
            for library in ["libdlm", "libdlm_lt"] {
                if threaded && library == "libdlm_lt" {
                    continue;
                }
                for linked in [Linked::Shared, Linked::Static] {
                    let output = run(&compile("cc", &text, &page.name, library, linked));
                    let said = output.stdout.len() + output.stderr.len();
                    // Not killed: a signal has no code.
                    let code = output.status.code();
                    assert!(code == Some(1) && said > 0, "{}: {output:?}", page.name);
                    count += 1;
                }
            }
        }
    }
    assert!(count >= 30, "{count}");
}

#[test]
#[ignore = "builds for a minute"]
fn the_program_dlm_is_there_with_manual_and_completions() {
    let mut command = Command::new(TREE.join("bin/dlm"));
    let text = output(command.args(["--engine", "why", "disk0"]));
    assert!(text.contains("Held: EX by backup[4711]"), "{text}");
    let read = |path: &str| fs::read_to_string(TREE.join(path)).unwrap();
    assert!(read("share/man/man8/dlm.8").contains(".SH dlm why"));
    for place in [
        "share/bash-completion/completions/dlm",
        "share/fish/vendor_completions.d/dlm.fish",
        "share/zsh/site-functions/_dlm",
    ] {
        assert!(read(place).contains("contended"), "{place}");
    }
}
