//! The lock value block: when it is read, when it is written, and when it is not valid.

use dlm_proto::{
    LockFlags, LockId, LockRequest, LockStatus, LvbTransfer, Mode, Request, StatusFlags,
    UnlockRequest, ValueBlock,
};
use dlm_tests::{Lockspace, Outcome, Session, block, cookies};

const NONE: LockFlags = LockFlags::empty();
const VALBLK: LockFlags = LockFlags::VALBLK;
const IVVALBLK: LockFlags = LockFlags::IVVALBLK;

const VALID: StatusFlags = StatusFlags::empty();
const NOT_VALID: StatusFlags = StatusFlags::VALNOTVALID;

/// A conversion whose request carries `lvb`.
#[track_caller]
fn convert(
    session: &Session<'_>,
    lock: LockId,
    mode: Mode,
    flags: LockFlags,
    lvb: &ValueBlock,
) -> Outcome {
    let request = LockRequest::convert(lock, mode, cookies(9)).with(flags);
    session.send(&Request::Lock(LockRequest { lvb, ..request })).unwrap();
    session.next().completes(9, LockStatus::Granted)
}

/// An unlock whose request carries `lvb`.
#[track_caller]
fn unlock(session: &Session<'_>, lock: LockId, flags: LockFlags, lvb: &ValueBlock) {
    let request = UnlockRequest::new(lock, cookies(9)).with(flags);
    session.send(&Request::Unlock(UnlockRequest { lvb, ..request })).unwrap();
    let result = session.next();
    assert_eq!((result.lock, result.status), (lock, LockStatus::Unlocked));
    assert_eq!(result.lvb, None, "an unlock returns no block");
}

/// Keeps the block of `r` alive with an NL lock, through which it is also read and written.
struct Keeper<'l> {
    session: Session<'l>,
    lock: LockId,
}

impl<'l> Keeper<'l> {
    #[track_caller]
    fn new(space: &'l Lockspace, content: &ValueBlock) -> Self {
        let session = space.open();
        let lock = session.granted("r", Mode::Nl, VALBLK, 1);
        let keeper = Self { session, lock };
        keeper.write(content);
        keeper
    }

    #[track_caller]
    fn write(&self, content: &ValueBlock) {
        convert(&self.session, self.lock, Mode::Ex, VALBLK, &ValueBlock::ZERO);
        convert(&self.session, self.lock, Mode::Nl, VALBLK, content);
        assert_eq!(self.read(), (*content, VALID));
    }

    /// The block and the flags that a reader gets.
    #[track_caller]
    fn read(&self) -> (ValueBlock, StatusFlags) {
        let result = convert(&self.session, self.lock, Mode::Nl, VALBLK, &ValueBlock::ZERO);
        (result.lvb.unwrap(), result.flags)
    }
}

/// Shows #new-requests-read-the-block.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_fresh_resource_has_a_block_of_zeros() {
    let space = Lockspace::new("lvb");
    let session = space.open();
    let request = LockRequest::new(b"r", Mode::Ex, cookies(1)).with_lvb(&ValueBlock([7; 32]));
    session.send(&Request::Lock(request)).unwrap();
    let result = session.next().completes(1, LockStatus::Granted).with_flags(VALID);
    assert_eq!((result.len, result.lvb), (104, Some(ValueBlock::ZERO)));
    let plain = session.lock("s", Mode::Ex, NONE, 2);
    let result = session.next().completes(2, LockStatus::Granted);
    assert_eq!((result.lock, result.len, result.lvb), (plain, 72, None));
}

/// Shows #new-requests-read-the-block.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_new_request_reads_and_never_writes_in_any_mode() {
    let space = Lockspace::new("lvb");
    let keeper = Keeper::new(&space, &block(1));
    let session = space.open();
    for mode in Mode::ALL {
        let theirs = block(2);
        let request = LockRequest::new(b"r", mode, cookies(2)).with_lvb(&theirs);
        session.send(&Request::Lock(request)).unwrap();
        let result = session.next().completes(2, LockStatus::Granted);
        assert_eq!(result.lvb, Some(block(1)), "{mode}");
        // Below PW an unlock does not write either; above, not without VALBLK on both.
        session.converted(result.lock, Mode::Nl, NONE, 2);
        session.unlocked(result.lock, 2);
        assert_eq!(keeper.read(), (block(1), VALID), "{mode}");
    }
}

