//! Scenarios on the kernel's devices.

use std::fs::File;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use dlm_proto::{LockspaceName, Minor};
use dlm_sys::{ControlDevice, Errno, LockspaceDevice};
use nix::fcntl::{Flock, FlockArg};

use super::backend::{Backend, Resource, Thread};
use crate::kernel::Kernel;
use crate::lockspace::control_device;
use crate::task::Task;
use crate::wait::{PATIENCE, within};

/// The kernel that runs.
#[derive(Debug)]
pub struct Devices {
    kernel: Kernel,
    control: Arc<ControlDevice>,
    main: u32,
    /// The other threads, from 1 on.
    threads: Vec<Worker>,
}

type Work = Box<dyn FnOnce() -> Result<i64, Errno> + Send>;

/// A thread that writes when it is told.
#[derive(Debug)]
struct Worker {
    number: u32,
    work: Sender<Work>,
    answers: Receiver<Result<i64, Errno>>,
}

impl Worker {
    fn start() -> Self {
        let (work, todo) = channel::<Work>();
        let (answer, answers) = channel();
        let (started, task) = channel();
        std::thread::spawn(move || {
            // Whoever started it is gone if nobody listens.
            let _ = started.send(Task::current().thread());
            while let Ok(work) = todo.recv() {
                let _ = answer.send(work());
            }
        });
        let number = task.recv().expect("a thread starts");
        Self { number, work, answers }
    }
}

impl Default for Devices {
    fn default() -> Self {
        Self::new()
    }
}

impl Devices {
    /// The kernel that runs, used by the calling thread.
    ///
    /// # Panics
    ///
    /// Without a DLM device and root.
    #[must_use]
    pub fn new() -> Self {
        Self {
            kernel: Kernel::running(),
            control: Arc::new(control_device()),
            main: Task::current().thread(),
            threads: Vec::new(),
        }
    }

    fn worker(&mut self, thread: Thread) -> &Worker {
        while self.threads.len() < thread {
            self.threads.push(Worker::start());
        }
        &self.threads[thread - 1]
    }
}

impl Backend for Devices {
    type Session = Arc<LockspaceDevice>;

    fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// Creations of several scenarios at the same time would corrupt the list of misc devices, and
    /// a removal waits for ever if a session is open.
    fn control(&mut self, _by: Thread, request: &[u8]) -> Result<i64, Errno> {
        let (control, bytes) = (Arc::clone(&self.control), request.to_vec());
        let answer = within(move || {
            let file = File::open("/dev/dlm-control").expect("it is open already");
            let _alone = Flock::lock(file, FlockArg::LockExclusive).expect("flock");
            control.submit_raw(&bytes)
        });
        let answer = answer.unwrap_or_else(|| {
            panic!("the control device did not answer within {PATIENCE:?}: a session still open?")
        });
        answer.map(|value| i64::try_from(value).unwrap_or(i64::MAX))
    }

    fn open(&mut self, space: &[u8], minor: u32) -> Result<Self::Session, Errno> {
        let name = LockspaceName::new(space).expect("names of scenarios are safe");
        match LockspaceDevice::open(&name, Some(Minor(minor))) {
            Ok(device) => Ok(Arc::new(device)),
            Err(error) => Err(error.errno().unwrap_or_else(|| panic!("open: {error}"))),
        }
    }

    fn write(&mut self, by: Thread, session: &Self::Session, request: &[u8]) -> Result<i64, Errno> {
        let answer = if by == 0 {
            session.submit_raw(request)
        } else {
            let (device, bytes) = (Arc::clone(session), request.to_vec());
            let worker = self.worker(by);
            let work = move || device.submit_raw(&bytes).map(|value| value as i64);
            worker.work.send(Box::new(work)).expect("the thread listens");
            return worker.answers.recv_timeout(PATIENCE).expect("the kernel answers");
        };
        answer.map(|value| value as i64)
    }

    fn read(&mut self, session: &Self::Session, buffer: &mut [u8]) -> Result<usize, Errno> {
        nix::unistd::read(session.as_fd(), buffer).map_err(Errno::from)
    }

    fn is_readable(&mut self, session: &Self::Session) -> bool {
        session.poll(Some(Duration::ZERO)).expect("poll")
    }

    fn close(&mut self, session: Self::Session) {
        drop(session);
    }

    fn resources(&mut self, space: &[u8], _minor: u32) -> Vec<Resource> {
        let name = String::from_utf8_lossy(space);
        let file = format!("/sys/kernel/debug/dlm/{name}_all");
        let text = std::fs::read(&file).unwrap_or_else(|error| panic!("read {file}: {error}"));
        Resource::all_in(&name, &text).unwrap_or_else(|error| panic!("{file}: {error}"))
    }

    fn owner(&mut self, thread: Thread) -> u32 {
        if thread == 0 { self.main } else { self.worker(thread).number }
    }
}
