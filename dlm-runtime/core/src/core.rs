//! The core of one open lockspace.

use alloc::vec::Vec;

use dlm_proto::{Abi, Cookies, LockId, LockStatus, Mode, ResourceName, Token};

use crate::alarms::Alarms;
use crate::entry::Entry;
use crate::index::{Index, hash_bytes, hash_number};

use crate::operation::{Ended, Failure, Kind, Lvb, Operation, Rejected};
use crate::submission::{Ticket, What};
use crate::table::Table;

/// The set of rules for what may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rules {
    /// Whatever the kernel would refuse, ignore or be harmed by is refused.
    Checked,
    /// The kernel decides, as for callers of C libdlm. Only what harms it is refused.
    AsAsked,
}

/// The options of a core.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The layout of requests and results.
    pub abi: Abi,
    /// The process: comes back in each result, and tells ours from those of a process that shares
    /// the device. Not 0.
    pub owner: u32,
    /// The set of rules for what may be asked for.
    pub rules: Rules,
    /// Locks are looked up by the kernel's id ([`Core::by_id`]).
    pub has_ids: bool,
    /// Granted resources are looked up by name ([`Core::knows_resource`]).
    pub has_names: bool,
}

/// Counts of what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Lock requests that the kernel has accepted, adoptions of orphans among them.
    pub requests: u64,
    /// Conversions that it has accepted.
    pub conversions: u64,
    /// Unlocks that it has accepted, also those of dropped locks.
    pub unlocks: u64,
    /// Cancels that it has accepted.
    pub cancels: u64,
    /// Requests and conversions that were granted.
    pub grants: u64,
    /// Requests and conversions that ended otherwise.
    pub refusals: u64,
    /// Blocking notices.
    pub blocking_notices: u64,
    /// Results that belonged to no lock of this core.
    pub dropped_results: u64,
}

impl Counts {
    /// A submission was accepted.
    #[inline]
    pub(crate) const fn count(&mut self, what: What) {
        match what {
            What::Request | What::Adopt => self.requests += 1,
            What::Convert => self.conversions += 1,
            What::Unlock | What::Release => self.unlocks += 1,
            What::Cancel { .. } => self.cancels += 1,
        }
    }

    /// An operation has ended.
    #[inline]
    pub(crate) const fn count_end(&mut self, kind: Kind, status: LockStatus) {
        match (kind, status) {
            (Kind::Unlock, _) => {}
            (_, LockStatus::Granted) => self.grants += 1,
            _ => self.refusals += 1,
        }
    }
}

/// The core of one open lockspace. `O` is what the driver keeps for an operation, `L` what it keeps
/// for a lock; see the [crate].
#[derive(Debug)]
pub struct Core<O, L> {
    pub(crate) abi: Abi,
    pub(crate) owner: u32,
    pub(crate) rules: Rules,
    pub(crate) table: Table<Entry<O, L>>,
    pub(crate) alarms: Alarms,
    pub(crate) indices: Indices,
    pub(crate) counts: Counts,
    pub(crate) in_flight: usize,
    pub(crate) noticed: usize,
    pub(crate) left_over: usize,
    pub(crate) released: usize,
    pub(crate) is_shared: bool,
    pub(crate) has_ended: bool,
    /// It is about to end: see [`Core::begin_end`].
    pub(crate) is_ending: bool,
    /// Plain operations can be begun: see [`Core::lock_plain`].
    pub(crate) may_be_plain: bool,
}

/// What locks are looked up by beside their token.
#[derive(Debug)]
pub(crate) struct Indices {
    ids: Option<Index>,
    names: Option<Index>,
    are_kept: bool,
}

impl Indices {
    fn new(has_ids: bool, has_names: bool) -> Self {
        Self {
            ids: has_ids.then(Index::default),
            names: has_names.then(Index::default),
            are_kept: has_ids || has_names,
        }
    }

