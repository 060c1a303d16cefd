//! A second process: the same test program, with a part to play.
//!
//! A test asks for its [`role`] first. In a child that [`spawn`] started it gets one, and plays
//! that part instead of the test.

use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::wait::{PATIENCE, eventually};

const ROLE: &str = "DLM_TESTS_ROLE";
const ARGUMENT: &str = "DLM_TESTS_ARGUMENT";

/// What marks a line of a child's among those of the test program.
const MARK: char = '@';

/// Keeps children from being made.
///
/// Between its fork and its exec a child has every open file of this process, those with CLOEXEC
/// too, so that a close meanwhile is not the last one.
#[derive(Debug)]
pub struct Forks(#[expect(dead_code, reason = "held until dropped")] MutexGuard<'static, ()>);

impl Forks {
    /// Until this is dropped, no child is made, and none is between its fork and its exec.
    #[must_use]
    pub fn none() -> Self {
        static FORKS: Mutex<()> = Mutex::new(());
        Self(FORKS.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The part that this process plays.
#[derive(Debug)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// What [`spawn`] gave along.
    pub argument: String,
}

/// The part to play, if this is a child. The parent goes on when this is called.
#[must_use]
pub fn role() -> Option<Role> {
    let name = std::env::var(ROLE).ok()?;
    say("ready");
    Some(Role { name, argument: std::env::var(ARGUMENT).unwrap_or_default() })
}

/// Tells the parent a line.
///
/// # Panics
///
/// If the parent does not listen any more.
pub fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{MARK}{line}").expect("the parent listens");
    out.flush().expect("the parent listens");
}

/// The name of the test `$test` of the module that says this, as its program lists it and as
/// [`spawn`] wants it.
#[macro_export]
macro_rules! test_name {
    ($test:ident) => {{
        let _: fn() = $test;
        $crate::process::within_program(concat!(module_path!(), "::", stringify!($test)))
    }};
}

/// A path without the crate, with which it begins.
#[doc(hidden)]
#[must_use]
pub fn within_program(path: &str) -> &str {
    path.split_once("::").map_or(path, |(_, rest)| rest)
}

/// A child process. Killed when dropped.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    output: ChildStdout,
    /// What was read and not asked for yet.
    text: String,
}

/// Starts this test program again to play a part in the test [`test`](crate::test_name!). `device`, if given, becomes
/// the child's standard input: the very same open file.
///
/// # Panics
///
/// If the child does not come up.
#[must_use]
#[track_caller]
pub fn spawn(test: &str, role: &str, argument: &str, device: Option<BorrowedFd<'_>>) -> Child {
    let input = match device {
        Some(device) => Stdio::from(device.try_clone_to_owned().expect("duplicate the device")),
        None => Stdio::null(),
    };
    start(command(&[]), test, role, argument, input)
}

/// As [`spawn`], by another program: the words of a command to which this one is appended.
///
/// # Panics
///
/// If the child does not come up.
#[must_use]
#[track_caller]
pub fn spawn_by(launcher: &[&str], test: &str, role: &str, argument: &str) -> Child {
    start(command(launcher), test, role, argument, Stdio::null())
}

/// This program, started by a launcher, and under the emulator that `cargo xtask test --arch` has for it.
fn command(launcher: &[&str]) -> Command {
    let this = std::env::current_exe().expect("this program has a path");
    let emulator = std::env::var("DLM_RUNNER").unwrap_or_default();
    let mut words = launcher.iter().copied().chain(emulator.split_whitespace());
    let Some(program) = words.next() else { return Command::new(this) };
    let mut command = Command::new(program);
    command.args(words).arg(this);
    command
}

#[track_caller]
fn start(mut command: Command, test: &str, role: &str, argument: &str, input: Stdio) -> Child {
    let _none = Forks::none();
    let mut process = command
        .args(["--exact", test, "--include-ignored", "--nocapture", "--test-threads=1"])
        .envs([(ROLE, role), (ARGUMENT, argument)])
        .stdin(input)
        .stdout(Stdio::piped())
        .spawn()
        .expect("start a second process");
    let output = process.stdout.take().expect("it is piped");
    let mut child = Child { process, output, text: String::new() };
    assert_eq!(child.line(), "ready");
    child
}

impl Child {
    /// The next line that the child says, awaited for at most [`PATIENCE`].
    ///
    /// # Panics
    ///
    /// If none comes.
    #[track_caller]
    pub fn line(&mut self) -> String {
        let start = Instant::now();
        loop {
            if let Some((line, rest)) = self.text.split_once('\n') {
                let said = line.strip_prefix(MARK).map(str::to_owned);
                self.text = rest.to_owned();
                match said {
                    Some(said) => return said,
                    None => continue,
                }
            }
            let left = PATIENCE.saturating_sub(start.elapsed());
            assert!(!left.is_zero(), "the second process says nothing: {}", self.text);
            let mut fds = [PollFd::new(self.output.as_fd(), PollFlags::POLLIN)];
            poll(&mut fds, PollTimeout::try_from(left).expect("short")).expect("poll");
            if fds[0].any() == Some(true) {
                let mut buffer = [0; 4096];
                let read = self.output.read(&mut buffer).expect("read from the child");
                assert!(read > 0, "the second process ended: {}", self.text);
                self.text.push_str(&String::from_utf8_lossy(&buffer[..read]));
            }
        }
    }

    /// Sends SIGKILL, and does not wait.
    ///
    /// # Panics
    ///
    /// If that fails.
    pub fn kill(&mut self) {
        self.process.kill().expect("kill the second process");
    }

    /// Whether the process has ended.
    ///
    /// # Panics
    ///
    /// If the operating system does not know it.
    pub fn has_ended(&mut self) -> bool {
        self.process.try_wait().expect("it is our child").is_some()
    }

    /// Waits until the process has ended.
    ///
    /// # Panics
    ///
    /// If it does not within [`PATIENCE`].
    #[track_caller]
    pub fn await_end(&mut self) {
        eventually("the second process has ended", || self.has_ended());
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended already. Nobody waits for it here: it may be stuck in the kernel.
        let _ = self.process.kill();
        let _ = self.process.try_wait();
    }
}
