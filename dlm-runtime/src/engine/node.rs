//! A node of a cluster, as a lock manager.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use dlm_engine::{ResourceDump, SessionId};
use dlm_proto::{
    LockspaceFlags, LockspaceName, MAX_REQUEST_LEN, Minor, NodeId, RemoveFlags, Request,
};
use dlm_sys::{Call, Cause, Errno, Error};

use super::faults::{Fault, FaultGuard};
use super::hub::{Hub, State};
use super::session::Session;
use crate::backend::{Backend, BackendDevice};
use crate::status::{State as Progress, Status};
use crate::threads::MutexGuard;

/// A node of a [`Cluster`](super::Cluster). Clones are one and the same.
///
/// ```
/// use dlm_runtime::Lockspace;
/// use dlm_runtime::engine::ClusterOptions;
///
/// let cluster = ClusterOptions::new().nodes(2).start();
/// let lockspace = Lockspace::create_on(cluster.node(1), "example")?;
/// cluster.node(1).crash();
/// assert!(lockspace.lock("disk0", dlm_runtime::Mode::Ex).wait().is_err());
/// # Ok::<(), dlm_runtime::Error>(())
/// ```
#[derive(Clone)]
pub struct Node {
    pub(super) hub: Arc<Hub>,
    pub(super) id: NodeId,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Node {
    pub(super) fn new(hub: Arc<Hub>, id: NodeId) -> Self {
        Self { hub, id }
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> NodeId {
        self.id
    }

    /// Stops a lockspace on this node, as a change of the cluster's members does, until what this
    /// returns is dropped: requests, and closing it, wait meanwhile, and so do answers to other
    /// nodes. Results that are there can be read.
    ///
    /// # Errors
    ///
    /// ENOENT if it does not exist here.
    pub fn stop(&self, name: &LockspaceName) -> Result<FaultGuard, Error> {
        let missing = Error::new(Call::OpenLockspace, Cause::NoLockspace);
        let minor = self.hub.lock().engine.find(self.id, name).ok_or(missing)?;
        let fault = Fault::Stop((self.id, minor));
        Ok(FaultGuard::new(&self.hub, fault, |engine| engine.stop(self.id, minor)))
    }

    /// Lets the node stand still until what this returns is dropped: messages to it and from it
    /// wait, and so does everybody who makes a request on it, closes a lockspace of it or creates
    /// one. The others do not notice, but their lockspaces cannot recover. As with the network,
    /// nobody is declared dead by that.
    pub fn freeze(&self) -> FaultGuard {
        FaultGuard::new(&self.hub, Fault::Freeze(self.id), |engine| engine.freeze(self.id))
    }

    /// The node is gone at once, with its lockspaces and locks. Calls on what was open there fail
    /// with [`ErrorKind::Removed`](crate::ErrorKind::Removed), those that wait included, and new
    /// lockspaces are refused. On the other nodes the lockspaces that it was in stop and recover:
    /// locks that waited for its locks are granted, and value blocks that it may have written are
    /// marked invalid.
    pub fn crash(&self) {
        let mut state = self.hub.lock();
        let State { engine, opens, faults, .. } = &mut *state;
        if !engine.is_up(self.id) {
            return;
        }
        engine.crash(self.id);
        faults.forget(self.id);
        opens.retain(|_, open| {
            let is_here = open.place.0 == self.id;
            if is_here {
                open.signals.removed.set();
            }
            !is_here
        });
        self.hub.done(state);
    }

    /// A node that crashed is there again, without lockspaces.
    pub fn restart(&self) {
        let mut state = self.hub.lock();
        state.engine.restart(self.id);
        self.hub.done(state);
    }

    /// Whether it has not crashed.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.hub.lock().engine.is_up(self.id)
    }

    /// Whether it stands still.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.hub.lock().engine.is_frozen(self.id)
    }

    /// Whether somebody who has this lockspace open here has results to read: what poll says.
    #[must_use]
    pub fn has_results(&self, name: &LockspaceName) -> bool {
        let state = self.hub.lock();
        let Some(minor) = state.engine.find(self.id, name) else { return false };
        let mut opens = state.opens.iter();
        opens.any(|(id, open)| open.place == (self.id, minor) && state.engine.is_readable(id))
    }

    /// The resources of a lockspace on this node and the queues of their locks, as the lock manager
    /// has them. Nothing if it does not exist here.
    #[must_use]
    pub fn queues(&self, name: &LockspaceName) -> Vec<ResourceDump> {
        let state = self.hub.lock();
        let minor = state.engine.find(self.id, name);
        let dump = minor.and_then(|minor| state.engine.dump(self.id, minor));
        dump.map(|dump| dump.resources).unwrap_or_default()
    }

