//! The control devices of nodes: lockspaces come and go.

use alloc::vec::Vec;

use dlm_proto::{LockspaceFlags, Minor, NodeId, RemoveFlags, Request};

use crate::config::Profile;
use crate::engine::{Device, Engine};
use crate::errno::Errno;
use crate::frame::{self, Unframed};
use crate::read;
use crate::space::Space;

impl Engine {
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
        let mut space = Space::new(self.config.profile, node.0);
        // The first one on any node makes the lockspace, the others join it.
        let group = match self.spaces.iter().flatten().find(|it| it.is_member() && it.name == name)
        {
            Some(member) => member.group,
            None => self.groups,
        };
        self.groups = self.groups.max(group + 1);
        space.stopped = self.network.is_recovering(group);
        let device = Some(Device {
            node,
            name: name.to_vec(),
            created: 1,
            group,
            has_left: false,
            is_halted: false,
            inbox: Vec::new(),
            space,
        });
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
            self.leave(space);
            self.forget_unused(space);
        } else {
            device.created -= 1;
        }
        Ok(())
    }

    /// Frees a lockspace that is removed and has no session any more.
    pub(crate) fn forget_unused(&mut self, space: u32) {
        let unused = |it: &Device| it.created == 0 && it.space.sessions.is_empty();
        if self.device(space).is_some_and(unused) {
            self.drop_device(space);
        }
    }
}
