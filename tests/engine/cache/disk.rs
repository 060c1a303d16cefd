//! What all nodes share, and what each of them knows of it.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use dlm_runtime::cache::Store;

/// How often each thread has counted.
pub(super) type Counts = Vec<u32>;

/// A disk that all nodes share, and an account of what they do with what is on it.
#[derive(Default)]
pub(super) struct Disk {
    counts: Mutex<Counts>,
    account: Mutex<Account>,
}

/// What is known beside the nodes, who do not see it.
#[derive(Default)]
struct Account {
    /// What each thread has counted, stored or not.
    counted: Counts,
    readers: Vec<u32>,
    writers: Vec<u32>,
    /// Those that cannot write any more, which they may not have heard.
    fenced: Vec<bool>,
}

impl Account {
    /// The users on nodes that are not fenced.
    fn users(&self, of: &[u32]) -> u32 {
        of.iter()
            .zip(&self.fenced)
            .map(|(users, is_fenced)| if *is_fenced { 0 } else { *users })
            .sum()
    }
}

/// One that uses the value now.
pub(super) struct User<'a> {
    disk: &'a Disk,
    node: usize,
    writes: bool,
}

impl Disk {
    /// One for so many nodes with so many threads each.
    pub(super) fn new(nodes: usize, threads: usize) -> Self {
        let counts = vec![0; nodes * threads];
        let account = Account {
            counted: counts.clone(),
            readers: vec![0; nodes],
            writers: vec![0; nodes],
            fenced: vec![false; nodes],
        };
        Self { counts: Mutex::new(counts), account: Mutex::new(account) }
    }

    /// Somebody has the value: may it, and is that the last one?
    pub(super) fn enter(&self, node: usize, writes: bool, value: &Counts) -> User<'_> {
        let mut account = self.account.lock().unwrap();
        let of = if writes { &mut account.writers } else { &mut account.readers };
        of[node] += 1;
        if !account.fenced[node] {
            let readers = account.users(&account.readers);
            let writers = account.users(&account.writers);
            assert!(if writes { (readers, writers) == (0, 1) } else { writers == 0 }, "they meet");
            let threads = value.len() / account.fenced.len();
            for (slot, (seen, counted)) in value.iter().zip(&account.counted).enumerate() {
                // What a node that was lost has not stored is lost with it.
                let is_known =
                    if account.fenced[slot / threads] { seen <= counted } else { seen == counted };
                assert!(is_known, "stale: slot {slot} of {value:?}, {:?}", account.counted);
            }
        }
        User { disk: self, node, writes }
    }

    /// A thread has counted once more.
    pub(super) fn note_count(&self, slot: usize) {
        self.account.lock().unwrap().counted[slot] += 1;
    }

    /// What each thread has counted.
    pub(super) fn counted(&self) -> Counts {
        self.account.lock().unwrap().counted.clone()
    }

    pub(super) fn stored(&self) -> Counts {
        self.counts.lock().unwrap().clone()
    }

    pub(super) fn is_fenced(&self, node: usize) -> bool {
        self.account.lock().unwrap().fenced[node]
    }
}

impl Drop for User<'_> {
    fn drop(&mut self) {
        // Another one has failed, and says why.
        let Ok(mut account) = self.disk.account.lock() else { return };
        let of = if self.writes { &mut account.writers } else { &mut account.readers };
        of[self.node] -= 1;
    }
}

/// A node's way to the disk, which a node that is fenced has not any more.
#[derive(Clone)]
pub(super) struct Path {
    pub(super) disk: Arc<Disk>,
    node: usize,
    is_cut: Arc<AtomicBool>,
    lost: Arc<Mutex<Option<Counts>>>,
}

impl Path {
    pub(super) fn new(disk: &Arc<Disk>, node: usize) -> Self {
        let (is_cut, lost) = (Arc::default(), Arc::default());
        Self { disk: Arc::clone(disk), node, is_cut, lost }
    }

    /// From now on this node writes nothing.
    pub(super) fn fence(&self) {
        let _disk = self.disk.counts.lock().unwrap();
        self.is_cut.store(true, Ordering::SeqCst);
        self.disk.account.lock().unwrap().fenced[self.node] = true;
    }

    /// What it was told that is lost.
    pub(super) fn lost(&self) -> Option<Counts> {
        self.lost.lock().unwrap().clone()
    }
}

impl Store for Path {
    type Value = Counts;

    fn load(&self, _: &[u8], _: Option<u64>) -> io::Result<Counts> {
        Ok(self.disk.stored())
    }

    fn store(&self, _: &[u8], value: &Counts) -> io::Result<()> {
        let mut counts = self.disk.counts.lock().unwrap();
        if self.is_cut.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(libc::EBADE));
        }
        counts.clone_from(value);
        Ok(())
    }

    fn lost(&self, _: &[u8], value: &Counts) {
        *self.lost.lock().unwrap() = Some(value.clone());
    }
}
