//! The runtime's tests on kernels, built with a sanitizer.
//!
//! As for the fuzzers, `RUSTC_BOOTSTRAP=1` lets the options through that the stable compiler has
//! and keeps back.

use anyhow::{Context, Result, ensure};
use rustc_demangle::demangle;
use std::path::{Path, PathBuf};
use std::process::Command;

use dlm_lab::cargo::{self, Program, cargo};
use dlm_lab::vm::store::workspace_root;

/// The sanitizers want to be told the target, or they would be built into build scripts as well.
const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// The tests of the runtime. Those of the kernel use nothing of ours that has threads; the examples
/// are built without the sanitizer; and what counts system calls would count the sanitizer's.
const COVERED: [&str; 5] = [
    "runtime::",
    "isolated::fork",
    "isolated::hazards_lockspace",
    "isolated::no_threads",
    "isolated::stress",
];

/// On a DLM device `write` returns no length but the number of a lock or lockspace. AddressSanitizer
/// takes that for how much was read of the buffer, and must not look.
const SUPPRESSIONS: &str = "interceptor_name:write\n";

/// A sanitizer that the tests can be built with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sanitizer {
    Address,
    Thread,
}

impl Sanitizer {
    pub(super) fn named(name: &str) -> Result<Self, String> {
        match name {
            "address" => Ok(Self::Address),
            "thread" => Ok(Self::Thread),
            _ => Err(format!("no sanitizer {name}: address or thread")),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Thread => "thread",
        }
    }

    /// The tests. The first build takes minutes, most of them for the dependencies and, with
    /// ThreadSanitizer, for the standard library.
    pub(super) fn build(self) -> Result<Vec<Program>> {
        let mut command =
            cargo(&["test", "--no-run", "-p", "dlm-tests", "--tests", "--target", TRIPLE]);
        if self == Self::Thread {
            // It does not understand the fences in the `Arc` of one that is not built for it, and
            // reports hundreds of races there that are none.
            ensure_sources()?;
            command.arg("-Zbuild-std");
        }
        command
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", format!("-Zsanitizer={}", self.name()))
            .env("CARGO_TARGET_DIR", workspace_root().join("target/sanitize").join(self.name()));
        cargo::build_with(command)
    }

    /// Whether it has something to say of the tests of this module of this program.
    pub(super) fn covers(unit: &str) -> bool {
        COVERED.iter().any(|covered| unit.starts_with(covered))
    }

    /// What the programs need beside them, as name in the machine and contents.
    pub(super) const fn file(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Address => Some(("/tmp/suppressions", SUPPRESSIONS)),
            Self::Thread => None,
        }
    }

    /// The variable that tells them how to behave. A race is a failure although the test goes on.
    pub(super) const fn environment(self) -> (&'static str, &'static str) {
        match self {
            Self::Address => {
                ("ASAN_OPTIONS", "suppressions=/tmp/suppressions:print_suppressions=0")
            }
            Self::Thread => ("TSAN_OPTIONS", "exitcode=66"),
        }
    }
}

/// Makes sure that the compiler comes with the sources of the standard library.
fn ensure_sources() -> Result<()> {
    let output = Command::new("rustc")
        .args(["--print", "sysroot"])
        .current_dir(workspace_root())
        .output()
        .context("cannot run rustc")?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    ensure!(
        sysroot.join("lib/rustlib/src/rust/library/std").is_dir(),
        "ThreadSanitizer needs the standard library built with it, from its sources:\n    \
         rustup component add rust-src"
    );
    Ok(())
}

/// Puts names and lines behind the addresses in a report of a sanitizer, which finds none by itself
/// in a machine without its tools.
pub(super) fn symbolized(report: &str, program: &Path) -> String {
    let Ok(loader) = addr2line::Loader::new(program) else { return report.to_owned() };
    let mut text = String::with_capacity(report.len());
    for line in report.lines() {
        text.push_str(line);
        for place in address(line).map(|at| places(&loader, at)).unwrap_or_default() {
            text.push_str("\n        ");
            text.push_str(&place);
        }
        text.push('\n');
    }
    text
}

/// The address in a line such as `    #1 0x55f3 (/bin/isolated+0x13d050) (BuildId: 37)`.
fn address(line: &str) -> Option<u64> {
    let line = line.trim_start().strip_prefix('#')?;
    let (_, digits) = line.split_once("(/bin/")?.1.split_once("+0x")?;
    u64::from_str_radix(digits.split(')').next()?, 16).ok()
}

/// The function there, and the lines that it was made of, the innermost first.
fn places(loader: &addr2line::Loader, at: u64) -> Vec<String> {
    // That of the call is before the address to which it returns.
    let at = at.saturating_sub(1);
    let Ok(mut frames) = loader.find_frames(at) else { return Vec::new() };
    let mut places: Vec<_> =
        loader.find_symbol(at).map(|name| format!("{:#}", demangle(name))).into_iter().collect();
    while let Ok(Some(frame)) = frames.next() {
        if let Some((file, line)) = frame.location.and_then(|at| Some((at.file?, at.line?))) {
            places.push(format!("at {file}:{line}"));
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_reports() {
        let line = "    #0 0x55f3 (/bin/isolated+0x13d050) (BuildId: 376a)";
        assert_eq!(address(line), Some(0x13_d050));
        assert_eq!(address("    #3 <null> <null> (isolated+0x1) (BuildId: 3)"), None);
        assert_eq!(address("    #3 <null> <null> (/bin/runtime+0x1f) (B)"), Some(0x1f));
        assert_eq!(address("    #9 0x7f (/lib/libc.so.6+0x891f4) (B)"), None);
        assert_eq!(address("SUMMARY: (/bin/isolated+0x13d050)"), None);
    }

    #[test]
    fn a_function_is_found_by_its_address() {
        let program = std::env::current_exe().unwrap();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let base = maps.lines().find(|line| line.ends_with(program.to_str().unwrap())).unwrap();
        let base = usize::from_str_radix(base.split('-').next().unwrap(), 16).unwrap();
        let inside = address as fn(&str) -> Option<u64> as usize - base + 1;
        let report = format!("==1==\n    #0 0x1 (/bin/runtime+{inside:#x}) (B)\nend");
        let text = symbolized(&report, &program);
        assert!(text.contains("xtask::test::sanitizer::address\n"), "{text}");
        assert!(text.contains("test/sanitizer.rs:") && text.ends_with("\nend\n"), "{text}");
        assert_eq!(symbolized(&report, Path::new("/no/program")), report);
    }

    #[test]
    fn sanitizers_have_names() {
        assert_eq!(Sanitizer::named("thread"), Ok(Sanitizer::Thread));
        assert_eq!(Sanitizer::named("address"), Ok(Sanitizer::Address));
        assert!(Sanitizer::named("memory").is_err());
    }
}
