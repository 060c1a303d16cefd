//! Counting what passed and what failed.

use std::fmt;
use std::process::ExitCode;

/// The results so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    passed: usize,
    failures: Vec<String>,
}

impl Tally {
    /// Something that is one test by itself.
    pub(super) fn check(&mut self, what: &str, passed: bool) {
        if passed {
            self.passed += 1;
        } else {
            self.fail(what.to_owned());
        }
    }

    pub(super) fn fail(&mut self, what: String) {
        self.failures.push(what);
    }

    /// The exit status of the whole run.
    pub(super) fn exit_code(&self) -> ExitCode {
        if self.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// The output of a test program, or of several, and whether their exit status was good.
    pub(super) fn program(&mut self, what: &str, output: &str, succeeded: bool) {
        let (mut programs, mut failures) = (0, 0);
        for line in output.lines() {
            if let Some((passed, _)) = summary(line) {
                self.passed += passed;
                programs += 1;
            } else if let Some(name) = failed_test(line) {
                self.fail(format!("{what}: {name}"));
                failures += 1;
            }
        }
        if succeeded && programs == 0 {
            self.fail(format!("{what}: no test was run"));
        } else if !succeeded && failures == 0 {
            self.fail(format!("{what}: failed"));
        }
    }

    pub(super) fn is_good(&self) -> bool {
        self.failures.is_empty() && self.passed > 0
    }
}

/// How many passed and failed, from the closing line of a test program.
fn summary(line: &str) -> Option<(usize, usize)> {
    let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let mut counts = counts.split(';').map(|part| part.split_whitespace().next()?.parse().ok());
    Some((counts.next()??, counts.next()??))
}

/// The name in a line `test NAME ... FAILED`.
fn failed_test(line: &str) -> Option<&str> {
    line.strip_prefix("test ")?.strip_suffix(" ... FAILED")
}

/// The closing lines of the whole run.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for failure in &self.failures {
            writeln!(f, "FAILED  {failure}")?;
        }
        writeln!(f, "{} passed, {} failed", self.passed, self.failures.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_of_test_programs_is_counted() {
        let mut tally = Tally::default();
        let output = "running 3 tests\ntest a ... ok\ntest b ... FAILED\ntest c ... ok\n\
                      test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered \
                      out; finished in 0.00s\n";
        tally.program("x", output, false);
        assert!(!tally.is_good());
        assert_eq!(tally.to_string(), "FAILED  x: b\n2 passed, 1 failed\n");
    }

    #[test]
    fn a_program_that_dies_or_runs_nothing_has_failed() {
        let mut tally = Tally::default();
        tally.program("dies", "running 3 tests\ntest a ... ok\n", false);
        tally.program("silent", "", true);
        let shown = "FAILED  dies: failed\nFAILED  silent: no test was run\n0 passed, 2 failed\n";
        assert_eq!(tally.to_string(), shown);
    }

    #[test]
    fn nothing_at_all_is_not_good() {
        let mut tally = Tally::default();
        assert!(!tally.is_good());
        tally.check("format", true);
        assert!(tally.is_good());
        tally.check("lints", false);
        assert_eq!(tally.to_string(), "FAILED  lints\n1 passed, 1 failed\n");
    }
}
