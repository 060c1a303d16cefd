//! The word of a resource: all that an acquisition or release looks at as long as nobody waits.

use crate::threads::atomic::{AtomicU64, Ordering};

use super::level::Level;

/// Somebody must look: acquisitions and releases go the long way.
const SLOW: u64 = 1;
/// The cached lock is weaker than PR.
const NO_SHARED: u64 = 1 << 1;
/// The cached lock is weaker than EX.
const NO_EXCLUSIVE: u64 = 1 << 2;
/// The lock was lost with its lockspace.
const LOST: u64 = 1 << 3;
/// An exclusive guard is there.
const WRITER: u64 = 1 << 4;
/// One shared guard.
const READER: u64 = 1 << 8;
/// There are too many of them. Acquisitions go the long way, and are refused there.
const CROWDED: u64 = 1 << 27;
/// One acquisition that found the lock there. The count goes round in 36 bits.
const HIT: u64 = 1 << 28;

/// Everything but the count.
const STATE: u64 = HIT - 1;
const READERS: u64 = STATE & !(READER - 1);
/// What keeps a shared guard out.
const BARS_SHARED: u64 = SLOW | NO_SHARED | LOST | WRITER | CROWDED;

/// The state of a resource in one word: the cached mode, the guards, and whether somebody waits.
///
/// Guards come and go by this alone. The rest is changed by whoever has the resource's mutex.
#[derive(Debug)]
pub(super) struct Word(AtomicU64);

/// The guards of a resource at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Users {
    pub(super) readers: u64,
    pub(super) writer: bool,
}

impl Users {
    const fn of(word: u64) -> Self {
        Self { readers: (word & READERS) / READER, writer: word & WRITER != 0 }
    }

    pub(super) const fn is_none(self) -> bool {
        self.readers == 0 && !self.writer
    }
}

impl Word {
    /// That of a resource that is not locked.
    pub(super) const fn new() -> Self {
        Self(AtomicU64::new(NO_SHARED | NO_EXCLUSIVE))
    }

    /// Adds a shared guard, if nothing stands in the way.
    #[inline]
    pub(super) fn enter_shared(&self) -> bool {
        let mut word = self.0.load(Ordering::Relaxed);
        while word & BARS_SHARED == 0 {
            let new = word.wrapping_add(READER | HIT);
            match self.0.compare_exchange_weak(word, new, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(other) => word = other,
            }
        }
        false
    }

    /// Adds the exclusive guard, if nothing stands in the way.
    #[inline]
    pub(super) fn enter_exclusive(&self) -> bool {
        let mut word = self.0.load(Ordering::Relaxed);
        while word & STATE == 0 {
            let new = word.wrapping_add(WRITER | HIT);
            match self.0.compare_exchange_weak(word, new, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(other) => word = other,
            }
        }
        false
    }

    /// Takes a shared guard away. `true`: somebody must look.
    #[inline]
    pub(super) fn leave_shared(&self) -> bool {
        self.0.fetch_sub(READER, Ordering::Release) & SLOW != 0
    }

    /// Takes the exclusive guard away. `true`: somebody must look.
    #[inline]
    pub(super) fn leave_exclusive(&self) -> bool {
        self.0.fetch_sub(WRITER, Ordering::Release) & SLOW != 0
    }

    /// Makes the exclusive guard a shared one. `true`: somebody must look.
    #[inline]
    pub(super) fn downgrade(&self) -> bool {
        self.0.fetch_add(READER - WRITER, Ordering::Release) & SLOW != 0
    }

    #[inline]
    pub(super) fn is_lost(&self) -> bool {
        self.0.load(Ordering::Relaxed) & LOST != 0
    }

    pub(super) fn users(&self) -> Users {
        Users::of(self.0.load(Ordering::Acquire))
    }

    /// The hits so far, round in 36 bits.
    pub(super) fn hits(&self) -> u64 {
        self.0.load(Ordering::Relaxed) / HIT
    }

    /// Sends everybody the long way, and tells who is there. It can only become fewer by themselves.
    pub(super) fn bar(&self) -> Users {
        Users::of(self.0.fetch_or(SLOW, Ordering::AcqRel))
    }

