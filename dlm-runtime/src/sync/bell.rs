//! A value block whose changes are told to all who watch it.

use std::fmt;

use dlm_proto::Mode;

use super::block::{Found, Kind};
use super::error::Error;
use super::request::{Space, Way, holds};
use crate::lock::Lock;

/// How far the number of a ring jumps when the last one was lost, so that it is none that anybody has seen.
const JUMP: u64 = 1 << 32;

/// A resource with two numbers. Who changes them asks for EX; that tells those who hold PR, and they
/// let go and ask anew, behind it. A conversion down and up again would overtake it, and it would
/// wait for ever.
pub(super) struct Bell {
    space: Space,
    name: Box<[u8]>,
    kind: Kind,
    /// Keeps the block.
    anchor: Lock,
}

/// What is on a bell.
pub(super) type Numbers = Found<[u64; 2]>;

impl Bell {
    pub(super) async fn open(
        way: Way,
        space: Space,
        name: Box<[u8]>,
        kind: Kind,
    ) -> Result<Self, Error> {
        let anchor = way.lock(space.anchor(&name)).await?;
        Ok(Self { space, name, kind, anchor })
    }

    pub(super) fn is_valid(&self) -> bool {
        holds(&self.anchor, Mode::Nl)
    }

    /// Changes the numbers. When this returns, all who watched have been told.
    pub(super) async fn change<T: Send>(
        &self,
        way: Way,
        change: impl FnOnce(Numbers) -> Result<([u64; 2], T), Error> + Send,
    ) -> Result<T, Error> {
        let lock = way.lock(self.space.lock(&self.name, Mode::Ex).with_lvb()).await?;
        let (numbers, told) = change(self.kind.open_numbers(lock.lvb())?)?;
        way.unlock(lock.unlock().write_lvb(self.kind.numbers(numbers))).await?;
        Ok(told)
    }

    /// Changes the first number to one that nobody has seen, greater than all that are known.
    pub(super) async fn ring(&self, way: Way) -> Result<u64, Error> {
        self.change(way, |found| {
            let number = match found {
                Found::Fresh => Some(1),
                Found::Valid([last, _]) => last.checked_add(1),
                Found::Lost(last) => last.map_or(0, |[last, _]| last).checked_add(JUMP),
            };
            let number = number.ok_or(Error::Exhausted)?;
            Ok(([number, 0], number))
        })
        .await
    }

    /// Reads the numbers. Who changes them waits for the lock to go, and that is noticed.
    pub(super) async fn watch(&self, way: Way) -> Result<(Lock, Numbers), Error> {
        let request = self.space.lock(&self.name, Mode::Pr).with_lvb().note_blocking();
        let lock = way.lock(request).await?;
        let numbers = self.kind.open_numbers(lock.lvb())?;
        Ok((lock, numbers))
    }

    /// Waits until the numbers are what `find` looks for.
    pub(super) async fn wait<T: Send>(
        &self,
        way: Way,
        mut find: impl FnMut(Numbers) -> Option<Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        loop {
            let (lock, numbers) = self.watch(way).await?;
            if let Some(found) = find(numbers) {
                way.unlock(lock.unlock()).await?;
                return found;
            }
            way.first(&self.space, &mut [], Some(&lock)).await?;
            way.unlock(lock.unlock()).await?;
        }
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bell")
            .field("lockspace", &self.space)
            .field("name", &String::from_utf8_lossy(&self.name))
            .finish_non_exhaustive()
    }
}