/// Shows #block-of-each-conversion.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn each_of_the_36_conversions_moves_the_block_as_the_table_says() {
    let space = Lockspace::new("lvb");
    let keeper = Keeper::new(&space, &ValueBlock::ZERO);
    let session = space.open();
    for (from, to) in Mode::ALL.into_iter().flat_map(|from| Mode::ALL.map(|to| (from, to))) {
        let (stored, own) = (block(1), block(2));
        keeper.write(&stored);
        let lock = session.granted("r", Mode::Nl, VALBLK, 2);
        let reached = convert(&session, lock, from, VALBLK, &ValueBlock::ZERO);
        assert_eq!(reached.lvb, Some(stored), "NL to {from}");

        let result = convert(&session, lock, to, VALBLK, &own);
        let (returned, left) = match from.lvb_transfer(to) {
            LvbTransfer::Read => (Some(stored), stored),
            LvbTransfer::Write => (None, own),
            // The caller's block comes back as an echo.
            LvbTransfer::None => (Some(own), stored),
        };
        assert_eq!((result.lvb, result.flags), (returned, VALID), "{from} to {to}");
        // Away without writing.
        convert(&session, lock, Mode::Nl, NONE, &ValueBlock::ZERO);
        assert_eq!(keeper.read(), (left, VALID), "{from} to {to}");
        session.unlock(lock, 9);
        session.next().completes(9, LockStatus::Unlocked);
    }
}

/// Shows #conversion-without-valblk-echoes.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_conversion_without_valblk_echoes_the_callers_block() {
    let space = Lockspace::new("lvb");
    let keeper = Keeper::new(&space, &block(1));
    let session = space.open();
    let lock = session.granted("r", Mode::Cr, VALBLK, 2);
    for (n, mode) in (10..).zip([Mode::Cr, Mode::Pr, Mode::Nl, Mode::Ex]) {
        assert_eq!(convert(&session, lock, mode, NONE, &block(n)).lvb, Some(block(n)), "{mode}");
    }
    // From EX the block would be written: nothing is, and nothing returned.
    assert_eq!(convert(&session, lock, Mode::Nl, NONE, &block(3)).lvb, None);
    assert_eq!(keeper.read(), (block(1), VALID));
}

/// Shows #conversion-without-valblk-echoes.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_lock_that_never_used_valblk_gets_no_block() {
    let space = Lockspace::new("lvb");
    let keeper = Keeper::new(&space, &block(1));
    let session = space.open();
    let lock = session.granted("r", Mode::Nl, NONE, 2);
    for mode in [Mode::Pr, Mode::Ex, Mode::Nl] {
        assert_eq!(convert(&session, lock, mode, NONE, &block(2)).lvb, None, "{mode}");
    }
    assert_eq!(keeper.read(), (block(1), VALID));
}

/// What an unlock leaves in the resource, with the flags of the last conversion and of the unlock.
#[track_caller]
fn after_unlock(mode: Mode, last: LockFlags, flags: LockFlags) -> (ValueBlock, StatusFlags) {
    let space = Lockspace::new("lvb");
    let keeper = Keeper::new(&space, &block(1));
    let session = space.open();
    let lock = session.granted("r", mode, VALBLK, 2);
    // The same mode: a lock of PW or EX writes with VALBLK, here what is there already.
    convert(&session, lock, mode, last, &block(1));
    unlock(&session, lock, flags, &block(2));
    keeper.read()
}

/// Shows #block-at-an-unlock.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn an_unlock_of_pw_and_ex_writes_with_valblk_now_or_in_the_last_conversion() {
    for mode in [Mode::Pw, Mode::Ex] {
        assert_eq!(after_unlock(mode, NONE, VALBLK), (block(2), VALID), "{mode}");
        assert_eq!(after_unlock(mode, VALBLK, NONE), (block(2), VALID), "{mode}");
        assert_eq!(after_unlock(mode, VALBLK, VALBLK), (block(2), VALID), "{mode}");
        assert_eq!(after_unlock(mode, NONE, NONE), (block(1), VALID), "{mode}");
    }
}

/// Shows #block-at-an-unlock.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn an_unlock_below_pw_writes_and_invalidates_nothing() {
    for mode in [Mode::Nl, Mode::Cr, Mode::Cw, Mode::Pr] {
        assert_eq!(after_unlock(mode, VALBLK, VALBLK), (block(1), VALID), "{mode}");
        assert_eq!(after_unlock(mode, VALBLK, VALBLK | IVVALBLK), (block(1), VALID), "{mode}");
    }
}

