//! Brings machines up: from a snapshot when there is one, else by booting.

use crate::vm::kernels::{self, Kernel};
use crate::vm::link::{Call, Link, NoReply};
use crate::vm::progress::slow;
use crate::vm::qemu::{Hardware, Machine, disk_arguments};
use crate::vm::qmp::Control;
use crate::vm::snapshot::Shelf;
use crate::vm::store::{Access, Guard, Key, Store};
use crate::vm::trouble::{Kind, Trouble};
use crate::vm::{Vm, apt, image, provision};
use anyhow::{Context, Result, bail};
use dlm_guest::wire::{Reply, Request};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Booting takes two seconds; a busy machine may need many times that.
const BOOT_LIMIT: Duration = Duration::from_secs(120);
/// A snapshot answers in a fraction of a second.
const RESTORE_LIMIT: Duration = Duration::from_secs(60);

/// What kind of machine to start.
#[derive(Debug, Clone)]
pub struct VmOptions {
    /// Kernel, as named in [`kernels::KERNELS`].
    pub kernel: String,
    /// The machine is killed after this time.
    pub time_limit: Duration,
    /// Processors.
    pub cpus: u32,
    /// Memory.
    pub memory_mib: u32,
    /// Whether the guest plays the lockspace controller of a cluster of one node.
    pub controller: bool,
    /// Whether to start from a snapshot and to save one.
    pub snapshot: bool,
    /// Whether the guest's clocks count executed instructions, a nanosecond for each: what is
    /// measured with them repeats to a percent on a busy machine, too. Waiting takes no time then,
    /// and all processors share one thread, so one is enough.
    pub icount: bool,
}

impl Default for VmOptions {
    fn default() -> Self {
        Self {
            kernel: kernels::KERNELS.first().map(|row| row.name).unwrap_or_default().into(),
            time_limit: Duration::from_secs(300),
            cpus: 2,
            memory_mib: 512,
            controller: true,
            snapshot: true,
            icount: false,
        }
    }
}

/// Everything a machine with this kernel is made from.
#[derive(Debug)]
pub struct Prepared {
    pub(crate) kernel: Kernel,
    pub(crate) image: image::Image,
    pub(crate) store: Store,
    /// Keeps it all in place.
    _guard: Guard,
}

/// Makes sure that programs, kernel and image are there; when they are, this is fast and needs
/// no network. [`Vm::start`] does it by itself.
///
/// # Errors
///
/// When something cannot be installed, fetched or built.
pub fn prepare(kernel: &str) -> Result<Prepared> {
    let store = Store::open()?;
    let row = kernels::row(kernel)?;
    let guard = store.lock(Access::Shared)?;
    if provision::missing().is_empty() {
        if let Some(kernel) = kernels::fetched(&store, row) {
            if let Some(image) = image::built(&store, &kernel)? {
                return Ok(Prepared { kernel, image, store, _guard: guard });
            }
        }
    }
    drop(guard);
    let guard = store.lock(Access::Alone)?;
    provision::ensure(&store)?;
    let kernel = kernels::fetch(&store, row)?;
    let image = image::build(&store, &kernel)?;
    guard.share()?;
    Ok(Prepared { kernel, image, store, _guard: guard })
}

pub(super) fn start(options: &VmOptions) -> Result<Vm> {
    let prepared = prepare(&options.kernel)?;
    // `prepared` holds the lock of the store until the machine is up.
    let Prepared { kernel, image, store, .. } = &prepared;
    let hardware = Hardware {
        vmlinux: &kernel.vmlinux(),
        initramfs: &image.path,
        cpus: options.cpus,
        memory_mib: options.memory_mib,
        controller: options.controller,
        icount: options.icount,
        node: None,
    };
    let arguments = hardware.arguments();
    let qemu = apt::find_program(provision::QEMU).context("QEMU vanished")?;
    let base = Key::default().add(&image.key).add_stamp(hardware.vmlinux).add_stamp(&qemu).finish();
    let shelf = Shelf::new(store, kernel.name, &base);
    let place = shelf.place(&Key::default().add(&arguments).finish());
    // Preparing (downloads, builds) is not the machine's time.
    let deadline = Instant::now() + options.time_limit;
    let launcher = Launcher { kernel: kernel.name, store, deadline, network: None, disk: None };

    if options.snapshot && place.exists() {
        match launcher.restore(&arguments, &place) {
            Ok(vm) => return Ok(vm),
            Err(error) => {
                let line = error.to_string();
                let line = line.lines().next().unwrap_or_default();
                eprintln!("xtask: a snapshot is unusable and will be made anew ({line})");
                // Another process may have removed it meanwhile.
                let _ = fs::remove_file(&place);
            }
        }
    }
    let _slow = slow(format!("booting kernel {}", kernel.name));
    let mut vm = launcher.boot(&arguments)?;
    if options.snapshot {
        let scratch = store.scratch("snapshot")?;
        let control = vm.control.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = shelf.save(control, &place, &scratch) {
            eprintln!("xtask: no snapshot of the virtual machine: {error:#}");
            // It is there only when the failure came late.
            let _ = fs::remove_file(scratch);
            // A save that went wrong half-way may have left the machine stopped.
            if wake(&vm).is_ok() {
                return Ok(vm);
            }
            drop(vm);
            vm = launcher.boot(&arguments)?;
        }
    }
    wake(&vm)?;
    Ok(vm)
}

