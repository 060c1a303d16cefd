//! The network between the nodes, and time.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use dlm_proto::NodeId;
use dlm_random::Random;

use crate::message::Message;

/// A message on its way, to the same lockspace of another node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packet {
    pub(crate) from: u32,
    pub(crate) to: u32,
    /// The lockspace, by a number that all nodes know.
    pub(crate) group: u64,
    pub(crate) message: Message,
}

/// Microseconds that a message takes at least and at most.
const DELAY: (u64, u64) = (50, 500);
/// Microseconds that a recovery takes at least and at most.
const RECOVERY: (u64, u64) = (10_000, 50_000);

/// Messages that are on their way, and recoveries that are to be done.
#[derive(Debug, Default)]
pub(crate) struct Network {
    pub(crate) now: u64,
    random: Random,
    sent: u64,
    on_the_way: BTreeMap<(u64, u64), Packet>,
    /// The time when the last message from a node to another one arrives: none overtakes another.
    last: BTreeMap<(u32, u32), u64>,
    /// Lockspaces that are to recover.
    recoveries: BTreeMap<u64, Pending>,
    /// Those that are kept from it, and who is gone from them.
    put_off: BTreeMap<u64, Vec<u32>>,
    frozen: Vec<u32>,
    /// The part of the network that a node is in, if it is divided.
    parts: BTreeMap<u32, usize>,
    /// What cannot arrive now, with the number that it was sent under.
    held: Vec<(u64, Packet)>,
}

/// A recovery that is to be done.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pending {
    pub(crate) at: u64,
    pub(crate) gone: Vec<u32>,
}

/// The next event.
#[derive(Debug)]
pub(crate) enum Event {
    /// A packet, and the number that it was sent under.
    Arrival(u64, Packet),
    Recovery(u64, Vec<u32>),
}

impl Network {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), ..Self::default() }
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.random.below(end.max(1))
    }

    fn time(&mut self, (least, most): (u64, u64)) -> u64 {
        self.now + least + self.below(most - least + 1)
    }

    pub(crate) fn send(&mut self, packet: Packet) {
        let time = self.time(DELAY);
        let last = self.last.entry((packet.from, packet.to)).or_default();
        let arrival = time.max(*last);
        *last = arrival;
        self.on_the_way.insert((arrival, self.sent), packet);
        self.sent += 1;
    }

    /// A lockspace is to recover from the loss of a node.
    pub(crate) fn plan_recovery(&mut self, group: u64, gone: u32) {
        let at = self.time(RECOVERY);
        let before = self.put_off.remove(&group).unwrap_or_default();
        let pending = self.recoveries.entry(group).or_default();
        pending.at = at;
        pending.gone.extend(before);
        pending.gone.push(gone);
    }

    /// A recovery cannot be done now. It is kept until [`Self::plan_again`].
    pub(crate) fn put_off(&mut self, group: u64, gone: Vec<u32>) {
        self.put_off.entry(group).or_default().extend(gone);
    }

    /// What was put off is to be done, if it can be.
    pub(crate) fn plan_again(&mut self) {
        for (group, gone) in core::mem::take(&mut self.put_off) {
            for node in gone {
                self.plan_recovery(group, node);
            }
        }
    }

    pub(crate) fn is_recovering(&self, group: u64) -> bool {
        self.recoveries.contains_key(&group) || self.put_off.contains_key(&group)
    }

    /// The nodes that are gone from a lockspace which is to recover from that.
    pub(crate) fn gone_from(&self, group: u64) -> impl Iterator<Item = u32> {
        let pending = self.recoveries.get(&group).map(|pending| &pending.gone);
        pending.into_iter().chain(self.put_off.get(&group)).flatten().copied()
    }

    /// Whether its recovery was put off.
    pub(crate) fn is_put_off(&self, group: u64) -> bool {
        self.put_off.contains_key(&group)
    }

    /// Whether no message is on its way or kept, and no recovery is to be done.
    pub(crate) fn is_idle(&self) -> bool {
        self.on_the_way.is_empty()
            && self.held.is_empty()
            && self.recoveries.is_empty()
            && self.put_off.is_empty()
    }

    pub(crate) fn next_time(&self) -> Option<u64> {
        let arrival = self.on_the_way.keys().next().map(|key| key.0);
        let recovery = self.recoveries.values().map(|pending| pending.at).min();
        arrival.into_iter().chain(recovery).min()
    }

    /// Takes the next event, if it is due by then, and sets the time to it.
    pub(crate) fn next(&mut self, until: u64) -> Option<Event> {
        let at = self.next_time().filter(|&at| at <= until)?;
        self.now = self.now.max(at);
        let due = self.recoveries.iter().find(|(_, pending)| pending.at <= at);
        if let Some(group) = due.map(|(&group, _)| group) {
            let pending = self.recoveries.remove(&group)?;
            return Some(Event::Recovery(group, pending.gone));
        }
        self.on_the_way.pop_first().map(|((_, number), packet)| Event::Arrival(number, packet))
    }

    /// Whether the network is divided between two nodes.
    pub(crate) fn is_cut(&self, one: u32, other: u32) -> bool {
        self.parts.get(&one) != self.parts.get(&other)
    }

    /// Whether a packet cannot arrive now. Then it is kept.
    pub(crate) fn hold(&mut self, number: u64, packet: Packet) -> bool {
        let cut = self.is_cut(packet.from, packet.to);
        let held = cut || self.frozen.contains(&packet.from) || self.frozen.contains(&packet.to);
        if held {
            self.held.push((number, packet));
        }
        held
    }

    /// Sends what was kept on its way again. By its number it arrives before what was sent later,
    /// also at the same time.
    fn let_go(&mut self) {
        for (number, packet) in core::mem::take(&mut self.held) {
            self.on_the_way.insert((self.now, number), packet);
        }
        self.plan_again();
    }

    /// Loses all messages of a node.
    pub(crate) fn lose(&mut self, node: u32, group: Option<u64>) {
        let stays = |packet: &Packet| {
            (packet.from != node && packet.to != node) || group.is_some_and(|it| it != packet.group)
        };
        self.on_the_way.retain(|_, packet| stays(packet));
        self.held.retain(|(_, packet)| stays(packet));
        if group.is_none() {
            self.frozen.retain(|&frozen| frozen != node);
        }
    }

    pub(crate) fn freeze(&mut self, node: NodeId) {
        if !self.frozen.contains(&node.0) {
            self.frozen.push(node.0);
        }
    }

    pub(crate) fn thaw(&mut self, node: NodeId) {
        self.frozen.retain(|&frozen| frozen != node.0);
        self.let_go();
    }

    pub(crate) fn is_frozen(&self, node: u32) -> bool {
        self.frozen.contains(&node)
    }

    pub(crate) fn divide(&mut self, parts: &[&[NodeId]]) {
        let numbered = (1..).zip(parts);
        self.parts =
            numbered.flat_map(|(part, nodes)| nodes.iter().map(move |it| (it.0, part))).collect();
        self.let_go();
    }
}
