//! Steps as text. What is written here is read by the parser again.

use std::fmt::{Display, Formatter, Result as Written};

use dlm_proto::{
    LockFlags, LockStatus, LockspaceFlags, Mode, RemoveFlags, StatusFlags, ValueBlock,
};
use dlm_sys::Errno;

use super::step::{
    Ask, Body, Device, Frame, LockRef, MAIN, Owner, Queues, Result, Step, Wanted, What, Words,
};
use super::text::quoted;

/// The flags of requests by their names here.
pub(super) const FLAGS: [(&str, LockFlags); 18] = [
    ("noqueue", LockFlags::NOQUEUE),
    ("cancel", LockFlags::CANCEL),
    ("convert", LockFlags::CONVERT),
    ("valblk", LockFlags::VALBLK),
    ("quecvt", LockFlags::QUECVT),
    ("ivvalblk", LockFlags::IVVALBLK),
    ("convdeadlk", LockFlags::CONVDEADLK),
    ("persistent", LockFlags::PERSISTENT),
    ("nodlckwt", LockFlags::NODLCKWT),
    ("nodlckblk", LockFlags::NODLCKBLK),
    ("expedite", LockFlags::EXPEDITE),
    ("noqueuebast", LockFlags::NOQUEUEBAST),
    ("headque", LockFlags::HEADQUE),
    ("noorder", LockFlags::NOORDER),
    ("altpr", LockFlags::ALTPR),
    ("altcw", LockFlags::ALTCW),
    ("forceunlock", LockFlags::FORCEUNLOCK),
    ("timeout", LockFlags::TIMEOUT),
];

/// The status flags of results by their names here.
pub(super) const STATUS_FLAGS: [(&str, StatusFlags); 3] = [
    ("demoted", StatusFlags::DEMOTED),
    ("valnotvalid", StatusFlags::VALNOTVALID),
    ("altmode", StatusFlags::ALTMODE),
];

/// How operations end, by the names here.
pub(super) const STATUSES: [(&str, LockStatus); 5] = [
    ("granted", LockStatus::Granted),
    ("again", LockStatus::Again),
    ("deadlock", LockStatus::Deadlock),
    ("cancelled", LockStatus::Cancelled),
    ("unlocked", LockStatus::Unlocked),
];

impl Display for Step {
    fn fmt(&self, f: &mut Formatter<'_>) -> Written {
        match self {
            Self::Open { sessions, space, errno } => {
                write!(f, "open {}{}", sessions.join(" "), In(space))?;
                refused(f, *errno)
            }
            Self::Close { sessions } => write!(f, "close {}", sessions.join(" ")),
            Self::Ask { device, by, ask, errno } => {
                if let Some(thread) = by {
                    write!(f, "by {thread} ")?;
                }
                match device {
                    Device::Control => f.write_str("control ")?,
                    Device::Session(session) => write!(f, "{session} ")?,
                }
                write!(f, "{ask}")?;
                refused(f, *errno)
            }
            Self::Gets { session, size, wanted } => {
                write!(f, "{session} gets {wanted}")?;
                if *size == dlm_proto::MAX_RESULT_LEN { Ok(()) } else { write!(f, " size={size}") }
            }
            Self::Reads { session, size, errno } => {
                write!(f, "{session} reads size={size}")?;
                refused(f, Some(*errno))
            }
            Self::Version { session } => write!(f, "{session} version"),
            Self::Ready { session, wanted } => {
                write!(f, "{session} {}", if *wanted { "readable" } else { "unreadable" })
            }
            Self::Queues { space, resource, wanted } => {
                write!(f, "queues {}{}", quoted(resource), In(space))?;
                match wanted {
                    Some(queues) => write!(f, "{queues}"),
                    None => f.write_str(" none"),
                }
            }
            Self::Ids { left, right, same } => {
                write!(f, "{} {left} {right}", if *same { "same" } else { "differ" })
            }
        }
    }
}

struct In<'a>(&'a str);

impl Display for In<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Written {
        if self.0 == MAIN { Ok(()) } else { write!(f, " in {}", self.0) }
    }
}

fn refused(f: &mut Formatter<'_>, errno: Option<Errno>) -> Written {
    match errno.map(|errno| (errno, errno.name())) {
        None => Ok(()),
        Some((_, Some(name))) => write!(f, " -> {name}"),
        Some((errno, None)) => write!(f, " -> {}", errno.raw()),
    }
}

impl Display for LockRef {
    fn fmt(&self, f: &mut Formatter<'_>) -> Written {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::Id(id) => write!(f, "id={id:#x}"),
        }
    }
}

impl Display for Ask {
    fn fmt(&self, f: &mut Formatter<'_>) -> Written {
        match &self.what {
            What::Lock { lock, resource, body } => {
                write!(f, "lock {lock} {} {}", quoted(resource), ModeOf(body.mode))?;
                write!(f, "{body}")?;
            }
            What::Adopt { lock, resource, body } => {
                write!(f, "adopt {lock} {} {}", quoted(resource), ModeOf(body.mode))?;
                write!(f, "{body}")?;
            }
            What::Convert { lock, body } => {
                write!(f, "convert {lock} {}{body}", ModeOf(body.mode))?;
            }
            What::Unlock { lock, body } if body.flags == LockFlags::CANCEL => {
                let bare = Body { flags: LockFlags::empty(), ..body.clone() };
                write!(f, "cancel {lock}{bare}")?;
            }
            What::Unlock { lock, body } => write!(f, "unlock {lock}{body}")?,
            What::Deadlock { lock, flags } => {
                write!(f, "deadlock {lock}")?;
                if *flags != LockFlags::CANCEL {
                    write!(f, " flags={:#x}", flags.bits())?;
                }
            }
            What::Purge { node, owner } => {
                write!(f, "purge {owner}")?;
                if *node != 0 {
                    write!(f, " node={node}")?;
                }
            }
            What::Create { space, length, flags } => {
                write!(f, "create {space}")?;
                if flags.contains(LockspaceFlags::NEWEXCL) {
                    f.write_str(" newexcl")?;
                }
                if let Some(length) = length {
                    write!(f, " length={length}")?;
                }
            }
            What::Remove { space, flags } => {
                write!(f, "remove {space}")?;
                if flags.contains(RemoveFlags::FORCEFREE) {
                    f.write_str(" force")?;
                }
            }
        }
        write!(f, "{}", self.frame)
    }
}

