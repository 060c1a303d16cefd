//! The monitor of dlm-engine, which must refuse what a kernel must not be sent.
//!
//! Random scripts are done behind the monitor, which refuses what it likes. What [`hazard`] finds
//! by looking into the queues of the engine, the monitor must find by what it was told. The
//! scenarios in which a kernel has warned show the same for its warnings.

use std::collections::BTreeMap;

use dlm_engine::strict::{Session, Violation};
use dlm_engine::{Engine, SessionId};
use dlm_proto::{Minor, NodeId};
use dlm_sys::Errno;

use super::generate::generate_carelessly;
use super::hazard::{self, Owners, note_owner, space_of};
use super::spaces;
use crate::kernel::Kernel;
use crate::scenario::{
    Backend, Device, EngineDevices, Executor, Handle, LockRef, Observed, Resource, Scenario, Step,
    Thread, What, Words, named,
};

/// An engine whose sessions are behind monitors. What these refuse is not written.
#[derive(Debug)]
struct StrictDevices {
    engine: EngineDevices,
    sessions: BTreeMap<SessionId, Session>,
    reported: Vec<Violation>,
}

impl StrictDevices {
    fn new(kernel: Kernel) -> Self {
        let engine = EngineDevices::new(kernel);
        Self { engine, sessions: BTreeMap::new(), reported: Vec::new() }
    }

    /// Lets a session of the engine do something. `None` if it was refused.
    fn ask<T>(
        &mut self,
        session: SessionId,
        call: impl FnOnce(&mut Session, &mut Engine) -> Result<Result<T, dlm_engine::Errno>, Violation>,
    ) -> Result<T, Errno> {
        let it = self.sessions.get_mut(&session).ok_or(Errno::EBADF)?;
        match call(it, self.engine.engine()) {
            Ok(answer) => answer.map_err(|errno| Errno::from_raw(errno.0)),
            Err(violation) => {
                self.reported.push(violation);
                Err(Errno::EPERM)
            }
        }
    }
}

impl Backend for StrictDevices {
    type Session = SessionId;

    fn kernel(&self) -> Kernel {
        self.engine.kernel()
    }

    fn control(&mut self, by: Thread, request: &[u8]) -> Result<i64, Errno> {
        self.engine.control(by, request)
    }

    fn open(&mut self, space: &[u8], minor: u32) -> Result<SessionId, Errno> {
        let engine = self.engine.engine();
        engine.find(NodeId(1), space).ok_or(Errno::ENOENT)?;
        let session = Session::open(engine, NodeId(1), Minor(minor));
        let session = session.map_err(|errno| Errno::from_raw(errno.0))?;
        let id = session.id();
        self.sessions.insert(id, session);
        Ok(id)
    }

    fn write(&mut self, by: Thread, session: &SessionId, request: &[u8]) -> Result<i64, Errno> {
        let task = self.owner(by);
        self.ask(*session, |it, engine| {
            it.set_task(task);
            it.write(engine, request)
        })
    }

    fn read(&mut self, session: &SessionId, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.ask(*session, |it, engine| it.read(engine, buffer))
    }

    fn is_readable(&mut self, session: &SessionId) -> bool {
        self.engine.is_readable(session)
    }

    fn close(&mut self, session: SessionId) {
        let _reported = self.ask(session, |it, engine| it.close(engine).map(Ok));
        self.sessions.remove(&session);
    }

    fn resources(&mut self, space: &[u8], minor: u32) -> Vec<Resource> {
        self.engine.resources(space, minor)
    }

    fn owner(&mut self, thread: Thread) -> u32 {
        self.engine.owner(thread)
    }
}

/// Has a request for a lock written by the session that it belongs to, with the lock's own words.
fn mind_own_business(step: &mut Step, executor: &mut Executor<StrictDevices>, owners: &Owners) {
    let space = space_of(step, executor).unwrap_or_default();
    let Step::Ask { device: Device::Session(session), ask, .. } = step else { return };
    let lock = match &mut ask.what {
        What::Lock { body, .. } | What::Adopt { body, .. } => {
            body.words = Words::default();
            return;
        }
        What::Convert { lock, body } | What::Unlock { lock, body } => {
            body.words = Words::default();
            lock
        }
        What::Deadlock { lock, .. } => lock,
        _ => return,
    };
    let LockRef::Named(name) = lock else { return };
    let Ok(Handle { id, .. }) = executor.lock(name) else { return };
    if let Some(owner) = owners.get(&(space, id)) {
        session.clone_from(owner);
    }
}

/// Whether a request is written as another command than its own.
fn is_other_command(step: &Step) -> bool {
    matches!(step, Step::Ask { ask, .. } if ask.frame.command.is_some())
}

#[test]
fn whatever_harms_a_kernel_is_refused() {
    let (mut done, mut refused) = (0, BTreeMap::<&str, u32>::new());
    let mut hazards = BTreeMap::<&str, u32>::new();
    for kernel in [Kernel::V6_1, Kernel::V6_12] {
        for seed in 0..2000 {
            let mut executor = spaces::with_spaces(StrictDevices::new(kernel)).unwrap();
            let mut owners = Owners::new();
            for mut step in generate_carelessly(seed) {
                if seed % 2 == 0 {
                    mind_own_business(&mut step, &mut executor, &owners);
                }
                let Ok(reason) = hazard::reason(&step, &mut executor, &owners) else { continue };
                let space = space_of(&step, &executor);
                let Ok(observed) = executor.play(&step) else { continue };
                let reported = std::mem::take(&mut executor.backend().reported);
                if let Some(reason) = reason.filter(|_| !is_other_command(&step)) {
                    assert_ne!(reported, [], "{kernel:?}, seed {seed}: {step}: {reason}");
                    *hazards.entry(reason).or_default() += 1;
                }
                done += u32::from(reported.is_empty());
                reported.iter().for_each(|it| *refused.entry(it.rule()).or_default() += 1);
                if observed != Observed::Answer(Err(Errno::EPERM)) {
                    note_owner(&step, &observed, space, &mut owners);
                }
            }
        }
    }
    println!("{done} steps done, refused: {refused:?}, of which {hazards:?}");
    assert!(done > 50_000 && hazards.values().all(|&count| count > 10), "{hazards:?}");
    assert!(hazards.len() >= 3, "{hazards:?}");
}

#[test]
fn whatever_a_kernel_warns_of_is_refused() {
    for name in ["quecvt_of_the_wrong_kind", "a_second_cancel_is_refused"] {
        let scenario = Scenario::parse(name, named(name).unwrap()).unwrap();
        assert!(scenario.warns, "{name}");
        let mut executor = Executor::new(StrictDevices::new(Kernel::V6_12), "strict").unwrap();
        let mut warnings = 0;
        for placed in &scenario.steps {
            executor.play(&placed.step).unwrap();
            let reported = std::mem::take(&mut executor.backend().reported);
            let refused = reported.iter().filter(|it| it.rule() == "#refused-with-a-warning");
            warnings += refused.count();
        }
        assert!(warnings > 0, "{name}");
    }
}