    /// Lets everybody go the short way again.
    pub(super) fn open(&self) {
        self.0.fetch_and(!SLOW, Ordering::Release);
    }

    /// Whether one more shared guard can be counted.
    pub(super) fn has_room(&self) -> bool {
        self.0.load(Ordering::Relaxed) & CROWDED == 0
    }

    /// Adds a guard on the long way, where the machine has seen that it may be there.
    pub(super) fn admit(&self, level: Level) {
        let guard = if level == Level::Exclusive { WRITER } else { READER };
        self.0.fetch_add(guard, Ordering::Acquire);
    }

    /// Notes the mode that guards can be had for.
    pub(super) fn set_level(&self, level: Level) {
        let bits = match level {
            Level::None | Level::Null => NO_SHARED | NO_EXCLUSIVE,
            Level::Shared => NO_EXCLUSIVE,
            Level::Exclusive => 0,
        };
        let now = self.0.load(Ordering::Relaxed) & (NO_SHARED | NO_EXCLUSIVE);
        // Nobody else changes these.
        self.0.fetch_xor(now ^ bits, Ordering::Release);
    }

    /// Notes that the lock is lost, for good.
    pub(super) fn lose(&self) {
        self.0.fetch_or(SLOW | LOST | NO_SHARED | NO_EXCLUSIVE, Ordering::AcqRel);
    }
}

#[cfg(test)]
#[cfg(not(dlm_model))]
impl Clone for Word {
    fn clone(&self) -> Self {
        Self(AtomicU64::new(self.0.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
#[cfg(not(dlm_model))]
impl Word {
    pub(super) fn without_hits(&self) -> Self {
        Self(AtomicU64::new(self.0.load(Ordering::Relaxed) & STATE))
    }
}

#[cfg(test)]
#[cfg(not(dlm_model))]
mod tests {
    use super::*;

    fn with(level: Level) -> Word {
        let word = Word::new();
        word.set_level(level);
        word
    }

    #[test]
    fn guards_enter_what_is_cached_and_exclude_each_other() {
        for level in [Level::None, Level::Null] {
            assert!(!with(level).enter_shared() && !with(level).enter_exclusive());
        }
        let word = with(Level::Shared);
        assert!(!word.enter_exclusive());
        assert!(word.enter_shared() && word.enter_shared());
        assert_eq!(word.users(), Users { readers: 2, writer: false });
        word.set_level(Level::Exclusive);
        assert!(!word.enter_exclusive(), "beside readers");
        assert!(!word.leave_shared() && !word.leave_shared());
        assert!(word.enter_exclusive());
        assert!(!word.enter_exclusive() && !word.enter_shared(), "beside a writer");
        assert!(!word.downgrade());
        assert_eq!(word.users(), Users { readers: 1, writer: false });
        assert!(!word.leave_shared());
        assert!(word.users().is_none());
        assert_eq!(word.hits(), 3);
    }

    #[test]
    fn a_barred_word_lets_nobody_in_and_tells_who_leaves() {
        let word = with(Level::Exclusive);
        assert!(word.enter_exclusive());
        assert!(word.bar().writer);
        assert!(word.leave_exclusive(), "somebody must look");
        assert!(!word.enter_exclusive() && !word.enter_shared());
        word.open();
        assert!(word.enter_shared());
    }

    #[test]
    fn a_lost_word_stays_lost() {
        let word = with(Level::Exclusive);
        assert!(word.enter_shared() && !word.is_lost());
        word.lose();
        assert!(word.is_lost() && word.leave_shared());
        word.open();
        assert!(!word.enter_shared() && !word.enter_exclusive());
    }

    #[test]
    fn too_many_shared_guards_do_not_spill() {
        let word = with(Level::Shared);
        let most = CROWDED / READER;
        for _ in 0..most {
            assert!(word.enter_shared());
        }
        assert!(!word.enter_shared() && !word.has_room());
        assert_eq!((word.users().readers, word.hits()), (most, most));
    }

    #[test]
    fn the_count_of_hits_goes_round_without_harm() {
        let word = Word(AtomicU64::new(!STATE));
        assert!(word.enter_exclusive());
        assert_eq!((word.hits(), word.users()), (0, Users { readers: 0, writer: true }));
    }
}
