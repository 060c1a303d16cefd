//! Who is there.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::num::NonZeroU16;
use std::sync::Arc;

use dlm_proto::{LockFlags, Mode, ValueBlock};

use super::bell::Bell;
use super::block::{Found, Kind};
use super::error::Error;
use super::request::{Request, Space, Way, holds, part};
use super::watch::Watch;
use crate::lock::Lock;
use crate::lockspace::Lockspace;

/// How often a look for a free place is taken, as others' looks take places for a moment.
const LOOKS: usize = 3;

/// The programs of a cluster that are there: each joins under a name, and the others see it come, leave
/// and die.
///
/// Each member holds a lock on one of a number of places, the resources `NAME#0` and so on, with its name
/// in the value block. All programs must give the same number of places, some more than there are members:
/// a look at the members takes a free place for a moment.
///
#[cfg_attr(feature = "engine", doc = "```")]
#[cfg_attr(not(feature = "engine"), doc = "```ignore")]
/// # use dlm_runtime::{engine::Cluster, Lockspace};
/// # let lockspace = Lockspace::create_on(Cluster::default().node(1), "example")?;
/// use dlm_runtime::sync::{Change, Presence};
/// use std::num::NonZeroU16;
///
/// let places = NonZeroU16::new(16).ok_or("no places")?;
/// let workers = Presence::open(&lockspace, "workers", places).wait()?;
/// let membership = workers.join("worker-1").wait()?;
/// assert_eq!(workers.members().wait()?[0].name(), "worker-1");
///
/// let mut watch = workers.watch().wait()?;
/// assert!(matches!(watch.next_change().wait()?, Change::Joined(_)));
/// membership.leave().wait()?;
/// assert!(matches!(watch.next_change().wait()?, Change::Left(_)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # When a node dies
///
/// Its members are there until it was fenced; then each watch tells [`Change::Died`](super::Change::Died). So it does of a
/// member whose program died, or dropped its [`Membership`]. A member that dies while it joins may never
/// be seen. If the node that keeps the name dies at the same time, [`Change::Died`](super::Change::Died) comes all the same.
#[derive(Clone)]
pub struct Presence {
    pub(super) places: Places,
    pub(super) bell: Arc<Bell>,
}

/// The places of members.
#[derive(Clone)]
pub(super) struct Places {
    pub(super) space: Space,
    name: Arc<[u8]>,
    pub(super) count: u16,
}

/// A member of a [`Presence`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Member {
    name: String,
    place: u16,
    /// Tells it from another one of its name.
    incarnation: u32,
}

/// The presence of this program, from [`Presence::join`]. Dropped without [`leave`](Self::leave) the member
/// has died, to others.
#[must_use = "the member is gone when this is dropped"]
pub struct Membership {
    lock: Lock,
    member: Member,
}

/// A member's state, in its block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Absent = 0,
    Present = 1,
}

impl Presence {
    /// The longest name of a member, in bytes.
    pub const MAX_NAME: usize = 20;

    /// Opens a presence of so many places, of a name of up to 58 bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Lock`]
    pub fn open(
        lockspace: &Lockspace,
        name: impl AsRef<[u8]>,
        places: NonZeroU16,
    ) -> Request<'static, Self> {
        let (space, name) = (Space::of(lockspace), Arc::<[u8]>::from(name.as_ref()));
        Request::new(move |way| async move {
            let bell = part(&name, "bell").into();
            let bell = Arc::new(Bell::open(way, space.clone(), bell, Kind::DOORBELL).await?);
            Ok(Self { places: Places { space, name, count: places.get() }, bell })
        })
    }

    /// Joins, and waits until all who watch have been told. Several members may have one name.
    ///
    /// A future that is dropped has not joined; if it was about to, others may have seen a member die.
    ///
    /// # Errors
    ///
    /// [`Error::NameTooLong`], [`Error::Full`], [`Error::Lock`], [`Error::OtherKind`].
    pub fn join(&self, name: &str) -> Request<'_, Membership> {
        let name = name.to_owned();
        Request::new(move |way| async move {
            if name.len() > Self::MAX_NAME {
                return Err(Error::NameTooLong);
            }
            let (place, lock) = self.find_place(way).await?;
            Kind::MEMBER.open(lock.lvb())?;
            let member = Member { name, place, incarnation: random() };
            // From EX to PW: now others can read it, and none can have the place.
            way.convert(lock.convert(Mode::Pw).write_lvb(member.block(State::Present))).await?;
            let membership = Membership { lock, member };
            self.bell.ring(way).await?;
            Ok(membership)
        })
    }

    async fn find_place(&self, way: Way) -> Result<(u16, Lock), Error> {
        for _ in 0..LOOKS {
            for place in 0..self.places.count {
                let request = self.places.lock(place, Mode::Ex).with_lvb();
                if let Some(lock) = way.try_lock(request).await? {
                    return Ok((place, lock));
                }
            }
        }
        Err(Error::Full)
    }

    /// The members that are there now, in the order of their places.
    ///
    /// # Errors
    ///
    /// [`Error::Lock`], [`Error::OtherKind`]
    pub fn members(&self) -> Request<'_, Vec<Member>> {
        Request::new(move |way| async move {
            let mut members = Vec::new();
            for place in 0..self.places.count {
                if self.places.is_taken(way, place).await? {
                    members.extend(self.places.read(way, place).await?);
                }
            }
            Ok(members)
        })
    }

    /// Watches members come and go. Those who are there come first.
    ///
    /// # Errors
    ///
    /// [`Error::Lock`]
    pub fn watch(&self) -> Request<'_, Watch> {
        Request::new(move |_| async move { Ok(Watch::new(self.clone())) })
    }

    /// Whether it can still be joined: the lockspace has not been closed or removed.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.bell.is_valid()
    }
}

