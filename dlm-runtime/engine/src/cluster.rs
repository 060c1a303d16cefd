//! Several nodes: messages, time, and what goes wrong.

use alloc::vec::Vec;

use dlm_proto::{LockId, Minor, NodeId, ResourceName};

use crate::engine::{Device, Engine};
use crate::message::{Answer, Message};
use crate::network::{Event, Packet};
use crate::session::SessionId;

impl Engine {
    /// The time of the cluster in microseconds. It stands still but in [`advance`](Self::advance)
    /// and [`step`](Self::step).
    #[must_use]
    pub fn now(&self) -> u64 {
        self.network.now
    }

    /// The time when the next message arrives or the next recovery is done, if anything is to
    /// happen.
    #[must_use]
    pub fn next_event(&self) -> Option<u64> {
        self.network.next_time()
    }

    /// Lets the next thing happen, and returns its time.
    pub fn step(&mut self) -> Option<u64> {
        let event = self.network.next(u64::MAX)?;
        self.happen(event);
        Some(self.network.now)
    }

    /// Lets all happen that is due until `to`, which is the time then.
    pub fn advance(&mut self, to: u64) {
        while let Some(event) = self.network.next(to) {
            self.happen(event);
        }
        self.network.now = self.network.now.max(to);
    }

    /// Lets all happen that follows from what was done so far.
    pub fn settle(&mut self) {
        while self.step().is_some() {}
    }

    /// A node is gone at once, with its sessions and locks. The others' lockspaces that it was in
    /// are stopped until they have recovered.
    pub fn crash(&mut self, node: NodeId) {
        let devices: Vec<u32> = self.devices_of(|device| device.node == node);
        for space in devices {
            self.leave(space);
            self.drop_device(space);
        }
        self.network.lose(node.0, None);
        if let Some(it) = self.node_mut(node) {
            it.by_minor.clear();
            it.is_down = true;
        }
    }

    /// A node that crashed is there again, without lockspaces.
    pub fn restart(&mut self, node: NodeId) {
        if let Some(it) = self.node_mut(node) {
            it.is_down = false;
        }
    }

    /// A node stands still: it gets no messages, and what it sent before is kept, too. Requests of
    /// its sessions are held up, and recoveries of its lockspaces wait.
    pub fn freeze(&mut self, node: NodeId) {
        self.network.freeze(node);
    }

    /// A node goes on.
    pub fn thaw(&mut self, node: NodeId) {
        self.network.thaw(node);
    }

    /// Divides the network: messages from one part to another are kept, and lockspaces that have
    /// members in several do not recover. A node in no part is in one with all such nodes. Nobody
    /// is declared dead by that: crash the nodes that a cluster manager would fence.
    pub fn partition(&mut self, parts: &[&[NodeId]]) {
        self.network.divide(parts);
    }

    /// Ends all divisions.
    pub fn heal(&mut self) {
        self.network.divide(&[]);
    }

    /// Stops a lockspace on a node, as a 0 written to its `control` file does. Its recoveries wait
    /// meanwhile.
    pub fn stop(&mut self, node: NodeId, minor: Minor) {
        if let Some(device) = self.device_at(node, minor).and_then(|it| self.device_mut(it)) {
            device.is_halted = true;
            device.space.stopped = true;
        }
    }

    /// Starts a lockspace on a node again. If it is to recover, it goes on after that.
    pub fn start(&mut self, node: NodeId, minor: Minor) {
        let Some(space) = self.device_at(node, minor) else { return };
        let Some(device) = self.device_mut(space) else { return };
        device.is_halted = false;
        let group = device.group;
        if self.network.is_recovering(group) {
            self.network.plan_again();
        } else {
            self.go_on(space);
        }
    }

    /// Keeps all lockspaces from recovering, as a node does that is still to be fenced, or lets
    /// them recover again.
    pub fn hold_recovery(&mut self, holds: bool) {
        self.holds_recovery = holds;
        if !holds {
            self.network.plan_again();
        }
    }

    /// Whether requests of the session are held up, as its lockspace is stopped or its node frozen.
    #[must_use]
    pub fn stopped(&self, session: SessionId) -> bool {
        self.space(session).is_some_and(|it| it.stopped || self.network.is_frozen(it.node))
    }

