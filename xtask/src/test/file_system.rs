//! ocfs2 for the tests of a lockspace that a file system has made: Debian's tools, and the kernel's
//! modules.

use anyhow::{Context, Result};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use dlm_lab::vm::elf::Libraries;
use dlm_lab::vm::image::brings;
use dlm_lab::vm::store::Store;
use dlm_lab::vm::unpacked::{place_in_guest, unpacked};
use dlm_lab::vm::{Vm, kernels, modules};

/// The tools and the libraries that they are linked with.
const PACKAGES: [&str; 10] = [
    "ocfs2-tools",
    "libaio1",
    "libblkid1",
    "libcmap4",
    "libcom-err2",
    "libcorosync-common4",
    "libdlm3",
    "libqb100",
    "libreadline8",
    "libuuid1",
];

/// With the cluster stack that uses the kernel's DLM.
const MODULES: [&str; 3] = ["ocfs2_stack_user", "ocfs2", "loop"];

/// Puts the tool that makes a file system and the modules, with a list of them in the order of
/// loading, into the folder `/ocfs2` of a machine.
pub(super) fn add(vm: &Vm) -> Result<()> {
    let packages = unpacked("ocfs2", &PACKAGES)?;
    let folders = ["usr/sbin", "sbin"].map(|folder| packages.join(folder));
    let program = folders.iter().map(|folder| folder.join("mkfs.ocfs2")).find(|it| it.is_file());
    let program = program.context("no mkfs.ocfs2 in the packages")?;
    let own = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];
    let mut libraries = Libraries::new(own.map(|folder| packages.join(folder)).into());
    libraries.add(&program)?;
    vm.put_file("/ocfs2/mkfs.ocfs2", 0o755, &fs::read(&program)?)?;
    for library in libraries.seen().filter(|path| !brings(path) && **path != *program) {
        let path = Path::new("/").join(place_in_guest(&packages, library));
        vm.put_file(path, 0o755, &fs::read(library)?)?;
    }
    let kernel = kernels::fetch(&Store::open()?, kernels::row(vm.kernel())?)?;
    let mut list = String::new();
    for module in modules::resolve(&kernel.modules(), &MODULES)? {
        vm.put_file(format!("/ocfs2/{}.ko", module.name), 0o644, &module.content)?;
        writeln!(list, "{}", module.name)?;
    }
    vm.put_file("/ocfs2/modules", 0o644, list.as_bytes())
}
