//! The shared file: a disk, or a file that a file system of the cluster keeps coherent.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use nix::fcntl::OFlag;

/// How many buckets the file has.
pub(crate) const BUCKETS: u64 = 8;
/// A bucket has two blocks, which its states are written to in turn. A node that dies as it writes one
/// leaves the other as it was.
const BLOCK: usize = 4096;
/// In front of the content: checksum, number and length.
const HEAD: usize = 24;
/// The longest content of a bucket.
pub(crate) const ROOM: usize = BLOCK - HEAD;

/// Memory as O_DIRECT wants it.
#[repr(C, align(4096))]
struct Block([u8; BLOCK]);

/// A node's way to the shared file.
pub(crate) struct Disk {
    file: File,
    is_cut: RwLock<bool>,
}

impl Disk {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let is_disk = fs::metadata(path).is_ok_and(|it| it.file_type().is_block_device());
        let mut options = File::options();
        options.read(true).write(true);
        if is_disk {
            // Past the page cache: each node has its own, which knows nothing of the others' writes.
            options.custom_flags(OFlag::O_DIRECT.bits());
        } else {
            options.create(true).truncate(false);
        }
        let file = options.open(path)?;
        let length = BUCKETS * 2 * BLOCK as u64;
        if !is_disk && file.metadata()?.len() < length {
            file.set_len(length)?;
        }
        Ok(Self { file, is_cut: RwLock::new(false) })
    }

    /// The latest state of a bucket that was written as a whole: its number, which counts the writes, and
    /// its content.
    pub(crate) fn read(&self, bucket: u64) -> io::Result<(u64, Vec<u8>)> {
        let mut latest = None;
        for copy in 0..2 {
            let mut block = Block([0; BLOCK]);
            self.file.read_exact_at(&mut block.0, place(bucket, copy))?;
            latest = latest.max(state(&block));
        }
        latest.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no state of it is whole"))
    }

    /// Writes the next state of a bucket. It is on the disk when this returns.
    pub(crate) fn write(&self, bucket: u64, number: u64, content: &[u8]) -> io::Result<()> {
        let too_long = || io::Error::new(io::ErrorKind::FileTooLarge, "a bucket is full");
        let mut block = Block([0; BLOCK]);
        let (head, room) = block.0.split_at_mut(HEAD);
        room.get_mut(..content.len()).ok_or_else(too_long)?.copy_from_slice(content);
        let (sum, rest) = head.split_at_mut(8);
        rest.copy_from_slice(
            &[number.to_le_bytes(), (content.len() as u64).to_le_bytes()].concat(),
        );
        sum.copy_from_slice(&checksum(&[&*rest, content].concat()).to_le_bytes());
        let is_cut = self.is_cut.read().unwrap_or_else(PoisonError::into_inner);
        if *is_cut {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "this node is fenced"));
        }
        self.file.write_all_at(&block.0, place(bucket, number % 2))?;
        self.file.sync_data()
    }

    /// What fencing does to a node, before others get its locks: when this returns it writes nothing any
    /// more. In a cluster a power switch or the disk itself does it.
    pub(crate) fn cut(&self) {
        *self.is_cut.write().unwrap_or_else(PoisonError::into_inner) = true;
    }
}

fn place(bucket: u64, copy: u64) -> u64 {
    (bucket * 2 + copy) * BLOCK as u64
}

/// `None`: a node died while it wrote this.
fn state(block: &Block) -> Option<(u64, Vec<u8>)> {
    if block.0.iter().all(|byte| *byte == 0) {
        // Nobody has written it yet.
        return Some((0, Vec::new()));
    }
    let field = |at: usize| Some(u64::from_le_bytes(block.0.get(at..at + 8)?.try_into().ok()?));
    let end = usize::try_from(field(16)?).ok()?.checked_add(HEAD)?;
    let is_whole = field(0)? == checksum(block.0.get(8..end)?);
    Some((field(8)?, block.0.get(HEAD..end)?.to_vec())).filter(|_| is_whole)
}

/// FNV-1a, here and for the bucket of a key.
pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    let mix = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix)
}
