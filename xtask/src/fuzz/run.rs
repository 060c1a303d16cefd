//! Runs fuzzers side by side, each for its share of the time, and shows how far they are.

use anyhow::{Context, Result};
use std::collections::VecDeque;
use std::fmt;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::build::{Fuzzers, seeds};
use super::made;
use super::output::Stats;
use super::report::count;

/// The longest record has 184 bytes; a list of devices wants a few lines.
const MAX_INPUT: usize = 256;

/// How often the state is shown.
const SHOWN_EVERY: Duration = Duration::from_secs(5);

/// Lines of a fuzzer that are kept for when it crashes.
const KEPT_LINES: usize = 200;

/// What is run, and for how long.
#[derive(Debug)]
pub(super) struct Plan {
    targets: Vec<String>,
    at_once: usize,
    each: Duration,
    seed: u32,
}

impl Plan {
    /// Shares `whole` out: the same time for each, in as many rounds as it takes.
    pub(super) fn new(targets: &[String], whole: Duration, cores: usize, seed: u32) -> Self {
        let at_once = cores.min(targets.len()).max(1);
        let rounds = targets.len().div_ceil(at_once).max(1);
        // libFuzzer counts whole seconds, and takes 0 for no limit.
        let each = whole.as_secs() / u64::try_from(rounds).unwrap_or(1);
        let each = Duration::from_secs(each.max(1));
        Self { targets: targets.to_vec(), at_once, each, seed }
    }

    fn whole(&self) -> Duration {
        let rounds = self.targets.len().div_ceil(self.at_once);
        self.each.saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX))
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { targets, at_once, each, seed } = self;
        let (count, each, whole) = (targets.len(), each.as_secs(), self.whole().as_secs());
        write!(
            f,
            "{count} fuzzers, {at_once} at a time, {each} s each, {whole} s in all, seed {seed}"
        )
    }
}

/// How one fuzzer fared.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) target: String,
    pub(super) stats: Stats,
    pub(super) took: Duration,
    pub(super) succeeded: bool,
    /// What it printed, but for the lines on its progress.
    pub(super) output: Vec<String>,
    /// What runs it on a single input, if that is put behind.
    pub(super) command: String,
    pub(super) seed: u32,
}

/// A fuzzer under way.
#[derive(Debug)]
struct Running {
    target: String,
    begin: Instant,
    stats: Stats,
    /// When its stats were printed by it, as it does so more and more rarely.
    at: Instant,
}

impl Running {
    /// Executions by now, from the speed so far.
    fn executions(&self) -> u64 {
        let known = self.at.duration_since(self.begin).as_secs_f64();
        if known < 0.1 {
            return self.stats.executions;
        }
        let factor = self.begin.elapsed().as_secs_f64() / known;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an estimate"
        )]
        let estimate = (self.stats.executions as f64 * factor) as u64;
        estimate
    }
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<String>,
    running: Vec<Running>,
    done: Vec<Outcome>,
    trouble: Option<anyhow::Error>,
}

/// Runs what is planned.
pub(super) fn all(fuzzers: &Fuzzers, plan: &Plan) -> Result<Vec<Outcome>> {
    let waiting = plan.targets.iter().cloned().collect();
    let state = Mutex::new(State { waiting, ..State::default() });
    let begin = Instant::now();
    let (end, ended) = channel::<()>();
    std::thread::scope(|scope| {
        for _ in 0..plan.at_once {
            let (state, end) = (&state, end.clone());
            scope.spawn(move || {
                while let Some(target) = next(state) {
                    match one(fuzzers, plan, &target, state) {
                        Ok(outcome) => finish(state, outcome),
                        Err(error) => lock(state).trouble = Some(error),
                    }
                }
                drop(end);
            });
        }
        drop(end);
        while ended.recv_timeout(SHOWN_EVERY) == Err(RecvTimeoutError::Timeout) {
            println!("{}", progress(&lock(&state), begin.elapsed(), plan.whole()));
        }
    });
    let state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
    match state.trouble {
        Some(error) => Err(error),
        None => {
            let mut done = state.done;
            done.sort_by(|a, b| a.target.cmp(&b.target));
            Ok(done)
        }
    }
}

