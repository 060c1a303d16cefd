//! What the lock of a resource does in cases where more than one thing would be right.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, Instant};

use super::*;
use crate::cache::word::Word;

const HOLD: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_secs(1);

/// A lock and its word.
struct Case {
    machine: Machine<u8>,
    word: Word,
    now: Now,
}

const fn wish(level: Level) -> Wish {
    Wish { level, no_queue: false, seen: None }
}

impl Case {
    /// One that was asked for, and not granted yet.
    fn asked(level: Level, has_hooks: bool) -> Self {
        let now = Now { time: Instant::now(), minimum_hold: HOLD, pause: PAUSE };
        let mut case = Self { machine: Machine::new(), word: Word::new(), now };
        case.machine.has_hooks = has_hooks;
        let turn =
            case.tell(|machine, word, now, turn| machine.ask(word, now, 0, wish(level), turn));
        assert!(matches!(turn.action, Some(Action::Raise { .. })));
        case
    }

    /// One that was granted and used once.
    fn used(level: Level, has_hooks: bool) -> Self {
        let mut case = Self::asked(level, has_hooks);
        let grant = Raised::Granted(0);
        case.tell(|machine, word, now, turn| machine.raised(word, now, grant, turn));
        if has_hooks {
            case.tell(|machine, word, now, turn| machine.loaded(word, now, true, turn));
        }
        case.leave(level);
        case
    }

    fn leave(&mut self, level: Level) {
        let must_look = match level {
            Level::Exclusive => self.word.leave_exclusive(),
            _ => self.word.leave_shared(),
        };
        if must_look {
            self.tell(|machine, word, now, turn| machine.left(word, now, turn));
        }
    }

    fn tell<T>(
        &mut self,
        event: impl FnOnce(&mut Machine<u8>, &Word, Now, &mut Turn<u8>) -> T,
    ) -> Turn<u8> {
        let mut turn = Turn::default();
        event(&mut self.machine, &self.word, self.now, &mut turn);
        turn
    }

    fn noticed(&mut self, grant: u64, left: Level) -> Turn<u8> {
        self.tell(|machine, word, now, turn| machine.noticed(word, now, (grant, left), turn))
    }

    /// A hook that is to write back fails.
    fn fail_hook(&mut self) -> Turn<u8> {
        self.tell(|machine, word, now, turn| machine.flushed(word, now, false, turn))
    }
}

#[test]
fn of_two_notices_before_the_grant_the_stronger_counts() {
    for (first, second) in [(Level::Null, Level::Shared), (Level::Shared, Level::Null)] {
        let mut case = Case::asked(Level::Exclusive, false);
        case.noticed(0, first);
        case.noticed(0, second);
        case.tell(|machine, word, now, turn| machine.raised(word, now, Raised::Granted(0), turn));
        assert_eq!(case.machine.wanted().map(|(left, _)| left), Some(Level::Null));
    }
}

/// It would hold what another one waits for, and wait for that one.
#[test]
fn who_wants_more_gives_way_first_to_those_who_wait() {
    let mut case = Case::used(Level::Shared, false);
    let turn = case.noticed(0, Level::Null);
    assert_eq!(turn.action, None, "in the minimum hold");
    assert_eq!(turn.look_at, Some(case.now.time + HOLD));
    let more = wish(Level::Exclusive);
    let turn = case.tell(|machine, word, now, turn| machine.ask(word, now, 1, more, turn));
    assert!(matches!(turn.action, Some(Action::Lower { to: Level::Null, .. })), "{turn:?}");
}

#[test]
fn a_hook_that_has_failed_is_called_again_after_the_pause() {
    let mut case = Case::used(Level::Exclusive, true);
    let give_back = |case: &mut Case| {
        case.tell(|machine, word, now, turn| machine.give_back(word, now, Cause::Shrink, turn))
    };
    assert!(matches!(give_back(&mut case).action, Some(Action::Flush { attempt: 0, .. })));
    let turn = case.fail_hook();
    assert_eq!((turn.action, turn.look_at), (None, Some(case.now.time + PAUSE)));
    case.now.time += PAUSE;
    let turn = case.tell(|machine, word, now, turn| machine.look(word, now, turn));
    assert!(matches!(turn.action, Some(Action::Flush { attempt: 1, .. })), "{turn:?}");
}

