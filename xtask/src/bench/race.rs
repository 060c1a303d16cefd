//! One row: the same work by several libraries, in turns.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::fmt;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use super::samples::{Samples, fastest};
use crate::vm::{Command, Vm};

/// Where the programs are in the guest.
pub(super) const FOLDER: &str = "/bench";

/// For one turn, which takes less than a second: a completion that is lost ends the benchmark.
const LIMIT: Duration = Duration::from_secs(60);

/// Who does the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Library {
    /// Nothing but the writes and reads, of records that were encoded before.
    Floor,
    /// The same with dlm-proto for each record.
    Sys,
    Runtime,
    /// C, without threads.
    LibdlmLt,
    /// C, which needs its thread to wait for a lock.
    Libdlm,
    /// The same program with our libdlm_lt.
    CapiLt,
    /// The same program with our libdlm.
    Capi,
}

impl Library {
    const fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Sys => "dlm-sys",
            Self::Runtime => "dlm-runtime",
            Self::LibdlmLt => "libdlm_lt",
            Self::Libdlm => "libdlm",
            Self::CapiLt => "our libdlm_lt",
            Self::Capi => "our libdlm",
        }
    }

    const fn is_c(self) -> bool {
        matches!(self, Self::LibdlmLt | Self::Libdlm)
    }

    pub(super) fn command(self, row: &str, count: u32) -> Command {
        let program = |name| Command::new(format!("{FOLDER}/{name}"));
        let ours = |command: Command| command.env("LD_LIBRARY_PATH", format!("{FOLDER}/capi"));
        let command = match self {
            Self::LibdlmLt | Self::Libdlm => program(self.name()),
            Self::CapiLt => ours(program(Self::LibdlmLt.name())),
            Self::Capi => ours(program(Self::Libdlm.name())),
            Self::Floor | Self::Sys | Self::Runtime => program("locks").arg(self.name()),
        };
        command.args([row, &count.to_string()])
    }
}

/// What is measured.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) libraries: &'static [Library],
}

/// Operations in a pair: the lock and the unlock, each with a write and a result.
pub(super) const OPERATIONS: u32 = 2;

/// How the time is taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    /// As it is called in the file.
    pub(super) name: &'static str,
    /// Rounds, each with all libraries.
    pub(super) rounds: usize,
    /// Pairs in each turn of a library.
    pub(super) pairs: u32,
}

/// What one library did.
#[derive(Debug)]
struct Lane {
    library: Library,
    rates: Samples,
    /// For each operation, in the last round; only the programs in Rust count them.
    allocations: Option<f64>,
}

/// What one library did in one round.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    /// Operations per second.
    pub(super) rate: f64,
    /// For each operation.
    pub(super) allocations: Option<f64>,
}

impl Turn {
    /// What a program printed that did so many operations.
    pub(super) fn of(printed: &str, operations: f64) -> Result<Self> {
        let nanoseconds = number(printed, "ns").context("a program told no time")?;
        let allocations = number(printed, "allocations").map(|count| count / operations);
        Ok(Self { rate: operations * 1e9 / nanoseconds, allocations })
    }
}

/// A row that was measured.
#[derive(Debug)]
pub(super) struct Race {
    row: &'static str,
    lanes: Vec<Lane>,
}

impl Race {
    /// Measures a row of uncontended locks.
    pub(super) fn run(vm: &Vm, row: &Row, clock: Clock) -> Result<Self> {
        let operations = f64::from(clock.pairs * OPERATIONS);
        Self::of(row, clock.rounds, |library| {
            let printed = printed(vm, library.command(row.name, clock.pairs))?;
            Turn::of(&printed, operations)
        })
    }

    /// Measures a row. Who begins changes from round to round, as the first may find the machine
    /// in another state than the last.
    pub(super) fn of(
        row: &Row,
        rounds: usize,
        mut turn: impl FnMut(Library) -> Result<Turn>,
    ) -> Result<Self> {
        let lane = |&library| Lane { library, rates: Samples::default(), allocations: None };
        let mut lanes: Vec<_> = row.libraries.iter().map(lane).collect();
        for round in 1..=rounds {
            progress(&format!("{}: round {round} of {rounds}", row.name));
            for lane in &mut lanes {
                let turn = turn(lane.library)?;
                lane.rates.add(turn.rate);
                lane.allocations = turn.allocations;
            }
            lanes.rotate_left(1);
        }
        progress("");
        lanes.sort_by_key(|lane| row.libraries.iter().position(|&other| other == lane.library));
        Ok(Self { row: row.name, lanes })
    }

    fn ratio_to_floor(&self, lane: &Lane) -> Option<f64> {
        let floor = self.lanes.iter().find(|lane| lane.library == Library::Floor)?;
        Some(lane.rates.ratio_to(&floor.rates))
    }

