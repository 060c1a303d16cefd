//! The thread of the pthread build, in which ASTs run.

use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::thread::{self, ThreadId};
use std::time::Duration;

use crate::errno::Errno;
use crate::process;
use crate::session::{NO_THREAD, Session};
use crate::sync::{Condvar, Mutex, Signal, lock, sleep};

/// How long closing waits for an AST that is running.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Control {
    stop: Signal,
    has_ended: Mutex<bool>,
    ended: Condvar,
}

/// The thread of a lockspace.
#[derive(Debug)]
pub(crate) struct AstThread {
    control: Arc<Control>,
    id: ThreadId,
    /// It exists in this process only.
    forks: usize,
}

impl AstThread {
    /// Stops it after the AST that it runs, and waits for that unless this is that thread.
    pub(crate) fn stop(self) {
        if self.forks != process::forks() {
            return;
        }
        self.control.stop.set();
        if self.id != thread::current().id() {
            let mut ended = lock(&self.control.has_ended);
            self.control.ended.wait_while_for(&mut ended, |ended| !*ended, PATIENCE);
        }
    }
}

impl Session {
    /// Starts the thread. EEXIST: there is one.
    pub(crate) fn start_thread(self: &Arc<Self>) -> Result<(), Errno> {
        self.open()?;
        let mut place = lock(&self.thread);
        if self.has_thread() {
            return Err(Errno(libc::EEXIST));
        }
        let control = Arc::new(Control {
            stop: Signal::new()?,
            has_ended: Mutex::new(false),
            ended: Condvar::new(),
        });
        let (session, theirs) = (Arc::downgrade(self), Arc::clone(&control));
        let spawned = thread::Builder::new().name("dlm-ast".into()).spawn(move || {
            deliver(&session, &theirs.stop);
            *lock(&theirs.has_ended) = true;
            theirs.ended.notify_all();
        });
        let thread =
            spawned.map_err(|error| Errno(error.raw_os_error().unwrap_or(libc::EAGAIN)))?;
        let (id, forks) = (thread.thread().id(), process::forks());
        *place = Some(AstThread { control, id, forks });
        self.thread_forks.store(forks, Ordering::SeqCst);
        drop(place);
        // What was begun before belongs to the thread, too.
        self.interest_changed.set();
        Ok(())
    }

    /// Whether ASTs are run by a thread other than this one.
    pub(crate) fn leaves_asts(&self) -> bool {
        self.has_thread()
            && lock(&self.thread).as_ref().is_some_and(|it| it.id != thread::current().id())
    }
}

/// Delivers until it is stopped, or the lockspace is closed or removed.
fn deliver(session: &Weak<Session>, stop: &Signal) {
    while let Some(session) = session.upgrade() {
        match turn(&session, stop) {
            Ok(true) => {}
            Ok(false) => return,
            Err(_) => {
                // Without a device there is nothing to deliver any more.
                session.thread_forks.store(NO_THREAD, Ordering::SeqCst);
                return;
            }
        }
    }
}

/// Sleeps until there is something to do, and does it. `false`: stop.
fn turn(session: &Session, stop: &Signal) -> Result<bool, Errno> {
    let open = session.open()?;
    let sources = [
        stop.as_fd(),
        open.device.removal(),
        session.interest_changed.as_fd(),
        session.gone.as_fd(),
        session.due.source(),
        session.deadlines.source(),
        open.device.as_fd(),
    ];
    // Without ASTs to come, the results belong to threads that wait for them in a call: being woken
    // for each of those would only slow them down.
    let is_idle = session.interest.load(Ordering::SeqCst) == 0;
    let used = if is_idle { sources.len() - 1 } else { sources.len() };
    let [stopped, removal, interest, gone, ..] = sleep(sources, used, None)?;
    if stopped || gone {
        return Ok(false);
    }
    if interest {
        session.interest_changed.clear();
    }
    if removal && open.device.was_removed()? {
        return Err(Errno(libc::ENODEV));
    }
    drop(open);
    // A panic can only be one of this library; it must not end the delivery.
    catch_unwind(AssertUnwindSafe(|| session.dispatch())).unwrap_or(Ok(()))?;
    Ok(true)
}
