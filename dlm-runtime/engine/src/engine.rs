//! The engine: devices of nodes.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use dlm_proto::{Abi, LockspaceFlags, Minor, NodeId, RemoveFlags, Request};

use crate::config::{Config, Profile};
use crate::dump::Dump;
use crate::errno::Errno;
use crate::frame::{self, Framed, Unframed};
use crate::read;
use crate::session::SessionId;
use crate::space::Space;

/// A whole lock manager: the devices of the nodes of a cluster, which take requests as bytes and
/// give results as bytes. See the [crate] for what is modelled.
#[derive(Debug)]
pub struct Engine {
    pub(crate) config: Config,
    pub(crate) nodes: Vec<Node>,
    pub(crate) spaces: Vec<Option<Device>>,
    opened: u64,
    readable: Vec<SessionId>,
}

/// A node: which lockspaces have a device on it.
#[derive(Debug, Default)]
pub(crate) struct Node {
    pub(crate) by_minor: BTreeMap<u32, u32>,
}

/// A lockspace on a node, with its device.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) node: NodeId,
    pub(crate) name: Vec<u8>,
    /// How many CREATEs have no REMOVE yet. With 0 it is removed, and only sessions are left.
    created: u32,
    pub(crate) space: Space,
}

impl Engine {
    /// An engine without lockspaces.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let nodes = (0..config.nodes).map(|_| Node::default()).collect();
        Self { config, nodes, spaces: Vec::new(), opened: 0, readable: Vec::new() }
    }

    /// How the engine was made.
    #[must_use]
    pub fn config(&self) -> Config {
        self.config
    }

    fn node(&self, node: NodeId) -> Option<&Node> {
        self.nodes.get(usize::try_from(node.0).ok()?.checked_sub(1)?)
    }

    fn node_mut(&mut self, node: NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(usize::try_from(node.0).ok()?.checked_sub(1)?)
    }

    pub(crate) fn device(&self, space: u32) -> Option<&Device> {
        self.spaces.get(usize::try_from(space).ok()?)?.as_ref()
    }

    pub(crate) fn device_mut(&mut self, space: u32) -> Option<&mut Device> {
        self.spaces.get_mut(usize::try_from(space).ok()?)?.as_mut()
    }

    /// A `write` to a node's control device. CREATE returns the minor number, REMOVE 0.
    ///
    /// The caller counts as privileged. A REMOVE does not wait until all sessions are closed, as
    /// the kernel's does; they go on, see [`removed`](Self::removed).
    ///
    /// # Errors
    ///
    /// As the kernel's; ENODEV for a node that does not exist.
    pub fn control(&mut self, node: NodeId, request: &[u8]) -> Result<i64, Errno> {
        if self.node(node).is_none() {
            return Err(Errno::ENODEV);
        }
        let abi = self.config.abi;
        let mut pad = frame::PAD;
        let framed = match frame::decode(abi, request) {
            Err(Unframed::Unusual) => frame::decode_loosely(abi, request, &mut pad),
            framed => framed,
        };
        match framed {
            Ok((Request::CreateLockspace { name, flags }, _)) => {
                self.create(node, name, flags).map(|minor| i64::from(minor.0))
            }
            Ok((Request::RemoveLockspace { minor, flags }, _)) => {
                self.remove(node, minor, flags).map(|()| 0)
            }
            Ok(_) | Err(Unframed::Unknown { .. } | Unframed::Unusual) => Err(Errno::EINVAL),
            Err(Unframed::Refused(errno)) => Err(errno),
        }
    }

    /// A `read` from a node's control device: 12 bytes for the version, nothing else.
    ///
    /// # Errors
    ///
    /// EINVAL for any other length; ENODEV for a node that does not exist.
    pub fn control_read(&self, node: NodeId, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.node(node).ok_or(Errno::ENODEV)?;
        read::version(self.config.abi, buffer).ok_or(Errno::EINVAL)
    }

    /// The minor number of the lockspace with this name on a node.
    #[must_use]
    pub fn find(&self, node: NodeId, name: &[u8]) -> Option<Minor> {
        let minors = &self.node(node)?.by_minor;
        let named = |&(_, &space): &(_, &u32)| self.device(space).is_some_and(|it| it.name == name);
        minors.iter().find(named).map(|(&minor, _)| Minor(minor))
    }

    fn create(&mut self, node: NodeId, name: &[u8], flags: LockspaceFlags) -> Result<Minor, Errno> {
        // For users in the kernel only, and unknown to 6.1.
        const SOFTIRQ: u32 = 0x10;
        let refused = match self.config.profile {
            Profile::Linux6_1 => 0,
            Profile::Linux6_12 => SOFTIRQ,
        };
        if flags.bits() & refused != 0 || name.is_empty() || name.len() > 64 {
            return Err(Errno::EINVAL);
        }
        if let Some(minor) = self.find(node, name) {
            if flags.contains(LockspaceFlags::NEWEXCL) {
                return Err(Errno::EEXIST);
            }
            let space = self.node(node).and_then(|node| node.by_minor.get(&minor.0)).copied();
            if let Some(device) = space.and_then(|space| self.device_mut(space)) {
                device.created += 1;
            }
            return Ok(minor);
        }
        let minor = self.free_minor(node).ok_or(Errno::EBUSY)?;
        let place = self.spaces.iter().position(Option::is_none).unwrap_or(self.spaces.len());
        let index = u32::try_from(place).map_err(|_| Errno::EBUSY)?;
        let space = Space::new(self.config.profile);
        let device = Some(Device { node, name: name.to_vec(), created: 1, space });
        match self.spaces.get_mut(place) {
            Some(slot) => *slot = device,
            None => self.spaces.push(device),
        }
        if let Some(node) = self.node_mut(node) {
            node.by_minor.insert(minor.0, index);
        }
        Ok(minor)
    }

    /// The number that the misc devices of a kernel hand out next, beside the six that a machine
    /// has before the first lockspace.
    fn free_minor(&self, node: NodeId) -> Option<Minor> {
        let taken = &self.node(node)?.by_minor;
        let free = |minor: &u32| !taken.contains_key(minor);
        let minor = match self.config.profile {
            Profile::Linux6_1 => (0..=121).rev().find(free),
            Profile::Linux6_12 => (263..=0xf_ffff).find(free),
        };
        minor.map(Minor)
    }

    fn remove(&mut self, node: NodeId, minor: Minor, flags: RemoveFlags) -> Result<(), Errno> {
        let spaces = &self.node(node).ok_or(Errno::ENODEV)?.by_minor;
        let space = *spaces.get(&minor.0).ok_or(Errno::ENOENT)?;
        let device = self.device_mut(space).ok_or(Errno::ENOENT)?;
        if device.created == 1 {
            if device.space.locks.len() != 0 && !flags.contains(RemoveFlags::FORCEFREE) {
                return Err(Errno::EBUSY);
            }
            device.created = 0;
            if let Some(node) = self.node_mut(node) {
                node.by_minor.remove(&minor.0);
            }
            self.forget_unused(space);
        } else {
            device.created -= 1;
        }
        Ok(())
    }

    /// Frees a lockspace that is removed and has no session any more.
    fn forget_unused(&mut self, space: u32) {
        let unused = |it: &Device| it.created == 0 && it.space.sessions.is_empty();
        if self.device(space).is_some_and(unused) {
            let slot = usize::try_from(space).ok().and_then(|space| self.spaces.get_mut(space));
            if let Some(slot) = slot {
                *slot = None;
            }
        }
    }

    /// An `open` of the device with this minor number.
    ///
    /// # Errors
    ///
    /// ENODEV if there is none.
    pub fn open(&mut self, node: NodeId, minor: Minor) -> Result<SessionId, Errno> {
        let spaces = &self.node(node).ok_or(Errno::ENODEV)?.by_minor;
        let space = *spaces.get(&minor.0).ok_or(Errno::ENODEV)?;
        let serial = self.opened;
        let device = self.device_mut(space).ok_or(Errno::ENODEV)?;
        let index = device.space.sessions.open(serial).ok_or(Errno::EBUSY)?;
        self.opened += 1;
        Ok(SessionId { space, index, serial })
    }

    fn space(&self, id: SessionId) -> Option<&Space> {
        let space = &self.device(id.space)?.space;
        (space.sessions.get(id.index)?.serial == id.serial).then_some(space)
    }

    fn space_mut(&mut self, id: SessionId) -> Option<&mut Space> {
        let space = &mut self.device_mut(id.space)?.space;
        (space.sessions.get(id.index)?.serial == id.serial).then_some(space)
    }

    /// Sets the thread that the session's requests come from from now on: the id that PURGE
    /// compares. It is 1 for a session that was opened just now.
    pub fn set_task(&mut self, session: SessionId, task: u32) {
        let index = session.index;
        if let Some(it) = self.space_mut(session).and_then(|space| space.sessions.get_mut(index)) {
            it.task = task;
        }
    }

    /// A `write` of one request. A LOCK returns the lock's id unless it is a conversion; all else
    /// returns 0. The results are queued when it returns.
    ///
    /// # Errors
    ///
    /// As the kernel's; EBADF for a closed session.
    pub fn write(&mut self, session: SessionId, request: &[u8]) -> Result<i64, Errno> {
        let abi = self.config.abi;
        let answer = match frame::decode(abi, request) {
            Err(Unframed::Unusual) => {
                let mut pad = frame::PAD;
                let framed = frame::decode_loosely(abi, request, &mut pad);
                self.carry_out(session, framed)
            }
            framed => self.carry_out(session, framed),
        };
        self.collect_readable(session.space);
        answer
    }

    fn carry_out(
        &mut self,
        session: SessionId,
        framed: Result<Framed<'_>, Unframed>,
    ) -> Result<i64, Errno> {
        let nodes = self.config.nodes;
        let node = self.device(session.space).map_or(NodeId(0), |device| device.node);
        let space = self.space_mut(session).ok_or(Errno::EBADF)?;
        let index = session.index;
        let (request, compat) = match framed {
            Ok((request, compat)) => (Some(request), compat),
            Err(Unframed::Unknown { compat }) => (None, compat),
            Err(Unframed::Refused(errno)) => return Err(errno),
            Err(Unframed::Unusual) => return Err(Errno::EINVAL),
        };
        if compat {
            if let Some(session) = space.sessions.get_mut(index) {
                session.compat = true;
            }
        }
        match request {
            Some(Request::Lock(lock)) => space.lock(index, &lock),
            Some(Request::Unlock(unlock)) => space.unlock(&unlock).map(|()| 0),
            Some(Request::Deadlock { lock, flags }) => space.deadlock(lock, flags).map(|()| 0),
            Some(Request::Purge { node: wanted, pid }) => {
                if wanted.0 == 0 || wanted == node {
                    space.purge(index, pid);
                    Ok(0)
                } else if wanted.0 <= nodes {
                    self.purge_on(node, wanted, session.space, pid)
                } else {
                    Err(Errno::ENOBUFS)
                }
            }
            _ => Err(Errno::EINVAL),
        }
    }

    /// PURGE of another node.
    fn purge_on(
        &mut self,
        _from: NodeId,
        _to: NodeId,
        _space: u32,
        _pid: u32,
    ) -> Result<i64, Errno> {
        Err(Errno::ENOBUFS)
    }

    /// A `read` of one result, or of the version for a buffer of 12 bytes. A buffer of
    /// [`MAX_RESULT_LEN`](dlm_proto::MAX_RESULT_LEN) bytes is always enough.
    ///
    /// # Errors
    ///
    /// EAGAIN if there is none, EINVAL for a short buffer, EFAULT for one of 52 to 71 bytes that
    /// a 64-bit result does not fit into (it is lost), EBADF for a closed session.
    pub fn read(&mut self, session: SessionId, buffer: &mut [u8]) -> Result<usize, Errno> {
        let abi = self.config.abi;
        let space = self.space_mut(session).ok_or(Errno::EBADF)?;
        match read::version(abi, buffer) {
            Some(len) => Ok(len),
            None => space.read(abi, session.index, buffer),
        }
    }

    /// What `poll` says: results are queued. On 6.1 they can all turn out to be stale notices, so
    /// that [`read`](Self::read) finds none.
    #[must_use]
    pub fn is_readable(&self, session: SessionId) -> bool {
        let it = self.space(session).and_then(|space| space.sessions.get(session.index));
        it.is_some_and(|it| it.is_readable())
    }

    /// The last close of the device: the session's locks end, and persistent ones become orphans.
    pub fn close(&mut self, session: SessionId) {
        if let Some(space) = self.space_mut(session) {
            space.close(session.index);
            self.collect_readable(session.space);
            self.forget_unused(session.space);
        }
    }

    /// Whether the session's lockspace was removed while it was open. Its requests go on.
    #[must_use]
    pub fn removed(&self, session: SessionId) -> bool {
        self.space(session).is_some()
            && self.device(session.space).is_some_and(|device| device.created == 0)
    }

    fn collect_readable(&mut self, index: u32) {
        let place = usize::try_from(index).unwrap_or(usize::MAX);
        let Some(Some(device)) = self.spaces.get_mut(place) else { return };
        let Space { readable, sessions, .. } = &mut device.space;
        let serial = |place: u32| sessions.get(place).map(|session| session.serial);
        self.readable.extend(readable.drain(..).filter_map(|place| {
            Some(SessionId { space: index, index: place, serial: serial(place)? })
        }));
    }

    /// The sessions that became readable since the last call. One that had results then is not
    /// among them again before it has been read empty.
    pub fn take_readable(&mut self) -> impl Iterator<Item = SessionId> {
        self.readable.drain(..)
    }

    /// The queues of a lockspace, as debugfs shows them.
    #[must_use]
    pub fn dump(&self, node: NodeId, minor: Minor) -> Option<Dump> {
        let space = *self.node(node)?.by_minor.get(&minor.0)?;
        Some(Dump::of(&self.device(space)?.space))
    }

    /// The queues of the lockspace that a session has open, even if it is removed.
    #[must_use]
    pub fn dump_of(&self, session: SessionId) -> Option<Dump> {
        self.space(session).map(Dump::of)
    }

    /// Lockspaces, locks and resources that exist, unread results of their locks included: what
    /// must be 0 after all is closed and removed.
    #[must_use]
    pub fn size(&self) -> usize {
        let all = self.spaces.iter().flatten();
        all.map(|it| 1 + it.space.locks.len() + it.space.resources.len()).sum()
    }

    /// The layouts that the engine speaks.
    #[must_use]
    pub fn abi(&self) -> Abi {
        self.config.abi
    }
}
