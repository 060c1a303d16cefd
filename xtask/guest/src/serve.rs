//! Serves the host: takes its requests from the port one by one.

use crate::files::Transfer;
use crate::jobs::Jobs;
use crate::klog::{self, KernelLog};
use crate::setup;
use crate::uevent::Uevents;
use dlm_guest::wire::{self, CHUNK, Reply, Request};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The way back to the host, shared by all threads.
pub(crate) struct Outbox(Mutex<File>);

impl Outbox {
    /// Sends one reply. Without the host there is nobody to tell about a failure; the reading
    /// side of the port notices, too, and ends the machine.
    pub(crate) fn send(&self, id: u32, reply: &Reply) {
        let mut port = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(e) = wire::send(&mut *port, id, reply) {
            klog::say(&format!("port: {e}"));
        }
    }
}

/// Finds the port, which appears some time after its driver was loaded.
pub(crate) fn open_port(devices: &Uevents) -> io::Result<File> {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(path) = find_port()? {
            return File::options().read(true).write(true).open(path);
        }
        if !devices.wait(until)? {
            return Err(io::Error::other("the port to the host did not appear"));
        }
    }
}

fn find_port() -> io::Result<Option<PathBuf>> {
    let ports = match fs::read_dir("/sys/class/virtio-ports") {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    for port in ports {
        let port = port?;
        let name = fs::read_to_string(port.path().join("name")).unwrap_or_default();
        let device = Path::new("/dev").join(port.file_name());
        if name.trim_end() == wire::PORT && device.exists() {
            return Ok(Some(device));
        }
    }
    Ok(None)
}

/// Serves until the host switches the machine off.
pub(crate) fn serve(port: File) -> io::Result<()> {
    let mut requests = Patient(port.try_clone()?);
    let outbox = Arc::new(Outbox(Mutex::new(port)));
    let jobs = Jobs::start(Arc::clone(&outbox))?;
    let mut transfers: HashMap<u32, Transfer> = HashMap::new();
    let mut log = KernelLog::open()?;
    log.catch_up()?;
    outbox.send(0, &Reply::Ready);
    loop {
        let (id, request) = wire::receive(&mut requests)?;
        match request {
            Request::Wake { unix_nanos, entropy } => {
                setup::wake(unix_nanos, &entropy)?;
                outbox.send(id, &Reply::Awake);
            }
            Request::Entry(entry) => transfers.entry(id).or_default().entry(&entry),
            Request::Data(bytes) => transfers.entry(id).or_default().data(&bytes),
            Request::Finish => {
                let result = transfers.remove(&id).unwrap_or_default().finish();
                outbox.send(id, &Reply::Done(result));
            }
            Request::Run(spawn) => jobs.run(id, &spawn),
            Request::Stdin(bytes) => jobs.feed(id, bytes),
            Request::StdinEnd => jobs.end_input(id),
            Request::Signal(number) => jobs.signal(id, number),
            Request::Log { since, blocked } => {
                if blocked {
                    klog::list_blocked_tasks()?;
                }
                log.catch_up()?;
                for part in log.since(since).as_bytes().chunks(CHUNK) {
                    outbox.send(id, &Reply::Log(part.to_vec()));
                }
                outbox.send(id, &Reply::LogEnd(log.next_number()));
            }
            Request::PowerOff => return Ok(()),
        }
    }
}

/// Reads the port, which reports an end of file while no host is connected to it.
struct Patient(File);

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buffer) {
                // The driver has no way to wait for a host, so this one has to be tried again.
                Ok(0) => std::thread::sleep(Duration::from_millis(10)),
                other => return other,
            }
        }
    }
}
