//! Ready-made coordination: what programs of a cluster build from locks again and again.
//!
//! | type | what for |
//! |---|---|
//! | [`Mutex`], [`RwLock`] | data that is used under a lock |
//! | [`Election`] | one leader, with a number that fences its predecessors off |
//! | [`Semaphore`] | so many at a time |
//! | [`Barrier`] | a point that all reach before any goes on |
//! | [`Doorbell`] | telling all that something has happened |
//! | [`Presence`] | who is there, who left, and who died |
//! | [`Sequence`] | numbers that come once in the cluster |
//!
//! Each operation is a [`Request`]: `.wait()` does it in a thread, `.await` in a task, both with
//! `.timeout()` and `.deadline()`. A future that is dropped leaves nothing held.
//!
//! Each primitive has resources of its own in the lockspace, named after it. The value blocks of these
//! say to which kind of primitive they belong, and two of different kinds on one name are told so.
//! Primitives keep the lockspace open, as locks do.

mod barrier;
mod bell;
mod block;
mod doorbell;
mod election;
mod error;
mod mutex;
mod presence;
mod record;
mod request;
mod rwlock;
mod semaphore;
mod sequence;
mod watch;

pub use barrier::{Barrier, Passed};
pub use doorbell::{Doorbell, Listener, Ring};
pub use election::{Election, Leadership};
pub use error::Error;
pub use mutex::{Mutex, MutexGuard};
pub use presence::{Member, Membership, Presence};
pub use record::{FileRecord, Record};
pub use request::Request;
pub use rwlock::{ReadGuard, RwLock, UpgradeError, WriteGuard};
pub use semaphore::{Permit, Semaphore};
pub use sequence::Sequence;
pub use watch::{Change, Watch};
