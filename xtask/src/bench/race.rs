//! One row: the same work by several libraries, in turns.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::fmt;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use super::library::Library;
use super::samples::{Samples, fastest};
use dlm_lab::vm::{Command, Vm};

/// For one turn, which takes less than a second: a completion that is lost ends the benchmark.
const LIMIT: Duration = Duration::from_secs(240);

/// What is measured.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) libraries: &'static [Library],
}

/// Operations in a pair: the lock and the unlock, each with a write and a result.
pub(super) const OPERATIONS: u32 = 2;

/// Nanoseconds in a second.
pub(super) const SECOND: f64 = 1e9;

/// How the time is taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    /// As it is called in the file.
    pub(super) name: &'static str,
    /// A nanosecond is an instruction, so that chunks of the same work have the same length.
    pub(super) counts_instructions: bool,
    /// Rounds, each with all libraries.
    pub(super) rounds: usize,
    /// Pairs in each turn of a library.
    pub(super) pairs: u32,
}

impl Clock {
    /// The head of the table whose lines a [`Race`] shows.
    pub(super) fn head(&self) -> String {
        let [cost, floor] = if self.counts_instructions {
            ["instr/op", "over floor"]
        } else {
            ["ops/s", "to floor"]
        };
        format!(
            "{:22}{:24}{cost:>9}{:>9}{floor:>12}{:>8}{:>11}",
            "row", "library", "spread", "to C", "allocs/op"
        )
    }
}

/// What one library did.
#[derive(Debug)]
struct Lane {
    library: Library,
    costs: Samples,
    /// For each operation, in the last round; only the programs in Rust count them.
    allocations: Option<f64>,
}

/// What one library did in one round.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    /// Nanoseconds for each operation.
    pub(super) cost: f64,
    /// For each operation.
    pub(super) allocations: Option<f64>,
}

impl Turn {
    /// What a program printed that did so many operations.
    pub(super) fn of(printed: &str, operations: f64) -> Result<Self> {
        let nanoseconds = number(printed, "ns").context("a program told no time")?;
        let allocations = number(printed, "allocations").map(|count| count / operations);
        Ok(Self { cost: nanoseconds / operations, allocations })
    }

    /// The same with the cost at the tenth percentile of the chunks.
    pub(super) fn at_the_tenth(self, printed: &str) -> Result<Self> {
        let [nanoseconds, pairs] = numbers(printed, "tenth").context("a program told no tenth")?;
        Ok(Self { cost: nanoseconds / (pairs * f64::from(OPERATIONS)), ..self })
    }
}

/// A row that was measured.
#[derive(Debug)]
pub(super) struct Race {
    row: &'static str,
    clock: Clock,
    lanes: Vec<Lane>,
}

impl Race {
    /// Measures a row of uncontended locks.
    pub(super) fn run(vm: &Vm, row: &'static str, of: &[Library], clock: Clock) -> Result<Self> {
        let operations = f64::from(clock.pairs * OPERATIONS);
        Self::of(row, of, clock, |library| {
            let printed = printed(vm, library.command(row, clock.pairs))?;
            let turn = Turn::of(&printed, operations)?;
            if clock.counts_instructions { turn.at_the_tenth(&printed) } else { Ok(turn) }
        })
    }

    /// Measures a row. Who begins changes from round to round, as the first may find the machine
    /// in another state than the last.
    pub(super) fn of(
        row: &'static str,
        libraries: &[Library],
        clock: Clock,
        mut turn: impl FnMut(Library) -> Result<Turn>,
    ) -> Result<Self> {
        let lane = |&library| Lane { library, costs: Samples::default(), allocations: None };
        let mut lanes: Vec<_> = libraries.iter().map(lane).collect();
        for round in 1..=clock.rounds {
            progress(&format!("{row}: round {round} of {}", clock.rounds));
            for lane in &mut lanes {
                let turn = turn(lane.library)?;
                lane.costs.add(turn.cost);
                lane.allocations = turn.allocations;
            }
            lanes.rotate_left(1);
        }
        progress("");
        lanes.sort_by_key(|lane| libraries.iter().position(|&other| other == lane.library));
        Ok(Self { row, clock, lanes })
    }

    fn floor(&self) -> Option<&Samples> {
        let floor = self.lanes.iter().find(|lane| lane.library == Library::Floor)?;
        Some(&floor.costs)
    }

    fn speed_beside_floor(&self, lane: &Lane) -> Option<f64> {
        Some(lane.costs.speed_beside(self.floor()?))
    }

    fn over_floor(&self, lane: &Lane) -> Option<f64> {
        Some(lane.costs.median() - self.floor()?.median())
    }

    /// Beside the faster of the C libraries.
    fn speed_beside_c(&self, lane: &Lane) -> Option<f64> {
        let c = self.lanes.iter().filter(|lane| lane.library.is_c()).map(|lane| &lane.costs);
        Some(lane.costs.speed_beside(fastest(c)?))
    }