    /// Whether there is any.
    #[inline]
    pub(crate) const fn are_kept(&self) -> bool {
        self.are_kept
    }

    /// A lock was granted whose request is not in flight any more.
    #[inline(always)]
    pub(crate) fn enter<O, L>(&mut self, entry: &mut Entry<O, L>, token: Token) {
        if self.are_kept {
            self.add(entry, token);
        }
    }

    #[inline(never)]
    fn add<O, L>(&mut self, entry: &mut Entry<O, L>, token: Token) {
        let id = entry.state.id().0;
        if let Some(ids) = self.ids.as_mut().filter(|_| !entry.has_id && id != 0) {
            entry.has_id = true;
            ids.insert(hash_number(id), token.index());
        }
        if let Some(names) = self.names.as_mut().filter(|_| !entry.is_listed) {
            entry.is_listed = true;
            names.insert(hash_bytes(&entry.name), token.index());
        }
    }

    /// A lock is being unlocked, or is gone.
    #[inline(always)]
    pub(crate) fn leave<O, L>(&mut self, entry: &mut Entry<O, L>, token: Token) {
        if entry.has_id | entry.is_listed {
            self.remove(entry, token);
        }
    }

    #[inline(never)]
    fn remove<O, L>(&mut self, entry: &mut Entry<O, L>, token: Token) {
        if let Some(ids) = self.ids.as_mut().filter(|_| entry.has_id) {
            entry.has_id = false;
            ids.remove(token.index());
        }
        if let Some(names) = self.names.as_mut().filter(|_| entry.is_listed) {
            entry.is_listed = false;
            names.remove(token.index());
        }
    }
}

/// A view of one lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockView {
    /// The kernel's id; 0 while it is not known.
    pub id: LockId,
    /// The mode that is held.
    pub mode: Option<Mode>,
    /// The operation in flight.
    pub op: Option<Operation>,
    /// An operation waits until it can be written.
    pub has_queued: bool,
    /// The number of the operation in flight, or of the last one.
    pub serial: u64,
    /// The end of an operation has not been taken: see [`Core::take_outcome`].
    pub has_outcome: bool,
    /// The lock becomes an orphan when its device is closed.
    pub is_persistent: bool,
    /// The operation in flight ends by itself, any moment.
    pub ends_by_itself: bool,
    /// A cancel was asked for or sent for the operation in flight.
    pub is_cancelled: bool,
    /// The strongest mode that somebody was told to wait for since the last grant.
    pub blocked: Option<Mode>,
    /// The number of the request or conversion that was granted last; 0 before.
    pub granted: u64,
    /// The kernel sends blocking notices.
    pub has_notices: bool,
    /// Nobody wants the lock any more.
    pub is_released: bool,
    /// The last request for it was made by this process.
    pub is_own: bool,
}

