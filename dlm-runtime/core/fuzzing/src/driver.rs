//! A driver without a thread: what it has written and not heard of, who waits, and what it does at
//! each action.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use dlm_core::{
    CancelKind, CancelStep, Conversion, Core, Expired, Failure, Follow, Kind as Op, NewLock,
    Options, PlainUnlock, Queueing, Rejected, Rules, Submission, Ticket, Time, UnlockLvb,
    Unlocking,
};
use dlm_proto::{
    Abi, Command, LockFlags, LvbTransfer, Mode, ResourceName, Token, ValueBlock, plain,
};

use crate::action::{Action, Kind, Setup};
use crate::book::Book;
use crate::kept::{Face, Owner, inside};
use crate::watch::Watch;
use crate::world::World;

/// As many handles as are held at a time.
const MOST: usize = 10;
const PROCESS: u32 = 42;

/// A write that is under way.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) ticket: Ticket,
    pub(crate) bytes: Vec<u8>,
    /// The monitor's, unless it has nothing to say of this lock any more.
    pub(crate) watched: Option<dlm_engine::strict::Ticket>,
    /// What the lock manager has answered.
    pub(crate) answer: Option<Result<i64, i32>>,
    /// It is an unlock that is to leave the value block as it is.
    pub(crate) keeps_block: bool,
}

/// The driver and all around it.
#[derive(Debug)]
pub(crate) struct Driver {
    pub(crate) setup: Setup,
    pub(crate) core: Core<Owner, Face>,
    pub(crate) out: Submission,
    pub(crate) world: World,
    pub(crate) watch: Watch,
    pub(crate) book: Book,
    pub(crate) now: Time,
    pub(crate) writes: Vec<Write>,
    /// Locks whose handle is held.
    pub(crate) handles: Vec<Token>,
    /// Locks that are gone, or that nobody holds.
    pub(crate) former: Vec<Token>,
    /// Ends that were kept and not taken, and of which operations.
    pub(crate) outcomes: BTreeSet<(u64, u64)>,
    /// Operations whose deadline has passed.
    pub(crate) overdue: Vec<(Token, u64)>,
    /// Whose an operation is.
    owners: HashMap<(Token, u64), u32>,
    /// Unlocks that are to store a value block or to mark it invalid.
    stores: HashSet<(Token, u64)>,
    pub(crate) read: VecDeque<Vec<u8>>,
    /// Another process has the device open, too.
    pub(crate) is_shared: bool,
    /// The lockspace has ended.
    pub(crate) has_ended: bool,
}

pub(crate) fn key(token: Token) -> u64 {
    token.to_word(Abi::V6_64.width).expect("64 bits are enough")
}

pub(crate) fn pick<T: Copy>(of: &[T], which: u8) -> Option<T> {
    of.get(usize::from(which).checked_rem(of.len())?).copied()
}

impl Driver {
    pub(crate) fn new(setup: Setup) -> Self {
        let options = Options {
            abi: Abi::V6_64,
            owner: PROCESS,
            rules: setup.rules,
            has_ids: true,
            has_names: true,
        };
        Self {
            setup,
            core: Core::new(options),
            out: Submission::new(),
            world: World::new(&setup),
            watch: Watch::new(setup.rules),
            book: Book::default(),
            now: Time::ZERO,
            writes: Vec::new(),
            handles: Vec::new(),
            former: Vec::new(),
            outcomes: BTreeSet::new(),
            overdue: Vec::new(),
            owners: HashMap::new(),
            stores: HashSet::new(),
            read: VecDeque::new(),
            is_shared: false,
            has_ended: false,
        }
    }

    pub(crate) fn call<T>(
        &mut self,
        call: impl FnOnce(&mut Core<Owner, Face>, &mut Submission) -> T,
    ) -> T {
        inside(|| call(&mut self.core, &mut self.out))
    }

    /// Whether the core knows what has ended.
    pub(crate) fn knows(&self) -> bool {
        !(self.is_shared && self.setup.rules == Rules::AsAsked)
    }

