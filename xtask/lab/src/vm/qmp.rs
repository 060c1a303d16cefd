//! Speaks QEMU's control protocol (QMP): one JSON object per line.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// Each step takes a fraction of a second.
const STEP: Duration = Duration::from_secs(30);

/// A connection to QEMU.
#[derive(Debug)]
pub(crate) struct Control {
    stream: BufReader<UnixStream>,
    /// Known once the greetings were exchanged, which most machines never need.
    version: Option<(u64, u64)>,
}

impl Control {
    /// Takes a fresh connection; nothing is said yet.
    #[must_use]
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self { stream: BufReader::new(stream), version: None }
    }

    /// Version of QEMU.
    ///
    /// # Errors
    ///
    /// When QEMU does not answer.
    pub(crate) fn version(&mut self) -> Result<(u64, u64)> {
        if let Some(version) = self.version {
            return Ok(version);
        }
        self.stream.get_ref().set_read_timeout(Some(STEP))?;
        let greeting = self.read()?;
        let version = |part: &str| {
            greeting.pointer(&format!("/QMP/version/qemu/{part}")).and_then(Value::as_u64)
        };
        let version = version("major").zip(version("minor")).context("no greeting from QEMU")?;
        self.version = Some(version);
        self.ask("qmp_capabilities", &json!({}))?;
        Ok(version)
    }

    fn read(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).context("no answer from QEMU")? == 0 {
            bail!("QEMU has ended");
        }
        serde_json::from_str(&line).with_context(|| format!("odd answer from QEMU: {line}"))
    }

    fn ask(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        self.version()?;
        let question = json!({ "execute": command, "arguments": arguments });
        self.stream.get_mut().write_all(format!("{question}\n").as_bytes())?;
        loop {
            let answer = self.read()?;
            if let Some(value) = answer.get("return") {
                return Ok(value.clone());
            }
            if let Some(error) = answer.get("error") {
                bail!("QEMU refuses {command}: {error}");
            }
        }
    }

    /// Interrupts the guest as a watchdog would; its kernel then tells where it hangs.
    ///
    /// # Errors
    ///
    /// When QEMU does not answer.
    pub(crate) fn inject_nmi(&mut self) -> Result<()> {
        self.ask("inject-nmi", &json!({})).map(drop)
    }

    /// Stops the machine; its time stands still.
    ///
    /// # Errors
    ///
    /// When QEMU does not do it.
    pub(crate) fn stop(&mut self) -> Result<()> {
        self.ask("stop", &json!({})).map(drop)
    }

    /// Waits until a machine has been restored that was saved while stopped, which it is then.
    ///
    /// # Errors
    ///
    /// When that takes too long, or QEMU has ended.
    pub(crate) fn restored(&mut self) -> Result<()> {
        let until = Instant::now() + STEP;
        loop {
            let state = self.ask("query-status", &json!({}))?;
            if state.get("status").and_then(Value::as_str) == Some("paused") {
                return Ok(());
            }
            if Instant::now() > until {
                bail!("QEMU does not restore the machine: {state}");
            }
            // QEMU says nothing when it has.
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Lets the machine run again. QEMU says "completed" some moments before it allows that, and
    /// says nothing when it does.
    ///
    /// # Errors
    ///
    /// When QEMU does not do it.
    pub(crate) fn go_on(&mut self) -> Result<()> {
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

    /// Saves the machine to a file, which leaves it stopped.
    ///
    /// # Errors
    ///
    /// When QEMU cannot do it.
    pub(crate) fn migrate(&mut self, to: &Path) -> Result<()> {
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

    const OK: &str = "{\"return\":{}}\n";
    const HELLO: &str = "{\"QMP\":{\"version\":{\"qemu\":{\"micro\":2,\"minor\":0,\"major\":10}}}}\n{\"return\":{}}\n";

    fn scripted(answers: &str) -> (Control, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (&theirs).write_all(format!("{HELLO}{answers}").as_bytes()).unwrap();
        (Control::new(ours), theirs)
    }

    #[test]
    fn a_failed_save_is_reported() {
        let event =
            |status| format!("{{\"event\":\"MIGRATION\",\"data\":{{\"status\":\"{status}\"}}}}\n");
        let (mut control, _theirs) =
            scripted(&format!("{OK}{OK}{OK}{}{}", event("active"), event("failed")));
        assert_eq!(control.version().unwrap(), (10, 0));
        assert!(control.migrate(Path::new("/nowhere")).is_err());
        let (mut control, _theirs) = scripted(&format!("{OK}{OK}{OK}{}", event("completed")));
        control.migrate(Path::new("/somewhere")).unwrap();
    }

    #[test]
    fn a_machine_is_let_go_on_as_soon_as_qemu_allows_it() {
        let early = "{\"error\":{\"desc\":\"Migration is not finalized yet\"}}\n";
        let (mut control, _theirs) = scripted(&format!("{early}{early}{OK}"));
        control.go_on().unwrap();
        let (mut control, _theirs) = scripted("{\"error\":{\"desc\":\"no\"}}\n");
        assert!(control.go_on().is_err());
    }
}
