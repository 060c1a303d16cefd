//! Numbers that look random and follow from a seed: the one generator of tests, faults and the
//! engine's network, so that a seed that was written down means the same for ever.
//!
//! It is SplitMix64 (Steele, Lea and Flood, 2014): a counter, stirred. Good for choosing, and for
//! nothing that must be secret.

#![no_std]
#![forbid(unsafe_code)]

/// The distance from one state to the next.
pub const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The number that belongs to a state.
#[must_use]
pub const fn stir(state: u64) -> u64 {
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A sequence of numbers.
#[derive(Debug, Clone, Default)]
pub struct Random(u64);

impl Random {
    /// The sequence that follows from a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub const fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        stir(self.0)
    }

    /// Any byte.
    pub const fn byte(&mut self) -> u8 {
        let [.., byte, _, _, _] = self.number().to_le_bytes();
        byte
    }

    /// A number below `end`, or 0.
    pub const fn below(&mut self, end: u64) -> u64 {
        match self.number().checked_rem(end) {
            Some(number) => number,
            None => 0,
        }
    }

    /// A place in a list of this length, or 0.
    pub fn index(&mut self, len: usize) -> usize {
        let end = u64::try_from(len).unwrap_or(u64::MAX);
        usize::try_from(self.below(end)).unwrap_or(0)
    }

    /// True in so many cases of a hundred.
    pub const fn percent(&mut self, share: u64) -> bool {
        self.below(100) < share
    }

    /// One of these, if there is any.
    pub fn of<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        choices.get(self.index(choices.len()))
    }

    /// One of these.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[track_caller]
    #[expect(clippy::panic, reason = "a mistake of the caller, who is told")]
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        match self.of(choices) {
            Some(choice) => choice,
            None => panic!("there is nothing to choose from"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_published_numbers_each_time() {
        let numbers = |seed| {
            let mut random = Random::new(seed);
            [random.number(), random.number(), random.number()]
        };
        assert_eq!(numbers(7), numbers(7));
        assert_ne!(numbers(7), numbers(8));
        assert_eq!(
            numbers(0),
            [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f]
        );
    }

    #[test]
    fn all_that_can_be_chosen_is() {
        let mut random = Random::new(5);
        let mut seen = [false; 7];
        for _ in 0..200 {
            seen[random.index(7)] = true;
            assert!(random.below(3) < 3 && !random.percent(0) && random.percent(100));
        }
        assert_eq!(seen, [true; 7]);
        assert_eq!(random.of::<u8>(&[]), None);
        assert_eq!((random.below(0), random.index(0)), (0, 0));
        assert_eq!(random.pick(&[4]), &4);
    }
}
