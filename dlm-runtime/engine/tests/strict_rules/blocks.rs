//! The value block that a request carries.

use super::*;

#[test]
fn valblk_on_the_unlock_of_a_lock_without_a_block() {
    let mut it = Program::new();
    it.granted(1, Mode::Ex, NONE);
    it.unlock(1, VALBLK).unwrap_err();
    it.reported(Violation::NoBlock(id(1)), "#unlock-without-a-buffer");
}

#[test]
fn a_request_that_writes_no_block_carries_the_known_one() {
    // Each on a lock that holds PR and has read block A.
    type Ask = fn(&ValueBlock) -> Request<'_>;
    let asks: [Ask; 4] = [
        |lvb| {
            Request::Lock(LockRequest { lvb, ..LockRequest::convert(id(1), Mode::Nl, cookies(1)) })
        },
        |lvb| Request::Lock(LockRequest::convert(id(1), Mode::Ex, cookies(1)).with_lvb(lvb)),
        |lvb| Request::Unlock(UnlockRequest { lvb, ..UnlockRequest::new(id(1), cookies(1)) }),
        |lvb| Request::Unlock(UnlockRequest::new(id(1), cookies(1)).with_lvb(lvb)),
    ];
    for ask in asks {
        for other in [&ValueBlock::ZERO, &B] {
            let mut it = Program::new();
            it.granted(1, Mode::Pr, VALBLK);
            it.begin(&ask(other)).unwrap_err();
            it.reported(Violation::OtherBlock(id(1)), "#carried-block-becomes-the-block");
            it.whole(&ask(&A), Ok(0)).unwrap();
        }
    }
}

#[test]
fn what_is_written_on_purpose_is_the_block_from_then_on() {
    let mut it = Program::new();
    it.granted(1, Mode::Ex, VALBLK);
    let write = |mode| LockRequest::convert(id(1), mode, cookies(1)).with_lvb(&B);
    it.whole(&Request::Lock(write(Mode::Ex)), Ok(0)).unwrap();
    it.read(1, LockStatus::Granted);
    // VALBLK of the conversion sticks: this would write A.
    let unlock = |lvb| UnlockRequest { lvb, ..UnlockRequest::new(id(1), cookies(1)) };
    assert_eq!(it.begin(&Request::Unlock(unlock(&A))), Err(Violation::OtherBlock(id(1))));
    it.whole(&Request::Unlock(unlock(&B)), Err(Errno::EBUSY)).unwrap();
    // Given up.
    let invalid = unlock(&ValueBlock::ZERO).with(LockFlags::IVVALBLK);
    it.whole(&Request::Unlock(invalid), Err(Errno::EBUSY)).unwrap();
    // Written.
    it.whole(&Request::Unlock(unlock(&ValueBlock::ZERO).with(VALBLK)), Ok(0)).unwrap();
}

/// A conversion that is refused has left its block in the kernel's buffer.
#[test]
fn the_block_that_was_read_is_known_also_with_ivvalblk() {
    let mut it = Program::new();
    it.granted(1, Mode::Ex, VALBLK | LockFlags::IVVALBLK);
    let convert = LockRequest::convert(id(1), Mode::Pr, cookies(1));
    it.whole(&Request::Lock(convert.with_lvb(&B)), Err(Errno::EINVAL)).unwrap();
    it.whole(&Request::Lock(LockRequest { lvb: &A, ..convert }), Ok(0)).unwrap();
    it.clean();
}

#[test]
fn zeros_are_as_good_as_an_old_block_when_the_buffer_does_not_count() {
    let mut it = Program::new();
    it.granted(1, Mode::Pr, VALBLK);
    let convert = LockRequest::convert(id(1), Mode::Pr, cookies(1));
    it.whole(&Request::Lock(LockRequest { lvb: &A, ..convert }), Ok(0)).unwrap();
    it.read_with(1, LockStatus::Granted, StatusFlags::empty(), Some(&A));
    // The last operation had no VALBLK.
    it.convert(1, Mode::Pr, NONE).unwrap();
    it.clean();
    it.read_with(1, LockStatus::Granted, StatusFlags::empty(), Some(&ValueBlock::ZERO));
    it.whole(&Request::Lock(LockRequest { lvb: &B, ..convert }), Ok(0)).unwrap_err();
    it.reported(Violation::OtherBlock(id(1)), "#carried-block-becomes-the-block");
}

#[test]
fn an_adopted_lock_has_nothing_in_flight() {
    let mut it = Program::new();
    let adopt = Request::Lock(LockRequest::adopt(b"r", Mode::Ex, cookies(1)));
    it.whole(&adopt, Err(Errno::EAGAIN)).unwrap();
    it.whole(&adopt, Ok(1)).unwrap();
    // The block that its last owner left is not known.
    it.convert(1, Mode::Ex, NONE).unwrap();
    it.read_with(1, LockStatus::Granted, StatusFlags::empty(), None);
    it.whole(&Request::Unlock(UnlockRequest::new(id(1), cookies(1)).with_lvb(&B)), Ok(0)).unwrap();
    it.clean();
}

#[test]
fn a_first_valblk_that_reads_carries_zeros() {
    let convert =
        |lvb| Request::Lock(LockRequest::convert(id(1), Mode::Pr, cookies(1)).with_lvb(lvb));
    let mut it = Program::new();
    it.granted(1, Mode::Cr, NONE);
    it.begin(&convert(&A)).unwrap_err();
    it.reported(Violation::OtherBlock(id(1)), "#carried-block-becomes-the-block");
    it.whole(&convert(&ValueBlock::ZERO), Ok(0)).unwrap();
}

#[test]
fn a_write_that_is_refused_leaves_the_block_that_was_known() {
    for carried in [&A, &B] {
        let mut it = Program::new();
        it.granted(1, Mode::Ex, VALBLK);
        let write = LockRequest::convert(id(1), Mode::Nl, cookies(1)).with_lvb(&B);
        it.whole(&Request::Lock(write), Err(Errno::ENOBUFS)).unwrap();
        let unlock = UnlockRequest { lvb: carried, ..UnlockRequest::new(id(1), cookies(1)) };
        it.whole(&Request::Unlock(unlock), Ok(0)).unwrap();
        it.clean();
    }
}

#[test]
fn a_grant_that_another_thread_reads_comes_too_late_for_an_unlock_by_force() {
    let mut it = Program::new();
    it.request(1, Mode::Pr, VALBLK);
    it.read_with(1, LockStatus::Granted, StatusFlags::empty(), Some(&A));
    assert_eq!(it.unlock(1, NONE), Err(Violation::OtherBlock(id(1))));
    it.unlock(1, FORCE).unwrap();
}

#[test]
fn the_block_of_an_adopted_lock_is_not_known() {
    let mut it = Program::new();
    let adopt = lock(1, Mode::Ex, LockFlags::ORPHAN | VALBLK);
    it.whole(&adopt, Ok(1)).unwrap();
    let convert = LockRequest::convert(id(1), Mode::Ex, cookies(1));
    it.whole(&Request::Lock(convert.with_lvb(&B)), Err(Errno::EBUSY)).unwrap();
    it.whole(&Request::Lock(convert), Ok(0)).unwrap();
    it.clean();
}
