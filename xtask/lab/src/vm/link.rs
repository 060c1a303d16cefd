//! Speaks the agent's protocol: sends requests, hands replies to whom they belong.

use dlm_guest::wire::{self, Reply, Request};
use std::collections::HashMap;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Replies kept for a caller that is slow to take them; then everything waits for it.
const QUEUE: usize = 128;
/// The agent always reads; a port that takes nothing for so long belongs to a dead guest.
const WRITE_LIMIT: Duration = Duration::from_secs(30);

/// A connection to an agent, usable from many threads.
#[derive(Debug)]
pub(crate) struct Link {
    writer: Mutex<UnixStream>,
    routes: Arc<Mutex<Routes>>,
}

#[derive(Debug)]
struct Routes {
    next: u32,
    /// None when the connection has ended.
    open: Option<HashMap<u32, SyncSender<Reply>>>,
}

/// A request that is under way.
#[derive(Debug)]
pub(crate) struct Call {
    link: Arc<Link>,
    id: u32,
    replies: Receiver<Reply>,
}

/// Why there is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoReply {
    /// The time is over.
    TimeUp,
    /// The machine has ended.
    Gone,
}

impl Link {
    /// Takes a fresh connection. The second value gets what the agent says unasked, on id 0.
    ///
    /// # Errors
    ///
    /// When the system has no thread left.
    pub(crate) fn open(stream: UnixStream) -> io::Result<(Arc<Self>, Call)> {
        stream.set_write_timeout(Some(WRITE_LIMIT))?;
        let mut reader = stream.try_clone()?;
        let routes = Arc::new(Mutex::new(Routes { next: 0, open: Some(HashMap::new()) }));
        let link = Arc::new(Self { writer: Mutex::new(stream), routes: Arc::clone(&routes) });
        let unasked = link.begin();
        std::thread::Builder::new().name("replies".into()).spawn(move || {
            // Ends with an error when the machine does: there is nothing else to hear then.
            while let Ok((id, reply)) = wire::receive::<Reply>(&mut reader) {
                // Not under the lock: a full queue must not keep its owner from giving up.
                let to = lock(&routes).open.as_ref().and_then(|open| open.get(&id).cloned());
                if let Some(to) = to {
                    // Nobody waits for this reply any more if that fails.
                    let _ = to.send(reply);
                }
            }
            // Wakes everyone who waits.
            lock(&routes).open = None;
        })?;
        Ok((link, unasked))
    }

    /// Begins a request with an id of its own.
    #[must_use]
    pub(crate) fn begin(self: &Arc<Self>) -> Call {
        let (sender, replies) = sync_channel(QUEUE);
        let mut routes = lock(&self.routes);
        let id = routes.next;
        routes.next = id.wrapping_add(1);
        if let Some(open) = &mut routes.open {
            open.insert(id, sender);
        }
        drop(routes);
        Call { link: Arc::clone(self), id, replies }
    }

    fn send(&self, id: u32, request: &Request) -> io::Result<()> {
        wire::send(&mut *lock(&self.writer), id, request)
    }
}

impl Call {
    /// Sends a part of the request.
    ///
    /// # Errors
    ///
    /// When the machine has ended or takes nothing any more.
    pub(crate) fn send(&self, request: &Request) -> io::Result<()> {
        self.link.send(self.id, request)
    }

    /// A sender of further parts for another thread.
    pub(crate) fn sender(&self) -> impl Fn(&Request) -> io::Result<()> + Send + Sync + use<> {
        let (link, id) = (Arc::clone(&self.link), self.id);
        move |request| link.send(id, request)
    }

    /// The next reply.
    ///
    /// # Errors
    ///
    /// When there is none until then, or the machine has ended.
    pub(crate) fn next(&self, until: Instant) -> Result<Reply, NoReply> {
        let left = until.saturating_duration_since(Instant::now());
        self.replies.recv_timeout(left).map_err(|e| match e {
            RecvTimeoutError::Timeout => NoReply::TimeUp,
            RecvTimeoutError::Disconnected => NoReply::Gone,
        })
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(open) = &mut lock(&self.link.routes).open {
            open.remove(&self.id);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[test]
    fn replies_find_their_call_and_the_end_wakes_all() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (link, unasked) = Link::open(ours).unwrap();
        let (first, second) = (link.begin(), link.begin());
        second.send(&Request::Finish).unwrap();
        let (id, request): (u32, Request) = wire::receive(&mut theirs).unwrap();
        assert_eq!((id, request), (2, Request::Finish));
        wire::send(&mut theirs, 2, &Reply::Done("two".into())).unwrap();
        wire::send(&mut theirs, 99, &Reply::Awake).unwrap();
        wire::send(&mut theirs, 0, &Reply::Ready).unwrap();
        wire::send(&mut theirs, 1, &Reply::Done("one".into())).unwrap();
        assert_eq!(first.next(soon()), Ok(Reply::Done("one".into())));
        assert_eq!(second.next(soon()), Ok(Reply::Done("two".into())));
        assert_eq!(unasked.next(soon()), Ok(Reply::Ready));
        assert_eq!(first.next(Instant::now()), Err(NoReply::TimeUp));
        drop(theirs);
        assert_eq!(first.next(soon()), Err(NoReply::Gone));
        assert_eq!(link.begin().next(soon()), Err(NoReply::Gone));
    }

    #[test]
    fn a_call_that_was_given_up_does_not_block_the_others() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (link, _unasked) = Link::open(ours).unwrap();
        let (lazy, other) = (link.begin(), link.begin());
        let writer = std::thread::spawn(move || {
            for _ in 0..QUEUE * 2 {
                wire::send(&mut theirs, 1, &Reply::Awake).unwrap();
            }
            wire::send(&mut theirs, 2, &Reply::Ready).unwrap();
            theirs
        });
        assert_eq!(other.next(Instant::now() + Duration::from_millis(50)), Err(NoReply::TimeUp));
        drop(lazy);
        assert_eq!(other.next(soon()), Ok(Reply::Ready));
        drop(writer.join().unwrap());
    }
}
