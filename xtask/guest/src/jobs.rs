//! Commands that run for the host, and the reaping that PID 1 owes to all processes.

use crate::serve::Outbox;
use dlm_guest::wire::{CHUNK, Outcome, Reply, Spawn};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid, waitpid};
use nix::unistd::Pid;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// What is drained from the pipes of a command that has ended. More can only come from processes
/// that it left behind, and those may write for ever.
const LAST_READS: usize = 8;

/// A pipe and what its bytes are sent as.
type Output = (PipeReader, fn(Vec<u8>) -> Reply);

/// All running commands.
pub(crate) struct Jobs {
    shared: Arc<Shared>,
}

struct Shared {
    outbox: Arc<Outbox>,
    running: Mutex<HashMap<u32, Job>>,
    spawned: Condvar,
}

struct Job {
    child: Child,
    pid: Pid,
    input: Option<Sender<Vec<u8>>>,
    /// Takes the outcome; the pipe's end, closed with it, wakes the thread that moves the output.
    end: Sender<Outcome>,
    _wake: PipeWriter,
}

impl Jobs {
    pub(crate) fn start(outbox: Arc<Outbox>) -> io::Result<Self> {
        let running = Mutex::new(HashMap::new());
        let shared = Arc::new(Shared { outbox, running, spawned: Condvar::new() });
        let reaper = Arc::clone(&shared);
        std::thread::Builder::new().name("reaper".into()).spawn(move || reaper.reap())?;
        Ok(Self { shared })
    }

    pub(crate) fn run(&self, id: u32, spawn: &Spawn) {
        if let Err(e) = self.shared.spawn(id, spawn) {
            let errno = e.raw_os_error().unwrap_or(Errno::EIO as i32);
            self.shared.outbox.send(id, &Reply::Exit(Outcome::NotStarted(errno, e.to_string())));
        }
    }

    /// Input for a command that has ended meanwhile is dropped.
    pub(crate) fn feed(&self, id: u32, bytes: Vec<u8>) {
        if let Some(Job { input: Some(input), .. }) = self.shared.lock().get(&id) {
            // A failure means that the thread is gone together with the command.
            let _ = input.send(bytes);
        }
    }

    pub(crate) fn end_input(&self, id: u32) {
        if let Some(job) = self.shared.lock().get_mut(&id) {
            job.input = None;
        }
    }

