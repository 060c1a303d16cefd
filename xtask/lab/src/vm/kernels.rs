//! The kernels to test on, fetched once from Debian's archive.

use crate::vm::apt::{Apt, output};
use crate::vm::bzimage;
use crate::vm::progress::slow;
use crate::vm::store::{Store, remove_all};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One kernel that can be asked for.
#[derive(Debug)]
pub struct Row {
    /// What the user calls it.
    pub name: &'static str,
    /// Names of its packages, as an extended regular expression. The newest is taken, because
    /// the archive drops old builds. It must not match the flavours cloud (has no DLM) and rt.
    pub package: &'static str,
    /// The suite that has it.
    pub suite: &'static str,
    /// Whether it is tested on when nobody says on which.
    pub is_everyday: bool,
}

/// All kernels; the first is the default.
pub const KERNELS: &[Row] = &[
    Row {
        name: "6.1",
        package: "^linux-image-6[.]1[.]0-[0-9]+-amd64$",
        suite: "bookworm",
        is_everyday: true,
    },
    Row {
        name: "6.12",
        package: "^linux-image-6[.]12[.][0-9]+[+]deb[0-9.]+-amd64$",
        suite: "bookworm-backports",
        is_everyday: true,
    },
    Row {
        name: "5.10",
        package: "^linux-image-5[.]10[.]0-[0-9]+-amd64$",
        suite: "bullseye",
        is_everyday: false,
    },
    Row {
        name: "7",
        package: "^linux-image-7[.][0-9]+[.][0-9]+[+]deb13-amd64$",
        suite: "trixie-backports",
        is_everyday: false,
    },
];

/// The word for all of them.
pub const ALL: &str = "all";

/// The names of the kernels that are meant: that of an argument, all for [`ALL`], and the everyday ones
/// if nothing was said.
#[must_use]
pub fn chosen(argument: Option<&str>) -> Vec<&'static str> {
    let is_meant = |row: &&Row| match argument {
        None => row.is_everyday,
        Some(ALL) => true,
        Some(name) => row.name == name,
    };
    KERNELS.iter().filter(is_meant).map(|row| row.name).collect()
}

/// A kernel that was fetched.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// What the user calls it.
    pub name: &'static str,
    /// The folder it was unpacked into.
    pub folder: PathBuf,
    /// What `uname -r` says in it.
    pub release: String,
}

impl Kernel {
    /// The uncompressed kernel.
    #[must_use]
    pub fn vmlinux(&self) -> PathBuf {
        self.folder.join("vmlinux")
    }

    /// The folder of its modules.
    #[must_use]
    pub fn modules(&self) -> PathBuf {
        self.folder.join("modules")
    }
}

/// The row of a name.
///
/// # Errors
///
/// With the names there are, when there is none.
pub fn row(name: &str) -> Result<&'static Row> {
    KERNELS.iter().find(|row| row.name == name).with_context(|| {
        let names: Vec<_> = KERNELS.iter().map(|row| row.name).collect();
        format!("no kernel {name}; there are {}", names.join(", "))
    })
}

/// The name of a kernel as an argument gives it, checked.
///
/// # Errors
///
/// With the names there are, when there is none.
pub fn named(name: &str) -> Result<String, String> {
    row(name).map(|row| row.name.to_owned()).map_err(|error| error.to_string())
}

/// As [`named`], and [`ALL`] for all of them, as [`chosen`] takes it.
///
/// # Errors
///
/// With the names there are, when there is none.
pub fn named_or_all(name: &str) -> Result<String, String> {
    if name == ALL { Ok(ALL.to_owned()) } else { named(name) }
}

/// The kernel of a row, if it was fetched before.
#[must_use]
pub fn fetched(store: &Store, row: &Row) -> Option<Kernel> {
    let name = KERNELS.iter().find(|r| r.name == row.name)?.name;
    let folder = store.path("kernels").join(name);
    let release = fs::read_to_string(folder.join("release")).ok()?;
    Some(Kernel { name, folder, release })
}

