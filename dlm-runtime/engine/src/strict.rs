//! A monitor of one open device: it reports each request that would harm a kernel.
//!
//! Kernels trust the programs that write to their devices: a wrong id, an unlock that comes too
//! early or a flag in the wrong place crashes a node, or leaves a lock that nobody can release. An
//! [`Engine`](crate::Engine) survives all of that, so a program tested on it alone may still hurt a
//! kernel. [`Strict`] is told of each `write` and `read` of a device, and refuses what the page
//! `hazards` of `dlm_runtime::manual` tells of. [`Session`] puts it before a session of an engine.
//!
//! Threads overlap: a `write` has a beginning, [`Strict::begin_write`], and an end,
//! [`Strict::end_write`], and others may write and read in between. What the kernel has done by
//! then is not known to a program, and no rule depends on it: a request is refused if it *can* do
//! harm by what the program knows, whether or not it would this time. [`Session`] alone looks into
//! the engine, for two things: unread results (#seventh-unread-result), and orphans that a PURGE
//! would meet (#waiting-persistent-orphan).
//!
//! ```
//! use dlm_engine::strict::{Session, Violation};
//! use dlm_engine::{Config, Engine, Profile};
//! use dlm_proto::{
//!     Abi, Cookies, LockId, LockRequest, LockspaceFlags, MAX_REQUEST_LEN, MAX_RESULT_LEN, Minor,
//!     Mode, NodeId, Request, Token, UnlockRequest,
//! };
//!
//! let mut engine = Engine::new(Config::single(Profile::Linux6_12));
//! let mut bytes = [0; MAX_REQUEST_LEN];
//! let create = Request::CreateLockspace { name: b"demo", flags: LockspaceFlags::empty() };
//! let minor = engine.control(NodeId(1), create.encode(Abi::V6_64, &mut bytes)?)?;
//! let mut session = Session::open(&mut engine, NodeId(1), Minor(u32::try_from(minor)?))?;
//!
//! // A thread is in the `write` of a LOCK, and the kernel has granted it.
//! let cookies = Cookies::for_token(Token::new(7, 1), 1);
//! let lock = Request::Lock(LockRequest::new(b"disk0", Mode::Ex, cookies));
//! let write = session.begin_write(&mut engine, lock.encode(Abi::V6_64, &mut bytes)?)?;
//! // Another one reads the completion, and unlocks at once.
//! let mut result = [0; MAX_RESULT_LEN];
//! session.read(&mut engine, &mut result)??;
//! let unlock = Request::Unlock(UnlockRequest::new(LockId(1), cookies));
//! let unlock = unlock.encode(Abi::V6_64, &mut bytes)?;
//! let refused = session.begin_write(&mut engine, unlock).unwrap_err();
//! assert_eq!(refused, Violation::LockUnreturned(LockId(1)));
//! assert_eq!(refused.rule(), "#ended-before-its-write-returned");
//!
//! assert_eq!(session.end_write(write), Ok(1));
//! assert_eq!(session.write(&mut engine, unlock)?, Ok(0));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! # The rules
//!
//! [`Violation`] lists them. A program that is to pass gives each lock a parameter word of its own
//! and repeats it in all requests for the lock, has one operation of a lock in flight, reads its
//! completion before the next, and forgets the id of a lock when it writes the UNLOCK.
//!
//! Hazards that are no request of one device are none of its business: a REMOVE with open devices
//! (#removal-under-open-devices), completions that never come (#completion-that-never-comes), the
//! monitor device (#monitor-open-to-all), CREATE and REMOVE beside each other (#creations-at-once,
//! #minor-used-again). [`check_control`] looks at what is written to the control device
//! (#slash-in-a-name, #minor-zero). First requests (#two-resources-of-one-name) are looked at if
//! [asked for](Strict::first_requests_apart), within the device.

mod block;
mod finish;
mod locks;
mod record;
mod session;
mod submit;
mod violation;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use dlm_proto::{Abi, AbiVersion, LVB_LEN, LockId, LockResult, LockStatus, NodeId, VERSION_LEN};

use crate::errno::Errno;
use locks::Locks;
use submit::Written;

pub use session::{Session, Write};
pub use violation::Violation;

/// Results of a lock that may be unread: kernels up to 6.1 lose a seventh.
const MAX_UNREAD: usize = 6;

/// The monitor of one open device. See the [module](self).
#[derive(Debug)]
pub struct Strict {
    abi: Abi,
    node: Option<NodeId>,
    first_requests_apart: bool,
    allows_overlap: bool,
    locks: Locks,
    serial: u64,
    /// The writes in progress, by their number.
    writes: BTreeMap<u64, Written>,
    is_read: bool,
    reported: Vec<Violation>,
}

/// A `write` in progress, to be given to [`Strict::end_write`] when it has returned.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the write is in progress until this is given to `end_write`"]
pub struct Ticket(u64);

/// A `read` in progress, to be given to [`Strict::end_read`] when it has returned.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the read is in progress until this is given to `end_read`"]
pub struct Reading {
    takes_result: bool,
}

impl Strict {
    /// The monitor of a device that was opened just now, whose program speaks this layout.
    #[must_use]
    pub fn new(abi: Abi) -> Self {
        Self {
            abi,
            node: None,
            first_requests_apart: false,
            allows_overlap: false,
            locks: Locks::default(),
            serial: 0,
            writes: BTreeMap::new(),
            is_read: false,
            reported: Vec::new(),
        }
    }

