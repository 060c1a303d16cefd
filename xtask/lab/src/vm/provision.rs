//! Makes a fresh machine able to build and run virtual machines.

use crate::vm::apt::{Apt, codename, find_program};
use crate::vm::progress::slow;
use crate::vm::store::Store;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

/// The emulator.
pub const QEMU: &str = "qemu-system-x86_64";

/// What has to be there, and the package that brings it.
const NEEDS: [(&str, &str); 9] = [
    (QEMU, "qemu-system-x86"),
    ("busybox", "busybox-static"),
    ("strace", "strace"),
    ("xz", "xz-utils"),
    ("zstd", "zstd"),
    ("setpriv", "util-linux"),
    ("cc", "gcc"),
    ("g++", "g++"),
    ("/usr/lib/x86_64-linux-gnu/libc.a", "libc6-dev"),
];

/// What counts instructions on this machine.
const COUNTER: [(&str, &str); 1] = [("valgrind", "valgrind")];

/// Packages that are missing.
#[must_use]
pub fn missing() -> Vec<&'static str> {
    missing_of(&NEEDS)
}

fn missing_of(needs: &[(&str, &'static str)]) -> Vec<&'static str> {
    needs
        .iter()
        .filter(|(what, _)| match what.strip_prefix('/') {
            Some(_) => !Path::new(what).exists(),
            None => find_program(what).is_none(),
        })
        .map(|(_, package)| *package)
        .collect()
}

/// Installs what is missing.
///
/// # Errors
///
/// When something is missing and cannot be installed; then with the command to run by hand.
pub fn ensure(store: &Store) -> Result<()> {
    install(store, missing)
}

/// Installs what the fuzzers are built with, and nothing for virtual machines.
///
/// # Errors
///
/// As for [`ensure`].
pub fn ensure_for_fuzzing(store: &Store) -> Result<()> {
    // libFuzzer is C++.
    install(store, || missing().into_iter().filter(|&package| package == "g++").collect())
}

/// Installs what counts instructions, and nothing for virtual machines.
///
/// # Errors
///
/// As for [`ensure`].
pub fn ensure_for_counting(store: &Store) -> Result<()> {
    install(store, || missing_of(&COUNTER))
}

/// Installs these packages, if they are not.
///
/// # Errors
///
/// As for [`ensure`].
pub fn ensure_packages(store: &Store, packages: &[&str]) -> Result<()> {
    install(store, || packages.iter().copied().filter(|package| !is_installed(package)).collect())
}

fn is_installed(package: &str) -> bool {
    let mut query = Command::new("dpkg-query");
    let status = query.args(["--show", "--showformat=${db:Status-Status}", package]).output();
    status.is_ok_and(|output| output.stdout == b"installed")
}

fn install<'a>(store: &Store, look: impl Fn() -> Vec<&'a str>) -> Result<()> {
    let missing = look();
    if missing.is_empty() {
        return Ok(());
    }
    // Saving and restoring snapshots wants QEMU 8.2, and the stock package of this release is
    // even refused where another package of the backported QEMU is installed.
    let release = missing
        .contains(&"qemu-system-x86")
        .then(codename)
        .transpose()?
        .filter(|name| name == "bookworm")
        .map(|name| format!("{name}-backports"));
    let packages = missing.join(" ");
    let target = release.as_ref().map(|r| format!("-t {r} ")).unwrap_or_default();
    let by_hand = format!("apt-get install --no-install-recommends {target}{packages}");
    if find_program("apt-get").is_none() {
        bail!("missing programs, and no apt-get to install them; on Debian: {by_hand}");
    }
    if !is_root() {
        let hint = release
            .as_ref()
            .map(|r| format!("\n(needs the suite {r} in the package sources)"))
            .unwrap_or_default();
        bail!("missing packages; run this first:\n    sudo {by_hand}{hint}");
    }
    let _slow = slow(format!("installing {packages}"));
    let apt = Apt::for_machine(store, release.as_deref())?;
    // A source of somebody else that does not answer need not matter.
    let update = apt.update();
    if let Err(error) = apt.install(&missing, release.as_deref()) {
        update?;
        return Err(error).with_context(|| format!("cannot install {packages}"));
    }
    let left = look();
    if !left.is_empty() {
        bail!("still missing after the installation: {}", left.join(" "));
    }
    Ok(())
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_and_files_that_are_not_there_are_missed() {
        let needs = [("sh", "a"), ("no-such-program", "b"), ("/bin/sh", "c"), ("/no/such", "d")];
        assert_eq!(missing_of(&needs), ["b", "d"]);
    }
}
