//! What few locks have at one time.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::ops::{Deref, DerefMut};
use std::time::Instant;

use super::Queued;
use crate::cache::level::Level;

/// What a lock has while somebody waits for it, here or elsewhere, or after a failure.
#[derive(Debug, Clone, Hash)]
pub(super) struct Unrest<W> {
    pub(super) queue: VecDeque<Queued<W>>,
    /// What others leave of a grant which the machine has not been told of.
    pub(super) early: Option<(u64, Level)>,
    /// The time since when somebody waits on another node.
    pub(super) wanted_since: Option<Instant>,
    /// After a failure nothing is tried again before this time.
    pub(super) not_before: Option<Instant>,
}

/// The same, in little room while there is nothing of it.
#[derive(Debug, Clone)]
pub(super) struct Rare<W>(Option<Box<Unrest<W>>>);

impl<W: 'static> Unrest<W> {
    const NONE: Self =
        Self { queue: VecDeque::new(), early: None, wanted_since: None, not_before: None };
    const OF_NOTHING: &'static Self = &Self::NONE;

    fn is_none(&self) -> bool {
        let Self { queue, early, wanted_since, not_before } = self;
        queue.is_empty() && early.is_none() && wanted_since.is_none() && not_before.is_none()
    }
}

impl<W: 'static> Rare<W> {
    pub(super) const NONE: Self = Self(None);

    /// Gives back the room, if there is nothing.
    pub(super) fn tidy(&mut self) {
        self.0.take_if(|unrest| unrest.is_none());
    }
}

impl<W: 'static> Deref for Rare<W> {
    type Target = Unrest<W>;

    fn deref(&self) -> &Unrest<W> {
        self.0.as_deref().unwrap_or(Unrest::OF_NOTHING)
    }
}

impl<W: 'static> DerefMut for Rare<W> {
    fn deref_mut(&mut self) -> &mut Unrest<W> {
        self.0.get_or_insert_with(|| Box::new(Unrest::NONE))
    }
}

impl<W: Hash + 'static> Hash for Rare<W> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}