/// Shows #block-at-an-unlock.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn an_unlock_with_ivvalblk_invalidates_and_keeps_the_content() {
    for mode in [Mode::Pw, Mode::Ex] {
        assert_eq!(after_unlock(mode, NONE, IVVALBLK), (block(1), NOT_VALID), "{mode}");
        assert_eq!(after_unlock(mode, VALBLK, IVVALBLK), (block(1), NOT_VALID), "{mode}");
    }
}

/// Shows #block-at-an-unlock.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn ivvalblk_on_the_request_invalidates_at_the_unlock() {
    let space = Lockspace::new("lvb");
    let keeper = Keeper::new(&space, &block(1));
    let session = space.open();
    let lock = session.granted("r", Mode::Ex, VALBLK | IVVALBLK, 2);
    assert_eq!(keeper.read(), (block(1), VALID));
    unlock(&session, lock, NONE, &block(2));
    assert_eq!(keeper.read(), (block(1), NOT_VALID));
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn ivvalblk_on_a_conversion_that_would_write_invalidates_at_once() {
    let space = Lockspace::new("iv");
    let keeper = Keeper::new(&space, &block(1));
    let session = space.open();
    let lock = session.granted("r", Mode::Ex, VALBLK, 2);
    convert(&session, lock, Mode::Nl, VALBLK | IVVALBLK, &block(2));
    assert_eq!(keeper.read(), (block(1), NOT_VALID));
    session.unlock(lock, 2);
    assert_eq!(session.next().status, LockStatus::Unlocked);
}

/// Shows #close-invalidates-the-block.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn closing_with_pw_or_ex_held_invalidates_the_block_and_below_it_does_not() {
    let space = Lockspace::new("lvb");
    let keeper = Keeper::new(&space, &block(1));
    for (mode, flags) in [
        (Mode::Nl, VALID),
        (Mode::Cr, VALID),
        (Mode::Cw, VALID),
        (Mode::Pr, VALID),
        (Mode::Pw, NOT_VALID),
        (Mode::Ex, NOT_VALID),
    ] {
        keeper.write(&block(1));
        let session = space.open();
        session.granted("r", mode, NONE, 2);
        drop(session);
        assert_eq!(keeper.read(), (block(1), flags), "{mode}");
    }
}

/// Shows #write-makes-the-block-valid.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_write_makes_the_block_valid_again() {
    let space = Lockspace::new("lvb");
    let keeper = Keeper::new(&space, &block(1));
    let closing = space.open();
    closing.granted("r", Mode::Pw, NONE, 2);
    drop(closing);
    assert_eq!(keeper.read(), (block(1), NOT_VALID));
    let session = space.open();
    let lock = session.granted("r", Mode::Nl, VALBLK, 3);
    let read = convert(&session, lock, Mode::Ex, VALBLK, &ValueBlock::ZERO);
    assert_eq!((read.lvb, read.flags), (Some(block(1)), NOT_VALID));
    let written = convert(&session, lock, Mode::Ex, VALBLK, &block(2));
    assert_eq!((written.lvb, written.flags), (None, VALID));
    convert(&session, lock, Mode::Nl, NONE, &ValueBlock::ZERO);
    assert_eq!(keeper.read(), (block(2), VALID));
}

/// Shows #write-makes-the-block-valid.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_conversion_down_tells_that_the_block_is_not_valid_even_without_valblk() {
    let space = Lockspace::new("lvb");
    let _keeper = Keeper::new(&space, &block(1));
    let session = space.open();
    let lock = session.granted("r", Mode::Pr, NONE, 3);
    session.converted(lock, Mode::Nl, NONE, 3).with_flags(VALID);
    let closing = space.open();
    closing.granted("r", Mode::Pw, NONE, 2);
    drop(closing);
    session.converted(lock, Mode::Pr, NONE, 3).with_flags(VALID);
    session.converted(lock, Mode::Nl, NONE, 3).with_flags(NOT_VALID);
}

/// Shows #last-lock-takes-the-block.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn without_a_lock_left_the_block_is_zeros_again() {
    let space = Lockspace::new("lvb");
    let keeper = Keeper::new(&space, &block(1));
    let session = space.open();
    let last = session.granted("r", Mode::Ex, NONE, 2);
    unlock(&keeper.session, keeper.lock, NONE, &ValueBlock::ZERO);
    unlock(&session, last, IVVALBLK, &ValueBlock::ZERO);
    session.lock("r", Mode::Nl, VALBLK, 3);
    let result = session.next().completes(3, LockStatus::Granted).with_flags(VALID);
    assert_eq!(result.lvb, Some(ValueBlock::ZERO));
}
