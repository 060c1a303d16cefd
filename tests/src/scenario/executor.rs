//! Doing what a step says.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use dlm_proto::{
    LockFlags, LockId, LockspaceFlags, MAX_RESULT_LEN, Minor, NodeId, RemoveFlags, Request,
    UnlockRequest, VERSION_LEN,
};
use dlm_sys::Errno;

use super::backend::{Backend, Resource, Thread};
use super::bytes::{LOCKSPACE_NAME, bytes, lock_request, was_looked_at, words};
use super::step::{Ask, Body, Device, Frame, LockRef, MAIN, Name, Owner, Step, What};

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observed {
    /// What `write` or `open` returned.
    Answer(Result<i64, Errno>),
    /// What `read` returned, and the buffer, which was filled with 0xa5.
    Bytes(Result<usize, Errno>, Vec<u8>),
    /// Whether a result could be read.
    Ready(bool),
    /// What is on a resource.
    Resource(Option<Resource>),
    /// The ids of two locks.
    Ids(u32, u32),
    /// Nothing that could be told.
    Done,
}

/// What is known of a lock that a scenario has named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handle {
    /// The id that the kernel returned.
    pub id: u32,
    /// The number of its words.
    pub number: u8,
}

#[derive(Debug)]
struct Space {
    real: Vec<u8>,
    minor: u32,
    references: u32,
}

#[derive(Debug)]
struct Open<S> {
    session: S,
    space: Name,
    /// Whether results come in the layout of 32-bit programs.
    narrow: bool,
}

/// Does steps on a backend, and keeps what their names mean.
#[derive(Debug)]
pub struct Executor<B: Backend> {
    backend: B,
    stem: String,
    spaces: BTreeMap<Name, Space>,
    sessions: BTreeMap<Name, Open<B::Session>>,
    locks: BTreeMap<Name, Handle>,
    threads: Vec<Name>,
    numbers: u8,
    /// What the names of all resources begin with.
    prefix: Vec<u8>,
}

type Played<T> = Result<T, String>;

