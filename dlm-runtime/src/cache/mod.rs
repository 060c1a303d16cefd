//! Locks that stay: a cache that makes most acquisitions a matter of nanoseconds.
//!
//! A lock of the DLM costs a system call at least, and a message to another node mostly. Programs that
//! are fast keep their locks: GFS2, OCFS2 and VMS do. A lock stays granted on its node after its last
//! user has left; the next user takes it without asking anybody. When somebody waits for it on another
//! node, a blocking notice makes it give way.
//!
//! ```
//! # #[cfg(feature = "engine")] {
//! use dlm_runtime::Lockspace;
//! use dlm_runtime::cache::LockCache;
//! # use dlm_runtime::engine::Cluster;
//!
//! # let lockspace = Lockspace::create_on(Cluster::default().node(1), "example")?;
//! let cache = LockCache::builder(&lockspace).start()?;
//! let disk = cache.resource("disk0")?;
//! for _ in 0..1000 {
//!     let guard = disk.exclusive().wait()?;
//!     // disk0 is ours, on all nodes and among the threads of this program
//!     drop(guard);
//! }
//! assert_eq!((lockspace.counters().requests, cache.counters().hits), (1, 999));
//! # }
//! # Ok::<(), dlm_runtime::Error>(())
//! ```
//!
//! # What one gets
//!
//! * [`Resource::shared`] holds the lock in PR, and [`Resource::exclusive`] in EX. Both wait in a call
//!   ([`Acquire::wait`]), with a deadline if there is one, or can be awaited. What they give is a
//!   [`Guard`], which can be sent to other threads.
//! * The threads and tasks of a program share one lock. They come in by the order in which they came;
//!   readers go together.
//! * A guard that is exclusive can be [downgraded](Guard::downgrade). A shared one can be
//!   [upgraded](Guard::upgrade), and whoever does learns whether something may have changed in between.
//! * [`Hooks`] load what a lock protects, and write it back before it gives way; a [`Cached`] value does
//!   that by itself.
//!
//! # Giving way
//!
//! Somebody who waits for PR leaves the lock in PR, somebody who waits for more leaves NL. It happens
//!
//! 1. not before the [minimum hold](CacheOptions::minimum_hold) has passed since the grant, and not
//!    before somebody has come in for whom the lock was asked for: so two nodes that fight for a lock
//!    both get on;
//! 2. when the guards of that moment are dropped. Whoever comes then waits until the lock is back. A
//!    guard can see that somebody waits ([`Guard::wanted`]), and for how long
//!    ([`Guard::is_overdue`]);
//! 3. when [`Hooks::on_demote`] has returned.
//!
//! Nothing of this is done by a callback that others wait for: hooks run in threads of the cache.
//!
//! Locks that are not used are given back after the [idle time](CacheOptions::idle_time), and beyond
//! the [capacity](CacheOptions::capacity).
//!
//! # What is lost with the lockspace
//!
//! If the lockspace is closed or removed, or the node loses its membership, all locks are gone, and
//! other nodes may have them. Guards can tell ([`Guard::is_valid`]), hooks are told
//! ([`Cause::Lost`]) and must not write; whoever waits gets an error.
//!
//! # What to do before the lock gives way
//!
//! | what is cached | [`Hooks::on_demote`] to PR | to NL |
//! |---|---|---|
//! | a copy that nobody changes | nothing | drop it |
//! | a copy that is written through at once | nothing | drop it |
//! | a copy that is changed in memory | write it back, keep it | write it back, drop it |
//! | pages of a file, by the kernel | `fdatasync` | `fdatasync`, then drop them (`posix_fadvise`), or read with O_DIRECT |
//!
//! What was written must be where the others read it when the hook returns. A hook that fails keeps the
//! lock, and is called again: a full disk makes the others wait, and loses nothing.
//!
//! # What the value block can carry
//!
//! 32 bytes that travel with the lock: the thing itself if it is that small, or a version by which a node
//! knows that its copy is still good. [`Guard::set_value_block`] and [`Demotion::set_block`] set it, and it
//! goes out when the lock gives way from EX. Until then a loss of the node loses it, with whatever else was
//! changed under that lock: the others find the block
//! [not valid](crate::Lvb::if_valid) and must look at what is stored. A block goes when nobody has a lock on
//! the resource any more, on any node: it is zeros, and valid, for the next. What must outlive that belongs
//! on a disk.
//!
//! # Beside GFS2's glocks
//!
//! | GFS2 | here |
//! |---|---|
//! | a glock, `gfs2_glock_nq` and `gfs2_glock_dq` | a [`Resource`], its guards |
//! | holders wait in one queue; the first decides | the same |
//! | `go_sync`, `go_inval` before a demotion | [`Hooks::on_demote`], told how much is left |
//! | `go_instantiate` after a grant | [`Hooks::on_acquire`] |
//! | a hold time that adapts itself | a fixed [minimum hold](CacheOptions::minimum_hold) |
//! | a shrinker of the kernel | [capacity](CacheOptions::capacity), idle time, [`LockCache::shrink`] |
//! | a withdrawn file system | [`Guard::is_valid`], [`Cause::Lost`] |
//!
//! # What it costs
//!
//! A lock that is there costs about 20 instructions to take and to give back, and about 150 by its name: no
//! system call, and nothing is allocated. A resource that is known takes about 100 bytes beside its name, and
//! about 700 while its lock is held; what few locks need at one time, such as a queue, is there only then.
//!
//! # When to cache
//!
//! When a node comes back to what it had far more often than another one asks for it: inodes and
//! directories of a file system, pages of a database, the row that a service works on. As long as nobody
//! else asks, nothing is sent. When two nodes fight for a lock, each works on it for the
//! [minimum hold](CacheOptions::minimum_hold), and the hand-over is paid once for all of that work.
//!
//! # When to do without
//!
//! * A lock that is taken once, or that each node takes once in a while: the cache keeps it for nothing,
//!   and whoever comes next must wait for a notice to arrive and to be heeded.
//! * A lock that says something by being held, as that of a leader does: the cache holds locks that
//!   nobody uses.
//! * A NOQUEUE request of a program without a cache fails although nobody uses the lock.

mod acquire;
mod cached;
mod cause;
mod counts;
mod entry;
mod flight;
mod guard;
mod hooks;
mod kept;
mod level;
mod life;
mod limits;
mod lock_cache;
mod machine;
mod named;
mod operate;
mod options;
mod resource;
mod run_hook;
mod settings;
mod shared;
mod table;
mod trace;
mod upgrade;
mod waiter;
mod ways;
mod word;
mod workers;

pub use acquire::{Acquire, AcquireFuture};
pub use cached::{Access, Cached, Store, Value, ValueMut};
pub use cause::Cause;
pub use counts::CacheCounters;
pub use guard::{
    Exclusive, ExclusiveGuard, Guard, GuardKind, OwnedExclusiveGuard, OwnedSharedGuard, Shared,
    SharedGuard,
};
pub use hooks::{Acquired, Demotion, Hooks};
pub use level::Level;
pub use lock_cache::LockCache;
pub use named::Named;
pub use options::CacheOptions;
pub use resource::{Handle, Holder, Resource};
pub use upgrade::{Upgrade, UpgradeFuture, Upgrading};
pub use ways::OwnedResource;
