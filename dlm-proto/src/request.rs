//! Requests: what is written to a device.

mod decode;
mod encode;

use crate::flags::{LockFlags, LockspaceFlags, RemoveFlags};
use crate::id::{LockId, Minor, NodeId};
use crate::lvb::ValueBlock;
use crate::mode::{Mode, ModeCode};
use crate::token::Cookies;
use crate::version::{Abi, PointerWidth};

/// The longest request in any layout, and the longest that a 64-bit kernel accepts.
pub const MAX_REQUEST_LEN: usize = 184;

/// The command of a request (`DLM_USER_` values of `linux/dlm_device.h`).
///
/// 3 (QUERY) is defined there, and refused by every kernel of today.
///
/// ```
/// use dlm_proto::Command;
///
/// assert_eq!(Command::from_code(6), Some(Command::Purge));
/// assert_eq!(Command::from_code(3), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Command {
    /// Request, convert or adopt a lock. A `write` returns the lock id, or 0 for a conversion.
    Lock = 1,
    /// Unlock or cancel. A `write` returns 0, as for all commands below but CREATE.
    Unlock = 2,
    /// Create a lockspace or join it. A `write` returns its minor number.
    CreateLockspace = 4,
    /// Drop one reference of a lockspace; the last one removes it.
    RemoveLockspace = 5,
    /// Remove orphans.
    Purge = 6,
    /// Cancel with the status of a deadlock.
    Deadlock = 7,
}

impl Command {
    /// The command with this number.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Lock),
            2 => Some(Self::Unlock),
            4 => Some(Self::CreateLockspace),
            5 => Some(Self::RemoveLockspace),
            6 => Some(Self::Purge),
            7 => Some(Self::Deadlock),
            _ => None,
        }
    }
}

/// The body of a lock, conversion or adoption.
///
/// ```
/// use dlm_proto::{Cookies, LockFlags, LockId, LockRequest, Mode, Token};
///
/// let cookies = Cookies::for_token(Token::new(7, 1), 0);
/// let lock = LockRequest::new(b"disk0", Mode::Ex, cookies).with(LockFlags::NOQUEUE);
/// let conversion = LockRequest::convert(LockId(1), Mode::Pr, cookies);
/// assert!(conversion.flags.contains(LockFlags::CONVERT) && lock.lock == LockId(0));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockRequest<'a> {
    /// The resource, at most 64 bytes. The kernel does not look at it in a conversion.
    pub name: &'a [u8],
    /// The mode asked for.
    pub mode: ModeCode,
    /// CONVERT and ORPHAN decide what kind of request this is.
    pub flags: LockFlags,
    /// The lock to convert; not looked at otherwise.
    pub lock: LockId,
    /// Transaction id: stored by the kernel, never compared.
    pub xid: u64,
    /// Hundredths of a second; kernels since 6.2 ignore it.
    pub timeout: u64,
    /// The words that come back with completions and blocking notices.
    pub cookies: Cookies,
    /// The block for conversions that write it. Leave it zero otherwise: the kernel echoes it.
    pub lvb: &'a ValueBlock,
}

impl<'a> LockRequest<'a> {
    /// A new lock on a resource, without flags.
    #[inline]
    #[must_use]
    pub fn new(name: &'a [u8], mode: Mode, cookies: Cookies) -> Self {
        Self {
            name,
            mode: mode.into(),
            flags: LockFlags::empty(),
            lock: LockId(0),
            xid: 0,
            timeout: 0,
            cookies,
            lvb: &ValueBlock::ZERO,
        }
    }

    /// A conversion of a lock to another mode. The cookies replace those of the lock.
    #[inline]
    #[must_use]
    pub fn convert(lock: LockId, mode: Mode, cookies: Cookies) -> Self {
        Self { lock, flags: LockFlags::CONVERT, ..Self::new(b"", mode, cookies) }
    }

    /// The adoption of an orphan that holds this mode. It is complete when `write` returns the
    /// lock id; no result follows. The lock stays persistent only if PERSISTENT is set again.
    #[inline]
    #[must_use]
    pub fn adopt(name: &'a [u8], mode: Mode, cookies: Cookies) -> Self {
        Self { flags: LockFlags::ORPHAN, ..Self::new(name, mode, cookies) }
    }

    /// The same request with these flags added.
    #[inline]
    #[must_use]
    pub fn with(self, flags: LockFlags) -> Self {
        Self { flags: self.flags | flags, ..self }
    }

    /// The same request with VALBLK and this block to write.
    #[inline]
    #[must_use]
    pub fn with_lvb(self, lvb: &'a ValueBlock) -> Self {
        Self { lvb, ..self.with(LockFlags::VALBLK) }
    }
}

