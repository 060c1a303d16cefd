//! Testing without a cluster: the lock manager in this process.
//!
//! [`Cluster`] is a cluster that exists in memory only. Each of its nodes is a
//! [`Backend`](crate::backend::Backend): lockspaces that are created on it behave as on the kernel
//! of a node, down to the bytes of the requests and results, but need no kernel module, no
//! daemon and no privilege, and die with the process. It is there for tests, demonstrations and
//! simulations. **Its locks exclude nobody outside of this process.** It is used where it was
//! chosen, and never by itself.
//!
//! ```
//! use dlm_runtime::engine::Cluster;
//! use dlm_runtime::{Lockspace, Mode};
//!
//! let node = Cluster::default().node(1);
//! let holder = Lockspace::create_on(node.clone(), "example")?;
//! let other = Lockspace::open_on(node, "example")?;
//!
//! let lock = holder.lock("disk0", Mode::Ex).wait()?;
//! let refused = other.lock("disk0", Mode::Pr).no_queue().wait().unwrap_err();
//! assert!(refused.would_block());
//! lock.unlock()?;
//! other.lock("disk0", Mode::Pr).wait()?.unlock()?;
//! # Ok::<(), dlm_runtime::Error>(())
//! ```
//!
//! # A program that can be tested so
//!
//! takes its lockspace, or the [`LockspaceOptions`](crate::LockspaceOptions) for it, from outside.
//! Everything behind that is the same code on the engine and on the kernel: blocking calls,
//! callbacks, delivery thread, futures and drivers.
//!
//! ```
//! use dlm_runtime::engine::Cluster;
//! use dlm_runtime::{Error, Lockspace, LockspaceOptions, Mode, ValueBlock};
//!
//! /// Draws the next number, each once among all nodes.
//! fn draw(lockspace: &Lockspace) -> Result<u8, Error> {
//!     let lock = lockspace.lock("counter", Mode::Ex).with_lvb().wait()?;
//!     let mut block = lock.lvb().map_or(ValueBlock::ZERO, |lvb| lvb.block);
//!     block.0[0] += 1;
//!     lock.release().write_lvb(block).wait()?;
//!     Ok(block.0[0])
//! }
//!
//! /// The program. `options` are the default ones, except in its tests.
//! fn run(options: &LockspaceOptions) -> Result<Lockspace, Error> {
//!     options.open_or_create("lottery")
//! }
//!
//! let options = LockspaceOptions::new().backend(Cluster::default().node(1));
//! let (first, second) = (run(&options)?, run(&options)?);
//! // Keeps the value block.
//! let keeper = first.lock("counter", Mode::Nl).wait()?;
//! assert_eq!([draw(&first)?, draw(&second)?, draw(&first)?], [1, 2, 3]);
//! # drop(keeper);
//! # Ok::<(), Error>(())
//! ```
//!
//! # What goes wrong
//!
//! [`Node::stop`] stops a lockspace as a change of the cluster's members does: requests wait, and
//! whoever makes them waits with them. [`Faulty`](crate::backend::Faulty), put before a node,
//! refuses requests and loses, delays, repeats and corrupts results.
//!
//! ```
//! use dlm_runtime::backend::{Command, Errno, Faulty, RequestFault, on_requests};
//! use dlm_runtime::engine::Cluster;
//! use dlm_runtime::{Lockspace, Mode};
//! use std::sync::atomic::{AtomicU32, Ordering};
//!
//! // Every third lock request meets a lock manager that is out of memory.
//! let count = AtomicU32::new(0);
//! let plan = on_requests(move |command, _| {
//!     let fails = command == Command::Lock && count.fetch_add(1, Ordering::Relaxed) % 3 == 2;
//!     fails.then_some(RequestFault::Fail(Errno::ENOMEM))
//! });
//! let faulty = Faulty::new(Cluster::default().node(1), plan);
//! let lockspace = Lockspace::create_on(faulty, "example")?;
//! let refused = (0..9).filter(|_| lockspace.lock("disk0", Mode::Ex).wait().is_err()).count();
//! assert_eq!(refused, 3);
//! # Ok::<(), dlm_runtime::Error>(())
//! ```

mod cluster;
mod node;
mod session;

pub use cluster::{Cluster, ClusterOptions};
pub use dlm_engine::{LockDump, Profile, ResourceDump};
pub use node::{Node, StopGuard};
