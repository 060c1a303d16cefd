//! The output of the program in a machine, as it comes.

use std::io::Write;

use super::again;

/// Its lines, each with the name of the kernel before it.
pub(super) struct Output<'k> {
    kernel: &'k str,
    /// What has come of the next line.
    line: Vec<u8>,
    seed: Option<u64>,
    found: Vec<u64>,
}

impl<'k> Output<'k> {
    pub(super) fn new(kernel: &'k str) -> Self {
        Self { kernel, line: Vec::new(), seed: None, found: Vec::new() }
    }

    /// The last seed that it has spoken of.
    pub(super) fn seed(&self) -> Option<u64> {
        self.seed
    }

    /// The seeds of the scripts in which something is wrong, each once.
    pub(super) fn found(&self) -> &[u64] {
        &self.found
    }

    /// Shows the lines that end in these bytes.
    pub(super) fn show(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend(part);
            if self.line.ends_with(b"\n") {
                self.end();
            }
        }
    }

    /// Shows what is left.
    pub(super) fn end(&mut self) {
        if self.line.is_empty() {
            return;
        }
        let line = String::from_utf8_lossy(&self.line);
        let line = line.trim_end();
        self.seed = seed(line).or(self.seed);
        let mut out = std::io::stdout().lock();
        // A closed output is noticed by the exit status of the reader, not here.
        let _ = writeln!(out, "{}: {line}", self.kernel);
        if is_finding(line) {
            if let Some(seed) = seed(line).filter(|seed| !self.found.contains(seed)) {
                let _ = writeln!(out, "{}: # {}", self.kernel, again(self.kernel, 1, seed));
                self.found.push(seed);
            }
        }
        drop(out);
        self.line.clear();
    }
}

/// Whether this line says that something is wrong.
fn is_finding(line: &str) -> bool {
    line.starts_with("=== seed ") || line.starts_with("cannot go on: ")
}

/// The number behind the word.
fn seed(line: &str) -> Option<u64> {
    line.split_once("seed ")?.1.split([' ', ',', ':']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_seed_is_kept_across_lines_that_come_in_pieces() {
        let mut output = Output::new("6.1");
        output.show(b"5 of 9 scripts, at se");
        assert_eq!(output.seed(), None);
        output.show(b"ed 71\n=== seed 7");
        assert_eq!(output.seed(), Some(71));
        output.show(b"2\nother\n");
        assert_eq!(output.seed(), Some(72));
    }

    #[test]
    fn each_script_in_which_something_is_wrong_is_found_once() {
        let mut output = Output::new("6.1");
        output.show(b"5 of 9 scripts, at seed 71\n=== seed 72\n# x\n=== end\n=== seed 72\n");
        output.show(b"cannot go on: seed 74: the kernel says no\ncannot go on: it is gone\n");
        assert_eq!(output.found(), [72, 74]);
    }
}
