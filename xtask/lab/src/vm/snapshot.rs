//! Saves booted machines, and keeps the store small.

use crate::vm::qmp::Control;
use crate::vm::store::Store;
use anyhow::{Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// QEMU can save to a file since this version.
const OLDEST: (u64, u64) = (8, 2);
/// Snapshots kept of one kernel: there is one for every way to start a machine.
const KEPT: usize = 6;

/// A place for snapshots of one image.
#[derive(Debug)]
pub(crate) struct Shelf {
    folder: PathBuf,
    kernel: &'static str,
    base: String,
}

impl Shelf {
    /// The shelf for a kernel and a name of all that its machines are made from.
    #[must_use]
    pub(crate) fn new(store: &Store, kernel: &'static str, base: &str) -> Self {
        Self { folder: store.path("snapshots"), kernel, base: base.to_owned() }
    }

    /// Where the snapshot of a machine with these arguments is or has to be put.
    #[must_use]
    pub(crate) fn place(&self, arguments: &str) -> PathBuf {
        self.folder.join(format!("{}-{}-{arguments}", self.kernel, self.base))
    }

    /// Saves the machine under that name and lets it run on; removes what has become stale.
    ///
    /// # Errors
    ///
    /// When QEMU cannot do it. The machine runs on also then.
    pub(crate) fn save(&self, control: &mut Control, place: &Path, scratch: &Path) -> Result<()> {
        fs::create_dir_all(&self.folder)?;
        let version = control.version()?;
        if version < OLDEST {
            bail!("QEMU {}.{} cannot save to a file", version.0, version.1);
        }
        // Not stopped before: the saved machine would then wait for a command to run. QEMU stops
        // it by itself for the last part.
        let saved = control.migrate(scratch);
        control.go_on()?;
        saved?;
        fs::rename(scratch, place)?;
        self.tidy()
    }

    fn tidy(&self) -> Result<()> {
        let mut current = Vec::new();
        for file in fs::read_dir(&self.folder)? {
            let file = file?;
            let name = file.file_name();
            let Some(rest) = name.to_str().and_then(|n| n.strip_prefix(self.kernel)) else {
                continue;
            };
            // "6.1" is also the beginning of "6.12".
            let Some(rest) = rest.strip_prefix('-') else { continue };
            if rest.starts_with(&self.base) {
                let age = file.metadata()?.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                current.push((age, file.path()));
            } else {
                fs::remove_file(file.path())?;
            }
        }
        current.sort();
        for (_, old) in current.iter().rev().skip(KEPT) {
            fs::remove_file(old)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    #[test]
    fn only_stale_snapshots_of_the_same_kernel_are_removed() {
        let folder = std::env::temp_dir().join(format!("xtask-shelf-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for name in ["6.1-old-a", "6.1-new-a", "6.1-new-b", "6.12-old-a"] {
            fs::write(folder.join(name), "").unwrap();
        }
        Shelf { folder: folder.clone(), kernel: "6.1", base: "new".into() }.tidy().unwrap();
        let mut left: Vec<_> =
            fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["6.1-new-a", "6.1-new-b", "6.12-old-a"]);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn an_old_qemu_is_refused() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (&theirs)
            .write_all(
                b"{\"QMP\":{\"version\":{\"qemu\":{\"minor\":2,\"major\":7}}}}\n{\"return\":{}}\n",
            )
            .unwrap();
        let folder = std::env::temp_dir();
        let shelf = Shelf { folder: folder.clone(), kernel: "6.1", base: "new".into() };
        let error = shelf.save(&mut Control::new(ours), &folder, &folder).unwrap_err();
        assert!(error.to_string().contains("QEMU 7.2"));
    }
}
