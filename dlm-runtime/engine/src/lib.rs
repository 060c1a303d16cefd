//! A lock manager in the process that speaks the device bytes of the Linux DLM.
//!
//! An [`Engine`] plays the kernel's part: it takes the bytes that a program writes to a device and
//! gives the bytes that the program reads. It takes the rules from Linux 6.1 or 6.12
//! ([`Profile`]), down to which results are merged and whose words they carry, so that what works
//! on it works on the kernel. It performs no system call, needs no `std` and contains no `unsafe`.
//!
//! # Example
//!
//! ```
//! use dlm_engine::{Config, Engine, Profile};
//! use dlm_proto::{
//!     Abi, Cookies, LockRequest, LockResult, LockspaceFlags, LockStatus, MAX_REQUEST_LEN,
//!     MAX_RESULT_LEN, Minor, Mode, NodeId, Request, Token,
//! };
//!
//! let (node, abi) = (NodeId(1), Abi::V6_64);
//! let mut engine = Engine::new(Config::single(Profile::Linux6_12));
//! let mut bytes = [0; MAX_REQUEST_LEN];
//! let create = Request::CreateLockspace { name: b"demo", flags: LockspaceFlags::empty() };
//! let minor = engine.control(node, create.encode(abi, &mut bytes)?)?;
//! let session = engine.open(node, Minor(u32::try_from(minor)?))?;
//!
//! let cookies = Cookies::for_token(Token::new(7, 1), 1);
//! let request = LockRequest::new(b"disk0", Mode::Ex, cookies);
//! let id = engine.write(session, request.encode(abi, &mut bytes)?)?;
//!
//! let mut buffer = [0; MAX_RESULT_LEN];
//! let len = engine.read(session, &mut buffer)?;
//! let result = LockResult::decode(abi, &buffer[..len])?;
//! assert_eq!((i64::from(result.lock.0), result.status), (id, LockStatus::Granted));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! # Clusters
//!
//! With [`Config::nodes`] above one, sessions are opened on nodes. A resource is granted by the
//! node that locks it first, its master, and the others send messages. Messages take a time that
//! is drawn from [`Config::seed`], and arrive when the host says so ([`Engine::advance`],
//! [`Engine::step`]): so a run repeats exactly. Nodes [crash](Engine::crash),
//! [freeze](Engine::freeze) and are [divided](Engine::partition); lockspaces stop, recover and go
//! on. A call that a kernel would hold up meanwhile returns [`Errno::STOPPED`].
//!
//! # Programs that would harm a kernel
//!
//! The engine takes what crashes a kernel, too. [`strict`] has a monitor that reports such requests,
//! and a [`Session`](strict::Session) that puts it before the engine.
//!
//! # How alike it is
//!
//! `cargo xtask conformance` does random scripts of operations step by step on an engine and on a
//! real kernel, both 6.1 and 6.12, and compares what `write` returns, every byte that `read`
//! returns, what `poll` says, and all queues. No difference is known on one node, apart from those
//! of the table below, which its scripts keep away from. Two of these are the kernel's crashes. The
//! scenarios in `tests/scenarios`, written by hand, run on both, too.
//!
//! Long runs, each with a seed from the clock, on two processors shared with other work:
//!
//! | scripts | seed | steps on 6.1 | on 6.12 | minutes on 6.1 | on 6.12 | differences |
//! |---|---|---|---|---|---|---|
//! | 20,000 | 145358874000 | 756,061 | 756,774 | 3.8 | 3.7 | 0 |
//! | 60,000 | 459779926000 | 2,260,979 | 2,262,852 | 8.0 | 7.4 | 0 |
//! | 20,000 | 721926605000 | 748,875 | 749,451 | 3.2 | 2.3 | 0 |
//! | 100,000 | 536014630000 | 3,783,383 | 3,786,430 | 27.4 | 24.5 | 0 |
//!
//! One defect of both kernels is the engine's, too, and leaves a lock behind for ever. Where a
//! conversion waits and is granted its alternate mode, which the lock holds already, it is granted
//! twice, and the lock has no mode from then on. When a conversion of it then fails, the lock has
//! ended, but stays on its resource. The scenario
//! `an_alternate_mode_that_is_held_already_is_granted_twice` shows it, and conformance goes on after
//! it in a new lockspace. A lock that stays for another reason counts as a difference.
//!
//! Another one grants EX beside other locks. An orphan of which somebody else has asked for a
//! conversion, by its id, is adopted with EXPEDITE, which takes the place of the conversion's flags:
//! the conversion is then granted whatever others hold. The scenario
//! `an_orphan_adopted_with_expedite_is_granted_beside_others` shows it.
//!
//! # What is modelled
//!
//! | of the kernel | here |
//! |---|---|
//! | lengths, versions and widths of requests and results | as on a 64-bit kernel that takes 32-bit programs; device version 5 with its own layout |
//! | LOCK, CONVERT, UNLOCK, CANCEL, DEADLOCK, PURGE, adoption | all of it: checks in their order, what refused calls leave behind, sticky flags |
//! | grant, convert and wait queue, deadlocks of conversions, alternate modes | all of it |
//! | lock value blocks | all of it on one node; the mark of an invalid block outlives the last lock of its resource until 1,024 other marks came, and not for 10 seconds |
//! | results: order, merging, six for a lock on 6.1, stale notices, words, blocks | all of it |
//! | lock ids: the lowest that is free, and when it becomes free | all of it |
//! | CREATE and REMOVE | counts, EBUSY and force; names with `/` are taken, where a kernel hangs; the caller is always privileged |
//! | a REMOVE waits for sessions to be closed | it does not wait: see [`Engine::removed`] |
//! | minor numbers | those of a machine with few other misc devices |
//! | reads beyond a request, writes beyond a buffer of 52 to 71 bytes | zeros are read; such a result is lost, with EFAULT |
//! | crashes: PURGE of an orphan that never was granted, UNLOCK of an orphan by its id | the lock goes |
//! | names that differ in NULs at their end | one resource on 6.12, several on 6.1 (where one pair in a thousand is one) |
//! | LKF_TIMEOUT | ignored, as in Debian's kernels |
//! | permissions, signals, blocking reads | the host's part |
//! | locks of other nodes: copies on the master, answers, grants, overlapping unlocks and cancels, conversions down without an answer | all of it |
//! | the directory of masters, and its lookups | the master is known at once; the requests that meet another master are sent again |
//! | recovery: locks that go with a node, new masters, operations that are sent again, conversions in any order, value blocks | all of it, at one moment 10 to 50 milliseconds after the crash, unless a member is frozen, cut off or stopped, and then later; the new master is drawn among those who have locks |
//! | an unlock by force behind a cancel, when the master dies before it answers either | it is done; by its source, a kernel answers the cancel only, and the lock stays |
//! | nodes that join a lockspace or leave it | nobody stops for a node that joins or that leaves without locks |
//! | two masters of a new resource, of requests of one node at the same time (since 6.10) | does not happen |

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod chain;
mod check;
mod cluster;
mod config;
mod control;
mod count;
mod dump;
mod engine;
mod errno;
mod frame;
#[doc(hidden)]
pub mod fuzzing;
mod grant;
mod lock;
mod master;
mod message;
mod network;
mod owner;
mod pass;
mod queue;
mod read;
mod recover;
mod remote;
mod request;
mod resource;
mod results;
mod session;
mod slab;
mod space;
pub mod strict;
mod unlock;
mod value;

pub use config::{Config, Profile};
pub use dump::{Dump, LockDump, ResourceDump};
pub use engine::Engine;
pub use errno::Errno;
pub use session::SessionId;