    pub(crate) fn act(&mut self, action: Action) {
        let lock = pick(&self.handles, action.which);
        match (action.kind, lock) {
            (Kind::Lock, _) => self.lock(action),
            (Kind::Adopt, _) => self.adopt(action),
            (Kind::Convert, Some(token)) => self.convert(token, action),
            (Kind::Unlock, Some(token)) => self.unlock(token, action),
            (Kind::Cancel, Some(token)) => self.cancel(token, None, action.is(0), action.is(1)),
            (Kind::Release, Some(token)) => self.release(token),
            (Kind::GiveUp, _) => self.give_up_overdue(action.which),
            (Kind::Issue, _) => self.issue(action),
            (Kind::Return, _) => self.return_one(action.which),
            (Kind::Read, _) => {
                (0..1 + action.more % 4).all(|_| self.read_one());
            }
            (Kind::TakeOutcome, _) => self.take_outcome(action.which),
            (Kind::Tick, _) => self.tick(Duration::from_millis(1 << (action.more % 12))),
            (Kind::Step, _) => self.step(action.more),
            (Kind::Stale, _) => self.use_former(action),
            (Kind::Convert | Kind::Unlock | Kind::Cancel | Kind::Release, None) => {}
            _ => self.meddle(action),
        }
    }

    /// An operation has begun. A deadline is set for some.
    fn begun(&mut self, action: Action, token: Token, serial: u64, owner: Option<u32>) {
        self.owners.extend(owner.map(|owner| ((token, serial), owner)));
        if action.is(6) {
            let at = self.now + Duration::from_millis(1 << (action.more % 8));
            self.core.set_deadline(at, token, serial);
        }
    }

    fn lock(&mut self, action: Action) {
        let name = &ResourceName::new(action.name.as_bytes()).expect("a name");
        let Action { mode, flags, .. } = action;
        let new = NewLock { name, mode, flags, xid: 0, notices: action.is(7) };
        let (mut owner, mut face) = (self.book.owner(), self.book.face());
        let (number, face_number) = (owner.as_ref().map(|it| it.0), face.0);
        if self.handles.len() >= MOST {
            return;
        }
        if !new.notices && action.which % 2 == 1 {
            let user = || owner.take();
            let keep = |place: &mut Face| drop(std::mem::replace(place, std::mem::take(&mut face)));
            let begun = inside(|| self.core.lock_plain(name, mode, flags, user, keep));
            if let Some(of) = begun {
                self.book.took(number, &owner, true);
                self.book.took_face(face_number, &face, true);
                self.handles.push(of.0);
                self.begun(action, of.0, 0, number);
                let bytes = plain::LockBytes::new(name, mode, flags, of).bytes().to_vec();
                return self.submit_bytes(Ticket::plain(of.0, 0), bytes, false);
            }
        }
        let made = self.call(|core, out| core.lock(&new, &mut owner, &mut face, out));
        self.book.took(number, &owner, made.is_ok());
        self.book.took_face(face_number, &face, made.is_ok());
        match made {
            Ok(token) => {
                self.handles.push(token);
                let knows = self.core.knows_resource(action.name.as_bytes());
                let relies = self.call(|core, out| core.rely(out.ticket_mut()));
                assert_eq!((relies, self.out.ticket().relies_on().is_some()), (knows, knows));
                self.begun(action, token, 0, number);
                self.submit();
            }
            Err(Rejected::Illegal(_)) => {}
            Err(other) => assert!(self.has_ended, "{other:?}"),
        }
    }

    fn adopt(&mut self, action: Action) {
        let name = &ResourceName::new(action.name.as_bytes()).expect("a name");
        let flags = action.flags & (LockFlags::PERSISTENT | LockFlags::VALBLK);
        let new = NewLock { name, mode: action.mode, flags, xid: 0, notices: action.is(7) };
        let mut face = self.book.face();
        let number = face.0;
        let made = self.call(|core, out| core.adopt(&new, &mut face, out));
        self.book.took_face(number, &face, made.is_ok());
        if let Ok(token) = made {
            self.handles.push(token);
            self.submit();
        }
    }

    fn convert(&mut self, token: Token, action: Action) {
        let Action { mode, flags, .. } = action;
        let from = self.core.mode(token);
        let valblk = flags.contains(LockFlags::VALBLK);
        let is_write = |from: Mode| from.lvb_transfer(mode) == LvbTransfer::Write;
        let writes = valblk && from.is_some_and(is_write);
        let conversion = Conversion {
            mode,
            flags,
            write: writes.then_some(ValueBlock([action.more; 32])),
            persistent: action.is(4) && action.is(5),
            xid: None,
            notices: action.is(3).then_some(action.is(2)),
        };
        let mut owner = self.book.owner();
        let number = owner.as_ref().map(|it| it.0);
        let begun = self.call(|core, out| core.convert(token, &conversion, &mut owner, out));
        self.book.took(number, &owner, begun.is_ok());
        self.queued(token, begun, action, number);
    }

