//! The programs that have locks.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// A process.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Program {
    /// Its number.
    pub pid: u32,
    /// Its name, as ps(1) shows it.
    pub name: String,
}

/// A process that has a lockspace's device open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opener {
    /// The program.
    pub program: Program,
    /// The number of open files.
    pub count: usize,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.name, self.pid)
    }
}

impl Program {
    /// A process of this number and name.
    #[must_use]
    pub fn named(pid: u32, name: impl Into<String>) -> Self {
        Self { pid, name: name.into() }
    }

    /// The program that a thread belongs to, if it is still there.
    pub(super) fn of_task(task: u32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{task}/status")).ok()?;
        let pid =
            status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()?;
        Self::of_process(pid)
    }

    pub(crate) fn of_process(pid: u32) -> Option<Self> {
        let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
        let name = String::from_utf8_lossy(name.strip_suffix(b"\n").unwrap_or(&name)).into_owned();
        Some(Self { pid, name })
    }
}

/// The processes that have devices of lockspaces open, by the name of the device. `None` if the
/// descriptors of others cannot be seen.
pub(super) fn openers() -> Option<BTreeMap<String, Vec<Opener>>> {
    // Of root's process 1 only root sees them.
    fs::read_dir("/proc/1/fd").ok()?;
    let mut found: BTreeMap<String, Vec<Opener>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for device in devices(&entry.path()) {
            *counts.entry(device).or_default() += 1;
        }
        if counts.is_empty() {
            continue;
        }
        let Some(program) = Program::of_process(pid) else { continue };
        for (device, count) in counts {
            found.entry(device).or_default().push(Opener { program: program.clone(), count });
        }
    }
    Some(found)
}

/// The names of the devices of lockspaces that a process has open, one for each descriptor.
fn devices(process: &Path) -> Vec<String> {
    let links = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    let name = |target: PathBuf| {
        let name = target.strip_prefix("/dev").ok()?.to_str()?.to_owned();
        let name = name.strip_prefix("misc/").unwrap_or(&name).to_owned();
        name.strip_prefix("dlm_").map(ToOwned::to_owned)
    };
    links.filter_map(|link| name(fs::read_link(link.path()).ok()?)).collect()
}
