//! Members that come and go.

use std::collections::VecDeque;
use std::fmt;

use dlm_proto::Mode;

use super::bell::Numbers;
use super::block::Kind;
use super::error::Error;
use super::presence::{Member, Presence};
use super::request::{Request, Way};
use crate::several::{Event, Pending};

/// What has happened to a member.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Change {
    /// It is there.
    Joined(Member),
    /// It has left.
    Left(Member),
    /// It is gone without having left.
    Died(Member),
}

/// The changes among the members of a [`Presence`], from [`Presence::watch`].
///
/// For each member it waits in line for its place. While nobody asks it for changes, places of members
/// that have gone are not free for others.
pub struct Watch {
    presence: Presence,
    /// What the bell said when all places were looked at.
    heard: Option<Numbers>,
    /// The members, and at the same index the request for each one's place.
    members: Vec<Member>,
    requests: Vec<Pending>,
    /// What is to be told.
    changes: VecDeque<Change>,
}

impl Watch {
    pub(super) const fn new(presence: Presence) -> Self {
        Self {
            presence,
            heard: None,
            members: Vec::new(),
            requests: Vec::new(),
            changes: VecDeque::new(),
        }
    }

    /// Waits for the next change.
    ///
    /// A future that is dropped has lost nothing: the next one tells it.
    ///
    /// # Errors
    ///
    /// [`Error::Lock`], [`Error::OtherKind`]
    pub fn next_change(&mut self) -> Request<'_, Change> {
        Request::new(move |way| async move {
            loop {
                if let Some(change) = self.changes.pop_front() {
                    return Ok(change);
                }
                self.look(way).await?;
            }
        })
    }

    /// Waits until something may have changed, and finds out what.
    async fn look(&mut self, way: Way) -> Result<(), Error> {
        let (bell, rung) = self.presence.bell.watch(way).await?;
        if self.heard != Some(rung) {
            way.unlock(bell.unlock()).await?;
            self.look_for_new(way).await?;
            self.heard = Some(rung);
            return Ok(());
        }
        let space = &self.presence.places.space;
        let event = way.first(space, &mut self.requests, Some(&bell)).await?;
        let Event::Ended(index, lock) = event else {
            return Ok(way.unlock(bell.unlock()).await?);
        };
        let member = self.members.swap_remove(index);
        drop(self.requests.swap_remove(index));
        let lock = match lock {
            Ok(lock) => lock,
            Err(error) => {
                // Another look finds it again, or finds that it has gone.
                self.heard = None;
                return Err(error.into());
            }
        };
        // Somebody else may use the place for something else by now.
        let found = Kind::MEMBER.open(lock.lvb()).ok();
        let has_left = found.is_some_and(|found| member.has_left(found));
        self.changes.push_back(if has_left { Change::Left(member) } else { Change::Died(member) });
        way.unlock(lock.unlock()).await?;
        Ok(way.unlock(bell.unlock()).await?)
    }

    /// Looks at all places whose members it does not know.
    async fn look_for_new(&mut self, way: Way) -> Result<(), Error> {
        let places = &self.presence.places;
        for place in 0..places.count {
            let is_known = self.members.iter().any(|member| member.place() == place);
            if is_known || !places.is_taken(way, place).await? {
                continue;
            }
            // In line first: nobody else can have the place before this has seen it free.
            let request = Pending::start(places.lock(place, Mode::Pr).with_lvb())?;
            if let Some(member) = places.read(way, place).await? {
                self.changes.push_back(Change::Joined(member.clone()));
                self.members.push(member);
                self.requests.push(request);
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("presence", &self.presence)
            .field("members", &self.members)
            .finish_non_exhaustive()
    }
}