    fn unlock(&mut self, token: Token, action: Action) {
        let lvb = match action.more & 3 {
            1 => UnlockLvb::Write(ValueBlock([action.more; 32])),
            2 => UnlockLvb::Invalidate,
            _ => UnlockLvb::Keep,
        };
        let unlock = Unlocking { lvb, force: action.is(2) && action.is(3), waits: action.is(4) };
        let mut owner = self.book.owner();
        let number = owner.as_ref().map(|it| it.0);
        if lvb == UnlockLvb::Keep && !unlock.force && action.is(5) {
            let user = || owner.take();
            let begun = inside(|| self.core.unlock_plain(token, user, |_| {}));
            if let Some(PlainUnlock { id, serial, owner: process }) = begun {
                self.book.took(number, &owner, true);
                self.begun(action, token, serial, number);
                let bytes = plain::UnlockBytes::new(id, (token, process)).bytes().to_vec();
                return self.submit_bytes(Ticket::plain(token, serial), bytes, true);
            }
        }
        let begun = self.call(|core, out| core.unlock(token, &unlock, &mut owner, out));
        self.book.took(number, &owner, begun.is_ok());
        let serial = match begun {
            Ok(Queueing::Write) => Some(self.out.ticket().serial),
            Ok(Queueing::Queued { serial }) => Some(serial),
            Err(_) => None,
        };
        self.stores.extend(serial.filter(|_| lvb != UnlockLvb::Keep).map(|it| (token, it)));
        self.queued(token, begun, action, number);
    }

    fn queued(
        &mut self,
        token: Token,
        begun: Result<Queueing, Rejected>,
        action: Action,
        owner: Option<u32>,
    ) {
        match begun {
            Ok(Queueing::Write) => {
                self.begun(action, token, self.out.ticket().serial, owner);
                self.submit();
            }
            Ok(Queueing::Queued { serial }) => self.begun(action, token, serial, owner),
            Err(_) => {}
        }
    }

    pub(crate) fn cancel(
        &mut self,
        token: Token,
        serial: Option<u64>,
        internal: bool,
        deadlock: bool,
    ) {
        let kind = if deadlock { CancelKind::Deadlock } else { CancelKind::Plain };
        let step = self.call(|core, out| core.cancel(token, serial, kind, internal, out));
        if step == CancelStep::Write {
            self.submit();
        }
    }

    /// Drops a handle.
    pub(crate) fn release(&mut self, token: Token) {
        self.forget_handle(token);
        let released = self.call(|core, out| core.release(token, out));
        self.outcomes.retain(|(of, _)| *of != key(token));
        self.book.told(released.users.into_iter().flatten());
        self.book.dropped(&released.face);
        self.followed(token, released.follow);
    }

    pub(crate) fn forget_handle(&mut self, token: Token) {
        self.handles.retain(|&handle| handle != token);
        self.former.push(token);
    }

    /// A thread begins to write what the core has filled in.
    fn submit(&mut self) {
        let ticket = self.out.ticket();
        let is_unlock = self.out.command() == Command::Unlock && !ticket.is_cancel();
        let bytes = self.out.bytes().to_vec();
        self.submit_bytes(ticket, bytes, is_unlock);
    }

    fn submit_bytes(&mut self, ticket: Ticket, bytes: Vec<u8>, is_unlock: bool) {
        let keeps_block = is_unlock && !self.stores.contains(&(ticket.token, ticket.serial));
        let busy = self.writes.iter().find(|write| write.ticket.token == ticket.token);
        assert!(busy.is_none(), "two writes for a lock: {busy:?}, {ticket:?}");
        let is_relied_on =
            self.writes.iter().any(|write| write.ticket.relies_on() == Some(ticket.token));
        let is_request = self.core.view(ticket.token).and_then(|view| view.op);
        let is_request = is_request.is_some_and(|op| op.kind == Op::Request);
        let can_end = is_unlock || ticket.is_cancel() && is_request;
        assert!(!(is_relied_on && can_end), "a request relies on the lock: {ticket:?}");
        let watched = self.watch.begin(&bytes, ticket.token, &self.book, self.knows());
        self.writes.push(Write { ticket, bytes, watched, answer: None, keeps_block });
    }

