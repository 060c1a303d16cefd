//! The requests that no kernel may be sent, and the rules that forbid them.

use core::fmt;

use dlm_proto::{DecodeError, LockId, Mode, ModeCode, ResourceName};

/// A call that a program must not make, although a kernel takes it or answers it.
///
/// [`rule`](Self::rule) names the hazard; its text names the call, what the kernel would do, and the
/// remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// Bytes that are no request of the device's layout.
    Malformed(DecodeError),
    /// A LOCK for a mode that does not exist.
    UnknownMode(ModeCode),
    /// A `read` with a buffer that does not hold every result.
    ShortRead {
        /// Bytes of the buffer.
        len: usize,
        /// Bytes that the longest result has.
        wanted: usize,
    },
    /// A second thread in `read` of one device.
    SecondReader,
    /// FORCEUNLOCK among the flags of a LOCK or CONVERT.
    ForceOnLock,
    /// EXPEDITE among the flags of an adoption.
    ExpediteOnOrphan,
    /// A second CANCEL without a LOCK or CONVERT since the first.
    SecondCancel(LockId),
    /// A second FORCEUNLOCK.
    SecondForce(LockId),
    /// QUECVT on a conversion that gives something up.
    IllegalQuecvt {
        /// The lock.
        lock: LockId,
        /// The mode that it holds, or may hold.
        from: Mode,
        /// The mode asked for.
        to: Mode,
    },
    /// A lock id that was never given to this device.
    UnknownLock(LockId),
    /// The id of a lock that was given up or has ended.
    EndedLock(LockId),
    /// The id of a lock that may have ended, as its request ends by itself or was cancelled.
    PerhapsEnded(LockId),
    /// An id that names another lock of this device by now: the words are not that lock's.
    OtherLock {
        /// The lock.
        lock: LockId,
        /// The parameter word of the lock that has this id.
        owner: u64,
        /// The parameter word that the request carries.
        sender: u64,
    },
    /// An UNLOCK, CANCEL or own PURGE of a lock before the `write` of its LOCK has returned.
    LockUnreturned(LockId),
    /// A request for a lock for which another thread is in a `write` that may reach the kernel
    /// later.
    WriteUnreturned(LockId),
    /// A CONVERT or plain UNLOCK while an operation of the lock is in flight.
    Overlap(LockId),
    /// A plain UNLOCK after a CANCEL that may not be answered.
    CancelUnanswered(LockId),
    /// A PERSISTENT request that may wait, left behind by a close.
    WaitingPersistent(LockId),
    /// A PURGE that meets an orphan whose request never was granted.
    PurgeOfWaiting(LockId),
    /// More than six unread results of a lock.
    TooManyUnread(LockId),
    /// A value block other than the lock's, carried by a request that writes none.
    OtherBlock(LockId),
    /// An UNLOCK with VALBLK of a lock that never was used with VALBLK.
    NoBlock(LockId),
    /// A conversion that may wait for an alternate mode which the lock holds already.
    AlternateHeld {
        /// The lock.
        lock: LockId,
        /// The mode.
        mode: Mode,
    },
    /// Two LOCKs on one resource at the same time, on which this device has no lock.
    FirstRequests(ResourceName),
    /// A CREATE with a name that holds a slash.
    SlashInName,
    /// A REMOVE of minor number 0.
    MinorZero,
}

