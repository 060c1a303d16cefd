//! udev for the tests that want it: Debian's, with our rules.

use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

use crate::dist;
use dlm_lab::vm::Vm;
use dlm_lab::vm::elf::Libraries;
use dlm_lab::vm::image::brings;
use dlm_lab::vm::unpacked::{place_in_guest, unpacked};

/// udev and the libraries that it is linked with.
const PACKAGES: [&str; 10] = [
    "udev",
    "libacl1",
    "libblkid1",
    "libcap2",
    "libkmod2",
    "liblzma5",
    "libpcre2-8-0",
    "libselinux1",
    "libssl3",
    "libzstd1",
];

/// Puts it into the folder `/udev` of a machine. It is not started.
pub(super) fn add(vm: &Vm) -> Result<()> {
    let packages = unpacked("udev", &PACKAGES)?;
    let folders = ["usr/bin", "bin"].map(|folder| packages.join(folder));
    let program = folders.iter().map(|folder| folder.join("udevadm")).find(|path| path.is_file());
    let program = program.context("no udevadm in the packages")?;
    let own = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];
    let mut libraries = Libraries::new(own.map(|folder| packages.join(folder)).into());
    libraries.add(&program)?;
    vm.put_file("/udev/udevadm", 0o755, &fs::read(&program)?)?;
    for library in libraries.seen().filter(|path| !brings(path) && **path != *program) {
        let path = Path::new("/").join(place_in_guest(&packages, library));
        vm.put_file(path, 0o755, &fs::read(library)?)?;
    }
    let rules = dist::sources().join("udev/51-dlm.rules");
    vm.put_file("/udev/51-dlm.rules", 0o644, &fs::read(rules)?)
}
