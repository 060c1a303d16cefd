//! The folder of everything that is downloaded, built or saved: `target/vm`.

use crate::vm::progress::slow;
use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A download on a slow line may take this long in another process.
const LONGEST_WAIT: Duration = Duration::from_secs(1800);

/// The store of this checkout.
///
/// Who only uses what is there holds the lock shared; who adds or removes holds it alone. What is
/// added appears by a rename, so a killed process leaves nothing half made but in `tmp`.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

/// The lock, held until dropped.
#[derive(Debug)]
pub struct Guard {
    lock: Flock<File>,
}

/// How to hold the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Together with others, to use what is there.
    Shared,
    /// Alone, to add and remove.
    Alone,
}

impl Store {
    /// Opens the store, making its folder when there is none.
    ///
    /// # Errors
    ///
    /// When the folder cannot be made.
    pub fn open() -> Result<Self> {
        let root = workspace_root().join("target/vm");
        fs::create_dir_all(&root).with_context(|| format!("cannot create {}", root.display()))?;
        Ok(Self { root })
    }

    /// A path inside the store.
    #[must_use]
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.root.join(relative)
    }

    /// Takes the lock, waiting for other processes.
    ///
    /// # Errors
    ///
    /// When another process holds it for longer than any download takes.
    pub fn lock(&self, access: Access) -> Result<Guard> {
        let path = self.path("lock");
        let mut file = File::options().create(true).append(true).open(&path)?;
        let how = match access {
            Access::Shared => FlockArg::LockSharedNonblock,
            Access::Alone => FlockArg::LockExclusiveNonblock,
        };
        let begin = Instant::now();
        let _slow = slow("waiting for another xtask to finish its preparations");
        loop {
            match Flock::lock(file, how) {
                Ok(lock) => {
                    if access == Access::Alone {
                        // Nobody else is active, so these are remains of killed processes.
                        remove_all(&self.path("tmp"))?;
                    }
                    return Ok(Guard { lock });
                }
                Err((same, Errno::EWOULDBLOCK)) => file = same,
                Err((_, e)) => bail!("cannot lock {}: {e}", path.display()),
            }
            if begin.elapsed() > LONGEST_WAIT {
                bail!("{} has been locked by another process for too long", path.display());
            }
            // A blocking flock could not be given up; this is how long a try is apart.
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A path in `tmp` that no other process uses, to be renamed once complete.
    ///
    /// # Errors
    ///
    /// When the folder cannot be made.
    pub fn scratch(&self, purpose: &str) -> Result<PathBuf> {
        use std::sync::atomic::{AtomicU32, Ordering};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let folder = self.path("tmp");
        fs::create_dir_all(&folder)?;
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Ok(folder.join(format!("{purpose}-{}-{count}", std::process::id())))
    }
}

impl Guard {
    /// Goes on together with others after having been alone.
    ///
    /// # Errors
    ///
    /// Those of the system call.
    pub fn share(&self) -> Result<()> {
        Ok(self.lock.relock(FlockArg::LockSharedNonblock)?)
    }
}

/// The root of the workspace that this program was built from.
#[must_use]
pub fn workspace_root() -> PathBuf {
    // Cargo sets the variable for programs it runs; the checkout may have moved since the build.
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let root = package.ancestors().find(|folder| folder.join("xtask/lab").is_dir());
    root.map(Path::to_path_buf).unwrap_or(package)
}

/// Removes a folder with all its content, if there.
///
/// # Errors
///
/// Those of the file system, except that it is not there.
pub fn remove_all(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// A name for the state of things that something was made from. A changed hash function, which
/// the standard library does not exclude, only means that it is made again.
#[derive(Default)]
pub struct Key(DefaultHasher);

impl Key {
    /// Adds a value.
    pub fn add(&mut self, value: impl Hash) -> &mut Self {
        value.hash(&mut self.0);
        self
    }

    /// Adds a file by name, size, time and inode, without reading it.
    pub fn add_stamp(&mut self, path: &Path) -> &mut Self {
        let stamp = fs::metadata(path)
            .ok()
            .map(|m| (m.len(), m.ino(), m.mtime(), m.mtime_nsec(), m.mode()));
        self.add(path).add(stamp)
    }

    /// The name.
    #[must_use]
    pub fn finish(&self) -> String {
        format!("{:016x}", self.0.finish())
    }
}