/// One fuzzer, from its start to its end.
fn one(fuzzers: &Fuzzers, plan: &Plan, target: &str, state: &Mutex<State>) -> Result<Outcome> {
    let artifacts = made(&format!("artifacts/{target}"))?;
    let program = fuzzers.program(target);
    let mut command = Command::new(&program);
    command
        .arg(format!("-seed={}", plan.seed))
        .arg(format!("-max_total_time={}", plan.each.as_secs()))
        .arg(format!("-max_len={MAX_INPUT}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        // No input takes a millisecond, but the machine may be busy.
        .args(["-timeout=20", "-reload=0", "-print_final_stats=1"])
        // New inputs go to the first folder; the others are only read.
        .arg(made(&format!("corpus/{target}"))?)
        .arg(seeds(target))
        // Rust defines some symbols twice in one program, which is no error.
        .env("ASAN_OPTIONS", "detect_odr_violation=0")
        // AddressSanitizer shows the way to a panic too, and once is enough.
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let begin = Instant::now();
    let mut child = command.spawn().with_context(|| format!("cannot run {}", program.display()))?;
    let mut output = VecDeque::new();
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).split(b'\n') {
            let line = line.with_context(|| format!("reading the output of {target}"))?;
            let line = String::from_utf8_lossy(&line).into_owned();
            if !update(state, target, &line) {
                output.push_back(line);
            }
            if output.len() > KEPT_LINES {
                output.pop_front();
            }
        }
    }
    let succeeded = child.wait()?.success();
    let stats = lock(state).running.iter().find(|run| run.target == target).map(|run| run.stats);
    Ok(Outcome {
        target: target.to_owned(),
        stats: stats.unwrap_or_default(),
        took: begin.elapsed(),
        succeeded,
        output: output.into(),
        command: format!("ASAN_OPTIONS=detect_odr_violation=0 {}", program.display()),
        seed: plan.seed,
    })
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn next(state: &Mutex<State>) -> Option<String> {
    let mut state = lock(state);
    let target = state.waiting.pop_front()?;
    let now = Instant::now();
    let stats = Stats::default();
    state.running.push(Running { target: target.clone(), begin: now, stats, at: now });
    Some(target)
}

fn update(state: &Mutex<State>, target: &str, line: &str) -> bool {
    let mut state = lock(state);
    let Some(run) = state.running.iter_mut().find(|run| run.target == target) else {
        return false;
    };
    let taken = run.stats.read(line);
    if taken {
        run.at = Instant::now();
    }
    taken
}

fn finish(state: &Mutex<State>, outcome: Outcome) {
    let mut state = lock(state);
    state.running.retain(|run| run.target != outcome.target);
    state.done.push(outcome);
}

/// One line: how much is done, how fast, how long it still takes, and what runs.
fn progress(state: &State, elapsed: Duration, whole: Duration) -> String {
    let done: u64 = state.done.iter().map(|outcome| outcome.stats.executions).sum();
    let running: u64 = state.running.iter().map(Running::executions).sum();
    let all = done + running;
    let rate = all / elapsed.as_secs().max(1);
    let left = whole.saturating_sub(elapsed).as_secs();
    let crashed = state.done.iter().filter(|outcome| !outcome.succeeded).count();
    let names: Vec<_> = state.running.iter().map(|run| run.target.as_str()).collect();
    let mut line = format!("  {} executions, {}/s, {left} s left", count(all), count(rate));
    if !names.is_empty() {
        line.push_str(&format!(": {}", names.join(", ")));
    }
    if crashed > 0 {
        line.push_str(&format!("; {crashed} CRASHED"));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(targets: usize, seconds: u64, cores: usize) -> Plan {
        Plan::new(&vec![String::new(); targets], Duration::from_secs(seconds), cores, 1)
    }

    #[test]
    fn the_time_is_shared_out_and_not_exceeded() {
        assert_eq!(plan(6, 60, 2).each, Duration::from_secs(20));
        assert_eq!(plan(6, 60, 64).each, Duration::from_secs(60));
        assert_eq!(plan(3, 60, 2).each, Duration::from_secs(30));
        assert_eq!(plan(1, 60, 2).whole(), Duration::from_secs(60));
        assert_eq!(plan(6, 1, 1).each, Duration::from_secs(1));
        for (targets, cores) in [(6, 1), (6, 2), (5, 4), (1, 8)] {
            assert!(plan(targets, 60, cores).whole() <= Duration::from_secs(60));
        }
    }

    #[test]
    fn progress_counts_what_is_done_and_what_runs() {
        let now = Instant::now();
        let stats = Stats { executions: 3_000_000, ..Stats::default() };
        let state = State {
            running: vec![Running { target: "names".into(), begin: now, stats, at: now }],
            ..State::default()
        };
        let line = progress(&state, Duration::from_secs(3), Duration::from_secs(10));
        assert_eq!(line, "  3.0 M executions, 1.0 M/s, 7 s left: names");
    }
}
