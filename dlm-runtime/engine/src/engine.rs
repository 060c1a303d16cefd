//! The engine: devices of nodes.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use dlm_proto::{Abi, Minor, NodeId, Request};

use crate::config::Config;
use crate::dump::Dump;
use crate::errno::Errno;
use crate::frame::{self, Framed, Unframed};
use crate::message::Message;
use crate::network::{Network, Packet};
use crate::read;
use crate::session::{SessionId, Slots};
use crate::space::Space;

/// A whole lock manager: the devices of the nodes of a cluster, which take requests as bytes and
/// give results as bytes. See the [crate] for what is modelled.
#[derive(Debug)]
pub struct Engine {
    pub(crate) config: Config,
    pub(crate) nodes: Vec<Node>,
    pub(crate) spaces: Vec<Option<Device>>,
    opened: u64,
    slots: Slots,
    readable: Vec<SessionId>,
    pub(crate) network: Network,
    /// Lockspaces that were made, on all nodes together.
    pub(crate) groups: u64,
    /// No lockspace recovers.
    pub(crate) holds_recovery: bool,
}

/// A node: which lockspaces have a device on it.
#[derive(Debug, Default)]
pub(crate) struct Node {
    pub(crate) by_minor: BTreeMap<u32, u32>,
    /// It crashed.
    pub(crate) is_down: bool,
}

/// A lockspace on a node, with its device.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) node: NodeId,
    pub(crate) name: Vec<u8>,
    /// The number of CREATEs without a REMOVE. With 0 it is removed, and only sessions are left.
    pub(crate) created: u32,
    /// The lockspace, by a number that the nodes have in common.
    pub(crate) group: u64,
    /// The other nodes do without it.
    pub(crate) has_left: bool,
    /// It was stopped by itself, and not for a recovery.
    pub(crate) is_halted: bool,
    /// Messages that came while it is stopped.
    pub(crate) inbox: Vec<Packet>,
    pub(crate) space: Space,
}

impl Device {
    /// Whether it takes part in the lockspace of the cluster.
    pub(crate) fn is_member(&self) -> bool {
        !self.has_left
    }
}

