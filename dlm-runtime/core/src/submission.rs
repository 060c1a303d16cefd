//! Requests on their way to the kernel.

use dlm_proto::{Command, MAX_REQUEST_LEN, Token};

use crate::operation::{CancelKind, Kind};

/// The purpose of a submission, as [`Core::accepted`](crate::Core::accepted) and
/// [`Core::refused`](crate::Core::refused) need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// The lock.
    pub token: Token,
    /// The number of the operation, counted for each lock; of a cancel, that of the operation that
    /// it is for.
    pub serial: u64,
    pub(crate) what: What,
    /// The lock that keeps the resource of a request there: see [`Core::rely`](crate::Core::rely).
    pub(crate) keeper: Option<Token>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Request,
    Convert,
    Unlock,
    /// The unlock of a lock whose handle is dropped.
    Release,
    /// `internal`: nobody hears of a refusal, so it is written again.
    Cancel {
        kind: CancelKind,
        internal: bool,
    },
    Adopt,
}

impl What {
    /// The kind of the operation that is begun by it, unless it is out of the ordinary.
    #[inline]
    pub(crate) const fn kind(self) -> Option<Kind> {
        match self {
            Self::Request => Some(Kind::Request),
            Self::Convert => Some(Kind::Convert),
            Self::Unlock => Some(Kind::Unlock),
            Self::Release | Self::Cancel { .. } | Self::Adopt => None,
        }
    }
}

impl Ticket {
    /// That of a plain operation ([`Core::lock_plain`](crate::Core::lock_plain),
    /// [`Core::unlock_plain`](crate::Core::unlock_plain)); the request of a lock has the number 0.
    #[must_use]
    pub const fn plain(token: Token, serial: u64) -> Self {
        let what = if serial == 0 { What::Request } else { What::Unlock };
        Self::new(token, serial, what)
    }

    #[inline]
    pub(crate) const fn new(token: Token, serial: u64, what: What) -> Self {
        Self { token, serial, what, keeper: None }
    }

    /// Whether the submission makes a new lock, which a kernel may have to be asked for one at a
    /// time (#two-resources-of-one-name).
    #[must_use]
    pub const fn is_new_lock(&self) -> bool {
        matches!(self.what, What::Request)
    }

    /// The lock that keeps the resource of a request there: see [`Core::rely`](crate::Core::rely).
    #[must_use]
    pub const fn relies_on(&self) -> Option<Token> {
        self.keeper
    }

    /// Whether the submission is a cancel.
    #[must_use]
    pub const fn is_cancel(&self) -> bool {
        matches!(self.what, What::Cancel { .. })
    }
}

/// The bytes of one `write` to a lockspace's device, and what they are for.
///
/// Calls of the core fill it in. It can be used again and again.
#[derive(Debug, Clone)]
pub struct Submission {
    pub(crate) bytes: [u8; MAX_REQUEST_LEN],
    pub(crate) len: usize,
    pub(crate) command: Command,
    pub(crate) ticket: Ticket,
}

impl Default for Submission {
    fn default() -> Self {
        Self::new()
    }
}

impl Submission {
    /// An empty one.
    #[inline]
    #[must_use]
    pub const fn new() -> Self {
        let ticket = Ticket::new(Token::new(0, 0), 0, What::Request);
        Self { bytes: [0; MAX_REQUEST_LEN], len: 0, command: Command::Lock, ticket }
    }

    /// The bytes to write.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }

    /// The command in it.
    #[inline]
    #[must_use]
    pub const fn command(&self) -> Command {
        self.command
    }

    /// Its ticket, for [`Core::rely`](crate::Core::rely).
    #[inline]
    pub const fn ticket_mut(&mut self) -> &mut Ticket {
        &mut self.ticket
    }

    /// Its ticket.
    #[inline]
    #[must_use]
    pub const fn ticket(&self) -> Ticket {
        self.ticket
    }
}

/// The meaning of the kernel's refusal of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The kernel has no such lock: somebody else has ended it, or its operation ended it.
    NoLock,
    /// The lockspace is gone, and every lock with it.
    Ended,
    /// The kernel lacks memory now, or the lock is busy: the same request can be accepted later.
    Later,
    /// The kernel lacks a message buffer for another node. It had noted the flags of the request
    /// before, so that a cancel or a forced unlock would be refused the next time, with a warning
    /// (#refused-with-a-warning).
    NoBuffer,
    /// Any other refusal.
    Never,
}

impl Refusal {
    /// The meaning of an error number (positive) that `write` gave for a request on a lock.
    ///
    /// Source: `fs/dlm/lock.c` (ENOENT for an unknown id, EBUSY, ENOBUFS on the way to another
    /// node, after `validate_unlock_args` has stored the flags), `fs/dlm/user.c` (ENOMEM, ENODEV,
    /// EBADF without a lockspace or device).
    #[must_use]
    pub const fn from_errno(errno: i32) -> Self {
        match errno {
            2 => Self::NoLock,               // ENOENT
            9 | 19 => Self::Ended,           // EBADF, ENODEV
            4 | 11 | 12 | 16 => Self::Later, // EINTR, EAGAIN, ENOMEM, EBUSY
            105 => Self::NoBuffer,           // ENOBUFS
            _ => Self::Never,
        }
    }
}
