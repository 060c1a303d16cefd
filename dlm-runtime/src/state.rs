//! What is known of one lock: the rules of one operation at a time, without any input or output.

use dlm_proto::{LockFlags, LockId, LockStatus, LvbTransfer, Mode, StatusFlags, ValueBlock};
use dlm_sys::Errno;

use crate::error::ErrorKind;
use crate::event::Completion;
use crate::lvb::Lvb;

/// An operation that the kernel has not completed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pending {
    Request { mode: Mode, flags: LockFlags },
    Convert { mode: Mode, flags: LockFlags },
    Unlock,
}

/// How an operation ended, for whoever asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) status: LockStatus,
    pub(crate) flags: StatusFlags,
    /// The mode that the lock holds now; `None` if the lock is gone.
    pub(crate) mode: Option<Mode>,
    /// This operation read or wrote the value block.
    pub(crate) moved: bool,
}

/// A lock between its request and its end.
#[derive(Debug, Default)]
pub(crate) struct LockState {
    id: LockId,
    granted: Option<Mode>,
    pending: Option<Pending>,
    /// One cancel per request or conversion: the kernel refuses a second one with a warning.
    cancel_sent: bool,
    /// A cancel was written, and no other operation accepted since.
    ///
    /// It may be on its way to another node still. Until that has answered, which nobody is told,
    /// the kernel refuses an unlock without force (EBUSY).
    cancel_unanswered: bool,
    /// The kernel has accepted what is in flight.
    written: bool,
    /// A cancel that came before that, to be written behind it.
    cancel_wanted: Option<CancelKind>,
    /// Some thread is writing a cancel: nothing else may be written meanwhile.
    cancelling: bool,
    /// The last request or conversion had VALBLK: then an unlock of PW or EX writes the block,
    /// asked to or not.
    valblk: bool,
    /// The kernel keeps a block for this lock, which it does from the first VALBLK on. Without one
    /// an unlock cannot write (seen on 6.1 and 6.12: VALBLK is then ignored).
    has_block: bool,
    known_lvb: Option<Lvb>,
    /// What the conversion in flight writes.
    written_lvb: Option<ValueBlock>,
    /// Nobody else can have written the block since: what is held keeps writers out.
    lvb_is_current: bool,
    /// The mode that the lock has if it is not NL: the kernel does not tell whether it demoted the
    /// lock before the conversion was cancelled.
    perhaps: Option<Mode>,
    /// It outlives its device. Each conversion must say so again.
    persistent: bool,
    /// The transaction id, which each conversion must repeat.
    transaction: u64,
}

impl LockState {
    /// A lock that is about to be requested.
    #[inline]
    pub(crate) fn requested(mode: Mode, flags: LockFlags, transaction: u64) -> Self {
        Self {
            id: LockId(0),
            granted: None,
            pending: Some(Pending::Request { mode, flags }),
            cancel_sent: false,
            cancel_unanswered: false,
            written: false,
            cancel_wanted: None,
            cancelling: false,
            valblk: flags.contains(LockFlags::VALBLK),
            has_block: flags.contains(LockFlags::VALBLK),
            known_lvb: None,
            written_lvb: None,
            lvb_is_current: false,
            perhaps: None,
            persistent: false,
            transaction,
        }
    }

    /// An orphan that is being adopted, as a persistent lock.
    pub(crate) fn adopted(mode: Mode) -> Self {
        let requested = Self::requested(mode, LockFlags::empty(), 0);
        Self { granted: Some(mode), pending: None, persistent: true, ..requested }
    }

    /// 0 while it is not known.
    pub(crate) fn id(&self) -> LockId {
        self.id
    }

    pub(crate) fn granted(&self) -> Option<Mode> {
        self.granted
    }

    pub(crate) fn pending(&self) -> Option<Pending> {
        self.pending
    }

    pub(crate) fn transaction(&self) -> u64 {
        self.transaction
    }

    pub(crate) fn is_persistent(&self) -> bool {
        self.persistent
    }

    pub(crate) fn known_lvb(&self) -> Option<Lvb> {
        self.known_lvb
    }

    /// Learns the id, from the return of `write` or from a result, whichever comes first.
    #[inline]
    pub(crate) fn note_id(&mut self, id: LockId) {
        // After an unlock was accepted the number may belong to another lock at once.
        if self.pending != Some(Pending::Unlock) {
            self.id = id;
        }
    }