impl Violation {
    /// The fact or hazard behind it, by its heading in the project's account of the kernel: the pages
    /// `dlm_proto::interface`, and `locks` and `hazards` of `dlm_runtime::manual`.
    #[must_use]
    pub const fn rule(&self) -> &'static str {
        match self {
            Self::Malformed(DecodeError::Width { .. }) => "#short-results-for-ever",
            Self::Malformed(DecodeError::Truncated { .. } | DecodeError::NameLength { .. })
            | Self::ShortRead { .. } => "#unchecked-lengths",
            Self::Malformed(_) => "#order-of-checks",
            Self::UnknownMode(_) => "#modes-and-names",
            Self::SecondReader => "#two-readers",
            Self::ExpediteOnOrphan => "#expedite-on-an-orphan",
            Self::ForceOnLock => "#force-on-a-request",
            Self::SecondCancel(_) | Self::SecondForce(_) | Self::IllegalQuecvt { .. } => {
                "#refused-with-a-warning"
            }
            Self::UnknownLock(_) => "#id-never-given",
            Self::EndedLock(_)
            | Self::PerhapsEnded(_)
            | Self::OtherLock { .. }
            | Self::WriteUnreturned(_) => "#stale-id",
            Self::LockUnreturned(_) => "#ended-before-its-write-returned",
            Self::Overlap(_) | Self::CancelUnanswered(_) => "#words-are-stored-before-checks",
            Self::WaitingPersistent(_) | Self::PurgeOfWaiting(_) => "#waiting-persistent-orphan",
            Self::TooManyUnread(_) => "#seventh-unread-result",
            Self::OtherBlock(_) => "#carried-block-becomes-the-block",
            Self::NoBlock(_) => "#unlock-without-a-buffer",
            Self::AlternateHeld { .. } => "#alternate-granted-twice",
            Self::FirstRequests(_) => "#two-resources-of-one-name",
            Self::SlashInName => "#slash-in-a-name",
            Self::MinorZero => "#minor-zero",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.rule())?;
        match self {
            Self::Malformed(error) => {
                write!(f, "write of bytes that are no request of this device: {error}")
            }
            Self::UnknownMode(mode) => {
                write!(f, "LOCK for mode {}, which does not exist: ask for NL (0) to EX (5)", mode.0)
            }
            Self::ShortRead { len, wanted } => write!(
                f,
                "read with a buffer of {len} bytes: the kernel writes beyond it, or drops the value \
                 block; pass {wanted}"
            ),
            Self::SecondReader => f.write_str(
                "read while another thread reads the same device: 6.1 mixes their results; one \
                 reader at a time",
            ),
            Self::ForceOnLock => f.write_str(
                "FORCEUNLOCK on a LOCK or CONVERT: the lock could not be unlocked by force any more, \
                 and would outlive its device; leave the flag to UNLOCK",
            ),
            Self::ExpediteOnOrphan => f.write_str(
                "EXPEDITE on the adoption of an orphan: if it is being converted the kernel grants \
                 that whatever others hold; adopt without EXPEDITE",
            ),
            Self::SecondCancel(lock) => write!(
                f,
                "second CANCEL of lock {lock} without a LOCK or CONVERT in between: the kernel \
                 refuses it with a warning; wait for the operation's completion"
            ),
            Self::SecondForce(lock) => write!(
                f,
                "second FORCEUNLOCK of lock {lock}: the kernel refuses it with a warning, and cannot \
                 clean up at close; unlock without force when nothing is in flight"
            ),
            Self::IllegalQuecvt { lock, from, to } => write!(
                f,
                "QUECVT on the conversion of lock {lock} from {from} to {to}: the kernel refuses it \
                 with a warning; convert without QUECVT"
            ),
            Self::UnknownLock(lock) => write!(
                f,
                "request for lock {lock}, an id that this device was never given: the kernel takes \
                 any number, and may crash; use ids that a LOCK of this device returned"
            ),
            Self::EndedLock(lock) => write!(
                f,
                "request for lock {lock}, which was given up or has ended: the id may name somebody \
                 else's lock; forget the id when the UNLOCK is written"
            ),
            Self::PerhapsEnded(lock) => write!(
                f,
                "request for lock {lock}, whose own request (NOQUEUE, or cancelled) may have ended \
                 it: the id may name somebody else's lock; read the completion first"
            ),
            Self::OtherLock { lock, owner, sender } => write!(
                f,
                "request for lock {lock} with the parameter word {sender:#x}: the lock of this id has \
                 {owner:#x}; the sender's lock is gone, and its id must be forgotten"
            ),
            Self::LockUnreturned(lock) => write!(
                f,
                "UNLOCK, CANCEL or PURGE of lock {lock} before the write of its LOCK has returned: the \
                 kernel would keep a freed lock in its list; leave it to the thread that writes \
                 the LOCK"
            ),
            Self::WriteUnreturned(lock) => write!(
                f,
                "request for lock {lock} while another thread writes one for it: the other may come \
                 second, and meet another operation or another lock; let its write return first"
            ),
            Self::Overlap(lock) => write!(
                f,
                "CONVERT or UNLOCK of lock {lock} while an operation is in flight: it replaces the \
                 words of that operation even if it is refused; read the completion first, cancel, \
                 or unlock by force"
            ),
            Self::CancelUnanswered(lock) => write!(
                f,
                "UNLOCK of lock {lock} behind a CANCEL that the master may not have answered: the \
                 kernel refuses it (EBUSY); unlock by force"
            ),
            Self::WaitingPersistent(lock) => write!(
                f,
                "close with the PERSISTENT request of lock {lock} in flight: left waiting, it crashes \
                 the kernel at the next PURGE; cancel it first, or make the granted lock PERSISTENT \
                 by a conversion"
            ),
            Self::PurgeOfWaiting(lock) => write!(
                f,
                "PURGE with lock {lock} among the orphans, whose request never was granted: the \
                 kernel crashes; no such orphan may be left by a close"
            ),
            Self::TooManyUnread(lock) => write!(
                f,
                "lock {lock} has a seventh unread result: kernels up to 6.1 lose it; read before \
                 more is asked for"
            ),
            Self::OtherBlock(lock) => write!(
                f,
                "CONVERT or UNLOCK of lock {lock} that writes no value block carries another one than \
                 the lock's: it becomes the resource's if the master dies; carry the block last \
                 read or written"
            ),
            Self::NoBlock(lock) => write!(
                f,
                "UNLOCK with VALBLK of lock {lock}, which was never used with VALBLK: the kernel \
                 writes nothing; request or convert it with VALBLK first"
            ),
            Self::AlternateHeld { lock, mode } => write!(
                f,
                "conversion of lock {lock} that may wait, with the alternate mode {mode} that it \
                 holds: the kernel grants it twice, and leaves the lock without a mode; convert \
                 without ALTPR and ALTCW"
            ),
            Self::FirstRequests(name) => write!(
                f,
                "two LOCKs at the same time for \"{}\", on which there is no lock: kernels since 6.10 \
                 may make two resources of it, and grant both; write one after the other",
                name.escape_ascii()
            ),
            Self::SlashInName => f.write_str(
                "CREATE with a slash in the name: the call never returns; choose another name",
            ),
            Self::MinorZero => f.write_str(
                "REMOVE of minor number 0: it hits any lockspace without a device; pass the number \
                 that CREATE returned",
            ),
        }
    }
}

impl core::error::Error for Violation {}
