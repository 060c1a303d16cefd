//! A cache that is never stale: readers keep PR on what they have cached, and a blocking notice,
//! which says that a writer waits for EX, makes them drop it.
//!
//! As long as nobody writes, a read costs nothing: no system call, no message to another node. A
//! reader that has given way holds NL, and the next read fetches the value anew. The lock value
//! block carries the value here, as it fits; a longer one would be in a file, with its version in
//! the block.
//!
//! `cargo xtask vm run --add target/debug/examples -- /examples/cache`

use std::error::Error;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dlm_runtime::{BlockedLock, DeliveryThread, Lock, Lockspace, Mode, ValueBlock};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const USAGE: &str = "\
usage: cache

Three readers cache a value, and a writer changes it five times.
";
const LOCKSPACE: &str = "cache";
const RESOURCE: &str = "config";
const READERS: usize = 3;
const VERSIONS: u64 = 5;
/// How often each reader reads each version.
const READS: u32 = 100;

/// A reader's cached value, shared with the callback that invalidates it.
#[derive(Default)]
struct Cached {
    value: Mutex<Option<ValueBlock>>,
    hits: AtomicU32,
    misses: AtomicU32,
    dropped: AtomicU32,
}

impl Cached {
    /// The value, from the cache if it is there.
    fn get(&self, lock: &Lock) -> Result<ValueBlock> {
        // Held while the lock is converted: a notice that comes meanwhile waits until it is done.
        let mut value = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = *value {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(value);
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        let granted = lock.convert(Mode::Pr).read_lvb().wait()?;
        let fetched = granted.valid_lvb().ok_or("the value is lost")?;
        *value = Some(fetched);
        Ok(fetched)
    }

    /// What the blocking notice does.
    fn give_way(&self, lock: &BlockedLock) {
        let mut value = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        // A notice may come late, for a lock that has given way already.
        if lock.mode() != Some(Mode::Nl) {
            *value = None;
            self.dropped.fetch_add(1, Ordering::Relaxed);
            // Down is granted at once. Blocking calls are allowed here.
            if let Err(error) = lock.convert(Mode::Nl).wait() {
                eprintln!("cache: cannot give way: {error}");
            }
        }
    }
}

struct Reader {
    lockspace: Lockspace,
    delivery: DeliveryThread,
    lock: Lock,
    cached: Arc<Cached>,
}

impl Reader {
    fn new() -> Result<Self> {
        let lockspace = Lockspace::open(LOCKSPACE)?;
        // Notices are acted on at once, whatever the reader is doing.
        let delivery = lockspace.start_delivery()?;
        let cached = Arc::new(Cached::default());
        let theirs = Arc::clone(&cached);
        let request = lockspace.lock(RESOURCE, Mode::Nl);
        let lock = request.on_blocking_with(move |lock| theirs.give_way(lock)).wait()?;
        Ok(Self { lockspace, delivery, lock, cached })
    }

    fn read_all(&self, expected: ValueBlock) -> Result<()> {
        for _ in 0..READS {
            if self.cached.get(&self.lock)? != expected {
                return Err("a reader saw an old value".into());
            }
        }
        Ok(())
    }
}

fn main() -> ExitCode {
    let outcome = match std::env::args().nth(1).as_deref() {
        None => run(),
        Some("-h" | "--help") => {
            print!("{USAGE}");
            Ok(())
        }
        Some(other) => Err(format!("what is {other}? (--help tells more)").into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cache: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let writer = Lockspace::create(LOCKSPACE)?;
    let readers = (0..READERS).map(|_| Reader::new()).collect::<Result<Vec<_>>>()?;
    for version in 1..=VERSIONS {
        let value = ValueBlock::ZERO.with_u64_at(0, version).ok_or("too long")?;
        // Granted when all readers have given way. The release stores the value.
        let lock = writer.lock(RESOURCE, Mode::Ex).with_lvb().wait()?;
        lock.unlock().write_lvb(value).wait()?;
        std::thread::scope(|scope| {
            let each = |reader| scope.spawn(move || Reader::read_all(reader, value));
            let threads: Vec<_> = readers.iter().map(each).collect();
            threads
                .into_iter()
                .try_for_each(|thread| thread.join().map_err(|_| "a reader panicked")?)
        })?;
    }
    let (mut hits, mut misses, mut dropped) = (0, 0, 0);
    for reader in &readers {
        hits += u64::from(reader.cached.hits.load(Ordering::Relaxed));
        misses += u64::from(reader.cached.misses.load(Ordering::Relaxed));
        dropped += u64::from(reader.cached.dropped.load(Ordering::Relaxed));
    }
    println!("{hits} hits, {misses} misses, dropped {dropped} times by a notice");
    // Each reader fetches each version once, and drops all but the last.
    let each = u64::try_from(READERS)?;
    let expected = [each * VERSIONS * u64::from(READS - 1), each * VERSIONS, each * (VERSIONS - 1)];
    if [hits, misses, dropped] != expected {
        return Err(format!("{expected:?} were to be expected").into());
    }
    for Reader { lockspace, delivery, lock, .. } in readers {
        lock.unlock().wait()?;
        delivery.stop(Duration::from_secs(5))?;
        lockspace.close()?;
    }
    writer.release()?;
    println!("no reader ever saw an old value");
    Ok(())
}
