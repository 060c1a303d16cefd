//! The examples of dlm-runtime, as their users run them. `cargo xtask test` puts them beside this
//! program.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use dlm_tests::{eventually, within};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const FOLDER: &str = "/examples";

/// The examples that run without arguments, each with the line that it ends with.
const SHOWS: [(&str, &str); 8] = [
    ("adopt", "adopted 2 orphans, purged the rest"),
    ("cache", "no reader ever saw an old value"),
    ("delivery_thread", "done"),
    ("demo", "releases the lockspace; nothing is left behind"),
    ("election", "8 terms, each once; the term was rebuilt 1 time"),
    ("handover", "units in 8 turns: as if one had done them all"),
    ("poll_dispatch", "done"),
    ("tokio_tasks", "nothing is left behind"),
];

fn example(name: &str) -> PathBuf {
    let path = Path::new(FOLDER).join(name);
    assert!(path.exists(), "no {}: cargo xtask test puts it there, in a VM", path.display());
    path
}

/// Runs a command to its end.
fn finish(mut command: Command) -> Output {
    let what = format!("{command:?}");
    let output = within(move || command.stdin(Stdio::null()).output());
    output.unwrap_or_else(|| panic!("still running: {what}")).unwrap()
}

/// Runs an example, which must succeed, and returns the last line of its output.
fn show(name: &str) -> String {
    let output = finish(Command::new(example(name)));
    let (text, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name}: {}\n{text}{errors}", output.status);
    assert_eq!(errors, "");
    text.lines().next_back().unwrap_or_default().to_owned()
}