    /// Whether requests for a lockspace are held up on a node, as it is stopped or the node frozen.
    #[must_use]
    pub fn is_stopped(&self, node: NodeId, minor: Minor) -> bool {
        let device = self.device_at(node, minor).and_then(|space| self.device(space));
        device.is_some_and(|it| it.space.stopped || self.network.is_frozen(node.0))
    }

    /// Whether a node stands still.
    #[must_use]
    pub fn is_frozen(&self, node: NodeId) -> bool {
        self.network.is_frozen(node.0)
    }

    /// Whether there is such a node, and it has not crashed.
    #[must_use]
    pub fn is_up(&self, node: NodeId) -> bool {
        self.node(node).is_some()
    }

    /// The node that a recovery of this lockspace is waiting for, as seen from a node: all members
    /// take part in it, so none may be frozen, cut off or stopped.
    #[must_use]
    pub fn waiting_for(&self, node: NodeId, minor: Minor) -> Option<NodeId> {
        let device = self.device(self.device_at(node, minor)?)?;
        let waits = self.network.is_put_off(device.group);
        self.absentee(node, device.group).filter(|_| waits)
    }

    /// The nodes whose fencing this lockspace awaits, as seen from a node: those that are gone from it,
    /// while recoveries are [held](Self::hold_recovery).
    pub fn awaits_fencing_of(&self, node: NodeId, minor: Minor) -> impl Iterator<Item = NodeId> {
        let device = self.device_at(node, minor).and_then(|space| self.device(space));
        let group = device.filter(|_| self.holds_recovery).map(|device| device.group);
        group.into_iter().flat_map(|group| self.network.gone_from(group)).map(NodeId)
    }

    /// A member that cannot take part in a recovery with this node.
    fn absentee(&self, here: NodeId, group: u64) -> Option<NodeId> {
        let mut members =
            self.spaces.iter().flatten().filter(|it| it.group == group && it.is_member());
        let absent = |it: &&Device| {
            let node = it.node.0;
            it.is_halted || self.network.is_frozen(node) || self.network.is_cut(here.0, node)
        };
        members.find(absent).map(|it| it.node)
    }

    fn devices_of(&self, wanted: impl Fn(&Device) -> bool) -> Vec<u32> {
        let devices = (0..).zip(&self.spaces);
        devices
            .filter(|(_, slot)| slot.as_ref().is_some_and(&wanted))
            .map(|(index, _)| index)
            .collect()
    }