    /// Tells the id of the node, by which a PURGE may name it. 0 names it always.
    #[must_use]
    pub fn on_node(mut self, node: NodeId) -> Self {
        self.node = Some(node);
        self
    }

    /// Refuses a LOCK on a resource while another LOCK on it is being written, unless a lock of
    /// this device is on it, granted or waiting: what kernels since 6.10 need
    /// (#two-resources-of-one-name). Other devices of the node are not seen.
    #[must_use]
    pub fn first_requests_apart(mut self) -> Self {
        self.first_requests_apart = true;
        self
    }

    /// Allows a plain UNLOCK while an operation of the lock is in flight, for a program that wants the
    /// kernel to decide. The words that it replaces are the same in all requests for a lock.
    #[must_use]
    pub fn overlaps_allowed(mut self) -> Self {
        self.allows_overlap = true;
        self
    }

    /// A thread is about to `write` these bytes. The kernel may take them at any moment until
    /// [`end_write`](Self::end_write).
    ///
    /// # Errors
    ///
    /// The rule that forbids it. Nothing is noted then, as nothing may be written.
    pub fn begin_write(&mut self, request: &[u8]) -> Result<Ticket, Violation> {
        self.begin_write_as(None, request)
    }

    /// As [`begin_write`](Self::begin_write), by a thread with this id in the initial pid
    /// namespace: a PURGE that names it ends all locks of the device.
    ///
    /// # Errors
    ///
    /// As [`begin_write`](Self::begin_write).
    pub fn begin_write_as(
        &mut self,
        task: Option<u32>,
        request: &[u8],
    ) -> Result<Ticket, Violation> {
        let serial = self.serial;
        let written = submit::decode(self.abi, request)
            .and_then(|request| self.submit(serial, task, &request));
        let written = self.note(written)?;
        self.serial += 1;
        self.writes.insert(serial, written);
        Ok(Ticket(serial))
    }

    /// A `write` has returned this.
    #[expect(clippy::needless_pass_by_value, reason = "a write returns once")]
    pub fn end_write(&mut self, ticket: Ticket, answer: Result<i64, Errno>) {
        if let Some(written) = self.writes.remove(&ticket.0) {
            self.finish(ticket.0, written, answer);
        }
    }

    /// A thread is about to `read` into a buffer of this length.
    ///
    /// # Errors
    ///
    /// The rule that forbids it.
    pub fn begin_read(&mut self, len: usize) -> Result<Reading, Violation> {
        let wanted = self.abi.result_len() + LVB_LEN;
        let takes_result = len != VERSION_LEN || self.abi.version == AbiVersion::V5;
        let refused = if takes_result && len < wanted {
            Err(Violation::ShortRead { len, wanted })
        } else if takes_result && self.is_read {
            Err(Violation::SecondReader)
        } else {
            Ok(())
        };
        self.note(refused)?;
        self.is_read |= takes_result;
        Ok(Reading { takes_result })
    }

    /// A `read` has returned: with these bytes, or without a result.
    #[expect(clippy::needless_pass_by_value, reason = "a read returns once")]
    pub fn end_read(&mut self, reading: Reading, result: Option<&[u8]>) {
        if reading.takes_result {
            self.is_read = false;
            if let Some(bytes) = result {
                self.read(bytes);
            }
        }
    }

    /// The program knows of this result: it was read, whether or not the program makes anything
    /// of it.
    pub fn read(&mut self, result: &[u8]) {
        let Ok(result) = LockResult::decode(self.abi, result) else { return };
        let LockResult { lock: id, param, status, flags, lvb, bast_mode, .. } = result;
        if bast_mode.0 != 0 {
            return;
        }
        let Some(record) = self.locks.of_result(id, param, status) else { return };
        let key = record.key;
        let has_ended = status == LockStatus::Unlocked || !record.complete(status, flags, lvb);
        if has_ended {
            self.locks.end(key);
        } else {
            self.locks.learn(key, id, self.serial);
        }
    }

    /// So many results of a lock are unread, as seen by a host that can look into the queue.
    ///
    /// # Errors
    ///
    /// [`Violation::TooManyUnread`] above six.
    pub fn unread(&mut self, lock: LockId, count: usize) -> Result<(), Violation> {
        let is_lost = count > MAX_UNREAD;
        self.note(if is_lost { Err(Violation::TooManyUnread(lock)) } else { Ok(()) })
    }

    /// The device is about to be closed for the last time.
    ///
    /// # Errors
    ///
    /// [`Violation::WaitingPersistent`].
    pub fn close(&mut self) -> Result<(), Violation> {
        let left = self.locks.iter().find(|it| it.waits_persistently());
        let left = left.map(|it| Violation::WaitingPersistent(it.id()));
        self.note(left.map_or(Ok(()), Err))
    }

    /// All that was reported so far. A test asks at its end, too: whoever got a violation may have
    /// kept it to himself.
    #[must_use]
    pub fn reported(&self) -> &[Violation] {
        &self.reported
    }

    fn note<T>(&mut self, answer: Result<T, Violation>) -> Result<T, Violation> {
        self.reported.extend(answer.as_ref().err());
        answer
    }
}

/// Looks at bytes that are about to be written to a control device.
///
/// # Errors
///
/// [`Violation::SlashInName`] and [`Violation::MinorZero`], or [`Violation::Malformed`].
pub fn check_control(abi: Abi, request: &[u8]) -> Result<(), Violation> {
    submit::decode(abi, request).map(|_| ())
}