impl<B: Backend> Executor<B> {
    /// Creates the main lockspace, with `topic` in its real name.
    ///
    /// # Errors
    ///
    /// If that is refused.
    pub fn new(backend: B, topic: &str) -> Played<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let stem = format!("{topic}.{}.{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let mut executor = Self {
            backend,
            stem,
            spaces: BTreeMap::new(),
            sessions: BTreeMap::new(),
            locks: BTreeMap::new(),
            threads: Vec::new(),
            numbers: 0,
            prefix: Vec::new(),
        };
        match executor.create(0, MAIN, None, LockspaceFlags::empty(), Frame::default())? {
            Ok(_) => Ok(executor),
            Err(errno) => Err(format!("cannot create a lockspace: {errno}")),
        }
    }

    /// The backend.
    pub fn backend(&mut self) -> &mut B {
        &mut self.backend
    }

    /// The lock of this name.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn lock(&self, name: &str) -> Played<Handle> {
        self.locks.get(name).copied().ok_or_else(|| format!("no lock is called {name}"))
    }

    /// All locks, by name.
    pub fn locks(&self) -> impl Iterator<Item = (&Name, &Handle)> {
        self.locks.iter()
    }

    /// All open sessions, by name.
    pub fn sessions(&self) -> impl Iterator<Item = &Name> {
        self.sessions.keys()
    }

    /// Whether results of this session have the layout of 32-bit programs.
    #[must_use]
    pub fn is_narrow(&self, session: &str) -> bool {
        self.sessions.get(session).is_some_and(|open| open.narrow)
    }

    /// Forgets the names of locks, and begins the names of all resources with this from now on.
    pub fn begin(&mut self, prefix: &[u8]) {
        self.locks.clear();
        self.numbers = 0;
        self.prefix = prefix.to_vec();
    }

    fn real_name(&self, resource: &[u8]) -> Vec<u8> {
        [&self.prefix, resource].concat()
    }

    /// All resources of a lockspace that have locks.
    ///
    /// # Errors
    ///
    /// If there is no such lockspace.
    pub fn resources(&mut self, space: &str) -> Played<Vec<Resource>> {
        let known = self.spaces.get(space).ok_or_else(|| format!("no lockspace {space}"))?;
        Ok(self.backend.resources(&known.real, known.minor))
    }

    /// Does it.
    ///
    /// # Errors
    ///
    /// If it cannot be done as it stands there.
    pub fn play(&mut self, step: &Step) -> Played<Observed> {
        match step {
            Step::Open { sessions, space, .. } => self.open(sessions, space),
            Step::Close { sessions } => {
                for session in sessions {
                    let open = self.sessions.remove(session);
                    let open = open.ok_or_else(|| format!("{session} is not open"))?;
                    self.backend.close(open.session);
                }
                Ok(Observed::Done)
            }
            Step::Ask { device, by, ask, .. } => {
                let by = by.as_ref().map_or(0, |thread| self.thread(thread));
                self.ask(device, by, ask).map(Observed::Answer)
            }
            Step::Gets { session, size, .. } => self.read(session, *size),
            Step::Reads { session, size, .. } => self.read(session, *size),
            Step::Version { session } => self.read(session, VERSION_LEN),
            Step::Ready { session, .. } => {
                let open = find(&self.sessions, session)?;
                Ok(Observed::Ready(self.backend.is_readable(&open.session)))
            }
            Step::Queues { space, resource, .. } => {
                let name = self.real_name(resource);
                let found = self.resources(space)?.into_iter().find(|it| it.name == name);
                Ok(Observed::Resource(found))
            }
            Step::Ids { left, right, .. } => {
                Ok(Observed::Ids(self.lock(left)?.id, self.lock(right)?.id))
            }
        }
    }

    /// The sessions in which results are left unread.
    pub fn unread(&mut self) -> Vec<Name> {
        let mut unread = Vec::new();
        for (name, open) in &self.sessions {
            if self.backend.is_readable(&open.session) {
                unread.push(name.clone());
            }
        }
        unread
    }

    /// Closes and removes what is left.
    ///
    /// # Errors
    ///
    /// If a lockspace cannot be removed.
    pub fn finish(&mut self) -> Played<()> {
        for open in std::mem::take(&mut self.sessions).into_values() {
            self.backend.close(open.session);
        }
        let mut result = Ok(());
        for (name, space) in std::mem::take(&mut self.spaces) {
            for _ in 0..space.references {
                let flags = RemoveFlags::FORCEFREE;
                let request = Request::RemoveLockspace { minor: Minor(space.minor), flags };
                let bytes = bytes(Frame::default(), &request)?;
                if let Err(errno) = self.backend.control(0, &bytes) {
                    result = Err(format!("lockspace {name} cannot be removed: {errno}"));
                }
            }
        }
        result
    }

    fn thread(&mut self, name: &str) -> Thread {
        let known = self.threads.iter().position(|thread| thread == name);
        1 + known.unwrap_or_else(|| {
            self.threads.push(name.to_owned());
            self.threads.len() - 1
        })
    }

    fn open(&mut self, sessions: &[Name], space: &str) -> Played<Observed> {
        let known = self.spaces.get(space).ok_or_else(|| format!("no lockspace {space}"))?;
        for name in sessions {
            if self.sessions.contains_key(name) {
                return Err(format!("{name} is open already"));
            }
            match self.backend.open(&known.real, known.minor) {
                Ok(session) => {
                    let open = Open { session, space: space.to_owned(), narrow: false };
                    self.sessions.insert(name.clone(), open);
                }
                Err(errno) => return Ok(Observed::Answer(Err(errno))),
            }
        }
        Ok(Observed::Answer(Ok(0)))
    }

    fn read(&mut self, session: &str, size: usize) -> Played<Observed> {
        let open = find(&self.sessions, session)?;
        // What is behind `size` shows whether more was written than there was room for.
        let mut buffer = vec![0xa5; size.max(MAX_RESULT_LEN)];
        let place = buffer.get_mut(..size).unwrap_or_default();
        let answer = self.backend.read(&open.session, place);
        Ok(Observed::Bytes(answer, buffer))
    }

    fn ask(&mut self, device: &Device, by: Thread, ask: &Ask) -> Played<Result<i64, Errno>> {
        match &ask.what {
            What::Lock { lock, resource, body } => {
                self.new_lock(device, by, lock, resource, body, body.flags, ask.frame)
            }
            What::Adopt { lock, resource, body } => {
                let flags = body.flags | LockFlags::ORPHAN;
                self.new_lock(device, by, lock, resource, body, flags, ask.frame)
            }
            What::Convert { lock, body } => {
                let (id, number) = self.lock_ref(lock)?;
                let flags = body.flags | LockFlags::CONVERT;
                let request = lock_request(b"", body, flags, id, number);
                self.write(device, by, &Request::Lock(request), ask.frame)
            }
            What::Unlock { lock, body } => {
                let (lock, number) = self.lock_ref(lock)?;
                let cookies = words(&body.words, number);
                let request = UnlockRequest {
                    lock: LockId(lock),
                    flags: body.flags,
                    cookies,
                    lvb: &body.lvb,
                };
                self.write(device, by, &Request::Unlock(request), ask.frame)
            }
            What::Deadlock { lock, flags } => {
                let (lock, _) = self.lock_ref(lock)?;
                let request = Request::Deadlock { lock: LockId(lock), flags: *flags };
                self.write(device, by, &request, ask.frame)
            }
            What::Purge { node, owner } => {
                let pid = match owner {
                    Owner::Caller => self.backend.owner(by),
                    Owner::Main => self.backend.owner(0),
                    Owner::Thread(name) => {
                        let thread = self.thread(name);
                        self.backend.owner(thread)
                    }
                    Owner::Number(number) => *number,
                };
                let request = Request::Purge { node: NodeId(*node), pid };
                self.write(device, by, &request, ask.frame)
            }
            What::Create { space, length, flags } => match device {
                Device::Control => self.create(by, space, *length, *flags, ask.frame),
                Device::Session(_) => {
                    let request = Request::CreateLockspace { name: b"never", flags: *flags };
                    self.write(device, by, &request, ask.frame)
                }
            },
            What::Remove { space, flags } => self.remove(device, by, space, *flags, ask.frame),
        }
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one request")]
    fn new_lock(
        &mut self,
        device: &Device,
        by: Thread,
        lock: &str,
        resource: &[u8],
        body: &Body,
        flags: LockFlags,
        frame: Frame,
    ) -> Played<Result<i64, Errno>> {
        // A request that is refused has used its number all the same.
        self.numbers = self.numbers.wrapping_add(1);
        let number = self.numbers;
        let name = self.real_name(resource);
        let request = lock_request(&name, body, flags, 0, number);
        let answer = self.write(device, by, &Request::Lock(request), frame)?;
        if let Ok(id) = answer {
            let id = u32::try_from(id).map_err(|_| format!("write returned {id}"))?;
            self.locks.insert(lock.to_owned(), Handle { id, number });
        }
        Ok(answer)
    }

    fn create(
        &mut self,
        by: Thread,
        space: &str,
        length: Option<usize>,
        flags: LockspaceFlags,
        frame: Frame,
    ) -> Played<Result<i64, Errno>> {
        let mut real = match self.spaces.get(space) {
            Some(known) => known.real.clone(),
            None => format!("{}.{space}", self.stem).into_bytes(),
        };
        if let Some(length) = length {
            real.resize(length, b'x');
        }
        // A name may be longer than a request can say.
        let mut request = bytes(frame, &Request::CreateLockspace { name: b"", flags })?;
        let end = LOCKSPACE_NAME + real.len();
        request.resize(request.len().max(end + 1), 0);
        request.splice(LOCKSPACE_NAME..end, real.iter().copied());
        let answer = self.backend.control(by, &request);
        if let Ok(minor) = answer {
            let minor = u32::try_from(minor).map_err(|_| format!("write returned {minor}"))?;
            let fresh = Space { real, minor, references: 0 };
            let known = self.spaces.entry(space.to_owned()).or_insert(fresh);
            if known.references > 0 && known.minor != minor {
                return Err(format!("{space} was {} and is {minor} now", known.minor));
            }
            known.minor = minor;
            known.references += 1;
        }
        Ok(answer)
    }

    fn remove(
        &mut self,
        device: &Device,
        by: Thread,
        space: &str,
        flags: RemoveFlags,
        frame: Frame,
    ) -> Played<Result<i64, Errno>> {
        let known = self.spaces.get(space).ok_or_else(|| format!("no lockspace {space}"))?;
        let request = Request::RemoveLockspace { minor: Minor(known.minor), flags };
        let answer = self.write(device, by, &request, frame)?;
        if let (Device::Control, Ok(_), Some(known)) = (device, &answer, self.spaces.get_mut(space))
        {
            known.references = known.references.saturating_sub(1);
            if known.references == 0 {
                // Its own number may be another scenario's lockspace by now.
                known.minor = FREE_MINOR;
            }
        }
        Ok(answer)
    }

    fn lock_ref(&self, lock: &LockRef) -> Played<(u32, u8)> {
        match lock {
            LockRef::Named(name) => self.lock(name).map(|handle| (handle.id, handle.number)),
            LockRef::Id(id) => Ok((*id, 0)),
        }
    }

    fn write(
        &mut self,
        device: &Device,
        by: Thread,
        request: &Request<'_>,
        frame: Frame,
    ) -> Played<Result<i64, Errno>> {
        let bytes = bytes(frame, request)?;
        match device {
            Device::Control => Ok(self.backend.control(by, &bytes)),
            Device::Session(name) => {
                let open =
                    self.sessions.get_mut(name).ok_or_else(|| format!("{name} is not open"))?;
                let answer = self.backend.write(by, &open.session, &bytes);
                open.narrow |= frame.narrow && was_looked_at(&answer, bytes.len());
                Ok(answer)
            }
        }
    }

    /// The lockspace of a session.
    ///
    /// # Errors
    ///
    /// If it is not open.
    pub fn space_of(&self, session: &str) -> Played<&str> {
        find(&self.sessions, session).map(|open| open.space.as_str())
    }
}

/// A minor number that no device has: they are handed out from the other end.
const FREE_MINOR: u32 = 0x000f_fffe;

fn find<'a, S>(sessions: &'a BTreeMap<Name, Open<S>>, name: &str) -> Played<&'a Open<S>> {
    sessions.get(name).ok_or_else(|| format!("{name} is not open"))
}