    pub(crate) fn signal(&self, id: u32, number: i32) {
        // Under the lock the process is not reaped, so its number cannot be somebody else's.
        if let (Some(job), Ok(signal)) = (self.shared.lock().get(&id), Signal::try_from(number)) {
            // ESRCH: it has just ended, which is what a signal is for.
            let _ = killpg(job.pid, signal);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Job>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(self: &Arc<Self>, id: u32, spawn: &Spawn) -> io::Result<()> {
        let mut words = spawn.argv.iter().map(|word| OsStr::from_bytes(word));
        let program = words.next().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(program);
        command.args(words).env_clear().process_group(0).current_dir(OsStr::from_bytes(&spawn.cwd));
        command.envs(spawn.env.iter().map(|(n, v)| (OsStr::from_bytes(n), OsStr::from_bytes(v))));
        let (stdout, stdout_end) = io::pipe()?;
        let (stderr, stderr_end) = io::pipe()?;
        let (ended, wake) = io::pipe()?;
        let (end, outcome) = channel();
        command.stdout(stdout_end).stderr(stderr_end);
        command.stdin(if spawn.fed { Stdio::piped() } else { Stdio::null() });

        // Held until the command is listed: the reaper must find it, however soon it ends, and
        // must not take the child of an `exec` that failed, which `spawn` waits for itself.
        let mut running = self.lock();
        let mut child = command.spawn()?;
        // The command keeps its ends of the pipes; ours would hide the end of its output.
        drop(command);
        let pid = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
        let input = child.stdin.take().map(|stdin| self.start_feeding(id, stdin)).transpose()?;
        running.insert(id, Job { child, pid, input, end, _wake: wake });
        drop(running);
        self.spawned.notify_all();

        let shared = Arc::clone(self);
        std::thread::Builder::new().name(format!("output {id}")).spawn(move || {
            let result = shared.move_output(id, stdout, stderr, &ended);
            if let Err(e) = result {
                crate::klog::say(&format!("output of command {id}: {e}"));
            }
            if let Ok(outcome) = outcome.recv() {
                shared.outbox.send(id, &Reply::Exit(outcome));
            }
        })?;
        Ok(())
    }

    fn start_feeding(self: &Arc<Self>, id: u32, stdin: ChildStdin) -> io::Result<Sender<Vec<u8>>> {
        let (sender, receiver): (_, Receiver<Vec<u8>>) = channel();
        let shared = Arc::clone(self);
        std::thread::Builder::new().name(format!("input {id}")).spawn(move || {
            let mut stdin = Some(stdin);
            for bytes in receiver {
                // A command that closed its input still has the rest taken off the host's hands.
                if stdin.as_mut().is_some_and(|pipe| pipe.write_all(&bytes).is_err()) {
                    stdin = None;
                }
                let taken = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                shared.outbox.send(id, &Reply::Taken(taken));
            }
        })?;
        Ok(sender)
    }

    /// Sends all output until the command has ended and its pipes are empty.
    fn move_output(
        &self,
        id: u32,
        stdout: PipeReader,
        stderr: PipeReader,
        ended: &PipeReader,
    ) -> io::Result<()> {
        for pipe in [&stdout, &stderr] {
            fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        let mut pipes: [Option<Output>; 2] =
            [Some((stdout, Reply::Stdout)), Some((stderr, Reply::Stderr))];
        let mut has_ended = false;
        while !has_ended {
            let mut fds = vec![PollFd::new(ended.as_fd(), PollFlags::POLLIN)];
            fds.extend(
                pipes.iter().flatten().map(|(p, _)| PollFd::new(p.as_fd(), PollFlags::POLLIN)),
            );
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) => has_ended = fds.first().and_then(PollFd::any).unwrap_or(false),
                Err(Errno::EINTR) => {}
                Err(e) => return Err(e.into()),
            }
            drop(fds);
            let reads = if has_ended { LAST_READS } else { 1 };
            for slot in &mut pipes {
                for _ in 0..reads {
                    let Some((pipe, reply)) = slot else { break };
                    let mut bytes = vec![0; CHUNK];
                    match pipe.read(&mut bytes) {
                        Ok(0) => *slot = None,
                        Ok(length) => {
                            bytes.truncate(length);
                            self.outbox.send(id, &reply(bytes));
                        }
                        Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                        Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                        Err(e) => return Err(e),
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes every process that ends, commands as well as the orphans they leave to PID 1.
    fn reap(&self) {
        loop {
            // Only a look: the process stays until the lock is held, see `spawn`.
            match waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
                Ok(status) => self.collect(status.pid()),
                Err(Errno::ECHILD) => self.wait_for_a_command(),
                Err(Errno::EINTR) => {}
                // nix has no name for real-time signals: something ended by one.
                Err(_) => self.collect(None),
            }
        }
    }

    /// Collects the process that ended, or whatever ended when it is not known which did.
    fn collect(&self, ended: Option<Pid>) {
        let mut running = self.lock();
        let mut commands = 0;
        running.retain(|_, job| {
            let outcome = match job.child.try_wait() {
                Ok(None) => return true,
                Ok(Some(status)) => outcome(status),
                Err(e) => Outcome::NotStarted(Errno::ECHILD as i32, format!("status lost: {e}")),
            };
            commands += 1;
            // The receiver lives until it has this.
            let _ = job.end.send(outcome);
            false
        });
        if ended.is_some() || commands == 0 {
            // An orphan, or one of the commands just collected; the result is of no interest.
            let _ = waitpid(ended, Some(WaitPidFlag::WNOHANG));
        }
    }

    /// There was no child; without commands there can be no orphans either.
    fn wait_for_a_command(&self) {
        let running = self.lock();
        drop(self.spawned.wait_while(running, |running| running.is_empty()));
    }
}

fn outcome(status: ExitStatus) -> Outcome {
    match (status.code(), status.signal()) {
        (Some(code), _) => Outcome::Code(code),
        (None, signal) => Outcome::Signal(signal.unwrap_or_default()),
    }
}