/// What starts a machine.
pub(crate) struct Launcher<'a> {
    /// Name of its kernel.
    pub(crate) kernel: &'static str,
    /// Where there is room for its console.
    pub(crate) store: &'a Store,
    /// When its time is over.
    pub(crate) deadline: Instant,
    /// Connects it, each time that it is started.
    pub(crate) network: Option<&'a (dyn Fn() -> std::io::Result<UnixStream> + Sync)>,
    /// Its disk.
    pub(crate) disk: Option<&'a Path>,
}

impl Launcher<'_> {
    fn restore(&self, arguments: &[OsString], snapshot: &Path) -> Result<Vm> {
        let mut incoming = OsString::from("file:");
        incoming.push(snapshot);
        let mut arguments = arguments.to_vec();
        arguments.extend(["-incoming".into(), incoming]);
        let (vm, _) = self.launch(&arguments)?;
        wake(&vm)?;
        Ok(vm)
    }

    /// Boots; a second time when the first one hangs, which emulated kernels do once in several
    /// hundred times.
    pub(crate) fn boot(&self, arguments: &[OsString]) -> Result<Vm> {
        self.boot_once(arguments).or_else(|error| {
            let hung = error.downcast_ref::<Trouble>().map(|t| t.kind) == Some(Kind::TimeLimit);
            if !hung || Instant::now() >= self.deadline {
                return Err(error);
            }
            eprintln!("xtask: trying once more: {error}");
            self.boot_once(arguments)
        })
    }

    fn boot_once(&self, arguments: &[OsString]) -> Result<Vm> {
        let (vm, unasked) = self.launch(arguments)?;
        match unasked.next(self.until(BOOT_LIMIT)) {
            Ok(Reply::Ready) => Ok(vm),
            Ok(other) => bail!("odd first word of the guest: {other:?}"),
            Err(NoReply::Gone) => Err(vm.gone("booting")),
            Err(NoReply::TimeUp) => {
                let what = format!("kernel {} does not boot in time", self.kernel);
                vm.shake();
                let console = vm.machine.console();
                Err(Trouble::new(Kind::TimeLimit, what, &[("console", &console)]).into())
            }
        }
    }

    pub(crate) fn launch(&self, arguments: &[OsString]) -> Result<(Vm, Call)> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        // Some seconds more, for the guest to tell what it waits for.
        let limit = left + Duration::from_secs(5);
        let scratch = self.store.scratch("console")?;
        let network = self.network.map(|connect| connect()).transpose()?;
        let mut arguments = arguments.to_vec();
        arguments.extend(self.disk.into_iter().flat_map(disk_arguments));
        let (machine, connections) = Machine::start(&arguments, network, &scratch, limit)?;
        let (link, unasked) = Link::open(connections.agent)?;
        let vm = Vm {
            kernel: self.kernel,
            machine,
            control: Mutex::new(Control::new(connections.control)),
            link,
            deadline: self.deadline,
            log_start: AtomicU64::new(0),
            library_path: Mutex::default(),
            pushed: Mutex::new(BTreeSet::new()),
        };
        Ok((vm, unasked))
    }

    fn until(&self, limit: Duration) -> Instant {
        self.deadline.min(Instant::now() + limit)
    }
}

/// Gives the guest the time of day and randomness, and finds the end of its boot messages.
pub(crate) fn wake(vm: &Vm) -> Result<()> {
    let until = vm.deadline.min(Instant::now() + RESTORE_LIMIT);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let mut entropy = vec![0; 32];
    File::open("/dev/urandom")?.read_exact(&mut entropy)?;
    let call = vm.link.begin();
    let unix_nanos = u64::try_from(now.as_nanos())?;
    // A machine that has ended is noticed at the answer.
    let _ = call.send(&Request::Wake { unix_nanos, entropy });
    match call.next(until) {
        Ok(Reply::Awake) => {}
        Ok(other) => bail!("odd answer of the guest to its start: {other:?}"),
        Err(NoReply::Gone) => return Err(vm.gone("starting")),
        Err(NoReply::TimeUp) => bail!("the guest does not answer"),
    }
    let log = vm.read_log(u64::MAX, false, until)?;
    vm.log_start.store(log.next, Ordering::Relaxed);
    Ok(())
}