/// Fetches and unpacks the kernel of a row. The caller holds the store alone.
///
/// # Errors
///
/// When the archive cannot be reached or does not have it.
pub fn fetch(store: &Store, row: &Row) -> Result<Kernel> {
    if let Some(kernel) = fetched(store, row) {
        return Ok(kernel);
    }
    let work = store.scratch("kernel")?;
    fs::create_dir_all(&work)?;
    let apt = Apt::for_suite(store, row.suite)?;
    let lists = slow(format!("downloading the package lists of {}", row.suite));
    apt.update()?;
    drop(lists);
    let mut packages = vec![apt.newest(row.package)?];
    // Newer releases split the image, its modules and their lists into packages of their own.
    let build = packages.first().and_then(|p| p.name.strip_prefix("linux-image-"));
    let build = build.context("a kernel package is called linux-image-*")?.to_owned();
    let parts = packages.iter().flat_map(|p| p.depends.clone());
    for part in parts.filter(|d| d.starts_with("linux-") && d.ends_with(&build)).collect::<Vec<_>>()
    {
        packages.push(apt.package(&part)?);
    }
    let tree = work.join("tree");
    for package in &packages {
        let mib = package.size / (1 << 20);
        let (name, version) = (&package.name, &package.version);
        let _slow = slow(format!("downloading {name} {version} ({mib} MiB)"));
        apt.download(package, &work)?;
        let file = find(&work, |name| name.ends_with(".deb"))?;
        output(Command::new("dpkg-deb").arg("-x").arg(&file).arg(&tree))?;
        fs::remove_file(file)?;
    }
    let done = arrange(&work, &tree)?;
    let target = store.path("kernels").join(row.name);
    fs::create_dir_all(store.path("kernels"))?;
    remove_all(&target)?;
    fs::rename(done, target)?;
    remove_all(&work)?;
    fetched(store, row).context("the fetched kernel vanished")
}

/// Makes the folder that is kept from the unpacked packages.
fn arrange(work: &Path, tree: &Path) -> Result<PathBuf> {
    let done = work.join("done");
    fs::create_dir_all(&done)?;
    let (boot, lib) = (tree.join("boot"), tree.join("lib/modules"));
    // Packages for a merged /usr have everything in /usr/lib.
    let lib = if lib.is_dir() { lib } else { tree.join("usr/lib/modules") };
    let modules = find(&lib, |_| true)?;
    let release = modules.file_name().and_then(|n| n.to_str()).context("odd module folder")?;
    let image = [boot.join(format!("vmlinuz-{release}")), modules.join("vmlinuz")];
    let Some(image) = image.iter().find(|path| path.is_file()) else {
        bail!("no vmlinuz in the packages of kernel {release}");
    };
    fs::write(done.join("vmlinux"), bzimage::vmlinux(&fs::read(image)?)?)?;
    fs::write(done.join("release"), release)?;
    fs::rename(&modules, done.join("modules"))?;
    Ok(done)
}

fn find(folder: &Path, want: impl Fn(&str) -> bool) -> Result<PathBuf> {
    let entries = fs::read_dir(folder).with_context(|| format!("no {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(&want) {
            return Ok(entry.path());
        }
    }
    bail!("{} does not have what was expected", folder.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_found_by_name_only() {
        assert_eq!(row("6.12").unwrap().suite, "bookworm-backports");
        assert!(row("6").unwrap_err().to_string().contains("6.1, 6.12"));
        assert!(named_or_all("6").is_err());
    }

    #[test]
    fn two_kernels_are_for_every_day() {
        assert_eq!(chosen(None), ["6.1", "6.12"]);
        assert_eq!(chosen(Some("5.10")), ["5.10"]);
        assert_eq!(chosen(Some(&named_or_all("all").unwrap())).len(), KERNELS.len());
    }
}
