//! Starts and ends QEMU processes.

use crate::vm::provision::QEMU;
use anyhow::{Context, Result};
use dlm_guest::wire;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Words for the kernel: nothing on the console unless it matters, no work that a test machine
/// does not need (each saves a measured part of the boot), a panic ends QEMU, and QEMU can make it
/// panic.
const KERNEL_WORDS: &str = "console=ttyS0 quiet panic=-1 unknown_nmi_panic log_buf_len=1M random.trust_cpu=on \
    cryptomgr.notests mitigations=off nopti noreplace-smp rodata=off tsc=reliable no_timer_check \
    initcall_blacklist=crypto_kdf108_init,load_system_certificate_list,init_kprobe_trace";

/// Beginning of each node's hardware address; its number is the last byte.
pub(crate) const ADDRESSES: [u8; 5] = [0x52, 0x54, 0, 0, 0];

/// QEMU's name for the network of a node.
const NETWORK: &str = "cluster";

/// QEMU's name for the disk that a node shares with the others.
const DISK: &str = "shared";

/// What a machine consists of.
#[derive(Debug)]
pub(crate) struct Hardware<'a> {
    /// Uncompressed kernel.
    pub vmlinux: &'a Path,
    /// Initial file system.
    pub initramfs: &'a Path,
    /// Processors.
    pub cpus: u32,
    /// Memory.
    pub memory_mib: u32,
    /// Whether the guest answers lockspace events itself.
    pub controller: bool,
    /// Whether the guest's clocks count instructions, see [`VmOptions::icount`].
    ///
    /// [`VmOptions::icount`]: crate::vm::VmOptions::icount
    pub icount: bool,
    /// Its number if it is a node of a cluster, which has a network and a shared disk.
    pub node: Option<u8>,
}

impl Hardware<'_> {
    /// Arguments for QEMU. The port of the agent is its standard input, the control connection its
    /// standard output and the console its standard error: all three are inherited, so there are
    /// no sockets in any folder, no names to clash and nothing to clean up after a kill.
    #[must_use]
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let mut words = KERNEL_WORDS.to_owned();
        if !self.controller {
            words.push(' ');
            words.push_str(wire::NO_CONTROLLER);
        }
        let port = format!("virtserialport,chardev=agent,name={}", wire::PORT);
        let (cpus, memory) = (self.cpus.to_string(), format!("{}M", self.memory_mib));
        let thread = if self.icount { "tcg,thread=single" } else { "tcg,thread=multi" };
        let mut arguments: Vec<OsString> = [
            ["-M", "q35"],
            ["-cpu", "max"],
            ["-accel", thread],
            ["-smp", &cpus],
            ["-m", &memory],
            ["-display", "none"],
            ["-append", &words],
            ["-chardev", "file,id=console,path=/proc/self/fd/2,append=on"],
            ["-serial", "chardev:console"],
            ["-chardev", "socket,id=agent,fd=0"],
            ["-device", "virtio-serial-pci"],
            ["-device", &port],
            ["-chardev", "socket,id=control,fd=1"],
            ["-mon", "chardev=control,mode=control"],
        ]
        .iter()
        .flatten()
        .map(OsString::from)
        .collect();
        if let Some(node) = self.node {
            let address = ADDRESSES.map(|byte| format!("{byte:02x}")).join(":");
            let card = format!("virtio-net-pci,netdev={NETWORK},mac={address}:{node:02x},romfile=");
            let disk = format!("virtio-blk-pci,drive={DISK},share-rw=on");
            arguments.extend(["-device".into(), card.into(), "-device".into(), disk.into()]);
        }
        if self.icount {
            // One nanosecond for each instruction, and none for waiting.
            arguments.extend(["-icount", "shift=0,sleep=off"].map(OsString::from));
        }
        arguments.extend(["-nodefaults", "-no-user-config", "-no-reboot"].map(OsString::from));
        arguments.extend(["-kernel".into(), self.vmlinux.into()]);
        arguments.extend(["-initrd".into(), self.initramfs.into()]);
        arguments
    }
}

/// Arguments for a machine whose disk is this file.
#[must_use]
pub(crate) fn disk_arguments(file: &Path) -> [OsString; 2] {
    // QEMU's own lock would keep the other nodes from it.
    let mut drive = OsString::from(format!("if=none,id={DISK},format=raw,file.locking=off,file="));
    drive.push(file);
    ["-drive".into(), drive]
}

/// A running QEMU. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Machine {
    child: Arc<Mutex<Child>>,
    console: File,
    /// Dropped with the machine, which calls off its execution at the time limit.
    _limit: Sender<()>,
}

/// The connections of a machine.
#[derive(Debug)]
pub(crate) struct Connections {
    /// To the agent.
    pub agent: UnixStream,
    /// To QEMU's own control interface (QMP).
    pub control: UnixStream,
}

