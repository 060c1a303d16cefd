//! A lock manager of one's own: one that writes down what another answers, and one that answers from that.
//!
//! A record of a run on a kernel is then a test that runs anywhere: the program gets the same answers, byte
//! for byte, and a call that it did not make in the record is refused. It suits programs whose calls come in
//! one order, such as one thread makes them.
//!
//! `cargo run -p dlm-runtime --features engine --example record_replay -- --engine`

use std::collections::VecDeque;
use std::io::{self, PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dlm_runtime::backend::{
    Abi, Accepted, Backend, BackendDevice, Call, Command, Errno, Error, LockspaceFlags,
    LockspaceName, MAX_RESULT_LEN, Minor, RemoveFlags,
};
use dlm_runtime::{Lockspace, Mode, ValueBlock};

mod common;
use common::Result;

type Answer<T> = std::result::Result<T, Error>;

/// A call and what was answered.
#[derive(Debug, Clone)]
enum Entry {
    Create(LockspaceName, Answer<Minor>),
    Remove(Minor, Answer<()>),
    Find(LockspaceName, Answer<Option<Minor>>),
    Open(LockspaceName, Answer<(Abi, Minor)>),
    Submit(Vec<u8>, Answer<Accepted>),
    Result(Vec<u8>),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets another lock manager answer, and writes it down.
#[derive(Debug, Clone)]
struct Recorder {
    inner: Arc<dyn Backend>,
    record: Arc<Mutex<Vec<Entry>>>,
}

#[derive(Debug)]
struct RecordedDevice {
    inner: Box<dyn BackendDevice>,
    record: Arc<Mutex<Vec<Entry>>>,
}

impl Backend for Recorder {
    fn create(&self, name: &LockspaceName, flags: LockspaceFlags) -> Answer<Minor> {
        let answer = self.inner.create(name, flags);
        lock(&self.record).push(Entry::Create(name.clone(), answer));
        answer
    }

    fn remove(&self, minor: Minor, flags: RemoveFlags) -> Answer<()> {
        let answer = self.inner.remove(minor, flags);
        lock(&self.record).push(Entry::Remove(minor, answer));
        answer
    }

    fn find(&self, name: &LockspaceName) -> Answer<Option<Minor>> {
        let answer = self.inner.find(name);
        lock(&self.record).push(Entry::Find(name.clone(), answer));
        answer
    }

    fn open(
        &self,
        name: &LockspaceName,
        minor: Option<Minor>,
        timeout: Duration,
    ) -> Answer<Box<dyn BackendDevice>> {
        let answer = self.inner.open(name, minor, timeout);
        let facts = answer.as_ref().map(|device| (device.abi(), device.minor()));
        lock(&self.record).push(Entry::Open(name.clone(), facts.map_err(|error| *error)));
        let record = Arc::clone(&self.record);
        answer.map(|inner| Box::new(RecordedDevice { inner, record }) as Box<dyn BackendDevice>)
    }
}

impl BackendDevice for RecordedDevice {
    fn submit(&self, command: Command, request: &[u8]) -> Answer<Accepted> {
        // Its result may be read before this returns, but stands behind it in the record.
        let mut record = lock(&self.record);
        let answer = self.inner.submit(command, request);
        record.push(Entry::Submit(request.to_vec(), answer));
        answer
    }

    fn read_result(&self, buffer: &mut [u8; MAX_RESULT_LEN]) -> Answer<Option<usize>> {
        let mut record = lock(&self.record);
        let answer = self.inner.read_result(buffer);
        if let Ok(Some(len)) = answer {
            record.push(Entry::Result(buffer.get(..len).unwrap_or_default().to_vec()));
        }
        answer
    }

    fn abi(&self) -> Abi {
        self.inner.abi()
    }

    fn minor(&self) -> Minor {
        self.inner.minor()
    }

    fn results(&self) -> BorrowedFd<'_> {
        self.inner.results()
    }

    fn removal(&self) -> BorrowedFd<'_> {
        self.inner.removal()
    }

    fn was_removed(&self) -> Answer<bool> {
        self.inner.was_removed()
    }

    fn first_requests_can_meet(&self) -> bool {
        self.inner.first_requests_can_meet()
    }

    fn try_lock_node(&self) -> Answer<bool> {
        self.inner.try_lock_node()
    }

    fn unlock_node(&self) {
        self.inner.unlock_node();
    }
}

/// Answers as it stands in a record.
#[derive(Debug, Clone)]
struct Replay(Arc<Mutex<Rest>>);

#[derive(Debug)]
struct Rest {
    entries: VecDeque<Entry>,
    /// Holds a byte while a result is next.
    readable: (PipeReader, PipeWriter),
    is_readable: bool,
}

impl Replay {
    fn new(record: Vec<Entry>) -> io::Result<Self> {
        let entries = record.into();
        Ok(Self(Arc::new(Mutex::new(Rest { entries, readable: pipe()?, is_readable: false }))))
    }

    /// Takes the next entry, if it is of this call.
    fn next<T>(&self, call: Call, of_call: impl FnOnce(&Entry) -> Option<Answer<T>>) -> Answer<T> {
        let mut rest = lock(&self.0);
        // "Invalid request code": the record goes on with another call.
        let other = Err(Error::os(call, Errno::from_raw(56)));
        let Some(answer) = rest.entries.front().and_then(of_call) else { return other };
        rest.entries.pop_front();
        rest.show().map_err(|_| Error::os(Call::Poll, Errno::EIO))?;
        answer
    }
}

