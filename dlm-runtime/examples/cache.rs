//! A value that each node caches, and that is never stale: readers keep PR on it, and give way when a
//! writer on another node wants EX.
//!
//! As long as nobody writes, a read costs nothing: no system call, no message to another node. The lock
//! value block carries the value here, as it fits; `dlm_runtime::cache::Cached` is for longer ones.
//!
//! `cargo xtask vm run --add target/debug/examples -- /examples/cache`

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use dlm_runtime::cache::{LockCache, Resource};
use dlm_runtime::{Lockspace, ValueBlock};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const USAGE: &str = "\
usage: cache

Three readers cache a value, and a writer changes it five times.
";
const LOCKSPACE: &str = "cache";
const RESOURCE: &str = "config";
const READERS: u64 = 3;
const VERSIONS: u64 = 5;
/// How often each reader reads each version.
const READS: u64 = 100;

/// A node, as far as locks are concerned.
struct Node {
    lockspace: Lockspace,
    cache: LockCache,
    config: Resource,
}

impl Node {
    fn new(lockspace: Lockspace) -> Result<Self> {
        let cache = LockCache::builder(&lockspace).start()?;
        let config = cache.resource(RESOURCE)?;
        Ok(Self { lockspace, cache, config })
    }

    fn read(&self) -> Result<ValueBlock> {
        let guard = self.config.shared().wait()?;
        let block = guard.value_block().ok_or("the cache has no value blocks")?;
        // A block is lost with a node that may have written it.
        Ok(block.if_valid().ok_or("the value is lost")?)
    }

    fn write(&self, value: ValueBlock) -> Result<()> {
        // Granted when all readers have given way. The others get the value when this one does.
        self.config.exclusive().wait()?.set_value_block(value);
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
    let writer = Node::new(Lockspace::create(LOCKSPACE)?)?;
    let readers: Result<Vec<_>> =
        (0..READERS).map(|_| Node::new(Lockspace::open(LOCKSPACE)?)).collect();
    let readers = readers?;
    for version in 1..=VERSIONS {
        let value = ValueBlock::ZERO.with_u64_at(0, version).ok_or("too long")?;
        writer.write(value)?;
        for _ in 0..READS {
            if readers.iter().map(Node::read).any(|read| !read.is_ok_and(|read| read == value)) {
                return Err("a reader saw an old value".into());
            }
        }
    }
    let counts: Vec<_> = readers.iter().map(|reader| reader.cache.counters()).collect();
    let hits: u64 = counts.iter().map(|counts| counts.hits).sum();
    let misses: u64 = counts.iter().map(|counts| counts.grants).sum();
    let dropped: u64 = counts.iter().map(|counts| counts.demotions_wanted).sum();
    println!("{hits} hits, {misses} misses, given way {dropped} times");
    // Each reader asks for each version once, and gives way for all but the first.
    let each = READERS * VERSIONS;
    if (hits, misses, dropped) != (each * (READS - 1), each, each - READERS) {
        return Err("that is not what was to be expected".into());
    }
    for Node { lockspace, cache, .. } in readers {
        cache.close(Duration::from_secs(5))?;
        lockspace.close()?;
    }
    writer.cache.close(Duration::from_secs(5))?;
    writer.lockspace.release()?;
    println!("no reader ever saw an old value");
    Ok(())
}
