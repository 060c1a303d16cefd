//! Runs apt with a configuration of its own, so that the machine's stays as it is.

use crate::vm::sources::{self, Archive};
use crate::vm::store::Store;
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const ETC: &str = "/etc/apt";

/// One private configuration.
#[derive(Debug)]
pub struct Apt {
    options: Vec<OsString>,
}

/// A package that can be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Bytes of the archive.
    pub size: u64,
    /// Names that it depends on.
    pub depends: Vec<String>,
}

impl Apt {
    /// Sees one suite of the Debian archive and nothing else, not even what is installed.
    ///
    /// # Errors
    ///
    /// When the configuration cannot be written.
    pub fn for_suite(store: &Store, suite: &str) -> Result<Self> {
        Self::for_suite_in(&store.path("apt").join(suite), suite)
    }

    /// As [`Apt::for_suite`], of the packages for another architecture.
    ///
    /// # Errors
    ///
    /// As for [`Apt::for_suite`].
    pub fn for_suite_of(store: &Store, suite: &str, architecture: &str) -> Result<Self> {
        let place = store.path("apt").join(format!("{suite}-{architecture}"));
        let mut apt = Self::for_suite_in(&place, suite)?;
        for option in ["APT::Architecture", "APT::Architectures"] {
            apt.options.extend(["-o".into(), format!("{option}={architecture}").into()]);
        }
        Ok(apt)
    }

    fn for_suite_in(place: &Path, suite: &str) -> Result<Self> {
        let apt = Self::new(place)?;
        let status = place.join("status");
        fs::write(&status, "")?;
        fs::write(place.join("sources/suite.sources"), debian()?.stanza(suite))?;
        Ok(apt.with("Dir::State::status", &status))
    }

    /// Sees what the machine sees, and one more suite of the Debian archive.
    ///
    /// # Errors
    ///
    /// When the configuration cannot be written.
    pub fn for_machine(store: &Store, more: Option<&str>) -> Result<Self> {
        let place = store.path("apt/machine");
        let apt = Self::new(&place)?;
        let folder = place.join("sources");
        let mut files = vec![Path::new(ETC).join("sources.list")];
        if let Ok(entries) = fs::read_dir(Path::new(ETC).join("sources.list.d")) {
            files.extend(entries.flatten().map(|entry| entry.path()));
        }
        for file in files.iter().filter(|file| file.is_file()) {
            if let Some(name) = file.file_name() {
                fs::copy(file, folder.join(name))?;
            }
        }
        let archive = debian()?;
        if let Some(suite) = more {
            if !sources::is_configured(&sources::configured(Path::new(ETC)), &archive, suite) {
                fs::write(folder.join("xtask.sources"), archive.stanza(suite))?;
            }
        }
        Ok(apt)
    }

    fn new(place: &Path) -> Result<Self> {
        // Begun anew, as the machine's sources may have changed; the lists are worth keeping.
        crate::vm::store::remove_all(&place.join("sources"))?;
        for folder in ["sources", "lists/partial", "cache/archives/partial"] {
            let folder = place.join(folder);
            fs::create_dir_all(&folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
        }
        let mut apt = Self { options: Vec::new() }
            .with("Dir::Etc::sourcelist", Path::new("/dev/null"))
            .with("Dir::Etc::sourceparts", &place.join("sources"))
            .with("Dir::State::lists", &place.join("lists"))
            .with("Dir::Cache", &place.join("cache"));
        for option in [
            "Acquire::Languages=none",
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
            "Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false",
            "Acquire::Retries=3",
            // The user that apt changes to may not enter the folder of a checkout.
            "APT::Sandbox::User=root",
        ] {
            apt.options.extend(["-o".into(), option.into()]);
        }
        Ok(apt)
    }

    fn with(mut self, name: &str, path: &Path) -> Self {
        let mut option = OsString::from(format!("{name}="));
        option.push(path);
        self.options.extend(["-o".into(), option]);
        self
    }

    fn command(&self, tool: &str) -> Command {
        let mut command = Command::new(tool);
        command.args(&self.options).env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C");
        command
    }

    /// Fetches the lists.
    ///
    /// # Errors
    ///
    /// With what apt said.
    pub fn update(&self) -> Result<()> {
        output(self.command("apt-get").arg("update")).map(drop)
    }

    /// The newest package whose name matches the pattern (an extended regular expression).
    ///
    /// # Errors
    ///
    /// When none does.
    pub fn newest(&self, pattern: &str) -> Result<Package> {
        let found = output(self.command("apt-cache").args(["search", "--names-only", pattern]))?;
        let mut best: Option<Package> = None;
        for name in found.lines().filter_map(|line| line.split_whitespace().next()) {
            let package = self.package(name)?;
            let newer = match &best {
                Some(best) => is_newer(&package.version, &best.version)?,
                None => true,
            };
            if newer {
                best = Some(package);
            }
        }
        best.with_context(|| format!("no package matches {pattern}"))
    }

    /// The newest version of a package.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn package(&self, name: &str) -> Result<Package> {
        let args = ["show", "--no-all-versions", name];
        parse_package(&output(self.command("apt-cache").args(args))?)
            .with_context(|| format!("apt-cache says nothing usable about {name}"))
    }

