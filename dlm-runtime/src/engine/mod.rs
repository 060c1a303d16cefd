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
//! lock.unlock().wait()?;
//! other.lock("disk0", Mode::Pr).wait()?.unlock().wait()?;
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
//!     lock.unlock().write_lvb(block).wait()?;
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
//! # Several nodes
//!
//! [`ClusterOptions::nodes`] makes a cluster of several, each a backend of its own. A lockspace that
//! is created on some of them is one: its locks exclude each other, wait for each other and notify
//! each other across nodes, and value blocks travel with them. Each call returns when all has
//! happened that follows from it on any node: who waits on another node is granted then. See
//! [`ClusterOptions::manual_time`] for tests of what happens between.
//!
//! ```
//! use dlm_runtime::engine::ClusterOptions;
//! use dlm_runtime::{Lockspace, Mode, ValueBlock};
//!
//! let cluster = ClusterOptions::new().nodes(2).start();
//! let one = Lockspace::create_on(cluster.node(1), "example")?;
//! let two = Lockspace::create_on(cluster.node(2), "example")?;
//!
//! let held = one.lock("disk0", Mode::Ex).with_lvb().note_blocking().wait()?;
//! let waiting = two.lock("disk0", Mode::Pr).with_lvb().start(|completion| {
//!     assert_eq!(completion.valid_lvb(), Some(ValueBlock([7; 32])));
//! })?;
//! one.dispatch()?;
//! assert_eq!(held.blocked(), Some(Mode::Pr));
//! held.unlock().write_lvb(ValueBlock([7; 32])).wait()?;
//! two.dispatch()?;
//! assert_eq!(waiting.mode(), Some(Mode::Pr));
//! # Ok::<(), dlm_runtime::Error>(())
//! ```
//!
//! # What goes wrong in a cluster
//!
//! | fault | what the program meets |
//! |---|---|
//! | [`Node::crash`] | on that node every call fails with [`ErrorKind::Removed`](crate::ErrorKind::Removed); on the others requests wait for the recovery, then waiters are granted, and blocks that the node may have written are invalid |
//! | [`Node::restart`] | the node is there again, without lockspaces |
//! | [`Cluster::hold_recovery`] | as if fencing did not come to its end: the lockspaces that have lost a node stay stopped |
//! | [`Node::freeze`] | requests on that node wait, and whoever waits for its locks does, too |
//! | [`Cluster::partition`] | messages between the parts wait |
//! | [`Node::stop`] | one lockspace is stopped on one node |
//!
//! Recoveries wait for members that are frozen, cut off or stopped.
//! [`Lockspace::status`](crate::Lockspace::status) tells whether a lockspace runs, who its members
//! are and who is waited for. No node is declared dead by itself: where a cluster manager would have
//! a node fenced, crash it.
//!
//! ```
//! use dlm_runtime::engine::ClusterOptions;
//! use dlm_runtime::{Lockspace, Mode, State, ValueBlock};
//!
//! let cluster = ClusterOptions::new().nodes(3).seed(1).start();
//! let spaces: Result<Vec<_>, _> =
//!     cluster.nodes().map(|node| Lockspace::create_on(node, "example")).collect();
//! let [one, two, three] = spaces?.try_into().unwrap();
//!
//! let leader = two.lock("leader", Mode::Ex).with_lvb().wait()?;
//! leader.convert(Mode::Ex).write_lvb(ValueBlock([7; 32])).wait()?;
//! let waiting = three.lock("leader", Mode::Ex).with_lvb().start(|_| {})?;
//!
//! let fencing = cluster.hold_recovery();
//! cluster.node(2).crash();
//! assert!(matches!(leader.unlock().wait(), Err(failed) if failed.error.is_closed()));
//! assert_eq!(one.status().state, State::Stopped);
//! drop(fencing);
//! assert_eq!(one.status().state, State::Running);
//! three.dispatch()?;
//! assert_eq!(waiting.mode(), Some(Mode::Ex));
//!
//! cluster.node(2).restart();
//! let two = Lockspace::create_on(cluster.node(2), "example")?;
//! assert!(two.lock("leader", Mode::Pr).no_queue().wait().unwrap_err().would_block());
//! # Ok::<(), dlm_runtime::Error>(())
//! ```
//!
//! # What goes wrong in a call
//!
//! [`Faulty`](crate::backend::Faulty), put before a node, refuses requests and loses, delays, repeats
//! and corrupts results.
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
mod faults;
mod hub;
mod inspect;
mod node;
mod session;

pub use cluster::{Cluster, ClusterOptions};
pub use dlm_engine::{LockDump, Profile, ResourceDump};
pub use faults::FaultGuard;
pub use node::Node;