impl<O, L: Default> Core<O, L> {
    /// An open lockspace without locks.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let Options { abi, owner, rules, has_ids, has_names } = options;
        Self {
            abi,
            owner: owner.max(1),
            rules,
            table: Table::new(abi.width),
            alarms: Alarms::default(),
            indices: Indices::new(has_ids, has_names),
            counts: Counts::default(),
            in_flight: 0,
            noticed: 0,
            left_over: 0,
            released: 0,
            is_shared: false,
            has_ended: false,
            is_ending: false,
            may_be_plain: abi == Abi::V6_64,
        }
    }

    /// The number of locks and requests.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Counts of what happened.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Operations in flight, and locks with blocking notices: while there is none, nothing of this
    /// core can be there to read.
    #[inline]
    #[must_use]
    pub const fn expected(&self) -> usize {
        self.in_flight + self.noticed
    }

    /// Locks that nobody wants any more and whose unlock the kernel has not accepted, and
    /// conversions that were given up and have not ended. Somebody must read results and look at
    /// the alarms while there are any.
    #[inline]
    #[must_use]
    pub const fn left_over(&self) -> usize {
        self.left_over
    }

    /// Whether [`Core::set_shared`] was called.
    #[inline]
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// Locks that have blocking notices.
    #[inline]
    #[must_use]
    pub const fn noticed(&self) -> usize {
        self.noticed
    }

    /// Locks that nobody wants any more and that are still there.
    #[inline]
    #[must_use]
    pub const fn released(&self) -> usize {
        self.released
    }

    /// Whether this lock was released and is still there.
    #[must_use]
    pub fn is_released(&self, token: Token) -> bool {
        self.table.get(token).is_some_and(|entry| entry.is_released)
    }

    /// Whether [`Core::end`] was called.
    #[inline]
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// A view of a lock.
    #[must_use]
    pub fn view(&self, token: Token) -> Option<LockView> {
        self.table.get(token).map(|entry| {
            let state = &entry.state;
            LockView {
                id: state.id(),
                mode: entry.held(),
                op: state.op(),
                has_queued: entry.queued.is_some(),
                serial: entry.serial,
                has_outcome: entry.outcome.is_some(),
                is_persistent: state.is_persistent(),
                ends_by_itself: state.ends_by_itself(),
                is_cancelled: state.cancel() != crate::lock_state::Cancel::None,
                blocked: entry.blocked,
                granted: entry.granted,
                has_notices: entry.has_notices,
                is_released: entry.is_unwanted(),
                is_own: entry.owner == self.owner,
            }
        })
    }

    /// The id that the kernel has for a lock; 0 if it is not known.
    #[must_use]
    pub fn id(&self, token: Token) -> LockId {
        self.table.get(token).map_or(LockId(0), |entry| entry.state.id())
    }

    /// The mode that a lock holds.
    #[inline]
    #[must_use]
    pub fn mode(&self, token: Token) -> Option<Mode> {
        self.table.get(token).and_then(Entry::held)
    }

    /// The value block as the last operation that moved it left it.
    #[must_use]
    pub fn lvb(&self, token: Token) -> Option<Lvb> {
        self.table.get(token).and_then(|entry| entry.state.known_lvb())
    }

    /// The resource of a lock.
    #[must_use]
    pub fn name(&self, token: Token) -> Option<&ResourceName> {
        self.table.get(token).map(|entry| &entry.name)
    }

    /// The driver's data for a lock.
    #[inline]
    pub fn face_mut(&mut self, token: Token) -> Option<&mut L> {
        self.table.get_mut(token).map(|entry| &mut entry.face)
    }

    /// What the driver keeps for the operation of this number, if it is the one in flight and was not
    /// given up.
    #[inline]
    #[must_use]
    pub fn user(&self, token: Token, serial: u64) -> Option<&O> {
        let entry = self.table.get(token)?;
        entry.user.as_ref().filter(|_| entry.serial == serial)
    }

    /// What the driver keeps for the operation of this number, unless it was given up.
    pub fn user_mut(&mut self, token: Token, serial: u64) -> Option<&mut O> {
        // A plain one stays plain: one user takes the place of the other.
        let entry = self.table.get_as_it_is(token)?;
        if entry.serial == serial && entry.state.op().is_some() {
            return entry.user.as_mut();
        }
        if let Some(under) = entry.under.as_mut().filter(|under| under.serial == serial) {
            return under.user.as_mut();
        }
        let queued = entry.queued.as_mut().filter(|queued| queued.serial == serial)?;
        queued.user.as_mut()
    }

    /// The tokens of all locks and requests.
    #[must_use]
    pub fn tokens(&self) -> Vec<Token> {
        self.table.iter().map(|(token, _)| token).collect()
    }

    /// Keeps the end of the operation of this number for the thread or task that waits for it.
    #[inline]
    pub fn keep(&mut self, token: Token, serial: u64, outcome: Result<Ended, Failure>) {
        if let Some(entry) = self.table.get_mut(token) {
            entry.keep(serial, outcome);
        }
    }

    /// Whether this very operation has not ended yet.
    #[inline]
    #[must_use]
    pub fn is_in_flight(&self, token: Token, serial: u64) -> bool {
        self.table.get(token).is_some_and(|entry| entry.is_in_flight(serial))
    }

    /// Whether the end of this operation was kept.
    #[must_use]
    pub fn has_outcome(&self, token: Token, serial: u64) -> bool {
        self.table.get(token).is_some_and(|entry| entry.has_outcome(serial))
    }

    /// Takes the end that was kept, and the value block if the operation moved it. [`Core::settle`]
    /// follows if the lock is gone.
    pub fn take_outcome(
        &mut self,
        token: Token,
        serial: u64,
    ) -> Option<Result<(Ended, Option<Lvb>), Failure>> {
        if self.is_plain(token) {
            // Nothing is kept for it, and it stays plain.
            return None;
        }
        self.table.get_mut(token)?.take_outcome(serial)
    }

    /// Removes a lock that is gone, when everybody was told. What was kept for it is handed out to
    /// be dropped when nothing is locked. `None`: it is not gone, or not there.
    #[inline]
    pub fn settle(&mut self, token: Token) -> Option<L> {
        let entry = self.table.get_mut(token)?;
        let is_awaited = entry.is_given_up && !entry.is_released;
        if !entry.is_finished() || entry.outcome.is_some() || is_awaited {
            return None;
        }
        Some(self.remove(token))
    }

    pub(crate) fn remove(&mut self, token: Token) -> L {
        self.forget(token);
        self.remove_in_place(token).map(core::mem::take).unwrap_or_default()
    }

    /// Removes a lock of which [`Usual::can_settle`](crate::Usual::can_settle) says that it can be
    /// removed. What is kept for it stays until another one takes its place.
    #[inline]
    pub fn remove_in_place(&mut self, token: Token) -> Option<&mut L> {
        let entry = self.table.remove(token)?;
        if entry.has_notices {
            self.noticed -= 1;
            entry.has_notices = false;
        }
        if entry.is_left_over {
            self.left_over -= 1;
            entry.is_left_over = false;
        }
        if entry.is_released {
            self.released -= 1;
            entry.is_released = false;
        }
        Some(&mut entry.face)
    }

    /// Works out whether a released lock waits for something that must be written, or a conversion
    /// that was given up for its end.
    pub(crate) fn update_left_over(&mut self, token: Token) {
        let Some(entry) = self.table.get_mut(token) else { return };
        let is_ending = entry.state.op().is_some_and(|op| op.kind == Kind::Unlock);
        let is_gone = entry.is_finished() && !entry.is_writing;
        let is_unwanted = entry.is_unwanted() && (entry.is_writing || !is_ending) && !is_gone;
        let is_converting = entry.state.op().is_some_and(|op| op.kind == Kind::Convert);
        let is_left_over = is_unwanted || is_converting && entry.user.is_none();
        self.left_over += usize::from(is_left_over);
        self.left_over -= usize::from(entry.is_left_over);
        entry.is_left_over = is_left_over;
    }

    /// The words that name a lock in requests and results.
    #[inline]
    pub(crate) fn cookies(&self, token: Token, notices: bool) -> Result<Cookies, Rejected> {
        cookies(token, self.owner, self.abi, notices)
    }

    /// Another process has, or may have, the device open too, since a fork: it may read results of
    /// this one. From now on the kernel decides whether an operation is still in flight.
    pub fn set_shared(&mut self) {
        self.is_shared = true;
        self.may_be_plain = false;
    }

    /// This is a forked child, the process `owner`. It goes on with the locks that its parent had,
    /// and leaves to the parent what that was about to do: requests whose write has not returned,
    /// what waits for its turn, released locks, deadlines. Returns what was kept for those.
    pub fn set_child(&mut self, owner: u32) -> (Vec<O>, Vec<L>) {
        self.set_shared();
        self.owner = owner.max(1);
        self.alarms = Alarms::default();
        let (mut users, mut left) = (Vec::new(), Vec::new());
        for (token, entry) in self.table.iter_mut() {
            let is_new = entry.is_writing && entry.state.id() == LockId(0);
            entry.is_writing = false;
            entry.relied_on = 0;
            entry.is_backing_off = false;
            entry.state.forget_wanted_cancel();
            if is_new || entry.is_unwanted() {
                left.push(token);
                self.in_flight -= usize::from(entry.state.op().is_some());
                self.in_flight -= usize::from(entry.queued.is_some());
                users.extend(entry.take_users().into_iter().flatten());
            } else if let Some(queued) = entry.queued.take() {
                self.in_flight -= 1;
                users.extend(queued.user);
            }
        }
        let faces = left.into_iter().map(|token| self.remove(token)).collect();
        (users, faces)
    }

    /// Calls this for all that is kept for operations.
    pub fn for_each_user(&mut self, mut call: impl FnMut(&mut O)) {
        for (_, entry) in self.table.iter_mut() {
            entry.users_mut().for_each(&mut call);
        }
    }

    /// The lockspace is about to be closed. Persistent requests are begun no more: one that is left
    /// behind crashes the kernel (#waiting-persistent-orphan), and those that wait are to be cancelled
    /// first.
    pub fn begin_end(&mut self) {
        self.is_ending = true;
    }

    /// The lockspace has ended: every lock is gone. Returns what was kept for operations in flight,
    /// whose owners are to be told. Ask [`Core::follow`] for each of [`Core::tokens`] then: those
    /// that nobody wants any more are gone.
    pub fn end(&mut self) -> Vec<(Token, Kind, O)> {
        self.has_ended = true;
        self.may_be_plain = false;
        self.in_flight = 0;
        self.left_over = 0;
        self.alarms = Alarms::default();
        let mut users = Vec::new();
        for (token, entry) in self.table.iter_mut() {
            let kinds = entry.kinds();
            let ended = entry.take_users().into_iter().zip(kinds);
            users.extend(ended.filter_map(|(user, kind)| Some((token, kind, user?))));
            entry.state.end();
            entry.is_backing_off = false;
            entry.is_left_over = false;
        }
        users
    }

    /// The lock that has this id in the kernel, if it was taken here. Needs [`Options::has_ids`].
    #[must_use]
    pub fn by_id(&self, id: LockId) -> Option<Token> {
        let is_it = |slot| self.table.at(slot).is_some_and(|(_, entry)| entry.state.id() == id);
        let slot = self.indices.ids.as_ref()?.find(hash_number(id.0), is_it)?;
        self.table.at(slot).map(|(token, _)| token)
    }

    /// Whether this core has a lock on a resource, granted or waiting, whose request the kernel has
    /// accepted: then the resource exists, and a request for it needs no care to be the first one
    /// (#two-resources-of-one-name). Needs [`Options::has_names`].
    #[must_use]
    pub fn knows_resource(&self, name: &[u8]) -> bool {
        self.keeper(name).is_some()
    }

    #[inline]
    fn keeper(&self, name: &[u8]) -> Option<Token> {
        let is_it = |slot| self.table.at(slot).is_some_and(|(_, entry)| *entry.name == *name);
        let slot = self.indices.names.as_ref()?.find(hash_bytes(name), is_it)?;
        self.table.at(slot).map(|(token, _)| token)
    }

    /// Has a lock of which [`Core::knows_resource`] speaks kept until the write of this request has
    /// returned, so that the resource is there all that time. To be called just before that write.
    /// `false`: there is none, and the request may be the one that makes the resource.
    #[inline]
    pub fn rely(&mut self, ticket: &mut Ticket) -> bool {
        let Some(name) = self.name(ticket.token) else { return false };
        let Some(keeper) = self.keeper(name) else { return false };
        if let Some(entry) = self.table.get_mut(keeper) {
            entry.relied_on += 1;
            ticket.keeper = Some(keeper);
        }
        true
    }

    /// The write of a request has returned. Returns the lock that has kept its resource there, if
    /// [`Core::follow`] has something to do for that now.
    #[inline]
    pub(crate) fn let_go(&mut self, ticket: &Ticket) -> Option<Token> {
        let keeper = ticket.keeper?;
        let entry = self.table.get_mut(keeper)?;
        entry.relied_on = entry.relied_on.saturating_sub(1);
        entry.has_follow().then_some(keeper)
    }

    /// A lock has learned its id.
    #[inline]
    pub(crate) fn note_id(&mut self, token: Token, id: LockId) {
        let Some(entry) = self.table.get_as_it_is(token) else { return };
        entry.state.note_id(id);
        let id = entry.state.id();
        if entry.has_id || id.0 == 0 || entry.is_gone() || self.indices.ids.is_none() {
            return;
        }
        // A request that failed at once may hear of its id when that is another lock's already.
        let is_doubtful = entry.state.ends_by_itself();
        if is_doubtful && self.by_id(id).and_then(|other| self.mode(other)).is_some() {
            return;
        }
        if let (Some(ids), Some(entry)) = (&mut self.indices.ids, self.table.get_as_it_is(token)) {
            entry.has_id = true;
            ids.insert(hash_number(id.0), token.index());
        }
    }

    /// A lock is gone, or is being unlocked: its id may be that of another one from now on.
    #[inline]
    pub(crate) fn forget(&mut self, token: Token) {
        if self.indices.are_kept() {
            if let Some(entry) = self.table.get_as_it_is(token) {
                self.indices.leave(entry, token);
            }
        }
    }

    /// The unlock that was to end a lock was refused: its id names it again.
    pub(crate) fn restore_id(&mut self, token: Token) {
        let id = self.table.get(token).map_or(LockId(0), |entry| entry.state.id());
        if self.by_id(id).is_none() {
            self.note_id(token, id);
        }
    }

    /// A lock was granted.
    #[inline]
    pub(crate) fn list(&mut self, token: Token) {
        if let Some(names) = &mut self.indices.names {
            if let Some(entry) = self.table.get_as_it_is(token).filter(|entry| !entry.is_listed) {
                entry.is_listed = true;
                names.insert(hash_bytes(&entry.name), token.index());
            }
        }
    }

    /// The request for a lock was accepted: its resource exists, unless the lock is gone again, or
    /// may be any moment.
    #[inline]
    pub(crate) fn list_new(&mut self, token: Token) {
        if self.indices.names.is_some() {
            let entry = self.table.get(token);
            let is_there = |entry: &Entry<O, L>| {
                let is_ending = entry.state.op().is_some_and(|op| op.kind == Kind::Unlock);
                !entry.is_gone() && !is_ending && !entry.state.ends_by_itself()
            };
            if entry.is_some_and(is_there) {
                self.list(token);
            }
        }
    }

    /// A lock is being unlocked, or is gone.
    #[inline]
    pub(crate) fn unlist(&mut self, token: Token) {
        if let Some(names) = &mut self.indices.names {
            if let Some(entry) = self.table.get_as_it_is(token).filter(|entry| entry.is_listed) {
                entry.is_listed = false;
                names.remove(token.index());
            }
        }
    }
}

/// As [`Core::cookies`].
#[inline]
pub(crate) fn cookies(
    token: Token,
    owner: u32,
    abi: Abi,
    notices: bool,
) -> Result<Cookies, Rejected> {
    let cookies = Cookies::for_token_in(token, owner, abi.width);
    Ok(cookies.ok_or(Rejected::TooManyLocks)?.with_blocking(notices))
}