    /// Waits while creations and removals are held up.
    fn lock_alone(&self) -> MutexGuard<'_, State> {
        let mut state = self.hub.lock();
        while state.removing.contains(&self.id) || state.engine.is_frozen(self.id) {
            self.hub.wait(&mut state);
        }
        state
    }

    fn control(&self, state: &mut State, request: &Request<'_>) -> Result<u32, Error> {
        let call = Call::Submit(request.command());
        let mut buffer = [0; MAX_REQUEST_LEN];
        let bytes = request
            .encode(self.hub.config.abi, &mut buffer)
            .map_err(|error| Error::new(call, Cause::Encode(error)))?;
        let value = state.engine.control(self.id, bytes).map_err(|errno| refused(call, errno))?;
        let odd = Error::new(call, Cause::Return(value.try_into().unwrap_or(isize::MAX)));
        u32::try_from(value).map_err(|_| odd)
    }
}

/// The engine's answer in the terms of a device.
pub(super) fn refused(call: Call, errno: dlm_engine::Errno) -> Error {
    Error::os(call, Errno::from_raw(errno.0))
}

impl Node {
    /// Refuses where nothing would ever go on.
    fn check_fork(&self) -> Result<(), Error> {
        let call = Call::OpenLockspace;
        if self.hub.is_stuck() { Err(Error::os(call, Errno::ENODEV)) } else { Ok(()) }
    }
}

impl Backend for Node {
    fn create(&self, name: &LockspaceName, flags: LockspaceFlags) -> Result<Minor, Error> {
        self.check_fork()?;
        let mut state = self.lock_alone();
        let minor = self.control(&mut state, &Request::CreateLockspace { name, flags }).map(Minor);
        self.hub.done(state);
        minor
    }

    fn remove(&self, minor: Minor, flags: RemoveFlags) -> Result<(), Error> {
        self.check_fork()?;
        let mut state = self.lock_alone();
        self.control(&mut state, &Request::RemoveLockspace { minor, flags })?;
        let State { engine, opens, .. } = &mut *state;
        let left: Vec<SessionId> = opens
            .iter()
            .filter(|(id, open)| open.place == (self.id, minor) && engine.removed(*id))
            .map(|(id, open)| {
                open.signals.removed.set();
                id
            })
            .collect();
        let waits = |state: &State| left.iter().any(|&id| state.opens.contains(id));
        if waits(&state) {
            state.removing.insert(self.id);
            self.hub.done(state);
            state = self.hub.lock();
            while waits(&state) {
                self.hub.wait(&mut state);
            }
            state.removing.remove(&self.id);
        }
        self.hub.done(state);
        Ok(())
    }

    fn find(&self, name: &LockspaceName) -> Result<Option<Minor>, Error> {
        self.check_fork()?;
        Ok(self.hub.lock().engine.find(self.id, name))
    }

    fn open(
        &self,
        name: &LockspaceName,
        minor: Option<Minor>,
        _: Duration,
    ) -> Result<Box<dyn BackendDevice>, Error> {
        self.check_fork()?;
        let mut state = self.hub.lock_awake(self.id);
        let missing = Error::new(Call::OpenLockspace, Cause::NoLockspace);
        let found = state.engine.find(self.id, name).ok_or(missing)?;
        if minor.is_some_and(|minor| minor != found) {
            return Err(Error::new(Call::OpenLockspace, Cause::WrongDevice));
        }
        let session = Session::open(&self.hub, &mut state, (self.id, found))?;
        Ok(Box::new(session))
    }

    fn status(&self, name: &LockspaceName) -> Status {
        if self.hub.is_stuck() {
            return Status::new(Progress::Absent);
        }
        let state = self.hub.lock();
        let minor = state.engine.find(self.id, name);
        let progress = match minor {
            None => Progress::Absent,
            Some(minor) if state.engine.is_stopped(self.id, minor) => Progress::Stopped,
            Some(_) => Progress::Running,
        };
        let mut status = Status::new(progress);
        status.waiting_for = minor.and_then(|minor| state.engine.waiting_for(self.id, minor));
        status.members = (1..=self.hub.config.nodes)
            .map(NodeId)
            .filter(|node| state.engine.find(*node, name).is_some())
            .collect();
        status.local_node = Some(self.id);
        status
    }
}
