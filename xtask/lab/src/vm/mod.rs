//! Virtual machines with a real kernel and its DLM, to run commands and tests in.

pub mod apt;
mod bzimage;
mod command;
pub mod cpio;
pub mod elf;
pub mod image;
mod job;
pub mod kernels;
pub(crate) mod link;
pub(crate) mod log;
pub mod modules;
pub mod progress;
pub mod provision;
mod put;
pub(crate) mod qemu;
pub(crate) mod qmp;
pub(crate) mod snapshot;
mod sources;
pub(crate) mod start;
pub mod store;
pub(crate) mod trouble;
pub mod unpacked;

pub use command::{Command, Exit, Input, Output};
pub use job::{Event, Job};
pub use log::KernelLog;
pub use start::{VmOptions, prepare};
pub use trouble::{Kind, Trouble};

use anyhow::{Context, Result, bail};
use dlm_guest::wire::{Reply, Request};
pub use link::NoReply;
use link::{Call, Link};
use nix::sys::signal::Signal;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A running machine. All methods can be used from several threads at once. Dropping it ends it.
#[derive(Debug)]
pub struct Vm {
    kernel: &'static str,
    machine: qemu::Machine,
    control: Mutex<qmp::Control>,
    link: Arc<Link>,
    /// When its time is over.
    deadline: Instant,
    /// Where the kernel log was when the machine was ready.
    log_start: AtomicU64,
    library_path: Mutex<Vec<PathBuf>>,
    /// Libraries that the guest got beside those of its image.
    pushed: Mutex<BTreeSet<PathBuf>>,
}

impl Vm {
    /// Starts a machine, from a snapshot if there is one. What it needs is installed, fetched
    /// and built first, see [`prepare`].
    ///
    /// # Errors
    ///
    /// When something cannot be had, or the machine does not come up.
    pub fn start(options: &VmOptions) -> Result<Self> {
        start::start(options)
    }