impl Places {
    pub(super) fn lock(&self, place: u16, mode: Mode) -> crate::LockRequest<'_> {
        self.space.lock(part(&self.name, &place.to_string()), mode)
    }

    /// Whether somebody has it.
    pub(super) async fn is_taken(&self, way: Way, place: u16) -> Result<bool, Error> {
        match way.try_lock(self.lock(place, Mode::Pr)).await? {
            Some(free) => way.unlock(free.unlock()).await.map(|()| false).map_err(Into::into),
            None => Ok(true),
        }
    }

    /// The member in a place that is taken, unless it has gone meanwhile.
    pub(super) async fn read(&self, way: Way, place: u16) -> Result<Option<Member>, Error> {
        // Past those who wait for the place, and not beside somebody who is about to write.
        let request = self.lock(place, Mode::Cr).with_lvb().flags(LockFlags::NOORDER);
        let lock = way.lock(request).await?;
        let found = Kind::MEMBER.open(lock.lvb())?;
        way.unlock(lock.unlock()).await?;
        let member = found.valid().and_then(|block| Member::parse(place, &block));
        Ok(member.and_then(|(state, member)| (state == State::Present).then_some(member)))
    }
}

impl fmt::Debug for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presence")
            .field("lockspace", &self.places.space)
            .field("name", &String::from_utf8_lossy(&self.places.name))
            .field("places", &self.places.count)
            .finish_non_exhaustive()
    }
}

impl Member {
    /// The name under which it has joined.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its place. No two members have the same at the same time.
    #[must_use]
    pub const fn place(&self) -> u16 {
        self.place
    }

    /// State, length of the name, two bytes of nothing, incarnation, name.
    fn block(&self, state: State) -> ValueBlock {
        let len = u8::try_from(self.name.len()).unwrap_or(0);
        let head = [state as u8, len, 0, 0];
        Kind::MEMBER
            .block(&[&head, &self.incarnation.to_le_bytes()[..], self.name.as_bytes()].concat())
    }

    fn parse(place: u16, block: &ValueBlock) -> Option<(State, Self)> {
        let [_, _, _, _, state, len, _, _, a, b, c, d, name @ ..] = &block.0;
        let state = if *state == State::Present as u8 { State::Present } else { State::Absent };
        let name = String::from_utf8_lossy(name.get(..usize::from(*len))?).into_owned();
        let incarnation = u32::from_le_bytes([*a, *b, *c, *d]);
        Some((state, Self { name, place, incarnation }))
    }

    /// Whether a block that was found when its place was free says that it has left.
    pub(super) fn has_left(&self, found: Found<ValueBlock>) -> bool {
        let left = found.valid().and_then(|block| Self::parse(self.place, &block));
        left.is_some_and(|(state, member)| state == State::Absent && member == *self)
    }
}

impl Membership {
    /// The member that this program is, as others see it.
    #[must_use]
    pub const fn member(&self) -> &Member {
        &self.member
    }

    /// Whether it is still there: the lockspace has not been closed or removed.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        holds(&self.lock, Mode::Pw)
    }

    /// Leaves, and waits until that is done. Those who watch are told that it has left.
    ///
    /// # Errors
    ///
    /// [`Error::Lock`]. It is not there any more all the same.
    pub fn leave(self) -> Request<'static, ()> {
        Request::new(move |way| async move {
            let absent = self.member.block(State::Absent);
            Ok(way.unlock(self.lock.unlock().write_lvb(absent)).await?)
        })
    }
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Membership").field("member", &self.member).finish_non_exhaustive()
    }
}

/// A number that no two members have, for all practical purposes.
fn random() -> u32 {
    let [a, b, c, d, ..] = RandomState::new().build_hasher().finish().to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_in_its_block() {
        for name in ["", "worker-1", "twenty bytes of name"] {
            let member = Member { name: name.to_owned(), place: 3, incarnation: 0x8000_0001 };
            let parse = |state| Member::parse(3, &member.block(state));
            assert_eq!(parse(State::Present), Some((State::Present, member.clone())));
            assert_eq!(parse(State::Absent), Some((State::Absent, member.clone())));
            assert!(member.has_left(Found::Valid(member.block(State::Absent))));
            assert!(!member.has_left(Found::Valid(member.block(State::Present))));
            assert!(!member.has_left(Found::Lost(Some(member.block(State::Absent)))));
            let other = Member { incarnation: 1, ..member.clone() };
            assert!(!member.has_left(Found::Valid(other.block(State::Absent))));
        }
    }
}