    /// Downloads a package into a folder.
    ///
    /// # Errors
    ///
    /// With what apt said.
    pub fn download(&self, package: &Package, folder: &Path) -> Result<()> {
        let wanted = format!("{}={}", package.name, package.version);
        let mut command = self.command("apt-get");
        output(command.arg("download").arg(wanted).current_dir(folder)).map(drop)
    }

    /// Installs packages on this machine, preferring those of a release if given.
    ///
    /// # Errors
    ///
    /// With what apt said.
    pub fn install(&self, packages: &[&str], release: Option<&str>) -> Result<()> {
        let mut command = self.command("apt-get");
        command.args(["install", "--yes", "--no-install-recommends"]);
        if let Some(release) = release {
            command.args(["--target-release", release]);
        }
        output(command.args(packages)).map(drop)
    }
}

/// Code name of the machine's release, for example `bookworm`.
///
/// # Errors
///
/// When `/etc/os-release` does not tell.
pub fn codename() -> Result<String> {
    let text = fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
    let value = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    Ok(value.context("/etc/os-release has no VERSION_CODENAME")?.trim_matches('"').to_owned())
}

fn debian() -> Result<Archive> {
    Ok(sources::archive(&sources::configured(Path::new(ETC)), &codename()?))
}

fn is_newer(a: &str, b: &str) -> Result<bool> {
    let status = Command::new("dpkg").args(["--compare-versions", a, "gt", b]).status()?;
    Ok(status.success())
}

fn parse_package(text: &str) -> Option<Package> {
    let field = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
    };
    let depends = field("Depends").unwrap_or_default();
    let depends = depends.split([',', '|']).filter_map(|d| d.split_whitespace().next());
    Some(Package {
        name: field("Package")?.to_owned(),
        version: field("Version")?.to_owned(),
        size: field("Size")?.parse().ok()?,
        depends: depends.map(str::to_owned).collect(),
    })
}

/// Runs a program to its end; its output is shown only when it fails.
///
/// # Errors
///
/// With the command line and what it said.
pub fn output(command: &mut Command) -> Result<String> {
    let line = format!("{command:?}");
    let done =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {line}"))?;
    let stdout = String::from_utf8_lossy(&done.stdout).into_owned();
    if !done.status.success() {
        let stderr = String::from_utf8_lossy(&done.stderr);
        bail!("{line} failed ({}):\n{stdout}{stderr}", done.status);
    }
    Ok(stdout)
}

/// Finds a program in `PATH` and the folders that only root has there.
#[must_use]
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_records_are_read() {
        let text = "Package: linux-image-7.3\nVersion: 7.3-1~bpo13+1\nInstalled-Size: 9\n\
            Depends: dracut | initramfs-tools (>= 0.120), linux-binary-7.3 (= 7.3-1~bpo13+1)\n\
            Size: 1900\n";
        let package = parse_package(text).unwrap();
        assert_eq!((package.name.as_str(), package.size), ("linux-image-7.3", 1900));
        assert_eq!(package.depends, ["dracut", "initramfs-tools", "linux-binary-7.3"]);
        assert_eq!(parse_package("Package: x\nVersion: 1\n"), None);
    }
}