    /// Name of its kernel, as in [`kernels::KERNELS`].
    #[must_use]
    pub fn kernel(&self) -> &'static str {
        self.kernel
    }

    /// Process number of its QEMU.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.machine.process()
    }

    /// Puts a file into the guest, replacing what was there; folders above it are created.
    ///
    /// # Errors
    ///
    /// When the guest cannot store it, or has ended.
    pub fn put_file(&self, path: impl AsRef<Path>, mode: u32, content: &[u8]) -> Result<()> {
        self.transfer(|call| put::bytes(call, path.as_ref(), mode, content))
    }

    /// Puts a folder with all that is in it into the guest, keeping modes and links.
    ///
    /// # Errors
    ///
    /// When it cannot be read here or stored there.
    pub fn put_dir(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
        self.transfer(|call| put::folder(call, from.as_ref(), to.as_ref(), &mut |_| Ok(())))
    }

    /// Puts a folder into the guest and makes the programs in it runnable: their libraries come
    /// along at the same paths as here, and those in the folder itself and in its `lib` are found
    /// by every command run from now on.
    ///
    /// # Errors
    ///
    /// When it cannot be read here or stored there.
    pub fn add_dir(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
        let (from, to) = (from.as_ref(), to.as_ref());
        let from = from.canonicalize().with_context(|| format!("no folder {}", from.display()))?;
        if !from.is_dir() {
            bail!("{} is not a folder", from.display());
        }
        let mut libraries = elf::Libraries::new(vec![from.clone()]);
        self.transfer(|call| put::folder(call, &from, to, &mut |file| libraries.add(file)))?;
        self.add_library_path([to.to_path_buf(), to.join("lib")]);
        self.push_libraries(&libraries)
    }

    /// Puts one program into the guest, with the libraries it needs.
    ///
    /// # Errors
    ///
    /// When it cannot be read here or stored there.
    pub fn add_program(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
        let from = from.as_ref();
        let mut libraries = elf::Libraries::new(Vec::new());
        libraries.add(from)?;
        self.transfer(|call| put::file(call, from, to.as_ref()))?;
        self.push_libraries(&libraries)
    }

    fn push_libraries(&self, libraries: &elf::Libraries) -> Result<()> {
        let mut pushed = self.pushed.lock().unwrap_or_else(PoisonError::into_inner);
        let new: Vec<_> = libraries
            .found()
            .filter(|path| !image::brings(path) && !pushed.contains(*path))
            .collect();
        if !new.is_empty() {
            self.transfer(|call| new.iter().try_for_each(|path| put::file(call, path, path)))?;
            pushed.extend(new.iter().map(|path| path.to_path_buf()));
        }
        drop(pushed);
        self.add_library_path(libraries.unusual_folders());
        Ok(())
    }

    fn add_library_path(&self, folders: impl IntoIterator<Item = PathBuf>) {
        let mut path = self.library_path.lock().unwrap_or_else(PoisonError::into_inner);
        for folder in folders {
            if !path.contains(&folder) {
                path.push(folder);
            }
        }
    }

    fn transfer(&self, send: impl FnOnce(&Call) -> Result<()>) -> Result<()> {
        let call = self.link.begin();
        // A failure here is often the guest's end, which explains more than a broken pipe.
        let sent = send(&call).and_then(|()| Ok(call.send(&Request::Finish)?));
        if let Err(error) = sent {
            return Err(match error.downcast_ref::<io::Error>().map(io::Error::kind) {
                Some(io::ErrorKind::BrokenPipe) => self.gone("receiving files"),
                Some(io::ErrorKind::WouldBlock) => self.time_up("receiving files", self.deadline),
                _ => error,
            });
        }
        match self.reply(&call, self.deadline, "receiving files")? {
            Reply::Done(error) if error.is_empty() => Ok(()),
            Reply::Done(error) => bail!("the guest cannot store {error}"),
            other => bail!("odd answer of the guest to files: {other:?}"),
        }
    }

    /// Starts a command; its events are taken from the [`Job`].
    ///
    /// # Errors
    ///
    /// When the machine has ended.
    pub fn spawn(&self, command: &Command) -> Result<Job> {
        let job = Job::new(self.begin(command, false)?, command.input.clone())?;
        Ok(job)
    }

    /// Starts a command and returns what its input is written to. Dropping that ends the input.
    ///
    /// # Errors
    ///
    /// When the machine has ended.
    pub fn spawn_fed(&self, command: &Command) -> Result<(Job, io::PipeWriter)> {
        let job = Job::new(self.begin(command, true)?, Input::Empty)?;
        let (reader, writer) = io::pipe()?;
        job.feed(reader)?;
        Ok((job, writer))
    }

    fn begin(&self, command: &Command, fed: bool) -> Result<Call> {
        let mut spawn = command.to_wire();
        spawn.fed |= fed;
        let path = self.library_path.lock().unwrap_or_else(PoisonError::into_inner);
        if !path.is_empty() && !command.has_env("LD_LIBRARY_PATH") {
            let folders: Vec<OsString> = path.iter().map(|p| p.clone().into_os_string()).collect();
            let joined = folders.join(":".as_ref()).into_encoded_bytes();
            spawn.env.push((b"LD_LIBRARY_PATH".to_vec(), joined));
        }
        drop(path);
        let call = self.link.begin();
        call.send(&Request::Run(spawn)).map_err(|_| self.gone(&command.line()))?;
        Ok(call)
    }

    /// Runs a command, its output streaming to that of this process. When the reader of the
    /// output has gone, the command is told so by SIGPIPE, as it would be without a machine.
    ///
    /// # Errors
    ///
    /// When the machine has ended, or a time limit strikes.
    pub fn run(&self, command: &Command) -> Result<Exit> {
        const SIGPIPE: i32 = 13;
        self.watch(command, |job, event| {
            let written = match event {
                Event::Stdout(bytes) => {
                    let mut stdout = io::stdout().lock();
                    stdout.write_all(&bytes).and_then(|()| stdout.flush())
                }
                Event::Stderr(bytes) => io::stderr().lock().write_all(&bytes),
                Event::Exit(_) => Ok(()),
            };
            match written {
                Err(e) if e.kind() == io::ErrorKind::BrokenPipe => job.signal(SIGPIPE),
                other => other,
            }
        })
    }

    /// Runs a command and keeps its output.
    ///
    /// # Errors
    ///
    /// When the machine has ended, or a time limit strikes.
    pub fn capture(&self, command: &Command) -> Result<Output> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let exit = self.watch(command, |_, event| {
            match event {
                Event::Stdout(bytes) => stdout.extend(bytes),
                Event::Stderr(bytes) => stderr.extend(bytes),
                Event::Exit(_) => {}
            }
            Ok(())
        })?;
        Ok(Output { exit, stdout, stderr })
    }

    /// What the guest's console and QEMU itself have said.
    #[must_use]
    pub fn console(&self) -> String {
        self.machine.console()
    }

    /// Ends it, also while others still have it.
    pub fn kill(&self) {
        self.machine.signal(Signal::SIGKILL);
    }

    /// Gives it no processor any more. It does not notice, but its clocks go on.
    pub fn freeze(&self) {
        self.machine.signal(Signal::SIGSTOP);
    }

    /// Lets it go on after [`Vm::freeze`].
    pub fn thaw(&self) {
        self.machine.signal(Signal::SIGCONT);
    }

    /// QEMU's control connection.
    pub(crate) fn control(&self) -> MutexGuard<'_, qmp::Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn watch(
        &self,
        command: &Command,
        mut each: impl FnMut(&Job, Event) -> io::Result<()>,
    ) -> Result<Exit> {
        let limit = command.limit.and_then(|limit| Instant::now().checked_add(limit));
        let until = limit.map_or(self.deadline, |limit| limit.min(self.deadline));
        let job = self.spawn(command)?;
        loop {
            match job.next(until) {
                Ok(Event::Exit(exit)) => return Ok(exit),
                Ok(event) => each(&job, event)?,
                Err(NoReply::Gone) => return Err(self.gone(&command.line())),
                Err(NoReply::TimeUp) => return Err(self.time_up(&command.line(), until)),
            }
        }
    }

    /// What the kernel has said since some point; see [`KernelLog::next`] and [`Vm::log_start`].
    ///
    /// # Errors
    ///
    /// When the machine has ended.
    pub fn kernel_log_since(&self, since: u64) -> Result<KernelLog> {
        self.read_log(since, false, self.deadline)
    }

    /// The point of the kernel log at which the machine was ready.
    #[must_use]
    pub fn log_start(&self) -> u64 {
        self.log_start.load(Ordering::Relaxed)
    }

    pub(crate) fn read_log(&self, since: u64, blocked: bool, until: Instant) -> Result<KernelLog> {
        const DOING: &str = "reading the kernel log";
        let call = self.link.begin();
        call.send(&Request::Log { since, blocked }).map_err(|_| self.gone(DOING))?;
        let mut text = Vec::new();
        loop {
            let reply = match call.next(until) {
                Ok(reply) => reply,
                Err(NoReply::Gone) => return Err(self.gone(DOING)),
                // Not through `time_up`, which reads the log itself.
                Err(NoReply::TimeUp) => bail!("no answer while {DOING}"),
            };
            match reply {
                Reply::Log(part) => text.extend(part),
                Reply::LogEnd(next) => {
                    let text = String::from_utf8_lossy(&text).into_owned();
                    return Ok(KernelLog { text, next });
                }
                other => bail!("odd answer of the guest to {DOING}: {other:?}"),
            }
        }
    }

    fn reply(&self, call: &Call, until: Instant, doing: &str) -> Result<Reply> {
        call.next(until).map_err(|reason| match reason {
            NoReply::Gone => self.gone(doing),
            NoReply::TimeUp => self.time_up(doing, until),
        })
    }

    /// The machine has ended on its own: tells how, and shows its console.
    fn gone(&self, doing: &str) -> anyhow::Error {
        let how = match self.machine.ended() {
            Some(status) => status.to_string(),
            None => "connection lost".into(),
        };
        let what = format!("the virtual machine (kernel {}) ended ({how}): {doing}", self.kernel);
        Trouble::new(Kind::Ended, what, &[("console", &self.machine.console())]).into()
    }

    /// Makes a kernel that does not answer panic, which shows on its console where it hangs.
    fn shake(&self) {
        if self.control().inject_nmi().is_ok() {
            // Long enough for the panic to be printed; QEMU ends with it.
            let _ = self.machine.ended();
        }
    }

    /// The time is over: the guest may still live, and then it can tell what it waits for.
    fn time_up(&self, doing: &str, until: Instant) -> anyhow::Error {
        let overall = until >= self.deadline;
        let which = if overall { "time limit of the virtual machine" } else { "time limit" };
        let what = format!("{which} (kernel {}): {doing}", self.kernel);
        let asked = Instant::now() + Duration::from_secs(3);
        let log = match self.read_log(self.log_start(), true, asked) {
            Ok(log) => log.text,
            Err(error) => {
                self.shake();
                format!("({error})")
            }
        };
        let console = self.machine.console();
        Trouble::new(Kind::TimeLimit, what, &[("console", &console), ("kernel log", &log)]).into()
    }
}
