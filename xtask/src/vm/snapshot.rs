//! Saves booted machines through QEMU's control interface (QMP), and keeps the store small.

use crate::vm::store::Store;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// QEMU can save to a file since this version.
const OLDEST: (u64, u64) = (8, 2);
/// Each step of saving takes a fraction of a second.
const STEP: Duration = Duration::from_secs(30);
/// Snapshots kept of one kernel: there is one for every way to start a machine.
const KEPT: usize = 6;

/// A place for snapshots of one image.
#[derive(Debug)]
pub struct Shelf {
    folder: PathBuf,
    kernel: &'static str,
    base: String,
}

impl Shelf {
    /// The shelf for a kernel and a name of all that its machines are made from.
    #[must_use]
    pub fn new(store: &Store, kernel: &'static str, base: &str) -> Self {
        Self { folder: store.path("snapshots"), kernel, base: base.to_owned() }
    }

    /// Where the snapshot of a machine with these arguments is or has to be put.
    #[must_use]
    pub fn place(&self, arguments: &str) -> PathBuf {
        self.folder.join(format!("{}-{}-{arguments}", self.kernel, self.base))
    }

    /// Saves the machine under that name and lets it run on; removes what has become stale.
    ///
    /// # Errors
    ///
    /// When QEMU cannot do it. The machine runs on also then.
    pub fn save(&self, control: UnixStream, place: &Path, scratch: &Path) -> Result<()> {
        fs::create_dir_all(&self.folder)?;
        let mut control = Control::connect(control)?;
        // Not stopped before: the saved machine would then wait for a command to run. QEMU stops
        // it by itself for the last part.
        let saved = control.migrate(scratch);
        control.go_on()?;
        saved?;
        fs::rename(scratch, place)?;
        self.tidy()
    }

    fn tidy(&self) -> Result<()> {
        let mut current = Vec::new();
        for file in fs::read_dir(&self.folder)? {
            let file = file?;
            let name = file.file_name();
            let Some(rest) = name.to_str().and_then(|n| n.strip_prefix(self.kernel)) else {
                continue;
            };
            // "6.1" is also the beginning of "6.12".
            let Some(rest) = rest.strip_prefix('-') else { continue };
            if rest.starts_with(&self.base) {
                let age = file.metadata()?.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                current.push((age, file.path()));
            } else {
                fs::remove_file(file.path())?;
            }
        }
        current.sort();
        for (_, old) in current.iter().rev().skip(KEPT) {
            fs::remove_file(old)?;
        }
        Ok(())
    }
}

/// A connection to QMP.
struct Control {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
}

impl Control {
    fn connect(stream: UnixStream) -> Result<Self> {
        stream.set_read_timeout(Some(STEP))?;
        let mut control = Self { writer: stream.try_clone()?, reader: BufReader::new(stream) };
        let greeting = control.read()?;
        let version = |part: &str| {
            greeting.pointer(&format!("/QMP/version/qemu/{part}")).and_then(Value::as_u64)
        };
        let version = version("major").zip(version("minor")).context("no greeting from QEMU")?;
        if version < OLDEST {
            bail!("QEMU {}.{} cannot save to a file", version.0, version.1);
        }
        control.ask("qmp_capabilities", &json!({}))?;
        Ok(control)
    }

    fn read(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.reader.read_line(&mut line).context("no answer from QEMU")? == 0 {
            bail!("QEMU has ended");
        }
        serde_json::from_str(&line).with_context(|| format!("odd answer from QEMU: {line}"))
    }

    fn ask(&mut self, command: &str, arguments: &Value) -> Result<()> {
        let question = json!({ "execute": command, "arguments": arguments });
        self.writer.write_all(format!("{question}\n").as_bytes())?;
        loop {
            let answer = self.read()?;
            if answer.get("return").is_some() {
                return Ok(());
            }
            if let Some(error) = answer.get("error") {
                bail!("QEMU refuses {command}: {error}");
            }
        }
    }

    /// Lets the machine run again. QEMU says "completed" some moments before it allows that, and
    /// says nothing when it does.
    fn go_on(&mut self) -> Result<()> {
        let until = Instant::now() + STEP;
        while let Err(error) = self.ask("cont", &json!({})) {
            let too_early = error.to_string().contains("not finalized");
            if !too_early || Instant::now() > until {
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    fn migrate(&mut self, to: &Path) -> Result<()> {
        let events = json!([{ "capability": "events", "state": true }]);
        self.ask("migrate-set-capabilities", &json!({ "capabilities": events }))?;
        // The default is meant for a network.
        self.ask("migrate-set-parameters", &json!({ "max-bandwidth": 10_u64 << 30 }))?;
        let uri = format!("file:{}", to.display());
        self.ask("migrate", &json!({ "uri": uri }))?;
        loop {
            let event = self.read()?;
            match event.pointer("/data/status").and_then(Value::as_str) {
                Some("completed") => return Ok(()),
                Some("failed" | "cancelled") => bail!("QEMU could not save the machine"),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_stale_snapshots_of_the_same_kernel_are_removed() {
        let folder = std::env::temp_dir().join(format!("xtask-shelf-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for name in ["6.1-old-a", "6.1-new-a", "6.1-new-b", "6.12-old-a"] {
            fs::write(folder.join(name), "").unwrap();
        }
        Shelf { folder: folder.clone(), kernel: "6.1", base: "new".into() }.tidy().unwrap();
        let mut left: Vec<_> =
            fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["6.1-new-a", "6.1-new-b", "6.12-old-a"]);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn an_old_qemu_is_refused_and_a_failed_save_reported() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (&theirs)
            .write_all(
                b"{\"QMP\":{\"version\":{\"qemu\":{\"micro\":0,\"minor\":2,\"major\":7}}}}\n",
            )
            .unwrap();
        let error = Control::connect(ours).err().unwrap();
        assert!(error.to_string().contains("QEMU 7.2"));

        let (ours, theirs) = UnixStream::pair().unwrap();
        let ok = "{\"return\":{}}\n";
        let event = "{\"event\":\"MIGRATION\",\"data\":{\"status\":\"failed\"}}\n";
        let script = format!("{ok}{ok}{ok}{event}");
        (&theirs).write_all(script.as_bytes()).unwrap();
        let mut control =
            Control { writer: ours.try_clone().unwrap(), reader: BufReader::new(ours) };
        assert!(control.migrate(Path::new("/nowhere")).is_err());
    }
}
