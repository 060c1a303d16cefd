//! Threads, as the kernel sees them.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use crate::wait::eventually;

/// A thread of this or another process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    process: u32,
    thread: u32,
}

/// As `process thread`, which [`Task::parse`] reads.
impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.process, self.thread)
    }
}

impl Task {
    /// The calling thread.
    #[must_use]
    pub fn current() -> Self {
        // PROCESS/task/THREAD
        let link = fs::read_link("/proc/thread-self").expect("/proc is mounted");
        let mut numbers = link.iter().filter_map(|part| part.to_str()?.parse().ok());
        let mut number = || numbers.next().expect("two numbers");
        Self { process: number(), thread: number() }
    }

    /// A thread by its text form.
    ///
    /// # Panics
    ///
    /// If it is none.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut numbers = text.split_whitespace().map(|number| number.parse().expect(text));
        let mut number = || numbers.next().expect("two numbers");
        Self { process: number(), thread: number() }
    }

    /// Its process id.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.process
    }

    /// Its thread id, which is what the kernel calls the owner of a lock.
    #[must_use]
    pub fn thread(&self) -> u32 {
        self.thread
    }

    /// Whether it sleeps in a `read`, ready to be woken by a signal.
    #[must_use]
    pub fn sleeps_in_read(&self) -> bool {
        self.state() == Some('S') && self.call() == Some(libc::SYS_read)
    }

    /// Whether it sleeps in this system call, safe from signals.
    #[must_use]
    pub fn is_stuck_in(&self, call: libc::c_long) -> bool {
        self.state() == Some('D') && self.call() == Some(call)
    }

    /// Waits until [`Task::sleeps_in_read`].
    #[track_caller]
    pub fn await_read(&self) {
        eventually("the thread sleeps in read", || self.sleeps_in_read());
    }

    /// Waits until [`Task::is_stuck_in`] this call.
    #[track_caller]
    pub fn await_stuck_in(&self, call: libc::c_long) {
        eventually("the thread is stuck in the kernel", || self.is_stuck_in(call));
    }

    /// The letter of its state, or `None` if it has ended.
    #[must_use]
    pub fn state(&self) -> Option<char> {
        let stat = self.file("stat")?;
        // The name before it stands in parentheses and may hold anything.
        stat.get(stat.rfind(')')?..)?.split_whitespace().nth(1)?.chars().next()
    }

    /// The system call that it sleeps in.
    fn call(&self) -> Option<libc::c_long> {
        self.file("syscall")?.split_whitespace().next()?.parse().ok()
    }

    fn file(&self, name: &str) -> Option<String> {
        let folder = PathBuf::from(format!("/proc/{}/task/{}", self.process, self.thread));
        fs::read_to_string(folder.join(name)).ok()
    }
}