impl Machine {
    /// Starts QEMU. It is killed at the time limit at the latest, and when this process ends.
    /// What comes from its network card goes to the socket, if there is one.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub(crate) fn start(
        arguments: &[OsString],
        network: Option<UnixStream>,
        scratch: &Path,
        limit: Duration,
    ) -> Result<(Self, Connections)> {
        let (agent, agent_end) = UnixStream::pair()?;
        let (control, control_end) = UnixStream::pair()?;
        // Written by QEMU at two places (console and own messages), hence appending.
        let console = File::options().read(true).append(true).create_new(true).open(scratch)?;
        std::fs::remove_file(scratch)?;
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", QEMU])
            .args(arguments)
            .stdin(OwnedFd::from(agent_end))
            .stdout(OwnedFd::from(control_end))
            .stderr(console.try_clone()?);
        let network = network.map(OwnedFd::from);
        if let Some(network) = &network {
            let place = "addr.type=fd,addr.str";
            let number = network.as_raw_fd();
            let backend = format!("stream,id={NETWORK},server=off,{place}={number}");
            command.args(["-netdev", &backend]);
        }
        let child = spawn(command, network).with_context(|| format!("cannot start {QEMU}"))?;
        let child = Arc::new(Mutex::new(child));
        let (keep, limit_off) = channel();
        let victim = Arc::clone(&child);
        std::thread::Builder::new().name("limit".into()).spawn(move || {
            use std::sync::mpsc::RecvTimeoutError;
            if limit_off.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                // It has ended by itself if this fails.
                let _ = victim.lock().unwrap_or_else(PoisonError::into_inner).kill();
            }
        })?;
        Ok((Self { child, console, _limit: keep }, Connections { agent, control }))
    }

    /// What the guest's console and QEMU itself have said.
    #[must_use]
    pub(crate) fn console(&self) -> String {
        let length = self.console.metadata().map_or(0, |m| m.len());
        let mut text = vec![0; usize::try_from(length).unwrap_or(0)];
        match self.console.read_exact_at(&mut text, 0) {
            Ok(()) => String::from_utf8_lossy(&text).replace('\r', ""),
            Err(e) => format!("(console cannot be read: {e})"),
        }
    }

    /// Process number of QEMU.
    #[must_use]
    pub(crate) fn process(&self) -> u32 {
        self.child.lock().unwrap_or_else(PoisonError::into_inner).id()
    }

    /// Sends a signal to QEMU, if it has not ended.
    pub(crate) fn signal(&self, signal: Signal) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        // While it is not waited for, its number belongs to nobody else.
        if let (Ok(None), Ok(process)) = (child.try_wait(), i32::try_from(child.id())) {
            // It is our child, so this can only fail when it has just ended.
            let _ = kill(Pid::from_raw(process), signal);
        }
    }

    /// How QEMU ended, if it does within a short time.
    #[must_use]
    pub(crate) fn ended(&self) -> Option<ExitStatus> {
        let until = Instant::now() + Duration::from_secs(2);
        loop {
            let status = self.child.lock().unwrap_or_else(PoisonError::into_inner).try_wait();
            match status {
                Ok(None) if Instant::now() < until => {
                    // Waiting for a child with a limit is not offered by the system.
                    std::thread::sleep(Duration::from_millis(5));
                }
                other => return other.ok().flatten(),
            }
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        // Fails only when it has ended already.
        let _ = child.kill();
        let _ = child.wait();
    }
}

type Order = (Command, Option<OwnedFd>, SyncSender<io::Result<Child>>);

/// Starts a process from a thread that never ends. A child's death signal fires when the *thread*
/// that started it ends, and machines are started from threads that come and go.
///
/// The process inherits the file, at the same number.
fn spawn(command: Command, inherited: Option<OwnedFd>) -> io::Result<Child> {
    static KEEPER: OnceLock<Sender<Order>> = OnceLock::new();
    let keeper = KEEPER.get_or_init(|| {
        let (sender, orders): (_, Receiver<Order>) = channel();
        std::thread::spawn(move || {
            for (mut command, inherited, answer) in orders {
                // Another process that starts at the same moment inherits it, too, which keeps the
                // hub from noticing the end of this one for as long, and does no other harm.
                let open = |file: &OwnedFd| fcntl(file, FcntlArg::F_SETFD(FdFlag::empty()));
                let opened = inherited.as_ref().map_or(Ok(0), open);
                let child = opened.map_err(io::Error::from).and_then(|_| command.spawn());
                // Our ends of its connections close here, so that its end is noticed.
                drop((command, inherited));
                // The one who asked waits for it.
                let _ = answer.send(child);
            }
        });
        sender
    });
    let (sender, answer) = sync_channel(1);
    let gone = |_| io::Error::other("the starting thread has ended");
    keeper
        .send((command, inherited, sender))
        .map_err(|_| io::Error::other("the starting thread has ended"))?;
    answer.recv().map_err(gone)?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hardware() -> Hardware<'static> {
        Hardware {
            vmlinux: Path::new("/k"),
            initramfs: Path::new("/i"),
            cpus: 2,
            memory_mib: 512,
            controller: true,
            icount: false,
            node: None,
        }
    }

    fn has(hardware: &Hardware<'_>, word: &str) -> bool {
        hardware.arguments().iter().any(|argument| argument.to_string_lossy().contains(word))
    }

    #[test]
    fn the_controller_can_be_switched_off() {
        assert!(has(&Hardware { controller: false, ..hardware() }, wire::NO_CONTROLLER));
        assert!(!has(&hardware(), wire::NO_CONTROLLER));
    }

    #[test]
    fn instructions_are_counted_in_one_thread() {
        let counted = Hardware { icount: true, cpus: 1, ..hardware() };
        assert!(has(&counted, "shift=0"));
        assert!(!has(&counted, "thread=multi"));
        assert!(!has(&hardware(), "icount"));
    }

    #[test]
    fn a_process_started_from_a_thread_outlives_it() {
        let starter = std::thread::spawn(|| {
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", "KILL", "cat"]);
            command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
            spawn(command, None).unwrap()
        });
        let mut child = starter.join().unwrap();
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
    }
}