    /// To the faster of the C libraries.
    fn ratio_to_c(&self, lane: &Lane) -> Option<f64> {
        let c = self.lanes.iter().filter(|lane| lane.library.is_c()).map(|lane| &lane.rates);
        Some(lane.rates.ratio_to(fastest(c)?))
    }

    /// The rows for the file.
    pub(super) fn json(&self, clock: Clock, kernel: &str) -> Vec<Value> {
        let json = |lane: &Lane| {
            json!({
                "row": self.row,
                "library": lane.library.name(),
                "clock": clock.name,
                "kernel": kernel,
                "ops_per_s": lane.rates.median(),
                "spread": lane.rates.spread(),
                "ratio_to_floor": self.ratio_to_floor(lane),
                "ratio_to_c": self.ratio_to_c(lane),
                "allocations_per_op": lane.allocations,
            })
        };
        self.lanes.iter().map(json).collect()
    }
}

/// The head of the table whose lines a [`Race`] shows.
pub(super) fn head() -> String {
    format!(
        "{:22}{:15}{:>10}{:>9}{:>10}{:>8}{:>13}",
        "row", "library", "ops/s", "spread", "to floor", "to C", "allocs/op"
    )
}

impl fmt::Display for Race {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = self.row;
        for lane in &self.lanes {
            let ratio = |ratio: Option<f64>| ratio.map(|r| format!("{r:.3}")).unwrap_or_default();
            let (floor, c) = (ratio(self.ratio_to_floor(lane)), ratio(self.ratio_to_c(lane)));
            write!(f, "{row:22}{:15}{:10.0}", lane.library.name(), lane.rates.median())?;
            write!(f, "{:7.1} %", lane.rates.spread() * 100.0)?;
            write!(f, "{floor:>10}{c:>8}")?;
            match lane.allocations {
                Some(count) => writeln!(f, "{count:13.3}")?,
                None => writeln!(f)?,
            }
            row = "";
        }
        Ok(())
    }
}

/// Shows what goes on, in a line that the next one replaces. Elsewhere than on a terminal the rows
/// of the table tell enough.
fn progress(text: &str) {
    let mut stderr = std::io::stderr().lock();
    if stderr.is_terminal() {
        // Nothing depends on it.
        let _ = write!(stderr, "\r\x1b[K{text}");
    }
}

/// What a program in the guest prints.
pub(super) fn printed(vm: &Vm, command: Command) -> Result<String> {
    let command = command.limit(LIMIT);
    let output = vm.capture(&command)?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.exit.success() {
        return Ok(stdout);
    }
    let log = vm.kernel_log_since(vm.log_start())?.text;
    let stderr = String::from_utf8_lossy(&output.stderr);
    bail!("{} in the guest: {}\n{stdout}{stderr}{log}", command.line(), output.exit)
}

/// The number in the line `KEY NUMBER`.
pub(super) fn number(printed: &str, key: &str) -> Option<f64> {
    printed.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCK: Clock = Clock { name: "icount", rounds: 2, pairs: 10 };

    fn lane(library: Library, rates: &[f64], allocations: Option<f64>) -> Lane {
        let mut samples = Samples::default();
        rates.iter().for_each(|&rate| samples.add(rate));
        Lane { library, rates: samples, allocations }
    }

    fn race() -> Race {
        let lanes = vec![
            lane(Library::Floor, &[1000.0, 1000.0], Some(0.0)),
            lane(Library::Runtime, &[900.0, 900.0], Some(1.5)),
            lane(Library::LibdlmLt, &[750.0, 750.0], None),
            lane(Library::Libdlm, &[250.0, 250.0], None),
        ];
        Race { row: "blocking", lanes }
    }

    #[test]
    fn ratios_are_to_the_floor_and_to_the_faster_c_library() {
        let rows = race().json(CLOCK, "6.1");
        let ours = &rows[1];
        assert_eq!(ours["library"], "dlm-runtime");
        assert_eq!(ours["ops_per_s"], 900.0);
        assert_eq!(ours["ratio_to_floor"], 0.9);
        assert_eq!(ours["ratio_to_c"], 1.2);
        assert_eq!(ours["allocations_per_op"], 1.5);
        assert_eq!(rows[0]["ratio_to_floor"], 1.0);
        assert_eq!(rows[3]["allocations_per_op"], Value::Null);
    }

    #[test]
    fn the_table_has_a_line_for_each_library() {
        let text = race().to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        let words: Vec<_> = lines[1].split_whitespace().collect();
        assert_eq!(words, ["dlm-runtime", "900", "0.0", "%", "0.900", "1.200", "1.500"]);
        assert_eq!(lines[1].len(), head().len());
    }

    #[test]
    fn numbers_are_found_by_their_keys() {
        let printed = "ns 1200\nallocations 3\n";
        assert_eq!(number(printed, "ns"), Some(1200.0));
        assert_eq!(number(printed, "allocations"), Some(3.0));
        assert_eq!(number(printed, "n"), None);
    }
}