    /// Starts a conversion. Returns the id.
    pub(crate) fn begin_convert(
        &mut self,
        mode: Mode,
        flags: LockFlags,
        written: Option<ValueBlock>,
    ) -> Result<LockId, ErrorKind> {
        self.idle_mode()?;
        self.pending = Some(Pending::Convert { mode, flags });
        self.written_lvb = written;
        self.cancel_sent = false;
        self.written = false;
        self.cancel_wanted = None;
        Ok(self.id)
    }

    /// Starts an unlock of a lock with nothing in flight. Returns the id, and the flags that this
    /// takes.
    #[inline]
    pub(crate) fn begin_unlock(&mut self) -> Result<(LockId, LockFlags), ErrorKind> {
        self.idle_mode()?;
        self.pending = Some(Pending::Unlock);
        Ok((self.id, self.unlock_force()))
    }

    fn unlock_force(&self) -> LockFlags {
        if self.cancel_unanswered { LockFlags::FORCEUNLOCK } else { LockFlags::empty() }
    }

    /// Starts an unlock, by force if something is in flight, for a lock that nobody wants any more.
    pub(crate) fn begin_forced_unlock(&mut self) -> Forced {
        let forced = |(flags, block)| (LockFlags::FORCEUNLOCK | flags, block);
        let (flags, block) = match self.pending {
            None if self.granted.is_none() => return Forced::Gone,
            None => {
                let (flags, block) = self.unlock_lvb(UnlockLvb::Keep);
                (flags | self.unlock_force(), block)
            }
            Some(Pending::Unlock) => return Forced::Await,
            // It may end by itself any moment, and its id may then name another lock.
            Some(Pending::Request { flags, .. })
                if self.cancel_sent || flags.contains(LockFlags::NOQUEUE) =>
            {
                return Forced::Await;
            }
            // Granted by now, it would overwrite a block that is not known.
            Some(Pending::Request { mode, flags })
                if mode >= Mode::Pw && flags.contains(LockFlags::VALBLK) =>
            {
                return Forced::Cancel;
            }
            Some(Pending::Request { .. }) => forced((LockFlags::empty(), self.carried_block())),
            Some(Pending::Convert { mode, flags }) => {
                let writes = self.may_write() || mode >= Mode::Pw;
                if !(writes && flags.contains(LockFlags::VALBLK)) {
                    forced((LockFlags::empty(), self.carried_block()))
                } else if let Some(block) = self.written_lvb {
                    forced((LockFlags::empty(), block))
                } else if self.lvb_is_current {
                    forced(self.kept_lvb())
                } else if self.cancel_sent {
                    return Forced::Await;
                } else {
                    return Forced::Cancel;
                }
            }
        };
        self.pending = Some(Pending::Unlock);
        Forced::Write(self.id, flags, block)
    }

    /// Starts a cancel of what is in flight. `None`: whoever writes that writes the cancel, too.
    pub(crate) fn begin_cancel(&mut self, kind: CancelKind) -> Result<Option<LockId>, ErrorKind> {
        match self.pending {
            // A NOQUEUE request ends by itself, see `begin_forced_unlock`.
            Some(Pending::Request { flags, .. }) if flags.contains(LockFlags::NOQUEUE) => {
                Err(ErrorKind::NothingToCancel)
            }
            Some(Pending::Request { .. } | Pending::Convert { .. }) if !self.cancel_sent => {
                self.cancel_sent = true;
                if self.written {
                    self.cancelling = true;
                    self.cancel_unanswered = true;
                    Ok(Some(self.id))
                } else {
                    self.cancel_wanted = Some(kind);
                    Ok(None)
                }
            }
            _ => Err(ErrorKind::NothingToCancel),
        }
    }

    /// The kernel has accepted what is in flight. Returns the cancel that is to be written now.
    pub(crate) fn written(&mut self) -> Option<CancelKind> {
        match self.pending {
            Some(Pending::Request { .. } | Pending::Convert { .. }) => {
                self.written = true;
                self.cancelling |= self.cancel_wanted.is_some();
                self.cancel_unanswered = self.cancel_wanted.is_some();
                self.cancel_wanted.take()
            }
            _ => None,
        }
    }