impl Rest {
    fn show(&mut self) -> io::Result<()> {
        let wanted = matches!(self.entries.front(), Some(Entry::Result(_)));
        match (wanted, std::mem::replace(&mut self.is_readable, wanted)) {
            (true, false) => self.readable.1.write_all(&[0]),
            (false, true) => self.readable.0.read_exact(&mut [0]),
            _ => Ok(()),
        }
    }
}

impl Backend for Replay {
    fn create(&self, name: &LockspaceName, _: LockspaceFlags) -> Answer<Minor> {
        self.next(Call::Submit(Command::CreateLockspace), |entry| match entry {
            Entry::Create(recorded, answer) if recorded == name => Some(*answer),
            _ => None,
        })
    }

    fn remove(&self, minor: Minor, _: RemoveFlags) -> Answer<()> {
        self.next(Call::Submit(Command::RemoveLockspace), |entry| match entry {
            Entry::Remove(recorded, answer) if *recorded == minor => Some(*answer),
            _ => None,
        })
    }

    fn find(&self, name: &LockspaceName) -> Answer<Option<Minor>> {
        self.next(Call::ListDevices, |entry| match entry {
            Entry::Find(recorded, answer) if recorded == name => Some(*answer),
            _ => None,
        })
    }

    fn open(
        &self,
        name: &LockspaceName,
        _: Option<Minor>,
        _: Duration,
    ) -> Answer<Box<dyn BackendDevice>> {
        let (abi, minor) = self.next(Call::OpenLockspace, |entry| match entry {
            Entry::Open(recorded, answer) if recorded == name => Some(*answer),
            _ => None,
        })?;
        let failed = |_| Error::os(Call::OpenLockspace, Errno::EMFILE);
        let results = lock(&self.0).readable.0.try_clone().map_err(failed)?;
        let removal = pipe().map_err(failed)?;
        Ok(Box::new(ReplayedDevice { replay: self.clone(), abi, minor, results, removal }))
    }
}

#[derive(Debug)]
struct ReplayedDevice {
    replay: Replay,
    abi: Abi,
    minor: Minor,
    results: PipeReader,
    /// Never readable: nobody removes the lockspace.
    removal: (PipeReader, PipeWriter),
}

impl BackendDevice for ReplayedDevice {
    fn submit(&self, command: Command, request: &[u8]) -> Answer<Accepted> {
        self.replay.next(Call::Submit(command), |entry| match entry {
            Entry::Submit(recorded, answer) if recorded == request => Some(*answer),
            _ => None,
        })
    }

    fn read_result(&self, buffer: &mut [u8; MAX_RESULT_LEN]) -> Answer<Option<usize>> {
        if !lock(&self.replay.0).is_readable {
            return Ok(None);
        }
        self.replay.next(Call::ReadResult, |entry| {
            let Entry::Result(recorded) = entry else { return None };
            buffer.iter_mut().zip(recorded).for_each(|(to, from)| *to = *from);
            Some(Ok(Some(recorded.len())))
        })
    }

    fn abi(&self) -> Abi {
        self.abi
    }

    fn minor(&self) -> Minor {
        self.minor
    }

    fn results(&self) -> BorrowedFd<'_> {
        self.results.as_fd()
    }

    fn removal(&self) -> BorrowedFd<'_> {
        self.removal.0.as_fd()
    }

    fn was_removed(&self) -> Answer<bool> {
        Ok(false)
    }
}

/// The program under test: counts in a value block, and tells what it has seen.
fn count(
    backend: impl Backend + 'static,
    resource: &str,
) -> std::result::Result<Vec<String>, dlm_runtime::Error> {
    let space = Lockspace::create_on(backend, "record_replay")?;
    let counter = space.lock(resource, Mode::Nl).with_lvb().wait()?;
    let mut seen = Vec::new();
    for count in 1..=3 {
        let granted = counter.convert(Mode::Ex).read_lvb().wait()?;
        seen.push(format!("{:?} in {:?}", granted.lvb, counter.id()));
        let refused = space.lock(resource, Mode::Pr).no_queue().wait().err();
        seen.push(format!("beside it: {refused:?}"));
        let block = ValueBlock::ZERO.with_u64_at(0, count).unwrap_or_default();
        counter.convert(Mode::Nl).write_lvb(block).wait()?;
    }
    counter.unlock().wait()?;
    space.release()?;
    Ok(seen)
}

fn main() -> Result<()> {
    let recorder = Recorder { inner: common::backend()?, record: Arc::default() };
    let seen = count(recorder.clone(), "counter")?;
    let record = lock(&recorder.record).clone();
    println!("{} calls and results recorded", record.len());

    let replay = Replay::new(record.clone())?;
    if count(replay.clone(), "counter")? != seen || !lock(&replay.0).entries.is_empty() {
        return Err("the replay was another run".into());
    }
    // A program that does something else is told where.
    match count(Replay::new(record)?, "another") {
        Err(error) if error.operation == dlm_runtime::Operation::Lock => println!("{error}"),
        other => return Err(format!("another program was not refused: {other:?}").into()),
    }
    println!("the replay was the same, without a lock manager");
    Ok(())
}
