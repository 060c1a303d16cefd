//! Runs commands on several nodes at the same time.

use super::Cluster;
use crate::vm::{Command, Event, Exit};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Shows the output of one node, each line with the node's number before it.
pub(super) struct Prefixed<'a> {
    prefix: String,
    begun: Vec<u8>,
    to: &'a Mutex<dyn Write + Send + 'a>,
}

impl<'a> Prefixed<'a> {
    pub(super) fn new(node: u8, to: &'a Mutex<dyn Write + Send + 'a>) -> Self {
        Self { prefix: format!("{node}: "), begun: Vec::new(), to }
    }

    pub(super) fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.begun.extend(bytes);
        let Some(end) = self.begun.iter().rposition(|byte| *byte == b'\n') else { return Ok(()) };
        let lines: Vec<u8> = self.begun.drain(..=end).collect();
        self.show(&lines)
    }

    pub(super) fn finish(&mut self) -> io::Result<()> {
        let rest = std::mem::take(&mut self.begun);
        self.show(&rest)
    }

    /// Whole lines go out together, so that those of two nodes do not mix.
    fn show(&self, lines: &[u8]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let mut out = Vec::new();
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            out.extend_from_slice(self.prefix.as_bytes());
            out.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
            out.push(b'\n');
        }
        let mut to = self.to.lock().unwrap_or_else(PoisonError::into_inner);
        to.write_all(&out)?;
        to.flush()
    }
}

impl Cluster {
    /// Runs the command on every node at the same time, with the node's number before each line
    /// of its output and in the variable `NODE`. Returns how it ended on the first node
    /// where it failed, or success.
    ///
    /// # Errors
    ///
    /// When a machine ends or a time limit strikes; then with the logs of all nodes.
    pub fn run_on_each(&self, command: &Command) -> Result<Exit> {
        let (stdout, stderr) = (Mutex::new(io::stdout()), Mutex::new(io::stderr()));
        let failed: Mutex<BTreeMap<u8, Exit>> = Mutex::default();
        let result = self.shared.each(|node| {
            let (mut out, mut err) = (Prefixed::new(node, &stdout), Prefixed::new(node, &stderr));
            let command = command.clone().env("NODE", node.to_string());
            let exit = self.node(node)?.watch(&command, |_, event| match event {
                Event::Stdout(bytes) => out.take(&bytes),
                Event::Stderr(bytes) => err.take(&bytes),
                Event::Exit(_) => out.finish().and_then(|()| err.finish()),
            })?;
            out.finish().and_then(|()| err.finish())?;
            if !exit.success() {
                let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                failed.insert(node, exit);
            }
            Ok(())
        });
        result.map_err(|error| self.explain(&error))?;
        let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(failed.into_values().next().unwrap_or(Exit::Code(0)))
    }

    /// [`crate::vm::Vm::add_dir`] on all nodes.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn add_dir(&self, from: &Path, to: &Path) -> Result<()> {
        self.shared.each(|node| self.node(node)?.add_dir(from, to))
    }

    /// [`crate::vm::Vm::add_program`] on all nodes, also after a reboot.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn add_program(&self, from: &Path, to: &Path) -> Result<()> {
        self.shared.each(|node| self.node(node)?.add_program(from, to))?;
        let mut programs = self.shared.programs.lock().unwrap_or_else(PoisonError::into_inner);
        programs.push((from.to_path_buf(), to.to_path_buf()));
        Ok(())
    }

    /// Runs a shell script on a node, which must succeed, and returns its output.
    ///
    /// # Errors
    ///
    /// When it fails.
    pub fn sh(&self, node: u8, script: &str) -> Result<String> {
        let done = || -> Result<String> {
            let output = self.node(node)?.capture(&super::sh(script))?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            if !output.exit.success() {
                let errors = String::from_utf8_lossy(&output.stderr);
                bail!("{}\n{text}{errors}", output.exit);
            }
            Ok(text)
        };
        done().with_context(|| format!("node {node}: {script}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_its_node() {
        let out = Mutex::new(Vec::new());
        let mut node = Prefixed::new(2, &out);
        node.take(b"a\nb").unwrap();
        node.take(b"c\n\nd").unwrap();
        node.finish().unwrap();
        assert_eq!(
            String::from_utf8(out.into_inner().unwrap()).unwrap(),
            "2: a\n2: bc\n2: \n2: d\n"
        );
    }
}