    /// A cancel is not being written any more.
    pub(crate) fn cancel_written(&mut self) {
        self.cancelling = false;
    }

    /// Whether a cancel is being written. Meanwhile no other is begun.
    pub(crate) fn is_cancelling(&self) -> bool {
        self.cancelling
    }

    /// The kernel refused what was begun: the lock is as it was, unless the kernel knows none.
    pub(crate) fn abort(&mut self, why: &ErrorKind) {
        self.pending = None;
        if matches!(why, ErrorKind::Device(error) if error.errno() == Some(Errno::ENOENT)) {
            // Somebody else has unlocked it. Its id may be given to another lock at once.
            self.granted = None;
        }
    }

    /// Checks what an unlock is to do to the value block.
    #[inline]
    pub(crate) fn check_unlock_lvb(&self, wish: UnlockLvb) -> Result<(), &'static str> {
        let writes = matches!(self.granted, None | Some(Mode::Pw | Mode::Ex));
        match wish {
            UnlockLvb::Keep => Ok(()),
            _ if !writes => Err("the lock value block is written from PW and EX only"),
            UnlockLvb::Write(_) if !self.has_block => {
                Err("the lock was never used with its value block: request it with_lvb()")
            }
            _ => Ok(()),
        }
    }

    /// What an unlock must carry so that the value block becomes what was asked for, and nothing
    /// else changes it.
    #[inline]
    pub(crate) fn unlock_lvb(&self, wish: UnlockLvb) -> (LockFlags, ValueBlock) {
        match wish {
            UnlockLvb::Write(block) => (LockFlags::VALBLK, block),
            UnlockLvb::Invalidate => (LockFlags::IVVALBLK, ValueBlock::ZERO),
            // The kernel would store whatever the request carries: carry what is there already.
            UnlockLvb::Keep if self.may_write() && self.valblk => self.kept_lvb(),
            UnlockLvb::Keep => (LockFlags::empty(), self.carried_block()),
        }
    }

    /// What a request must carry in place of a block that it writes.
    ///
    /// The kernel puts the bytes of each conversion and unlock into the lock's own buffer, and when
    /// the master of the resource dies these buffers are all that is left of the block: that of a
    /// lock in CW or above becomes the block, and counts as valid, even if its conversion is still in
    /// flight or has failed.
    #[inline]
    pub(crate) fn carried_block(&self) -> ValueBlock {
        match self.known_lvb {
            Some(Lvb { block, .. }) if self.valblk || self.lvb_is_current => block,
            _ => ValueBlock::ZERO,
        }
    }

    /// Whether the kernel may take this for a lock that writes the block when it is unlocked.
    fn may_write(&self) -> bool {
        self.granted.max(self.perhaps).is_some_and(|mode| mode >= Mode::Pw)
    }

    /// What an unlock that writes must carry so that nothing changes.
    fn kept_lvb(&self) -> (LockFlags, ValueBlock) {
        match self.known_lvb {
            Some(Lvb { block, valid: true }) if self.lvb_is_current => (LockFlags::empty(), block),
            // A write would make the block valid again, or put an old one into its place.
            _ => (LockFlags::IVVALBLK, ValueBlock::ZERO),
        }
    }

    /// Whether the mode is not known for certain, and what follows from it is not, either.
    pub(crate) fn is_uncertain(&self) -> bool {
        self.perhaps.is_some()
    }

    /// A completion came. Returns how the operation in flight ended, or `None` if it goes on or
    /// if nothing is in flight.
    #[inline]
    pub(crate) fn complete(
        &mut self,
        status: LockStatus,
        flags: StatusFlags,
        lvb: Option<&ValueBlock>,
    ) -> Option<Ended> {
        let pending = self.pending?;
        // The kernel has accepted it, although its writer has not said so yet.
        self.cancel_unanswered &= self.written;
        if let Pending::Convert { flags: asked, .. } = pending {
            // Also those of a conversion that failed have replaced the lock's flags.
            self.valblk = asked.contains(LockFlags::VALBLK);
            self.has_block |= self.valblk;
            self.persistent = asked.contains(LockFlags::PERSISTENT);
        }
        let mut moved = None;
        match (pending, status) {
            (Pending::Request { mode, flags: asked }, LockStatus::Granted) => {
                self.granted = Some(alternate(mode, asked, flags));
                if asked.contains(LockFlags::VALBLK) {
                    moved = lvb.map(|&block| Lvb { block, valid: is_valid(flags) });
                }
            }
            (Pending::Convert { mode, flags: asked }, LockStatus::Granted) => {
                let from = self.granted.replace(mode);
                self.perhaps = None;
                self.lvb_is_current &= from.is_some_and(keeps_writers_out);
                let transfer = from.map_or(LvbTransfer::None, |from| from.lvb_transfer(mode));
                if asked.contains(LockFlags::VALBLK) {
                    moved = match transfer {
                        LvbTransfer::Read => {
                            lvb.map(|&block| Lvb { block, valid: is_valid(flags) })
                        }
                        LvbTransfer::Write => self.written_lvb.map(Lvb::new),
                        LvbTransfer::None => None,
                    };
                }
            }
            (
                Pending::Convert { flags: asked, .. },
                LockStatus::Cancelled | LockStatus::Deadlock,
            ) if asked.contains(LockFlags::CONVDEADLK) => {
                // The kernel may have demoted it before, and does not tell.
                let before = self.granted.replace(Mode::Nl);
                self.perhaps = self.perhaps.or(before.filter(|&mode| mode != Mode::Nl));
            }
            (Pending::Convert { .. }, LockStatus::Unlocked) => self.granted = None,
            (Pending::Convert { .. }, _) => {}
            (Pending::Unlock, LockStatus::Granted) => {
                // What was in flight before a forced unlock; the unlock's own follows.
                return None;
            }
            (Pending::Request { .. } | Pending::Unlock, _) => self.granted = None,
        }
        if moved.is_some() {
            self.known_lvb = moved;
            self.lvb_is_current = true;
        }
        if self.lvb_is_current {
            // A lock that was perhaps demoted writes the block only if it was not.
            self.lvb_is_current = self.granted.max(self.perhaps).is_some_and(keeps_writers_out);
        }
        self.pending = None;
        Some(Ended { status, flags, mode: self.granted, moved: moved.is_some() })
    }

    /// What whoever asked for an operation is told of its end, before another one begins.
    pub(crate) fn completion(&self, ended: Ended) -> Completion {
        let Ended { status, flags, mode, moved } = ended;
        let lvb = if moved { self.known_lvb } else { None };
        Completion { status, flags, mode, lvb }
    }

    /// The granted mode of a lock with nothing in flight.
    pub(crate) fn idle_mode(&self) -> Result<Mode, ErrorKind> {
        match (self.pending, self.granted) {
            (Some(Pending::Unlock), _) | (None, None) => Err(ErrorKind::LockGone),
            (Some(_), _) => Err(ErrorKind::InFlight),
            (None, Some(mode)) => Ok(mode),
        }
    }
}

