//! Scenarios on an engine.

use dlm_engine::{Config, Engine, LockDump, Profile, ResourceDump, SessionId};
use dlm_proto::{Minor, Mode, NodeId};
use dlm_sys::Errno;

use super::backend::{Backend, Lock, Queue, Resource, Thread};
use crate::kernel::Kernel;

/// The node that all happens on.
const NODE: NodeId = NodeId(1);

/// An engine that behaves like one of the kernels.
#[derive(Debug)]
pub struct EngineDevices {
    kernel: Kernel,
    engine: Engine,
}

impl EngineDevices {
    /// A fresh one.
    #[must_use]
    pub fn new(kernel: Kernel) -> Self {
        let profile = match kernel {
            Kernel::V6_1 => Profile::Linux6_1,
            Kernel::V6_12 => Profile::Linux6_12,
        };
        Self { kernel, engine: Engine::new(Config::single(profile)) }
    }

    /// The engine itself.
    pub fn engine(&mut self) -> &mut Engine {
        &mut self.engine
    }

    /// What is left in it: 0 after all lockspaces are removed.
    #[must_use]
    pub fn size(&self) -> usize {
        self.engine.size()
    }
}

fn errno(errno: dlm_engine::Errno) -> Errno {
    Errno::from_raw(errno.0)
}

impl Backend for EngineDevices {
    type Session = SessionId;

    fn kernel(&self) -> Kernel {
        self.kernel
    }

    fn control(&mut self, _by: Thread, request: &[u8]) -> Result<i64, Errno> {
        self.engine.control(NODE, request).map_err(errno)
    }

    fn open(&mut self, space: &[u8], minor: u32) -> Result<SessionId, Errno> {
        // The kernel's answer for a node that is gone.
        self.engine.find(NODE, space).ok_or(Errno::ENOENT)?;
        self.engine.open(NODE, Minor(minor)).map_err(errno)
    }

    fn write(&mut self, by: Thread, session: &SessionId, request: &[u8]) -> Result<i64, Errno> {
        let task = self.owner(by);
        self.engine.set_task(*session, task);
        self.engine.write(*session, request).map_err(errno)
    }

    fn read(&mut self, session: &SessionId, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.engine.read(*session, buffer).map_err(errno)
    }

    fn is_readable(&mut self, session: &SessionId) -> bool {
        self.engine.is_readable(*session)
    }

    fn close(&mut self, session: SessionId) {
        self.engine.close(session);
    }

    fn resources(&mut self, _space: &[u8], minor: u32) -> Vec<Resource> {
        let dump = self.engine.dump(NODE, Minor(minor));
        let all = dump.map(|dump| dump.resources).unwrap_or_default();
        all.iter().map(resource).filter(|resource| !resource.locks.is_empty()).collect()
    }

    /// Numbers above those of init and of a node.
    fn owner(&mut self, thread: Thread) -> u32 {
        100 + u32::try_from(thread).unwrap_or(u32::MAX - 100)
    }
}

fn resource(dump: &ResourceDump) -> Resource {
    let queue = |locks: &[LockDump], queue| -> Vec<Lock> {
        let mode = |mode: Option<Mode>| mode.map_or(-1, |mode| mode as i8);
        let lock = |lock: &LockDump| Lock {
            id: lock.id.0,
            queue,
            granted: mode(lock.granted),
            requested: mode(lock.requested),
            flags: lock.flags.bits(),
            owner: lock.task,
        };
        locks.iter().map(lock).collect()
    };
    let mut locks = queue(&dump.granted, Queue::Granted);
    locks.extend(queue(&dump.converting, Queue::Converting));
    locks.extend(queue(&dump.waiting, Queue::Waiting));
    Resource { name: dump.name.to_vec(), lvb: dump.lvb.map(|lvb| lvb.0), locks }
}