/// The body of an unlock or cancel.
///
/// ```
/// use dlm_proto::{Cookies, LockFlags, LockId, Token, UnlockRequest, ValueBlock};
///
/// let block = ValueBlock([7; 32]);
/// let cookies = Cookies::for_token(Token::new(7, 1), 0);
/// let unlock = UnlockRequest::new(LockId(1), cookies).with_lvb(&block);
/// assert_eq!(unlock.flags, LockFlags::VALBLK);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnlockRequest<'a> {
    /// The lock.
    pub lock: LockId,
    /// CANCEL, VALBLK, IVVALBLK, FORCEUNLOCK or none.
    pub flags: LockFlags,
    /// The kernel takes the parameter word unless it is 0, and the lksb word always. The address
    /// words are ignored: the completion comes with those of the last lock or conversion.
    pub cookies: Cookies,
    /// The block that the resource gets if the lock is PW or EX and VALBLK is among these flags
    /// **or those of the lock's last lock or conversion**.
    pub lvb: &'a ValueBlock,
}

impl<'a> UnlockRequest<'a> {
    /// The release of a lock.
    #[inline]
    #[must_use]
    pub fn new(lock: LockId, cookies: Cookies) -> Self {
        Self { lock, flags: LockFlags::empty(), cookies, lvb: &ValueBlock::ZERO }
    }

    /// The cancel of a waiting request or conversion, which then completes with
    /// [`Cancelled`](crate::LockStatus::Cancelled), or with what overtook the cancel.
    #[inline]
    #[must_use]
    pub fn cancel(lock: LockId, cookies: Cookies) -> Self {
        Self { flags: LockFlags::CANCEL, ..Self::new(lock, cookies) }
    }

    /// The same request with these flags added.
    #[inline]
    #[must_use]
    pub fn with(self, flags: LockFlags) -> Self {
        Self { flags: self.flags | flags, ..self }
    }

    /// The same request with VALBLK and this block to write.
    #[inline]
    #[must_use]
    pub fn with_lvb(self, lvb: &'a ValueBlock) -> Self {
        Self { lvb, ..self.with(LockFlags::VALBLK) }
    }
}

/// A request in any layout.
///
/// ```
/// use dlm_proto::{Abi, Command, LockspaceFlags, MAX_REQUEST_LEN, Request};
///
/// let create = Request::CreateLockspace { name: b"example", flags: LockspaceFlags::NEWEXCL };
/// let mut buffer = [0; MAX_REQUEST_LEN];
/// let bytes = create.encode(Abi::V6_64, &mut buffer)?;
/// assert_eq!((create.command(), bytes[12]), (Command::CreateLockspace, 4));
/// # Ok::<(), dlm_proto::EncodeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request<'a> {
    /// To a lockspace: request, convert or adopt a lock.
    Lock(LockRequest<'a>),
    /// To a lockspace: unlock or cancel.
    Unlock(UnlockRequest<'a>),
    /// To a lockspace: make a waiting request or conversion end with the status of a deadlock.
    Deadlock {
        /// The lock.
        lock: LockId,
        /// CANCEL. Without it a granted lock keeps a mark that spoils its next cancel.
        flags: LockFlags,
    },
    /// To a lockspace: remove orphans. If `pid` is the calling thread's, its *live* locks go.
    Purge {
        /// The node; 0 for the local one.
        node: NodeId,
        /// The thread that made the locks (a TID of the initial pid namespace); 0 for all.
        pid: u32,
    },
    /// To the control device: create or join a lockspace.
    CreateLockspace {
        /// Its name, 1 to 64 bytes; [`LockspaceName`](crate::LockspaceName) knows which are safe.
        name: &'a [u8],
        /// None or NEWEXCL.
        flags: LockspaceFlags,
    },
    /// To the control device: drop a reference of a lockspace.
    RemoveLockspace {
        /// Its minor number. Never 0: that hits any lockspace without a device.
        minor: Minor,
        /// The treatment of locks that are left.
        flags: RemoveFlags,
    },
}

impl<'a> Request<'a> {
    /// The command that this request is written with.
    #[inline]
    #[must_use]
    pub const fn command(&self) -> Command {
        match self {
            Self::Lock(_) => Command::Lock,
            Self::Unlock(_) => Command::Unlock,
            Self::Deadlock { .. } => Command::Deadlock,
            Self::Purge { .. } => Command::Purge,
            Self::CreateLockspace { .. } => Command::CreateLockspace,
            Self::RemoveLockspace { .. } => Command::RemoveLockspace,
        }
    }
}

/// The `is64bit` byte of a layout's requests.
#[inline]
fn is64bit(abi: Abi) -> u8 {
    u8::from(abi.width == PointerWidth::W64)
}