/// What a cancelled operation ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CancelKind {
    /// [`LockStatus::Cancelled`].
    Plain,
    /// [`LockStatus::Deadlock`].
    Deadlock,
}

/// How to get rid of a lock that nobody wants any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forced {
    /// Write an unlock of this lock, with these flags and this value block.
    Write(LockId, LockFlags, ValueBlock),
    /// Cancel what is in flight, and decide when that has ended.
    Cancel,
    /// Leave it alone until its completion has come.
    Await,
    /// There is no lock.
    Gone,
}

/// What an unlock does to the value block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnlockLvb {
    Keep,
    Write(ValueBlock),
    Invalidate,
}

/// Whether a lock of this mode keeps out those who may write the value block, PW and EX.
fn keeps_writers_out(mode: Mode) -> bool {
    !mode.is_compatible_with(Mode::Pw)
}

fn is_valid(flags: StatusFlags) -> bool {
    !flags.contains(StatusFlags::VALNOTVALID)
}

/// The mode that was granted: the one asked for, or the alternate.
fn alternate(mode: Mode, asked: LockFlags, flags: StatusFlags) -> Mode {
    if !flags.contains(StatusFlags::ALTMODE) {
        mode
    } else if asked.contains(LockFlags::ALTPR) && mode != Mode::Pr {
        Mode::Pr
    } else {
        Mode::Cw
    }
}

#[cfg(test)]
mod tests;