struct ModeOf(u8);

impl Display for ModeOf {
    fn fmt(&self, f: &mut Formatter<'_>) -> Written {
        match dlm_proto::ModeCode(self.0).known() {
            Some(mode) => write!(f, "{mode}"),
            None => write!(f, "mode={}", self.0),
        }
    }
}

impl Display for Owner {
    fn fmt(&self, f: &mut Formatter<'_>) -> Written {
        match self {
            Self::Caller => f.write_str("me"),
            Self::Main => f.write_str("main"),
            Self::Thread(name) => f.write_str(name),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

impl Display for Body {
    fn fmt(&self, f: &mut Formatter<'_>) -> Written {
        let mut left = self.flags;
        for (name, flag) in FLAGS {
            if left.contains(flag) {
                write!(f, " {name}")?;
                left.remove(flag);
            }
        }
        if !left.is_empty() {
            write!(f, " flags={:#x}", left.bits())?;
        }
        if self.lvb != ValueBlock::ZERO {
            write!(f, " lvb={}", Block(&self.lvb))?;
        }
        for (name, number) in [("xid", self.xid), ("timeout", self.timeout)] {
            if number != 0 {
                write!(f, " {name}={number}")?;
            }
        }
        write!(f, "{}", self.words)
    }
}

impl Display for Words {
    fn fmt(&self, f: &mut Formatter<'_>) -> Written {
        if let Some(number) = self.number {
            write!(f, " words={number}")?;
        }
        for (name, word) in [
            ("addr", self.addr),
            ("param", self.param),
            ("baddr", self.notice_addr),
            ("bparam", self.notice_param),
            ("lksb", self.lksb),
        ] {
            if let Some(word) = word {
                write!(f, " {name}={word:#x}")?;
            }
        }
        Ok(())
    }
}

impl Display for Frame {
    fn fmt(&self, f: &mut Formatter<'_>) -> Written {
        if self.narrow {
            f.write_str(" width=32")?;
        }
        if let Some(size) = self.size {
            write!(f, " size={size}")?;
        }
        if let Some(version) = self.version {
            write!(f, " version={}.{}.{}", version.major, version.minor, version.patch)?;
        }
        if let Some(command) = self.command {
            write!(f, " command={command}")?;
        }
        if let Some(namelen) = self.namelen {
            write!(f, " namelen={namelen}")?;
        }
        Ok(())
    }
}

/// A value block: two digits when all bytes are the same, else all.
pub(super) struct Block<'a>(pub(super) &'a ValueBlock);

impl Display for Block<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Written {
        let bytes = &self.0.0;
        let count = if bytes.iter().all(|byte| *byte == bytes[0]) { 1 } else { bytes.len() };
        bytes[..count].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Display for Wanted {
    fn fmt(&self, f: &mut Formatter<'_>) -> Written {
        match self {
            Self::Anything => f.write_str("anything"),
            Self::Nothing => f.write_str("nothing"),
            Self::Completion(result) => {
                write!(f, "{} {}{result}", result.lock, Status(result.status))
            }
            Self::Notice(mode, result) => {
                write!(f, "{} blocking {mode}", result.lock)?;
                if result.status != LockStatus::Granted {
                    write!(f, " status={}", Status(result.status))?;
                }
                write!(f, "{result}")
            }
        }
    }
}

struct Status(LockStatus);

impl Display for Status {
    fn fmt(&self, f: &mut Formatter<'_>) -> Written {
        match STATUSES.iter().find(|(_, status)| *status == self.0) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "{}", self.0.to_raw()),
        }
    }
}

/// What follows the lock and the status.
impl Display for Result {
    fn fmt(&self, f: &mut Formatter<'_>) -> Written {
        let mut left = self.flags;
        for (name, flag) in STATUS_FLAGS {
            if left & flag.bits() != 0 {
                write!(f, " {name}")?;
                left &= !flag.bits();
            }
        }
        if left != 0 {
            write!(f, " flags={left:#x}")?;
        }
        if let Some(lvb) = &self.lvb {
            write!(f, " lvb={}", Block(lvb))?;
        }
        write!(f, "{}", self.words)
    }
}

impl Display for Queues {
    fn fmt(&self, f: &mut Formatter<'_>) -> Written {
        let one = |(lock, mode): &(LockRef, Mode)| format!(" {lock}:{mode}");
        let two = |(lock, from, to): &(LockRef, Mode, Mode)| format!(" {lock}:{from}>{to}");
        for (title, locks) in [
            ("granted", self.granted.iter().map(one).collect::<String>()),
            ("converting", self.converting.iter().map(two).collect()),
            ("waiting", self.waiting.iter().map(one).collect()),
        ] {
            if !locks.is_empty() {
                write!(f, " {title}{locks}")?;
            }
        }
        match &self.lvb {
            None => Ok(()),
            Some(None) => f.write_str(" lvb=none"),
            Some(Some(lvb)) => write!(f, " lvb={}", Block(lvb)),
        }
    }
}
