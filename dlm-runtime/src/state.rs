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
            Some(Pending::Request { .. }) => forced((LockFlags::empty(), ValueBlock::ZERO)),
            Some(Pending::Convert { mode, flags }) => {
                let writes = self.may_write() || mode >= Mode::Pw;
                if !(writes && flags.contains(LockFlags::VALBLK)) {
                    forced((LockFlags::empty(), ValueBlock::ZERO))
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
            UnlockLvb::Keep => (LockFlags::empty(), ValueBlock::ZERO),
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
mod tests {
    use super::*;

    const NONE: StatusFlags = StatusFlags::empty();
    const BLOCK: ValueBlock = ValueBlock([7; 32]);

    fn held(mode: Mode, flags: LockFlags, lvb: Option<&ValueBlock>) -> LockState {
        let mut state = LockState::requested(mode, flags, 0);
        state.note_id(LockId(1));
        let ended = state.complete(LockStatus::Granted, NONE, lvb).unwrap();
        assert_eq!(ended.mode, Some(mode));
        state
    }

    #[test]
    fn one_operation_at_a_time() {
        let mut state = held(Mode::Pr, LockFlags::empty(), None);
        state.begin_convert(Mode::Ex, LockFlags::CONVERT, None).unwrap();
        let again = state.begin_convert(Mode::Nl, LockFlags::CONVERT, None);
        assert!(matches!(again, Err(ErrorKind::InFlight)));
        assert!(matches!(state.begin_unlock(), Err(ErrorKind::InFlight)));
        let ended = state.complete(LockStatus::Granted, NONE, None).unwrap();
        assert_eq!(ended.mode, Some(Mode::Ex));
        state.begin_unlock().unwrap();
        assert!(matches!(state.begin_unlock(), Err(ErrorKind::LockGone)));
        assert_eq!(state.complete(LockStatus::Unlocked, NONE, None).unwrap().mode, None);
    }

    #[test]
    fn one_cancel_per_operation_and_none_for_an_idle_lock() {
        let mut state = held(Mode::Pr, LockFlags::empty(), None);
        let cancel = |state: &mut LockState| state.begin_cancel(CancelKind::Plain);
        assert!(matches!(cancel(&mut state), Err(ErrorKind::NothingToCancel)));
        for _ in 0..2 {
            state.begin_convert(Mode::Ex, LockFlags::CONVERT, None).unwrap();
            assert_eq!(state.written(), None);
            assert_eq!(cancel(&mut state).unwrap(), Some(LockId(1)));
            assert!(state.is_cancelling());
            state.cancel_written();
            assert!(matches!(cancel(&mut state), Err(ErrorKind::NothingToCancel)));
            let ended = state.complete(LockStatus::Cancelled, NONE, None).unwrap();
            assert_eq!(ended.mode, Some(Mode::Pr));
        }
    }

    #[test]
    fn a_noqueue_request_is_neither_cancelled_nor_forced() {
        let mut state = LockState::requested(Mode::Ex, LockFlags::NOQUEUE, 0);
        let cancelled = state.begin_cancel(CancelKind::Plain);
        assert!(matches!(cancelled, Err(ErrorKind::NothingToCancel)));
        assert_eq!(state.begin_forced_unlock(), Forced::Await);
    }

    #[test]
    fn a_cancel_that_comes_before_the_write_is_left_to_the_writer() {
        let mut state = LockState::requested(Mode::Ex, LockFlags::empty(), 0);
        assert_eq!(state.begin_cancel(CancelKind::Deadlock).unwrap(), None);
        assert!(!state.is_cancelling());
        state.note_id(LockId(3));
        assert_eq!(state.written(), Some(CancelKind::Deadlock));
        assert!(state.is_cancelling());
        state.cancel_written();
        assert_eq!(state.written(), None);
        // One that has ended by then is not cancelled.
        let mut state = LockState::requested(Mode::Ex, LockFlags::empty(), 0);
        state.begin_cancel(CancelKind::Plain).unwrap();
        state.complete(LockStatus::Granted, NONE, None).unwrap();
        assert_eq!(state.written(), None);
    }

    #[test]
    fn a_cancelled_request_is_not_forced_as_its_id_may_be_anothers() {
        let mut state = LockState::requested(Mode::Ex, LockFlags::empty(), 0);
        state.note_id(LockId(3));
        state.written();
        state.begin_cancel(CancelKind::Plain).unwrap();
        assert_eq!(state.begin_forced_unlock(), Forced::Await);
        // A conversion leaves the lock there.
        let mut state = held(Mode::Pr, LockFlags::empty(), None);
        state.begin_convert(Mode::Ex, LockFlags::CONVERT, None).unwrap();
        state.written();
        state.begin_cancel(CancelKind::Plain).unwrap();
        let written = Forced::Write(LockId(1), LockFlags::FORCEUNLOCK, ValueBlock::ZERO);
        assert_eq!(state.begin_forced_unlock(), written);
    }

    #[test]
    fn an_unlock_behind_a_late_cancel_is_forced_until_the_next_conversion() {
        let force = LockFlags::FORCEUNLOCK;
        let convert = |state: &mut LockState| {
            state.begin_convert(Mode::Ex, LockFlags::CONVERT, None).unwrap();
            state.written();
        };
        let late = || {
            let mut state = held(Mode::Pr, LockFlags::empty(), None);
            convert(&mut state);
            state.begin_cancel(CancelKind::Plain).unwrap();
            state.complete(LockStatus::Granted, NONE, None).unwrap();
            state
        };
        assert_eq!(late().begin_unlock().unwrap(), (LockId(1), force));
        let written = Forced::Write(LockId(1), force, ValueBlock::ZERO);
        assert_eq!(late().begin_forced_unlock(), written);
        let mut state = late();
        // One that the kernel refuses changes nothing.
        state.begin_convert(Mode::Ex, LockFlags::CONVERT, None).unwrap();
        state.abort(&ErrorKind::InFlight);
        assert_eq!(state.unlock_force(), force);
        convert(&mut state);
        state.complete(LockStatus::Granted, NONE, None).unwrap();
        assert_eq!(state.begin_unlock().unwrap(), (LockId(1), LockFlags::empty()));
    }

    #[test]
    fn a_forced_unlock_outlives_the_grant_that_it_raced_with() {
        let mut state = LockState::requested(Mode::Ex, LockFlags::empty(), 0);
        state.note_id(LockId(4));
        let written = Forced::Write(LockId(4), LockFlags::FORCEUNLOCK, ValueBlock::ZERO);
        assert_eq!(state.begin_forced_unlock(), written);
        assert_eq!(state.begin_forced_unlock(), Forced::Await);
        assert_eq!(state.complete(LockStatus::Granted, NONE, None), None);
        assert_eq!(state.complete(LockStatus::Unlocked, NONE, None).unwrap().mode, None);
    }

    #[test]
    fn an_unlock_that_is_not_to_write_carries_the_block_that_is_there() {
        let keep = UnlockLvb::Keep;
        let state = held(Mode::Ex, LockFlags::VALBLK, Some(&BLOCK));
        assert_eq!(state.unlock_lvb(keep), (LockFlags::empty(), BLOCK));
        let state = held(Mode::Ex, LockFlags::empty(), None);
        assert_eq!(state.unlock_lvb(keep), (LockFlags::empty(), ValueBlock::ZERO));
        let state = held(Mode::Pr, LockFlags::VALBLK, Some(&BLOCK));
        assert_eq!(state.unlock_lvb(keep), (LockFlags::empty(), ValueBlock::ZERO));
    }

    #[test]
    fn an_unlock_writes_only_where_the_kernel_would() {
        let check = |mode, flags| held(mode, flags, None).check_unlock_lvb(UnlockLvb::Write(BLOCK));
        assert!(check(Mode::Ex, LockFlags::VALBLK).is_ok());
        assert!(check(Mode::Pw, LockFlags::VALBLK).is_ok());
        assert!(check(Mode::Pr, LockFlags::VALBLK).is_err());
        assert!(check(Mode::Ex, LockFlags::empty()).is_err());
        let mut state = held(Mode::Ex, LockFlags::empty(), None);
        state.begin_convert(Mode::Ex, LockFlags::CONVERT | LockFlags::VALBLK, Some(BLOCK)).unwrap();
        state.complete(LockStatus::Granted, NONE, None).unwrap();
        assert!(state.check_unlock_lvb(UnlockLvb::Write(BLOCK)).is_ok());
        let idle = held(Mode::Ex, LockFlags::empty(), None);
        assert!(idle.check_unlock_lvb(UnlockLvb::Invalidate).is_ok());
    }

    #[test]
    fn an_invalid_block_stays_invalid_when_nobody_wrote_it() {
        let mut state = LockState::requested(Mode::Ex, LockFlags::VALBLK, 0);
        let ended =
            state.complete(LockStatus::Granted, StatusFlags::VALNOTVALID, Some(&BLOCK)).unwrap();
        assert_eq!(state.completion(ended).lvb, Some(Lvb { block: BLOCK, valid: false }));
        assert_eq!(state.unlock_lvb(UnlockLvb::Keep).0, LockFlags::IVVALBLK);
        assert_eq!(state.unlock_lvb(UnlockLvb::Write(BLOCK)), (LockFlags::VALBLK, BLOCK));
    }

    #[test]
    fn a_block_counts_only_if_the_operation_asked_for_it_and_the_modes_read_it() {
        let mut state = held(Mode::Nl, LockFlags::VALBLK, Some(&BLOCK));
        let echo = ValueBlock::ZERO;
        state.begin_convert(Mode::Pr, LockFlags::CONVERT, None).unwrap();
        assert!(!state.complete(LockStatus::Granted, NONE, Some(&echo)).unwrap().moved);
        let flags = LockFlags::CONVERT | LockFlags::VALBLK;
        state.begin_convert(Mode::Nl, flags, None).unwrap();
        assert!(!state.complete(LockStatus::Granted, NONE, Some(&echo)).unwrap().moved);
        state.begin_convert(Mode::Ex, flags, None).unwrap();
        let ended = state.complete(LockStatus::Granted, NONE, Some(&BLOCK)).unwrap();
        assert_eq!(state.completion(ended).lvb, Some(Lvb::new(BLOCK)));
        let written = ValueBlock([9; 32]);
        state.begin_convert(Mode::Pr, flags, Some(written)).unwrap();
        let ended = state.complete(LockStatus::Granted, NONE, None).unwrap();
        assert_eq!(state.completion(ended).lvb, Some(Lvb::new(written)));
    }

    #[test]
    fn a_cancelled_conversion_that_could_be_demoted_is_taken_as_null() {
        let mut state = held(Mode::Pr, LockFlags::empty(), None);
        let flags = LockFlags::CONVERT | LockFlags::CONVDEADLK;
        state.begin_convert(Mode::Ex, flags, None).unwrap();
        let ended = state.complete(LockStatus::Cancelled, NONE, None).unwrap();
        assert_eq!(ended.mode, Some(Mode::Nl));
        assert!(state.is_uncertain());
        state.begin_convert(Mode::Pr, LockFlags::CONVERT, None).unwrap();
        state.complete(LockStatus::Granted, NONE, None).unwrap();
        assert!(!state.is_uncertain());
        // As the victim of a deadlock, too.
        state.begin_convert(Mode::Ex, flags, None).unwrap();
        let ended = state.complete(LockStatus::Deadlock, NONE, None).unwrap();
        assert_eq!(ended.mode, Some(Mode::Nl));
    }

    #[test]
    fn an_unlock_never_writes_an_old_block() {
        let invalidates = (LockFlags::IVVALBLK, ValueBlock::ZERO);
        let convert = |state: &mut LockState, mode, flags, status| {
            state.begin_convert(mode, LockFlags::CONVERT | flags, None).unwrap();
            state.complete(status, NONE, None).unwrap();
        };
        // From CR others could write until PW was granted; the flag then comes with a refusal.
        let mut state = held(Mode::Cr, LockFlags::VALBLK, Some(&BLOCK));
        convert(&mut state, Mode::Pw, LockFlags::empty(), LockStatus::Granted);
        convert(&mut state, Mode::Ex, LockFlags::VALBLK, LockStatus::Again);
        assert_eq!(state.unlock_lvb(UnlockLvb::Keep), invalidates);
        // From PR they could not.
        let mut state = held(Mode::Pr, LockFlags::VALBLK, Some(&BLOCK));
        convert(&mut state, Mode::Pw, LockFlags::empty(), LockStatus::Granted);
        convert(&mut state, Mode::Ex, LockFlags::VALBLK, LockStatus::Again);
        assert_eq!(state.unlock_lvb(UnlockLvb::Keep), (LockFlags::empty(), BLOCK));
        // A lock that perhaps was demoted, and perhaps still writes when it is unlocked.
        let mut state = held(Mode::Pw, LockFlags::VALBLK, Some(&BLOCK));
        let flags = LockFlags::VALBLK | LockFlags::CONVDEADLK;
        convert(&mut state, Mode::Ex, flags, LockStatus::Cancelled);
        assert_eq!(state.unlock_lvb(UnlockLvb::Keep), (LockFlags::empty(), BLOCK));
    }

    #[test]
    fn a_forced_unlock_never_overwrites_a_block_that_is_not_known() {
        let valblk = LockFlags::VALBLK;
        let mut state = LockState::requested(Mode::Ex, valblk, 0);
        assert_eq!(state.begin_forced_unlock(), Forced::Cancel);
        let mut state = held(Mode::Pw, LockFlags::empty(), None);
        state.begin_convert(Mode::Ex, LockFlags::CONVERT | valblk, None).unwrap();
        assert_eq!(state.begin_forced_unlock(), Forced::Cancel);
        let forced = |block| Forced::Write(LockId(1), LockFlags::FORCEUNLOCK, block);
        let mut state = held(Mode::Pr, valblk, Some(&BLOCK));
        state.begin_convert(Mode::Ex, LockFlags::CONVERT | valblk, None).unwrap();
        assert_eq!(state.begin_forced_unlock(), forced(BLOCK));
        let written = ValueBlock([9; 32]);
        let mut state = held(Mode::Ex, valblk, Some(&BLOCK));
        state.begin_convert(Mode::Pw, LockFlags::CONVERT | valblk, Some(written)).unwrap();
        assert_eq!(state.begin_forced_unlock(), forced(written));
    }

    #[test]
    fn a_lock_that_the_kernel_does_not_know_is_gone() {
        let error = |errno| {
            let call = dlm_sys::Call::Submit(dlm_proto::Command::Unlock);
            ErrorKind::Device(dlm_sys::Error::os(call, errno))
        };
        let mut state = held(Mode::Ex, LockFlags::empty(), None);
        state.begin_unlock().unwrap();
        state.abort(&error(Errno::EBUSY));
        assert_eq!(state.granted(), Some(Mode::Ex));
        state.begin_unlock().unwrap();
        state.abort(&error(Errno::ENOENT));
        assert_eq!((state.granted(), state.begin_forced_unlock()), (None, Forced::Gone));
    }

    #[test]
    fn alternate_modes_are_told_apart() {
        let (pr, cw) = (LockFlags::ALTPR, LockFlags::ALTCW);
        for (mode, asked, wanted) in [
            (Mode::Ex, pr, Mode::Pr),
            (Mode::Ex, cw, Mode::Cw),
            (Mode::Ex, pr | cw, Mode::Pr),
            (Mode::Pr, pr | cw, Mode::Cw),
        ] {
            let mut state = LockState::requested(mode, asked, 0);
            let ended = state.complete(LockStatus::Granted, StatusFlags::ALTMODE, None).unwrap();
            assert_eq!(ended.mode, Some(wanted));
        }
    }

    #[test]
    fn a_completion_without_an_operation_is_nothing() {
        let mut state = held(Mode::Pr, LockFlags::empty(), None);
        assert_eq!(state.complete(LockStatus::Unlocked, NONE, None), None);
        assert_eq!(state.granted(), Some(Mode::Pr));
    }
}
