//! The network between the nodes: a hub in this process, so that no frame ever leaves it, and so
//! that links can be cut.
//!
//! Each machine is connected by a stream socket, on which QEMU puts the length of a frame (four
//! bytes, the first the highest) before it. A frame for one node goes to that node only, which
//! spares the others the work of looking at it.

use crate::vm::qemu::ADDRESSES;
use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Frames kept for a node that takes none for a while. What is more is lost, as on a real network.
const QUEUE: usize = 1024;
/// No frame is as long; only a stream out of step has such a length.
const LONGEST: usize = 1 << 17;

/// The hub. Nodes count from 1.
#[derive(Debug, Clone)]
pub struct Hub(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// To each node, if it is connected.
    ports: Vec<Option<Port>>,
    /// Pairs of which the first does not reach the second.
    cuts: HashSet<(u8, u8)>,
    /// Connections so far.
    count: u64,
}

#[derive(Debug)]
struct Port {
    /// Which connection it is: an older one of the same node may end later.
    number: u64,
    frames: SyncSender<Arc<[u8]>>,
}

impl Hub {
    /// A hub for this many nodes.
    #[must_use]
    pub fn new(nodes: u8) -> Self {
        let ports = (0..nodes).map(|_| None).collect();
        Self(Arc::new(Mutex::new(State { ports, cuts: HashSet::new(), count: 0 })))
    }

    /// A new connection for a node, in place of the one it had.
    ///
    /// # Errors
    ///
    /// When the system has no sockets or threads left.
    pub fn connect(&self, node: u8) -> io::Result<UnixStream> {
        let (ours, theirs) = UnixStream::pair()?;
        let reader = ours.try_clone()?;
        let (frames, queue) = sync_channel(QUEUE);
        let mut state = self.lock();
        state.count += 1;
        let number = state.count;
        if let Some(port) = state.ports.get_mut(index(node)) {
            *port = Some(Port { number, frames });
        }
        drop(state);
        let hub = self.clone();
        std::thread::Builder::new().name(format!("from node {node}")).spawn(move || {
            // Ends with the machine.
            let _ = hub.forward(node, reader);
            hub.forget(node, number);
        })?;
        std::thread::Builder::new().name(format!("to node {node}")).spawn(move || {
            let _ = deliver(&queue, ours);
        })?;
        Ok(theirs)
    }

    /// Cuts a node off from all others.
    pub fn isolate(&self, node: u8) {
        let mut state = self.lock();
        let all = u8::try_from(state.ports.len()).unwrap_or(u8::MAX);
        for other in (1..=all).filter(|other| *other != node) {
            state.cuts.extend([(node, other), (other, node)]);
        }
    }

    /// Keeps what one node sends from another; the way back stays open.
    pub fn cut(&self, from: u8, to: u8) {
        self.lock().cuts.insert((from, to));
    }

    /// Mends all links.
    pub fn heal(&self) {
        self.lock().cuts.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self, node: u8, number: u64) {
        if let Some(port) = self.lock().ports.get_mut(index(node)) {
            if port.as_ref().is_some_and(|port| port.number == number) {
                *port = None;
            }
        }
    }

    /// Moves what a node sends, until its connection ends.
    fn forward(&self, node: u8, mut from: impl Read) -> io::Result<()> {
        loop {
            let mut length = [0; 4];
            from.read_exact(&mut length)?;
            let size = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
            if size > LONGEST {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let mut frame = length.to_vec();
            frame.resize(length.len().saturating_add(size), 0);
            from.read_exact(frame.get_mut(length.len()..).unwrap_or_default())?;
            self.lock().pass(node, &frame.into());
        }
    }
}

impl State {
    /// Hands a frame to whom it is for.
    fn pass(&self, from: u8, frame: &Arc<[u8]>) {
        // After the length comes the address of the receiver.
        let receiver = frame.get(4..10).and_then(|address| address.strip_prefix(&ADDRESSES));
        for (to, port) in (1..).zip(&self.ports) {
            let meant = receiver.is_none_or(|last| last == [to]);
            if let Some(port) = port.as_ref().filter(|_| meant && to != from) {
                if !self.cuts.contains(&(from, to)) {
                    match port.frames.try_send(Arc::clone(frame)) {
                        // A full queue loses frames; a node that has just ended takes none.
                        Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
                    }
                }
            }
        }
    }
}

fn index(node: u8) -> usize {
    usize::from(node).wrapping_sub(1)
}

fn deliver(queue: &Receiver<Arc<[u8]>>, mut to: impl Write) -> io::Result<()> {
    for frame in queue {
        to.write_all(&frame)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn frame(to: [u8; 6], text: &[u8]) -> Vec<u8> {
        let length = u32::try_from(6 + text.len()).unwrap();
        [&length.to_be_bytes(), &to[..], text].concat()
    }

    fn node(number: u8) -> [u8; 6] {
        [0x52, 0x54, 0, 0, 0, number]
    }

    fn receive(from: &mut UnixStream, wanted: &[u8]) {
        from.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut got = vec![0; wanted.len()];
        from.read_exact(&mut got).unwrap();
        assert_eq!(got, wanted);
    }

    #[test]
    fn frames_reach_whom_they_are_for_unless_the_link_is_cut() {
        let hub = Hub::new(3);
        let mut nodes = [1, 2, 3].map(|node| hub.connect(node).unwrap());
        let all = frame([0xff; 6], b"all");
        nodes[0].write_all(&all).unwrap();
        receive(&mut nodes[1], &all);
        receive(&mut nodes[2], &all);
        let (two, three) = (frame(node(2), b"for two"), frame(node(3), b"for three"));
        hub.cut(1, 3);
        nodes[0].write_all(&three).unwrap();
        nodes[0].write_all(&two).unwrap();
        // Frames keep their order, so that for node 3 was lost when this one is there.
        receive(&mut nodes[1], &two);
        hub.heal();
        nodes[0].write_all(&all).unwrap();
        receive(&mut nodes[2], &all);
    }

    #[test]
    fn a_node_that_comes_again_takes_the_place_of_the_old() {
        let hub = Hub::new(2);
        let mut one = hub.connect(1).unwrap();
        let old = hub.connect(2).unwrap();
        let mut new = hub.connect(2).unwrap();
        drop(old);
        let hello = frame(node(2), b"hello");
        one.write_all(&hello).unwrap();
        receive(&mut new, &hello);
        hub.isolate(2);
        new.write_all(&frame(node(1), b"lost")).unwrap();
        new.write_all(&[0xff; 4]).unwrap();
        let mut end = [0];
        new.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        assert_eq!(new.read(&mut end).unwrap(), 0, "a stream out of step is closed");
    }
}