    /// The lockspaces of a group that take part in it.
    fn members(&self, group: u64) -> Vec<u32> {
        self.devices_of(|device| device.group == group && device.is_member())
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrival(number, packet) => {
                if !self.network.hold(number, packet) {
                    self.deliver(packet);
                }
            }
            Event::Recovery(group, gone) => {
                let members = self.members(group);
                let first = members.first().and_then(|&space| self.device(space));
                let absent = first.and_then(|it| self.absentee(it.node, group));
                if self.holds_recovery || absent.is_some() {
                    self.network.put_off(group, gone);
                } else {
                    self.recover(group, &gone);
                }
            }
        }
    }

    fn deliver(&mut self, packet: Packet) {
        let to = |it: &Device| it.node.0 == packet.to && it.group == packet.group && it.is_member();
        let Some(&space) = self.devices_of(to).first() else { return };
        // A request may have come to a node that is not the master any more, or not yet.
        let named = match &packet.message {
            Message::Request { name, .. } => Some(*name),
            Message::Answer { answer: Answer::NotMaster, at, .. } => {
                self.device(space).and_then(|device| device.space.name_of(*at))
            }
            _ => None,
        };
        let master = named.map_or(0, |name| self.master_of(space, &name));
        let Some(device) = self.device_mut(space) else { return };
        if device.space.stopped {
            device.inbox.push(packet);
            return;
        }
        match packet.message {
            Message::Answer { answer: Answer::NotMaster, at, .. } => {
                device.space.learn_master(packet.from, at, master);
            }
            Message::Answer { .. } | Message::Grant { .. } | Message::Notice { .. } => {
                device.space.learn(packet.from, packet.message);
            }
            message => device.space.serve(packet.from, master != 0, message),
        }
        self.after(space);
    }

    /// The node that is the master of a resource, as seen from a lockspace; 0 for itself, and if
    /// there is none.
    pub(crate) fn master_of(&self, space: u32, name: &[u8]) -> u32 {
        if self.config.nodes < 2 {
            return 0;
        }
        let Some(here) = self.device(space) else { return 0 };
        let others = self
            .spaces
            .iter()
            .flatten()
            .filter(|it| it.group == here.group && it.node != here.node && it.is_member());
        others.filter(|it| it.space.is_master_of(name)).map(|it| it.node.0).next().unwrap_or(0)
    }

    /// After a lockspace did something: its messages are sent, and its readers told.
    pub(crate) fn after(&mut self, space: u32) {
        let Some(device) = self.device_mut(space) else { return };
        let (from, group) = (device.node.0, device.group);
        if !device.space.outbox.is_empty() {
            for (to, message) in core::mem::take(&mut device.space.outbox) {
                self.network.send(Packet { from, to, group, message });
            }
        }
        self.collect_readable(space);
    }

    /// A lockspace of a node is no member of its group any more: the others recover.
    pub(crate) fn leave(&mut self, space: u32) {
        let Some(device) = self.device(space).filter(|it| it.is_member()) else { return };
        let (node, group) = (device.node, device.group);
        let others: Vec<u32> =
            self.members(group).into_iter().filter(|&other| other != space).collect();
        if let Some(device) = self.device_mut(space) {
            device.has_left = true;
        }
        self.network.lose(node.0, Some(group));
        if others.is_empty() {
            return;
        }
        for other in others {
            if let Some(device) = self.device_mut(other) {
                device.space.stopped = true;
            }
        }
        self.network.plan_recovery(group, node.0);
    }

    fn recover(&mut self, group: u64, gone: &[u32]) {
        let members = self.members(group);
        let mut lost: Vec<ResourceName> = Vec::new();
        for &member in &members {
            let Some(device) = self.device_mut(member) else { continue };
            device.inbox.retain(|packet| !gone.contains(&packet.from));
            device.space.give_up_answers(gone);
            device.space.drop_copies(gone);
            lost.extend(device.space.orphaned_resources(gone));
        }
        lost.sort_unstable();
        lost.dedup();
        for name in lost {
            self.find_master(&members, gone, &name);
        }
        for &member in &members {
            if let Some(device) = self.device_mut(member) {
                device.space.complete_resources();
            }
        }
        for member in members {
            self.go_on(member);
        }
    }

    /// Makes one of those who have locks on a resource its master, and tells it of the locks.
    fn find_master(&mut self, members: &[u32], gone: &[u32], name: &ResourceName) {
        let has = |member: &u32| {
            self.device(*member).is_some_and(|it| it.space.has_lost_master_of(name, gone))
        };
        let holders: Vec<u32> = members.iter().copied().filter(has).collect();
        let is_master =
            |member: &u32| self.device(*member).is_some_and(|it| it.space.is_master_of(name));
        // Another one can be the master already, if all that was sent to the old one is requests.
        let master = match members.iter().copied().find(is_master) {
            Some(master) => master,
            None => {
                let chosen = self.network.below(holders.len() as u64);
                let Some(&chosen) = holders.get(usize::try_from(chosen).unwrap_or(0)) else {
                    return;
                };
                chosen
            }
        };
        let Some(node) = self.device(master).map(|it| it.node.0) else { return };
        for &holder in &holders {
            let Some(device) = self.device_mut(holder) else { continue };
            let from = device.node.0;
            for lock in device.space.set_master(name, node) {
                let copy: Option<LockId> =
                    self.device_mut(master).and_then(|it| it.space.rebuild(from, name, &lock));
                if let (Some(copy), Some(device)) = (copy, self.device_mut(holder)) {
                    device.space.set_peer(lock.id, copy);
                }
            }
        }
    }

    /// A lockspace goes on: what waited for that is done.
    fn go_on(&mut self, space: u32) {
        let Some(device) = self.device_mut(space) else { return };
        device.space.stopped = false;
        let inbox = core::mem::take(&mut device.inbox);
        for packet in inbox {
            self.deliver(packet);
        }
        let Some(device) = self.device_mut(space) else { return };
        device.space.go_on();
        for session in core::mem::take(&mut device.space.closing) {
            self.close_at(space, session);
        }
        self.after(space);
        self.forget_unused(space);
    }
}