    /// Does what follows for a lock until there is nothing.
    pub(crate) fn follow(&mut self, token: Token) {
        let follow = self.call(|core, out| core.follow(token, out));
        self.followed(token, follow);
    }

    fn followed(&mut self, token: Token, mut follow: Follow<Owner, Face>) {
        loop {
            match follow {
                Follow::Nothing => return,
                Follow::Write => return self.submit(),
                Follow::Gone(face) => {
                    assert!(self.core.view(token).is_none(), "what is gone is removed");
                    return self.book.dropped(&face);
                }
                Follow::Failed { user, failure, .. } => {
                    assert!(matches!(failure, Failure::Rejected(_) | Failure::Lost));
                    self.book.told(user);
                }
            }
            self.remove(token);
            follow = self.call(|core, out| core.follow(token, out));
        }
    }

    /// Removes a lock if it is gone.
    pub(crate) fn remove(&mut self, token: Token) {
        if let Some(face) = self.call(|core, _| core.settle(token)) {
            self.book.dropped(&face);
            self.forget_handle(token);
        }
    }

    fn take_outcome(&mut self, which: u8) {
        let waiting: Vec<_> = self.outcomes.iter().copied().collect();
        let Some((word, serial)) = pick(&waiting, which) else { return };
        self.outcomes.remove(&(word, serial));
        let token = crate::world::token_of(word).expect("it was one");
        assert!(self.call(|core, _| core.take_outcome(token, u64::MAX)).is_none());
        let taken = self.call(|core, _| core.take_outcome(token, serial));
        assert!(matches!(taken, Some(Ok(_))), "{taken:?}");
        self.remove(token);
        self.follow(token);
    }

    fn tick(&mut self, time: Duration) {
        self.now += time;
        let now = self.now;
        while let Some(expired) = self.call(|core, _| core.expired(now)) {
            match expired {
                Expired::Retry(token) => self.follow(token),
                Expired::Deadline { token, serial } => {
                    self.core.mark_timed_out(token, serial);
                    self.cancel(token, Some(serial), true, false);
                    self.overdue.push((token, serial));
                }
            }
        }
    }

    /// Whoever waits longer than he wanted to goes away.
    pub(crate) fn give_up_overdue(&mut self, which: u8) {
        let Some((token, serial)) = pick(&self.overdue, which) else { return };
        self.overdue.retain(|&it| it != (token, serial));
        let due = self.owners.get(&(token, serial)).copied().filter(|&it| self.book.owes(it));
        let owner = self.call(|core, _| core.give_up(token, serial));
        // With another process about, he may be told by `follow` that its result is lost.
        let number = owner.as_ref().map(|it| it.0);
        assert!(number == due || number.is_none() && !self.knows(), "{due:?} does not get away");
        if serial == 0 && number.is_some() {
            let view = self.core.view(token).expect("it stays until it is released");
            assert!(view.is_released && view.mode.is_none(), "nobody wants it");
        }
        self.book.told(owner);
        self.follow(token);
    }

    fn step(&mut self, more: u8) {
        let steps = if more > 250 { 100 } else { 1 + more % 4 };
        for _ in 0..steps {
            self.world.engine.step();
        }
        self.world.other_reads();
    }

    /// Calls for a lock that is gone, or that nobody holds any more, find nothing.
    fn use_former(&mut self, action: Action) {
        let Some(token) = pick(&self.former, action.which) else { return };
        let mut owner = Some(Owner(0));
        let plain = Conversion {
            mode: action.mode,
            flags: LockFlags::empty(),
            write: None,
            persistent: false,
            xid: None,
            notices: None,
        };
        let converted = self.call(|core, out| core.convert(token, &plain, &mut owner, out));
        let unlock = Unlocking::default();
        let unlocked = self.call(|core, out| core.unlock(token, &unlock, &mut owner, out));
        let refused = if self.has_ended { Rejected::Ended } else { Rejected::LockGone };
        assert_eq!((converted, unlocked), (Err(refused), Err(refused)));
        assert!(owner.is_some());
        if self.core.view(token).is_none() {
            self.cancel(token, None, true, false);
            self.release(token);
            self.follow(token);
            assert!(self.call(|core, _| core.give_up(token, 0)).is_none());
        }
    }
}
