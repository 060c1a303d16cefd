//! The kernel log, kept so that the host can ask what it gained since any point.

use nix::errno::Errno;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;

/// Everything the kernel said so far.
pub(crate) struct KernelLog {
    device: File,
    /// Record number and text.
    records: Vec<(u64, String)>,
}

impl KernelLog {
    pub(crate) fn open() -> io::Result<Self> {
        let device =
            File::options().read(true).custom_flags(nix::libc::O_NONBLOCK).open("/dev/kmsg")?;
        Ok(Self { device, records: Vec::new() })
    }

    /// Reads what is new. Each record is read only once, however often the host asks.
    pub(crate) fn catch_up(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.device.read(&mut buffer) {
                Ok(length) => {
                    let raw = buffer.get(..length).unwrap_or_default();
                    self.records.extend(parse(&String::from_utf8_lossy(raw)));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // Records were overwritten before we came; the next read continues after the gap.
                Err(e) if e.raw_os_error() == Some(Errno::EPIPE as i32) => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// The text from this record number on.
    pub(crate) fn since(&self, number: u64) -> String {
        let from = self.records.partition_point(|(n, _)| *n < number);
        self.records.get(from..).unwrap_or_default().iter().map(|(_, t)| t.as_str()).collect()
    }

    /// The number that the next record will have at least.
    pub(crate) fn next_number(&self) -> u64 {
        self.records.last().map_or(0, |(number, _)| number.saturating_add(1))
    }
}

/// A record is `priority,number,microseconds,...;text`; lines that begin with a blank are facts
/// about the device concerned, not text.
fn parse(record: &str) -> Option<(u64, String)> {
    let (head, text) = record.split_once(';')?;
    let mut head = head.split(',').skip(1);
    let number = head.next()?.parse().ok()?;
    let micros: u64 = head.next()?.parse().ok()?;
    let stamp = format!("[{:5}.{:06}]", micros / 1_000_000, micros % 1_000_000);
    let mut lines = String::new();
    for line in text.lines().filter(|line| !line.starts_with(' ')) {
        lines.push_str(&format!("{stamp} {line}\n"));
    }
    Some((number, lines))
}

/// Makes the kernel list the tasks that sleep safe from signals.
pub(crate) fn list_blocked_tasks() -> io::Result<()> {
    fs::write("/proc/sysrq-trigger", "w")
}

/// Puts a line into the kernel log, where the host sees it in order with the kernel's own.
pub(crate) fn say(text: &str) {
    let line = format!("dlm-guest: {text}\n");
    let written = File::options()
        .write(true)
        .open("/dev/kmsg")
        .and_then(|mut f| f.write_all(line.as_bytes()));
    if written.is_err() {
        eprint!("{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_taken_apart() {
        let record = "6,339,5140900,-;NET: Registered\n SUBSYSTEM=acpi\n DEVICE=+acpi:PNP0A03:00\n";
        assert_eq!(parse(record), Some((339, "[    5.140900] NET: Registered\n".into())));
        assert_eq!(parse("4,7,1000000,c;a;b\n"), Some((7, "[    1.000000] a;b\n".into())));
        assert_eq!(parse("nonsense"), None);
        assert_eq!(parse("6,x,1,-;t"), None);
    }
}