fn check(name: &str) {
    let (_, wanted) = SHOWS.iter().find(|(shown, _)| *shown == name).unwrap();
    let last = show(name);
    assert!(last.ends_with(wanted), "{name} ended with {last:?}");
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn every_example_is_tested_here() {
    let mut tested: Vec<_> = SHOWS.iter().map(|(name, _)| (*name).to_owned()).collect();
    tested.push("dlmlock".into());
    tested.sort_unstable();
    let entries = fs::read_dir(FOLDER).unwrap();
    let mut found: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    found.sort_unstable();
    assert_eq!(found, tested);
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn adopt_finds_the_locks_of_a_killed_process() {
    check("adopt");
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn cache_is_never_stale() {
    for _ in 0..5 {
        check("cache");
    }
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn delivery_thread_delivers() {
    check("delivery_thread");
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn demo_changes_hands() {
    check("demo");
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn election_counts_each_term_once() {
    // The candidates' requests are the first for the resource, and come at once: right on kernels
    // since 6.10 because the example serialises them.
    for _ in 0..5 {
        check("election");
    }
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn handover_loses_no_work() {
    for _ in 0..5 {
        check("handover");
    }
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn poll_dispatch_dispatches() {
    check("poll_dispatch");
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn tokio_tasks_leave_nothing_behind() {
    for _ in 0..5 {
        check("tokio_tasks");
    }
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn those_that_are_programs_explain_themselves() {
    for name in ["adopt", "cache", "dlmlock", "election", "handover", "tokio_tasks"] {
        let mut command = Command::new(example(name));
        command.arg("--help");
        let output = finish(command);
        assert!(output.status.success());
        assert!(output.stdout.starts_with(format!("usage: {name}").as_bytes()), "{output:?}");
        let mut command = Command::new(example(name));
        command.arg("--nonsense");
        let output = finish(command);
        assert_eq!(output.status.code(), Some(if name == "dlmlock" { 64 } else { 1 }));
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(errors.starts_with(&format!("{name}: ")), "{errors}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
    }
}

/// `dlmlock` with a lockspace of one test.
struct DlmLock(&'static str);

impl DlmLock {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(example("dlmlock"));
        command.args(["-l", self.0]).args(arguments);
        command
    }

    /// Its exit status.
    fn status(&self, arguments: &[&str]) -> i32 {
        let output = finish(self.command(arguments));
        output.status.code().unwrap_or_else(|| panic!("dlmlock was killed: {output:?}"))
    }

    /// Starts it, and returns when the command runs, which it does until its input ends.
    fn hold(&self, arguments: &[&str]) -> Holder {
        let mut holder = self.start(arguments, "echo held; read line; exit 5");
        assert_eq!(holder.line(), "held");
        holder
    }

    /// Starts it with a shell's script as its command.
    fn start(&self, arguments: &[&str], script: &str) -> Holder {
        let mut command = self.command(arguments);
        command.args(["--", "sh", "-c", script]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take(), child.stdout.take().unwrap());
        Holder { child, input, output: Some(BufReader::new(output)) }
    }

    /// Removes the lockspace, which works once if it was created once and nothing is left in it.
    fn remove(&self) {
        assert_eq!(self.status(&["--remove"]), 0);
        assert_eq!(self.status(&["--remove"]), 66);
    }
}

struct Holder {
    child: Child,
    input: Option<ChildStdin>,
    /// Always there but while it is being read.
    output: Option<BufReader<ChildStdout>>,
}

impl Holder {
    fn line(&mut self) -> String {
        let line = |output: &mut BufReader<_>, text: &mut _| output.read_line(text);
        self.read(line).trim_end().to_owned()
    }

    /// What it says until its end and that of the command.
    fn rest(&mut self) -> String {
        self.read(|output, text| output.read_to_string(text))
    }

    fn read(
        &mut self,
        read: fn(&mut BufReader<ChildStdout>, &mut String) -> std::io::Result<usize>,
    ) -> String {
        let mut output = self.output.take().unwrap();
        let done = within(move || {
            let mut text = String::new();
            read(&mut output, &mut text).unwrap();
            (output, text)
        });
        let (output, text) = done.expect("neither dlmlock nor its command says anything");
        self.output = Some(output);
        text
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Ends the command's input, and returns the exit status.
    fn end(mut self) -> i32 {
        self.input = None;
        self.wait().code().unwrap()
    }

    fn wait(&mut self) -> std::process::ExitStatus {
        let mut status = None;
        eventually("dlmlock has ended", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.try_wait();
    }
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn dlmlock_excludes_others_for_as_long_as_the_command_runs() {
    let lock = DlmLock("dlmlock-ex");
    let holder = lock.hold(&["r"]);
    assert_eq!(lock.status(&["-n", "r", "true"]), 1);
    assert_eq!(lock.status(&["--nonblock", "-E", "9", "r", "--", "true"]), 9);
    assert_eq!(lock.status(&["-s", "-n", "r", "true"]), 1);
    assert_eq!(lock.status(&["-m", "cr", "-n", "r", "true"]), 1);
    assert_eq!(lock.status(&["-m", "NL", "-n", "r", "true"]), 0);
    assert_eq!(lock.status(&["-n", "other", "true"]), 0);
    let mut waiter = lock.start(&["r"], "echo got it");
    assert_eq!(holder.end(), 5);
    assert_eq!(waiter.line(), "got it");
    assert_eq!(waiter.end(), 0);
    assert_eq!(lock.status(&["-n", "r", "true"]), 0);
    lock.remove();
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn dlmlock_gives_up_when_its_time_is_over() {
    let lock = DlmLock("dlmlock-time");
    let holder = lock.hold(&["r"]);
    let start = Instant::now();
    assert_eq!(lock.status(&["-w", "0.25", "r", "true"]), 1);
    assert!(start.elapsed() >= Duration::from_millis(250));
    assert_eq!(lock.status(&["--timeout=.01", "--conflict-exit-code=77", "r", "true"]), 77);
    // Does not wait at all.
    assert_eq!(lock.status(&["-w", "0", "-E", "3", "r", "true"]), 3);
    assert_eq!(holder.end(), 5);
    assert_eq!(lock.status(&["-w", "20", "r", "true"]), 0);
    lock.remove();
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn dlmlock_shares_what_is_shared() {
    let lock = DlmLock("dlmlock-shared");
    let first = lock.hold(&["-s", "r"]);
    let second = lock.hold(&["--shared", "r"]);
    assert_eq!(lock.status(&["-x", "-n", "r", "true"]), 1);
    assert_eq!(first.end(), 5);
    assert_eq!(lock.status(&["--exclusive", "-n", "r", "true"]), 1);
    assert_eq!(second.end(), 5);
    assert_eq!(lock.status(&["-n", "r", "true"]), 0);
    lock.remove();
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn dlmlock_passes_the_status_of_the_command_on() {
    let lock = DlmLock("dlmlock-status");
    let script = |script: &str| lock.status(&["r", "--", "sh", "-c", script]);
    assert_eq!(script("exit 0"), 0);
    assert_eq!(script("exit 7"), 7);
    assert_eq!(script("exit 255"), 255);
    assert_eq!(script("kill -9 $$"), 137);
    assert_eq!(script("kill -TERM $$"), 143);
    // Also when the parent ignores the end of its children. The lock is not the command's.
    let ignore = "trap '' CHLD; exec /examples/dlmlock -l dlmlock-status r ls -l /proc/self/fd";
    let mut command = Command::new("sh");
    command.args(["-c", ignore]);
    let output = finish(command);
    assert_eq!(output.status.code(), Some(0));
    assert!(!String::from_utf8_lossy(&output.stdout).contains("dlm"), "{output:?}");
    lock.remove();
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn dlmlock_tells_by_its_status_what_went_wrong() {
    let lock = DlmLock("dlmlock-wrong");
    let long = "x".repeat(65);
    for usage in [
        &[][..],
        &["r"],
        &["r", "--"],
        &["-w", "soon", "r", "true"],
        &["-w", "-1", "r", "true"],
        &["-E", "256", "r", "true"],
        &["-m", "XX", "r", "true"],
        &["-l", "a/b", "r", "true"],
        &["--remove", "r"],
        &[&long, "true"],
    ] {
        assert_eq!(lock.status(usage), 64, "{usage:?}");
    }
    assert_eq!(lock.status(&["r", "/nonexistent"]), 69);
    assert_eq!(lock.status(&["r", "/proc"]), 69);
    let mut command = lock.command(&["r", "true"]);
    command.uid(65534).gid(65534);
    let output = finish(command);
    assert_eq!(output.status.code(), Some(66), "{output:?}");
    assert!(output.stderr.starts_with(b"dlmlock: "), "{output:?}");
    lock.remove();
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn dlmlock_passes_signals_on_to_the_command() {
    let lock = DlmLock("dlmlock-signals");
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1] {
        let mut holder = lock.start(&["r"], "echo held; exec cat");
        assert_eq!(holder.line(), "held");
        holder.signal(signal);
        assert_eq!(holder.wait().code(), Some(128 + signal as i32));
    }
    // The command may do as it likes with them; the lock is held until it ends.
    let mut holder = lock.start(&["r"], "trap '' INT; echo held; read line; exit 6");
    assert_eq!(holder.line(), "held");
    holder.signal(Signal::SIGINT);
    assert_eq!(lock.status(&["-n", "r", "true"]), 1);
    assert_eq!(holder.end(), 6);
    lock.remove();
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn dlmlock_does_not_leave_the_command_without_its_lock() {
    let lock = DlmLock("dlmlock-killed");
    let mut holder = lock.start(&["r"], "echo held; exec cat");
    assert_eq!(holder.line(), "held");
    holder.signal(Signal::SIGKILL);
    assert_eq!(holder.wait().signal(), Some(9));
    // Its output ends because it has ended; its input has not.
    assert_eq!(holder.rest(), "");
    assert_eq!(lock.status(&["-n", "r", "true"]), 0);
    lock.remove();
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn dlmlock_leaves_the_queue_when_it_is_interrupted() {
    let lock = DlmLock("dlmlock-queue");
    let holder = lock.hold(&["-s", "r"]);
    let mut waiter = lock.start(&["-x", "r"], "echo never");
    // Shared would be granted beside the holder, but not past one who waits.
    eventually("one waits for EX", || lock.status(&["-s", "-n", "r", "true"]) == 1);
    waiter.signal(Signal::SIGINT);
    assert_eq!(waiter.wait().signal(), Some(2));
    assert_eq!(waiter.line(), "");
    assert_eq!(lock.status(&["-s", "-n", "r", "true"]), 0);
    assert_eq!(holder.end(), 5);
    lock.remove();
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn many_processes_count_under_dlmlock_and_lose_nothing() {
    const PROCESSES: usize = 8;
    const ROUNDS: usize = 10;
    let file = std::env::temp_dir().join("dlmlock-count");
    fs::write(&file, "0\n").unwrap();
    let lock = DlmLock("dlmlock-count");
    let step = format!("read n < {0}; echo $((n + 1)) > {0}", file.display());
    // All at once: the lockspace is not there yet, and they create it together. Then they ask for a
    // resource that is not there yet: right on kernels since 6.10 because dlmlock serialises that.
    std::thread::scope(|scope| {
        for _ in 0..PROCESSES {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    assert_eq!(lock.status(&["count", "--", "sh", "-c", &step]), 0);
                }
            });
        }
    });
    let count = fs::read_to_string(&file).unwrap();
    assert_eq!(count.trim(), (PROCESSES * ROUNDS).to_string());
    lock.remove();
}