impl Engine {
    /// An engine without lockspaces.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let nodes = (0..config.nodes).map(|_| Node::default()).collect();
        Self {
            config,
            nodes,
            spaces: Vec::new(),
            opened: 0,
            slots: Slots::default(),
            readable: Vec::new(),
            network: Network::new(config.seed),
            groups: 0,
            holds_recovery: false,
        }
    }

    /// The configuration that the engine was made with.
    #[must_use]
    pub fn config(&self) -> Config {
        self.config
    }

    /// A node that is up.
    pub(crate) fn node(&self, node: NodeId) -> Option<&Node> {
        let node = self.nodes.get(usize::try_from(node.0).ok()?.checked_sub(1)?);
        node.filter(|node| !node.is_down)
    }

    /// The place of the lockspace with this minor number.
    pub(crate) fn device_at(&self, node: NodeId, minor: Minor) -> Option<u32> {
        self.node(node)?.by_minor.get(&minor.0).copied()
    }

    pub(crate) fn slot(&mut self, space: u32) -> Option<&mut Option<Device>> {
        self.spaces.get_mut(usize::try_from(space).ok()?)
    }

    pub(crate) fn node_mut(&mut self, node: NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(usize::try_from(node.0).ok()?.checked_sub(1)?)
    }

    pub(crate) fn device(&self, space: u32) -> Option<&Device> {
        self.spaces.get(usize::try_from(space).ok()?)?.as_ref()
    }

    pub(crate) fn device_mut(&mut self, space: u32) -> Option<&mut Device> {
        self.spaces.get_mut(usize::try_from(space).ok()?)?.as_mut()
    }

    /// An `open` of the device with this minor number.
    ///
    /// # Errors
    ///
    /// ENODEV if there is none.
    pub fn open(&mut self, node: NodeId, minor: Minor) -> Result<SessionId, Errno> {
        let spaces = &self.node(node).ok_or(Errno::ENODEV)?.by_minor;
        let space = *spaces.get(&minor.0).ok_or(Errno::ENODEV)?;
        self.device(space).ok_or(Errno::ENODEV)?;
        let (serial, slot) = (self.opened, self.slots.take().ok_or(Errno::EBUSY)?);
        let device = self.device_mut(space).ok_or(Errno::ENODEV)?;
        let index = device.space.sessions.open(serial, slot).ok_or(Errno::EBUSY)?;
        self.opened += 1;
        Ok(SessionId { space, index, slot, serial })
    }

    pub(crate) fn space(&self, id: SessionId) -> Option<&Space> {
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

    /// A `write` by a thread: [`set_task`](Self::set_task) and [`write`](Self::write).
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn write_as(
        &mut self,
        session: SessionId,
        task: u32,
        request: &[u8],
    ) -> Result<i64, Errno> {
        self.set_task(session, task);
        self.write(session, request)
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
        self.after(session.space);
        answer
    }

    fn carry_out(
        &mut self,
        session: SessionId,
        framed: Result<Framed<'_>, Unframed>,
    ) -> Result<i64, Errno> {
        let node = self.device(session.space).map_or(NodeId(0), |device| device.node);
        let is_frozen = self.network.is_frozen(node.0);
        let hint = match &framed {
            Ok((Request::Lock(lock), _)) => self.master_of(session.space, lock.name),
            _ => 0,
        };
        let space = self.space_mut(session).ok_or(Errno::EBADF)?;
        if is_frozen {
            return Err(Errno::STOPPED);
        }
        space.master_hint = hint;
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
                    space.purge(index, pid).map(|()| 0)
                } else {
                    self.purge_on(session.space, wanted, pid)
                }
            }
            _ => Err(Errno::EINVAL),
        }
    }

    /// PURGE of another node: a message, if there is such a node.
    fn purge_on(&mut self, space: u32, to: NodeId, pid: u32) -> Result<i64, Errno> {
        let group = self.device(space).map(|it| it.group);
        let mut others = self.spaces.iter().flatten();
        if !others.any(|it| it.node == to && Some(it.group) == group && it.is_member()) {
            return Err(Errno::ENOBUFS);
        }
        if let Some(device) = self.device_mut(space) {
            device.space.outbox.push((to.0, Message::Purge { pid }));
        }
        Ok(0)
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

    /// The answer of `poll`: results are queued. On 6.1 they can all turn out to be stale notices,
    /// so that [`read`](Self::read) finds none.
    #[must_use]
    pub fn is_readable(&self, session: SessionId) -> bool {
        let it = self.space(session).and_then(|space| space.sessions.get(session.index));
        it.is_some_and(|it| it.is_readable())
    }

    /// The last close of the device: the session's locks end, and persistent ones become orphans.
    pub fn close(&mut self, session: SessionId) {
        if let Some(space) = self.space_mut(session) {
            if space.stopped {
                // It is done when the lockspace goes on. A kernel holds up the call.
                if !space.closing.contains(&session.index) {
                    space.closing.push(session.index);
                }
                return;
            }
            self.close_at(session.space, session.index);
            self.after(session.space);
            self.forget_unused(session.space);
        }
    }

    /// Closes the session at a place of a lockspace.
    pub(crate) fn close_at(&mut self, space: u32, index: u32) {
        let Some(device) = self.device_mut(space) else { return };
        let slot = device.space.sessions.get(index).map(|session| session.slot);
        device.space.close(index);
        if let Some(slot) = slot {
            self.slots.free(slot);
        }
    }

    /// A lockspace of a node is no more, and neither are its sessions.
    pub(crate) fn drop_device(&mut self, space: u32) {
        let Some(device) = self.slot(space).and_then(Option::take) else { return };
        for (_, session) in device.space.sessions.iter() {
            self.slots.free(session.slot);
        }
    }

    /// Whether the session's lockspace was removed while it was open. Its requests go on.
    #[must_use]
    pub fn removed(&self, session: SessionId) -> bool {
        self.space(session).is_some()
            && self.device(session.space).is_some_and(|device| device.created == 0)
    }

    pub(crate) fn collect_readable(&mut self, index: u32) {
        let place = usize::try_from(index).unwrap_or(usize::MAX);
        let Some(Some(device)) = self.spaces.get_mut(place) else { return };
        let Space { readable, sessions, .. } = &mut device.space;
        self.readable.extend(readable.drain(..).filter_map(|place| {
            let session = sessions.get(place)?;
            let (slot, serial) = (session.slot, session.serial);
            Some(SessionId { space: index, index: place, slot, serial })
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

    /// The lockspaces of a node, in the order of their minor numbers.
    pub fn lockspaces(&self, node: NodeId) -> impl Iterator<Item = (Minor, &[u8])> {
        let all = self.node(node).into_iter().flat_map(|node| &node.by_minor);
        all.filter_map(|(&minor, &space)| Some((Minor(minor), self.device(space)?.name.as_slice())))
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
