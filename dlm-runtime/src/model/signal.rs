//! Stand-ins for descriptors in a schedule, with the names of the [real ones](crate::signal).

use std::marker::PhantomData;
use std::time::Instant;

use super::clock::{Readable, World, epoch};
use crate::threads::lock;

/// As many as the real one.
const MOST: usize = 8;

/// Which of them are readable.
pub type Ready = [bool; MOST];

/// Something to wait for.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    index: usize,
    owner: PhantomData<&'a ()>,
}

pub(crate) trait AsFd {
    fn as_fd(&self) -> Source<'_>;
}

/// Readable from when it is set until it is cleared.
#[derive(Debug)]
pub struct Signal(usize);

/// Several sources.
#[derive(Debug, Clone, Copy)]
pub struct Sources {
    indices: [usize; MOST],
    count: usize,
}

#[derive(Debug)]
pub(crate) struct Timer(usize);

#[derive(Debug)]
pub(crate) struct PollSet(usize);

fn new(readable: Readable) -> usize {
    let world = World::current();
    let mut state = lock(&world.state);
    state.readable.push(readable);
    state.edges.push(0);
    state.readable.len() - 1
}

fn change(index: usize, to: Readable) {
    let world = World::current();
    {
        let mut state = lock(&world.state);
        state.readable[index] = to;
        state.edges[index] += 1;
    }
    world.changed.notify_all();
}

impl Signal {
    /// One that is not set.
    ///
    /// # Errors
    ///
    /// None; the real one has some.
    pub fn new() -> nix::Result<Self> {
        Ok(Self(new(Readable::Set(false))))
    }

    /// Sets it.
    pub fn set(&self) {
        change(self.0, Readable::Set(true));
    }

    pub(crate) fn clear(&self) {
        let world = World::current();
        lock(&world.state).readable[self.0] = Readable::Set(false);
    }

    /// Sleeps until it is set.
    pub(super) fn wait(&self) {
        let _ = wait_any(&[self.as_fd()], None);
    }

    /// Sleeps until it is set, or until the deadline, and clears it.
    pub fn take(&self, deadline: Option<Instant>) {
        let _ = wait_any(&[self.as_fd()], deadline);
        self.clear();
    }
}

impl Sources {
    /// These.
    #[must_use]
    pub fn new(sources: &[Source<'_>]) -> Self {
        let mut indices = [0; MOST];
        indices.iter_mut().zip(sources).for_each(|(index, source)| *index = source.index);
        Self { indices, count: sources.len() }
    }

    /// Sleeps until one of them is readable, or the deadline passes.
    ///
    /// # Errors
    ///
    /// None; the real one has some.
    pub fn wait(&self, deadline: Option<Instant>) -> nix::Result<Ready> {
        let sources = self.indices.map(|index| Source { index, owner: PhantomData });
        wait_any(&sources[..self.count], deadline)
    }
}

impl Timer {
    pub(crate) fn new() -> nix::Result<Self> {
        Ok(Self(new(Readable::From(None))))
    }

    pub(crate) fn set(&self, at: Option<Instant>) -> nix::Result<()> {
        change(self.0, Readable::From(at.map(|at| at.saturating_duration_since(epoch()))));
        Ok(())
    }
}

impl PollSet {
    pub(crate) fn new(sources: &[Source<'_>]) -> nix::Result<Self> {
        Ok(Self(new(Readable::Any(sources.iter().map(|source| source.index).collect()))))
    }

    pub(crate) fn add(&self, source: &Source<'_>) -> nix::Result<()> {
        let world = World::current();
        if let Readable::Any(sources) = &mut lock(&world.state).readable[self.0] {
            sources.push(source.index);
        }
        world.changed.notify_all();
        Ok(())
    }
}

/// Sleeps until a source becomes readable once more, as an edge-triggered poll does. `seen`: how
/// often it has become so before.
pub(super) fn wait_edge(source: Source<'_>, seen: u64) -> u64 {
    let world = World::current();
    let mut state = lock(&world.state);
    while state.edges(source.index) <= seen || !state.is_readable(source.index) {
        state = world.changed.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
    }
    state.edges(source.index)
}

macro_rules! as_fd {
    ($($of:ty),+) => {
        $(impl AsFd for $of {
            fn as_fd(&self) -> Source<'_> {
                Source { index: self.0, owner: PhantomData }
            }
        })+
    };
}

as_fd!(Signal, Timer, PollSet);

/// Sleeps until one of the sources is readable, or the deadline passes.
pub(crate) fn wait_any(sources: &[Source<'_>], deadline: Option<Instant>) -> nix::Result<Ready> {
    let world = World::current();
    let mut state = lock(&world.state);
    let end = deadline.map(|at| at.saturating_duration_since(epoch()));
    loop {
        let mut ready = [false; MOST];
        for (ready, source) in ready.iter_mut().zip(sources) {
            *ready = state.is_readable(source.index);
        }
        if ready.contains(&true) || end.is_some_and(|end| end <= state.now) {
            return Ok(ready);
        }
        state = world.changed.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
    }
}
