//! The manual pages.

use dlm_lab::vm::apt::find_program;
use dlm_lab::vm::unpacked::unpacked;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use xtask::dist::manual::{Page, pages};

use crate::functions::{COMMON, THREADED};
use crate::{failure, fetched, folder, output};

fn ours() -> Vec<Page> {
    pages(&xtask::dist::sources().join("man")).unwrap()
}

/// What reads mdoc most strictly.
fn mandoc() -> Option<PathBuf> {
    if let Some(program) = find_program("mandoc") {
        return Some(program);
    }
    Some(fetched("mandoc", unpacked("mandoc", &["mandoc"]))?.join("usr/bin/mandoc"))
}

#[test]
fn each_function_has_one_page() {
    let mut about: Vec<_> = ours().into_iter().flat_map(|page| page.about).collect();
    about.sort();
    let mut wanted: Vec<_> =
        COMMON.iter().chain(&THREADED).chain(&["libdlm"]).map(ToString::to_string).collect();
    wanted.sort();
    assert_eq!(about, wanted);
}

#[test]
fn each_page_is_found_under_its_name_and_refers_to_pages_that_are_there() {
    let pages = ours();
    let about: BTreeSet<_> = pages.iter().flat_map(|page| page.about.iter().cloned()).collect();
    let elsewhere =
        ["execve 2", "fcntl 2", "flock 2", "fork 2", "gettid 2", "poll 2", "read 2", "close 2"];
    let elsewhere = BTreeSet::from(elsewhere.map(String::from));
    let more =
        ["umask 2", "dlclose 3", "pthread_cancel 3", "pthread_exit 3", "pkg-config 1", "udev 7"]
            .map(String::from);
    for page in &pages {
        assert!(page.about.contains(&page.name), "{}", page.name);
        assert!(page.text.contains(&format!("\n.Dt {} 3\n", page.name.to_uppercase())));
        let references = page.references();
        assert!(!references.is_empty(), "{}", page.name);
        for (name, section) in references {
            let there = (section == "3" && about.contains(&name))
                || elsewhere.contains(&format!("{name} {section}"))
                || more.contains(&format!("{name} {section}"));
            assert!(there, "{}: {name}({section})", page.name);
        }
    }
}

#[test]
fn mandoc_has_nothing_to_say() {
    let Some(mandoc) = mandoc() else { return };
    // References to pages that are not installed here are looked at above.
    let lint = |path: &PathBuf| {
        let output = Command::new(&mandoc).args(["-T", "lint", "-W", "style"]).arg(path).output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        let lines = text.lines().filter(|line| !line.contains("referenced manual not found"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    for page in ours() {
        assert_eq!(lint(&page.path), [""; 0], "{}", page.name);
    }
    let bad = folder("manual-that-is-wrong").join("bad.3");
    fs::write(&bad, ours()[0].text.replace(".El\n", "")).unwrap();
    assert!(!lint(&bad).is_empty());
}

#[test]
fn man_has_nothing_to_say() {
    // With the macros of groff, which are not those of mandoc.
    let Some(man) = find_program("man") else {
        println!("SKIPPED: no man (package man-db)");
        return;
    };
    let warnings = |path: &PathBuf| {
        let mut command = Command::new(&man);
        command.args(["--warnings=w", "-E", "UTF-8", "-l", "-Tutf8", "-Z"]).arg(path);
        let output = command.env("MANWIDTH", "80").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stderr).unwrap()
    };
    for page in ours() {
        assert_eq!(warnings(&page.path), "", "{}", page.name);
    }
    let bad = folder("manual-that-groff-dislikes").join("bad.3");
    fs::write(&bad, ours()[0].text.replace(".Sh DESCRIPTION\n", ".Sh DESCRIPTION\n.Bogus\n"))
        .unwrap();
    assert_ne!(warnings(&bad), "");
}

#[test]
fn the_programs_in_them_compile() {
    let work = folder("manual-programs");
    let include = xtask::dist::sources().join("include");
    let mut count = 0;
    for page in ours() {
        let programs = page.programs();
        assert!(!programs.is_empty(), "{} has no example", page.name);
        for program in programs {
            let source = work.join(format!("{}.c", page.name));
            fs::write(&source, &program).unwrap();
            let compiler = |standard: &str| {
                let mut command = Command::new("cc");
                command.args([standard, "-pthread", "-pedantic", "-Wall", "-Wextra", "-Werror"]);
                command.arg("-fsyntax-only").arg("-I").arg(&include).arg(&source);
                command
            };
            output(&mut compiler("-std=gnu89"));
            output(&mut compiler("-std=c17"));
            count += 1;
            fs::write(&source, program.replace("#include <libdlm.h>", "")).unwrap();
            let error = failure(&mut compiler("-std=c17"));
            assert!(error.contains("implicit declaration") || error.contains("unknown type"));
        }
    }
    assert_eq!(count, ours().len());
}