    /// The rows for the file.
    pub(super) fn json(&self, kernel: &str) -> Vec<Value> {
        let json = |lane: &Lane| {
            let cost = lane.costs.median();
            let counts = self.clock.counts_instructions;
            json!({
                "row": self.row,
                "library": lane.library.name(),
                "clock": self.clock.name,
                "kernel": kernel,
                "ops_per_s": SECOND / cost,
                "spread": lane.costs.spread(),
                "ratio_to_floor": self.speed_beside_floor(lane),
                "ratio_to_c": self.speed_beside_c(lane),
                "instructions_per_op": counts.then_some(cost),
                "instructions_over_floor": self.over_floor(lane).filter(|_| counts),
                "allocations_per_op": lane.allocations,
            })
        };
        self.lanes.iter().map(json).collect()
    }
}

impl fmt::Display for Race {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = self.row;
        for lane in &self.lanes {
            let ratio = |ratio: Option<f64>| ratio.map(|r| format!("{r:.3}")).unwrap_or_default();
            let (cost, c) = (lane.costs.median(), ratio(self.speed_beside_c(lane)));
            let (cost, floor) = if self.clock.counts_instructions {
                let over = self.over_floor(lane).map(|over| format!("{over:+.0}"));
                (cost, over.unwrap_or_default())
            } else {
                (SECOND / cost, ratio(self.speed_beside_floor(lane)))
            };
            write!(f, "{row:22}{:24}{cost:9.0}", lane.library.name())?;
            write!(f, "{:7.1} %", lane.costs.spread() * 100.0)?;
            write!(f, "{floor:>12}{c:>8}")?;
            match lane.allocations {
                Some(count) => writeln!(f, "{count:11.3}")?,
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
    numbers(printed, key).map(|[number]| number)
}

/// The numbers in the line `KEY NUMBER...`, if it has so many.
pub(super) fn numbers<const N: usize>(printed: &str, key: &str) -> Option<[f64; N]> {
    let line = printed.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))?;
    let numbers: Option<Vec<_>> = line.split(' ').map(|word| word.parse().ok()).collect();
    numbers?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCK: Clock = Clock { name: "wall", counts_instructions: false, rounds: 2, pairs: 10 };

    fn lane(library: Library, costs: &[f64], allocations: Option<f64>) -> Lane {
        let mut samples = Samples::default();
        costs.iter().for_each(|&cost| samples.add(cost));
        Lane { library, costs: samples, allocations }
    }

    fn race(counts_instructions: bool) -> Race {
        let lanes = vec![
            lane(Library::Floor, &[1000.0, 1000.0], Some(0.0)),
            lane(Library::Runtime, &[1250.0, 1250.0], Some(1.5)),
            lane(Library::LibdlmLt, &[2000.0, 2000.0], None),
            lane(Library::Libdlm, &[4000.0, 4000.0], None),
        ];
        let clock = Clock { counts_instructions, ..CLOCK };
        Race { row: "blocking", clock, lanes }
    }

    #[test]
    fn ratios_are_to_the_floor_and_to_the_faster_c_library() {
        let rows = race(false).json("6.1");
        let ours = &rows[1];
        assert_eq!(ours["library"], "dlm-runtime");
        assert_eq!(ours["ops_per_s"], 800_000.0);
        assert_eq!(ours["ratio_to_floor"], 0.8);
        assert_eq!(ours["ratio_to_c"], 1.6);
        assert_eq!(ours["allocations_per_op"], 1.5);
        assert_eq!(rows[0]["ratio_to_floor"], 1.0);
        assert_eq!(rows[3]["allocations_per_op"], Value::Null);
        assert_eq!(ours["instructions_per_op"], Value::Null);
    }

    #[test]
    fn counted_rows_have_instructions() {
        let ours = &race(true).json("6.1")[1];
        assert_eq!(ours["instructions_per_op"], 1250.0);
        assert_eq!(ours["instructions_over_floor"], 250.0);
    }

    #[test]
    fn the_table_has_a_line_for_each_library() {
        for (counts, cost, floor) in [(false, "800000", "0.800"), (true, "1250", "+250")] {
            let race = race(counts);
            let text = race.to_string();
            let lines: Vec<_> = text.lines().collect();
            assert_eq!(lines.len(), 4);
            let words: Vec<_> = lines[1].split_whitespace().collect();
            assert_eq!(words, ["dlm-runtime", cost, "0.0", "%", floor, "1.600", "1.500"]);
            assert_eq!(lines[1].len(), race.clock.head().len());
        }
    }

    #[test]
    fn the_tenth_is_that_of_an_operation() {
        let printed = "ns 900000\nallocations 3\ntenth 24000 10\n";
        let turn = Turn::of(printed, 300.0).unwrap();
        assert_eq!((turn.cost, turn.allocations), (3000.0, Some(0.01)));
        assert_eq!(turn.at_the_tenth(printed).unwrap().cost, 1200.0);
        assert!(turn.at_the_tenth("ns 900000\n").is_err());
    }

    #[test]
    fn numbers_are_found_by_their_keys() {
        let printed = "ns 1200\ntenth 3 10\n";
        assert_eq!(number(printed, "ns"), Some(1200.0));
        assert_eq!(numbers(printed, "tenth"), Some([3.0, 10.0]));
        assert_eq!(number(printed, "tenth"), None);
        assert_eq!(number(printed, "n"), None);
    }
}
