//! The closing words: a table of all fuzzers, and how to repeat a crash.

use std::fmt;
use std::time::Duration;

use super::output::{Stats, artifact};
use super::run::Outcome;

/// A row for each fuzzer, and one for all.
#[derive(Debug)]
pub(super) struct Table<'a> {
    pub(super) outcomes: &'a [Outcome],
    /// From the start of the first to the end of the last.
    pub(super) took: Duration,
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n{:<16}{:>14}{:>12}{:>8}{:>10}{:>8}",
            "target", "executions", "per second", "edges", "features", "new"
        )?;
        let mut sum = Stats::default();
        for outcome in self.outcomes {
            let Outcome { target, stats, took, succeeded, .. } = outcome;
            row(f, target, stats, *took)?;
            writeln!(f, "{}", if *succeeded { "" } else { "  CRASHED" })?;
            sum.executions += stats.executions;
            sum.edges += stats.edges;
            sum.features += stats.features;
            sum.new_units += stats.new_units;
        }
        row(f, "all", &sum, self.took)?;
        writeln!(f)
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, stats: &Stats, took: Duration) -> fmt::Result {
    let rate = u128::from(stats.executions) * 1000 / took.as_millis().max(1);
    let Stats { executions, edges, features, new_units } = stats;
    write!(f, "{name:<16}{executions:>14}{rate:>12}{edges:>8}{features:>10}{new_units:>8}")
}

/// What somebody needs who is to find out why a fuzzer crashed.
#[derive(Debug)]
pub(super) struct Crash<'a> {
    outcome: &'a Outcome,
}

impl<'a> Crash<'a> {
    /// `None` if it did not.
    pub(super) fn of(outcome: &'a Outcome) -> Option<Self> {
        (!outcome.succeeded).then_some(Self { outcome })
    }
}

impl fmt::Display for Crash<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcome { target, output, command, seed, .. } = self.outcome;
        writeln!(f, "{target} CRASHED (seed {seed}):\n")?;
        for line in output {
            writeln!(f, "    {line}")?;
        }
        match artifact(output) {
            Some(file) => writeln!(
                f,
                "\nthe input: {file}\nto repeat: {command} {file}\n\
                 to replay it in cargo test, once that is mended: copy it to fuzz/corpus/{target}"
            ),
            None => writeln!(f, "\nno input was written\nto repeat: {command} -seed={seed}"),
        }
    }
}

/// A large number, short.
pub(super) fn count(number: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "one digit is shown behind the point")]
    let float = number as f64;
    match number {
        1_000_000.. => format!("{:.1} M", float / 1e6),
        10_000.. => format!("{:.0} k", float / 1e3),
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(succeeded: bool) -> Outcome {
        Outcome {
            target: "names".into(),
            stats: Stats { executions: 3000, edges: 70, features: 146, new_units: 36 },
            took: Duration::from_secs(2),
            succeeded,
            output: vec!["thread panicked".into(), "x; Test unit written to /a/crash-1".into()],
            command: "/t/names".into(),
            seed: 9,
        }
    }

    #[test]
    fn the_table_has_a_row_for_each_and_their_sum() {
        // Side by side.
        let outcomes = &[outcome(true), outcome(false)];
        let text = Table { outcomes, took: Duration::from_secs(2) }.to_string();
        let lines: Vec<_> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        let lines: &[Vec<_>] = &lines;
        assert_eq!(lines[2], ["names", "3000", "1500", "70", "146", "36"]);
        assert_eq!(lines[3], ["names", "3000", "1500", "70", "146", "36", "CRASHED"]);
        assert_eq!(lines[4], ["all", "6000", "3000", "140", "292", "72"]);
    }

    #[test]
    fn a_crash_can_be_repeated_from_what_is_printed() {
        assert!(Crash::of(&outcome(true)).is_none());
        let text = Crash::of(&outcome(false)).unwrap().to_string();
        for part in ["names", "seed 9", "thread panicked", "to repeat: /t/names /a/crash-1\n"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn large_numbers_are_short() {
        assert_eq!(["9999", "12 k", "3.5 M"], [9_999, 12_345, 3_456_789].map(count));
    }
}
