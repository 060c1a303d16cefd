//! Scenarios on an engine.

use dlm_engine::{Config, Engine, Profile, SessionId};
use dlm_proto::{Minor, NodeId};
use dlm_sys::Errno;

use super::backend::{Backend, Resource, Thread};
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
        let Some(dump) = self.engine.dump(NODE, Minor(minor)) else { return Vec::new() };
        // As the kernel's is read.
        let text = dump.to_string();
        Resource::all_in("the engine", text.as_bytes()).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Numbers above those of init and of a node.
    fn owner(&mut self, thread: Thread) -> u32 {
        100 + u32::try_from(thread).unwrap_or(u32::MAX - 100)
    }
}
