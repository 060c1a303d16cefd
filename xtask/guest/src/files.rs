//! Files that the host puts into the guest.

use dlm_guest::wire::Entry;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// One transfer. The first error is kept for its end; what follows it is skipped.
#[derive(Default)]
pub(crate) struct Transfer {
    current: Option<File>,
    error: Option<String>,
}

impl Transfer {
    pub(crate) fn entry(&mut self, entry: &Entry) {
        self.current = None;
        if self.error.is_some() {
            return;
        }
        let (Entry::Folder { path, .. } | Entry::File { path, .. } | Entry::Link { path, .. }) =
            entry;
        let path = Path::new(OsStr::from_bytes(path));
        match create(path, entry) {
            Ok(file) => self.current = file,
            Err(e) => self.error = Some(format!("{}: {e}", path.display())),
        }
    }

    pub(crate) fn data(&mut self, bytes: &[u8]) {
        if let Some(file) = &mut self.current {
            if let Err(e) = file.write_all(bytes) {
                self.error.get_or_insert(e.to_string());
                self.current = None;
            }
        }
    }

    /// Closes the last file; the text is empty when all went well.
    pub(crate) fn finish(self) -> String {
        self.error.unwrap_or_default()
    }
}

fn create(path: &Path, entry: &Entry) -> io::Result<Option<File>> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match entry {
        Entry::Folder { mode, .. } => {
            if !path.is_dir() {
                fs::create_dir(path)?;
                fs::set_permissions(path, Permissions::from_mode(*mode))?;
            }
            Ok(None)
        }
        Entry::File { mode, .. } => {
            // A new file instead of an overwritten one: the old may be a running program.
            remove_old(path)?;
            let file = File::options().write(true).create_new(true).open(path)?;
            file.set_permissions(Permissions::from_mode(*mode))?;
            Ok(Some(file))
        }
        Entry::Link { target, .. } => {
            remove_old(path)?;
            symlink(OsStr::from_bytes(target), path)?;
            Ok(None)
        }
    }
}

fn remove_old(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_makes_what_was_sent_and_keeps_its_first_error() {
        let place = std::env::temp_dir().join(format!("dlm-guest-files-{}", std::process::id()));
        let path = |name: &str| place.join(name).into_os_string().into_encoded_bytes();
        let mut good = Transfer::default();
        good.entry(&Entry::File { path: path("a/b/old"), mode: 0o600 });
        good.data(b"old");
        good.entry(&Entry::File { path: path("a/b/old"), mode: 0o4751 });
        good.data(b"ne");
        good.data(b"w");
        good.entry(&Entry::Link { path: path("a/link"), target: b"b/old".to_vec() });
        assert_eq!(good.finish(), "");
        assert_eq!(fs::read(place.join("a/link")).unwrap(), b"new");
        let mode = fs::metadata(place.join("a/b/old")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o4751);

        let mut bad = Transfer::default();
        bad.entry(&Entry::File { path: path("a/b"), mode: 0o600 });
        bad.data(b"lost");
        bad.entry(&Entry::Folder { path: path("later"), mode: 0o700 });
        assert!(bad.finish().contains("a/b"));
        assert!(!place.join("later").exists());
        fs::remove_dir_all(place).unwrap();
    }
}