#[test]
fn what_could_not_be_given_back_and_is_used_since_stays() {
    let mut case = Case::used(Level::Exclusive, true);
    case.tell(|machine, word, now, turn| machine.give_back(word, now, Cause::Shrink, turn));
    case.fail_hook();
    let again = wish(Level::Exclusive);
    let turn = case.tell(|machine, word, now, turn| machine.ask(word, now, 1, again, turn));
    assert_eq!(turn.settled.len(), 1);
    case.leave(Level::Exclusive);
    case.now.time += PAUSE;
    let turn = case.tell(|machine, word, now, turn| machine.look(word, now, turn));
    assert_eq!(turn.action, None);
    assert_eq!(case.machine.held(), Level::Exclusive);
}

#[test]
fn a_try_that_was_refused_is_told_and_asks_no_more() {
    let mut case = Case::asked(Level::Exclusive, false);
    case.tell(|machine, word, now, turn| machine.raised(word, now, Raised::Failed, turn));
    let a_try = Wish { no_queue: true, ..wish(Level::Exclusive) };
    let turn = case.tell(|machine, word, now, turn| machine.ask(word, now, 1, a_try, turn));
    assert!(matches!(turn.action, Some(Action::Raise { no_queue: true, .. })));
    let turn = case.tell(|machine, word, now, turn| machine.raised(word, now, Raised::Again, turn));
    assert_eq!((turn.settled, turn.action), (vec![(1, Err(Refusal::WouldBlock))], None));
}

#[test]
fn a_request_for_nobody_is_cancelled_when_the_cache_is_closed() {
    let mut case = Case::asked(Level::Exclusive, false);
    let turn = case.tell(|machine, word, now, turn| machine.close(word, now, turn));
    assert_eq!(turn.settled, [(0, Err(Refusal::Ended))]);
    assert_eq!(turn.action, Some(Action::Cancel));
}

#[test]
fn what_is_used_is_not_given_back_later_either() {
    let mut case = Case::used(Level::Exclusive, false);
    assert!(case.word.enter_exclusive());
    let turn = case.tell(|machine, word, now, turn| {
        assert!(!machine.give_back(word, now, Cause::Idle, turn));
    });
    assert_eq!(turn.action, None);
    case.leave(Level::Exclusive);
    assert!(case.word.enter_exclusive());
}

#[test]
fn who_meets_another_upgrade_gives_way_to_it() {
    let mut case = Case::used(Level::Shared, false);
    let more = wish(Level::Exclusive);
    case.tell(|machine, word, now, turn| machine.ask(word, now, 1, more, turn));
    let turn =
        case.tell(|machine, word, now, turn| machine.raised(word, now, Raised::Deadlock, turn));
    let down = Action::Lower { from: Level::Shared, to: Level::Null, cause: Cause::Deadlock };
    assert_eq!(turn.action, Some(down));
}

#[test]
fn a_notice_counts_for_its_own_grant_alone() {
    let mut case = Case::used(Level::Exclusive, false);
    case.now.time += HOLD;
    assert!(matches!(case.noticed(0, Level::Null).action, Some(Action::Lower { .. })));
    case.tell(|machine, word, now, turn| machine.lowered(word, now, Some(1), turn));
    let again = wish(Level::Exclusive);
    case.tell(|machine, word, now, turn| machine.ask(word, now, 1, again, turn));
    let grant = Raised::Granted(2);
    case.tell(|machine, word, now, turn| machine.raised(word, now, grant, turn));
    case.leave(Level::Exclusive);
    case.now.time += HOLD;
    let turn = case.tell(|machine, word, now, turn| machine.look(word, now, turn));
    assert_eq!((turn.action, case.machine.held()), (None, Level::Exclusive));
}
