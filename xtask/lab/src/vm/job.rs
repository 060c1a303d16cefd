//! A command that runs in the guest.

use crate::vm::command::{Exit, Input};
use crate::vm::link::{Call, NoReply};
use dlm_guest::wire::{CHUNK, Reply, Request, WINDOW};
use std::io::{self, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// A running command. Dropping it forgets the command but does not end it.
#[derive(Debug)]
pub struct Job {
    call: Call,
    window: Arc<Window>,
}

/// What a command does.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// It wrote to its standard output.
    Stdout(Vec<u8>),
    /// It wrote to its standard error.
    Stderr(Vec<u8>),
    /// It ended; this is the last event.
    Exit(Exit),
}

impl Job {
    pub(crate) fn new(call: Call, input: Input) -> io::Result<Self> {
        let window = Arc::new(Window::default());
        let job = Self { call, window };
        match input {
            Input::Empty => {}
            Input::Bytes(bytes) => job.feed(io::Cursor::new(bytes))?,
            Input::Inherit => job.feed(io::stdin())?,
        }
        Ok(job)
    }

    /// Moves input in a thread of its own, as reading it may block longer than the command runs.
    pub(crate) fn feed(&self, mut from: impl Read + Send + 'static) -> io::Result<()> {
        let window = Arc::clone(&self.window);
        let send = self.call.sender();
        std::thread::Builder::new().name("input".into()).spawn(move || {
            let mut buffer = vec![0; CHUNK];
            loop {
                let length = match from.read(&mut buffer) {
                    Ok(length) => length,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                    Err(e) => {
                        eprintln!("xtask: cannot read the input: {e}");
                        0
                    }
                };
                // The end of the machine is reported by whoever waits for the command.
                let goes_on = match buffer.get(..length) {
                    None | Some([]) => {
                        let _ = send(&Request::StdinEnd);
                        false
                    }
                    Some(bytes) => {
                        window.take(length) && send(&Request::Stdin(bytes.to_vec())).is_ok()
                    }
                };
                if !goes_on {
                    return;
                }
            }
        })?;
        Ok(())
    }

    /// Sends a signal to the command and the processes of its group.
    ///
    /// # Errors
    ///
    /// When the machine has ended.
    pub fn signal(&self, number: i32) -> io::Result<()> {
        self.call.send(&Request::Signal(number))
    }

    /// A sender of signals for while another thread waits for what the command does.
    pub fn signals(&self) -> impl Fn(i32) -> io::Result<()> + Send + Sync + use<> {
        let send = self.call.sender();
        move |number| send(&Request::Signal(number))
    }

    /// The next thing it does.
    ///
    /// # Errors
    ///
    /// When it does nothing until then, or the machine has ended.
    pub fn next(&self, until: Instant) -> Result<Event, NoReply> {
        loop {
            return Ok(match self.call.next(until)? {
                Reply::Stdout(bytes) => Event::Stdout(bytes),
                Reply::Stderr(bytes) => Event::Stderr(bytes),
                Reply::Exit(outcome) => Event::Exit(outcome.into()),
                Reply::Taken(count) => {
                    self.window.give(usize::try_from(count).unwrap_or(usize::MAX));
                    continue;
                }
                // Nothing else belongs to a command.
                _ => continue,
            });
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.window.close();
    }
}

/// Input under way, see `dlm_guest::wire`.
#[derive(Debug, Default)]
struct Window {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    under_way: usize,
    closed: bool,
}

impl Window {
    /// Waits for room; false when there is no use in sending any more.
    fn take(&self, count: usize) -> bool {
        let full = |state: &mut State| {
            !state.closed && state.under_way > 0 && state.under_way.saturating_add(count) > WINDOW
        };
        let waited = self.changed.wait_while(self.lock(), full);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.under_way = state.under_way.saturating_add(count);
        !state.closed
    }

    fn give(&self, count: usize) {
        let mut state = self.lock();
        state.under_way = state.under_way.saturating_sub(count);
        self.changed.notify_all();
    }

    fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::link::Link;
    use dlm_guest::wire;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    #[test]
    fn input_stops_at_the_window_and_goes_on_when_it_was_taken() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (link, _unasked) = Link::open(ours).unwrap();
        let job = Job::new(link.begin(), Input::Bytes(vec![7; WINDOW + 5])).unwrap();
        let mut receive = |limit: Option<Duration>| {
            theirs.set_read_timeout(limit).unwrap();
            wire::receive::<Request>(&mut theirs)
        };
        let mut got = 0;
        while got < WINDOW {
            let (_, Request::Stdin(bytes)) = receive(None).unwrap() else { panic!("no input") };
            got += bytes.len();
        }
        assert!(receive(Some(Duration::from_millis(50))).is_err(), "more than the window");
        job.window.give(5);
        let (_, last) = receive(None).unwrap();
        assert_eq!(last, Request::Stdin(vec![7; 5]));
        assert_eq!(receive(None).unwrap().1, Request::StdinEnd);
    }
}
