//! The program `dlm`, as its users run it. `cargo xtask test` puts it beside this program.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use dlm_runtime::{Lock, Lockspace, Mode, ValueBlock};
use dlm_tests::{eventually, within};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::finish;

const TOOL: &str = "/examples/dlm";

/// Runs `dlm` to its end.
fn dlm(arguments: &[&str]) -> Output {
    let mut command = Command::new(TOOL);
    command.args(arguments);
    finish(command)
}

/// What it says, if all is well.
fn says(arguments: &[&str]) -> String {
    let output = dlm(arguments);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A lockspace of one test, with locks of this process: a holder and two who wait.
struct Contended {
    space: Lockspace,
    _held: Lock,
    _waiting: [Lock; 2],
}

impl Contended {
    fn new(name: &str) -> Self {
        let space = Lockspace::create(name).unwrap();
        let held = space.lock("disk0", Mode::Ex).with_lvb().wait().unwrap();
        held.convert(Mode::Ex).write_lvb(ValueBlock([0x5a; 32])).wait().unwrap();
        let ask = |mode| space.lock("disk0", mode).start(|_| {}).unwrap();
        let waiting = [ask(Mode::Pr), ask(Mode::Ex)];
        Self { space, _held: held, _waiting: waiting }
    }

    fn end(self) {
        let Self { space, _held, _waiting } = self;
        drop((_held, _waiting));
        space.force_release().unwrap();
    }
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn ls_shows_lockspaces_and_who_has_them_open() {
    let contended = Contended::new("tool-ls");
    let text = says(&["ls"]);
    let line = text.lines().find(|line| line.contains("tool-ls")).unwrap();
    let me = format!("isolated[{}]", std::process::id());
    for part in ["running", &me] {
        assert!(line.contains(part), "{part} in {line}");
    }
    let json = says(&["ls", "--json"]);
    assert!(
        json.contains(r#""name":"tool-ls""#) && json.contains(r#""locks":3,"contended":1"#),
        "{json}"
    );
    contended.end();
    // A reference that its program left behind.
    let space = Lockspace::create("tool-ls").unwrap();
    space.close().unwrap();
    drop(space);
    let text = says(&["ls"]);
    assert!(text.contains("nobody: dlm leave --all-references tool-ls"), "{text}");
    assert_eq!(says(&["leave", "--all-references", "tool-ls"]), "1 reference given back\n");
    assert!(!says(&["ls"]).contains("tool-ls"));
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn locks_and_why_show_who_holds_and_who_waits() {
    let contended = Contended::new("tool-why");
    let me = format!("isolated[{}] on node 1", std::process::id());
    let text = says(&["locks", "tool-why", "--blocks"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "tool-why/disk0  master: node 1");
    assert_eq!(lines[1], format!("  block       {}", "5a".repeat(32)));
    for (line, beginning) in
        lines[2..].iter().zip(["granted     EX", "waiting     -> PR", "waiting     -> EX"])
    {
        let line = line.trim_start();
        assert!(line.starts_with(beginning) && line.contains(&me), "{line}");
        assert!(line.ends_with(" s"), "no age in {line}");
    }
    assert_eq!(lines.len(), 5, "{text}");
    let text = says(&["why", "disk0"]);
    for part in [
        format!("tool-why/disk0: Held: EX by {me}, for "),
        format!("Waiting, in this order: 1. PR by {me}, for "),
        format!("; 2. EX by {me}, for "),
        "The lockspace runs.".to_owned(),
        format!("kill {}", std::process::id()),
    ] {
        assert!(text.contains(&part), "{part} in {text}");
    }
    assert_eq!(dlm(&["why", "nothing"]).status.code(), Some(1));
    assert_eq!(dlm(&["locks", "nowhere"]).status.code(), Some(66));
    // The same of what it has written.
    let dump = std::env::temp_dir().join("tool-dump");
    fs::write(&dump, says(&["dump"])).unwrap();
    let again = says(&["--dump", dump.to_str().unwrap(), "why", "disk0", "--json"]);
    assert!(again.contains(r#""granted":"EX""#), "{again}");
    // Only root may look at the queues, which is said in one line.
    let mut command = Command::new(TOOL);
    command.arg("locks").uid(65534).gid(65534);
    let output = finish(command);
    assert_eq!(output.status.code(), Some(77), "{output:?}");
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.lines().count() == 1 && errors.contains("only root may"), "{errors}");
    contended.end();
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn hold_tells_who_waits_and_unlocks_when_its_time_is_over() {
    let space = Lockspace::create("tool-hold").unwrap();
    let mut child = Command::new(TOOL)
        .args(["hold", "-l", "tool-hold", "r"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert_eq!(next(), "granted EX r");
    let waiting = space.lock("r", Mode::Pr).start(|_| {}).unwrap();
    assert_eq!(next(), "waited for: PR r");
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(next(), "unlocked r");
    assert_eq!(within(move || child.wait()).unwrap().unwrap().code(), Some(0));
    eventually("the waiter is granted", || {
        space.dispatch().unwrap();
        waiting.is_held()
    });
    let output = dlm(&["hold", "-n", "-E", "9", "-l", "tool-hold", "r"]);
    assert_eq!(output.status.code(), Some(9));
    drop(waiting);
    let said = says(&["hold", "--for", "0.05", "-l", "tool-hold", "other", "--json"]);
    assert_eq!(said.lines().count(), 2, "{said}");
    space.force_release().unwrap();
}

/// A program that is killed with a persistent lock leaves an orphan.
fn leave_an_orphan(space: &str, resource: &str) {
    let mut child = Command::new(TOOL)
        .args(["hold", "--persistent", "-l", space, resource])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, format!("granted EX {resource}\n"));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn orphans_are_named_adopted_and_purged() {
    let space = Lockspace::create("tool-orphan").unwrap();
    leave_an_orphan("tool-orphan", "a");
    leave_an_orphan("tool-orphan", "b");
    let waiting = space.lock("a", Mode::Pr).start(|_| {}).unwrap();
    let text = says(&["why", "a"]);
    assert!(text.contains("dlm adopt -l tool-orphan a"), "{text}");
    let said = says(&["adopt", "-l", "tool-orphan", "a"]);
    assert_eq!(said, "EX on a was held by an orphan, and is unlocked\n");
    eventually("the waiter is granted", || {
        space.dispatch().unwrap();
        waiting.is_held()
    });
    assert_eq!(dlm(&["adopt", "-l", "tool-orphan", "a"]).status.code(), Some(1));
    assert_eq!(says(&["purge", "tool-orphan"]), "");
    assert!(!says(&["locks", "tool-orphan"]).contains("tool-orphan/b"));
    drop(waiting);
    space.force_release().unwrap();
}

/// What the doctor says of one check that is not in order, and its advice.
fn complaint(check: &str) -> Option<(String, String)> {
    let output = dlm(&["doctor"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let is_bad = text.lines().any(|line| line.starts_with("BAD"));
    assert_eq!(output.status.code(), Some(i32::from(is_bad)), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    lines.windows(2).find_map(|pair| {
        let (verdict, rest) = pair[0].split_once(' ')?;
        let rest = rest.trim_start().strip_prefix(check)?.strip_prefix(": ")?;
        let is_wrong = ["BAD", "note"].contains(&verdict);
        // Other tests have lockspaces of their own meanwhile, and leave references for a moment.
        let is_others = check == "references" && !pair[1].ends_with(" tool-doctor");
        (is_wrong && !is_others).then(|| (format!("{verdict} {rest}"), pair[1].trim().to_owned()))
    })
}

/// Breaks something, which the doctor must see; what it advises must mend it.
fn breaks(check: &str, verdict: &str, with: &str) {
    sh(with);
    let (said, mend) = complaint(check).unwrap_or_else(|| panic!("{with}: not seen"));
    assert!(said.starts_with(verdict), "{with}: {said}");
    sh(&format!("PATH=$PATH:/examples; {mend}"));
    assert_eq!(complaint(check), None, "{mend}");
}

fn sh(script: &str) {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    let output = finish(command);
    assert!(output.status.success(), "{script}: {output:?}");
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn the_doctor_tells_broken_set_ups_apart_and_mends_them() {
    let check = |text: &str| complaint(text).map(|(said, _)| said);
    assert_eq!(dlm(&["doctor"]).status.code(), Some(0), "{:?}", dlm(&["doctor"]));
    breaks("debugfs", "BAD", "umount /sys/kernel/debug");
    breaks("configfs", "BAD", "umount /sys/kernel/config");
    breaks("control device", "BAD /dev/dlm-control is not there", "rm /dev/dlm-control");
    let other = "rm /dev/dlm-control; mknod /dev/dlm-control c 1 3";
    breaks("control device", "BAD /dev/dlm-control is another device", other);

    let space = Lockspace::create("tool-doctor").unwrap();
    let device = "/dev/dlm_tool-doctor";
    breaks("lockspace device", "BAD /dev/dlm_tool-doctor is not", &format!("rm {device}"));
    breaks("lockspace device", "BAD", &format!("chmod 000 {device}"));
    breaks("lockspace device", "note", &format!("chmod 666 {device}"));

    sh("mv /dev/misc /dev/misc-away");
    assert!(check("devices for C libdlm").is_some_and(|said| said.starts_with("note")));
    sh("mv /dev/misc-away /dev/misc");
    assert_eq!(check("devices for C libdlm"), None);

    let control = "/sys/kernel/dlm/tool-doctor/control";
    sh(&format!("echo 0 > {control}"));
    assert!(check("recovery").is_some_and(|said| said.starts_with("BAD tool-doctor")));
    sh(&format!("echo 1 > {control}"));
    eventually("it runs again", || check("recovery").is_none());

    leave_an_orphan("tool-doctor", "r");
    // Who asks is another program, and the only one that has the lockspace open.
    space.close().unwrap();
    let waiting = std::thread::spawn(|| {
        let mut child = Command::new(TOOL)
            .args(["hold", "-l", "tool-doctor", "r", "--for", "0"])
            .spawn()
            .unwrap();
        child.wait().unwrap()
    });
    eventually("the orphan is in the way", || says(&["locks", "tool-doctor"]).contains("waiting"));
    // Newer kernels mark no orphans: it may be the lock of a thread of the program that waits.
    let seen = check("orphans");
    if dlm_tests::Kernel::running() == dlm_tests::Kernel::V6_1 {
        assert!(seen.is_some_and(|said| said.starts_with("BAD")));
    }
    assert!(says(&["why", "r"]).contains("dlm adopt -l tool-doctor r"));
    says(&["adopt", "-l", "tool-doctor", "r"]);
    assert!(waiting.join().unwrap().success());
    breaks("references", "note", "true");

    // A program of this name, without a cluster.
    let mut fake = Command::new("sh");
    fake.args(["-c", "echo dlm_controld > /proc/self/comm; read line"]);
    let mut child = fake.stdin(Stdio::piped()).spawn().unwrap();
    eventually("it has its name", || {
        check("corosync").is_some_and(|said| said.starts_with("BAD dlm_controld runs"))
    });
    child.kill().unwrap();
    child.wait().unwrap();
    sh("mkdir -p /etc/dlm; echo 'enable_fencing = 0' > /etc/dlm/dlm.conf");
    assert!(check("fencing").is_some_and(|said| said.starts_with("BAD")));
    sh("rm /etc/dlm/dlm.conf");
    assert_eq!(check("fencing"), None);
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_deadlock_is_seen_drawn_and_ended_from_outside() {
    use std::sync::mpsc::channel;

    let space = Lockspace::create("tool-circle").unwrap();
    // Two threads, each of which holds a lock and waits for the other's. They live as long as the
    // circle does.
    let (results, ends) = channel();
    let meet = std::sync::Barrier::new(2);
    std::thread::scope(|scope| {
        for (own, other) in [("a", "b"), ("b", "a")] {
            let (space, results, meet) = (&space, results.clone(), &meet);
            scope.spawn(move || {
                let held = space.lock(own, Mode::Ex).wait().unwrap();
                meet.wait();
                let answer = space.lock(other, Mode::Ex).wait();
                results.send(answer.as_ref().map(drop).map_err(ToString::to_string)).unwrap();
                drop((answer, held));
            });
        }
        eventually("the circle is closed", || {
            dlm(&["graph", "tool-circle"]).status.code() == Some(1)
        });
        let (said, mend) = complaint("deadlock").unwrap();
        assert!(said.starts_with("BAD deadlock of 2"), "{said}");
        assert_eq!(mend, "dlm watch --end-deadlocks");
        let text = says(&["watch", "--end-deadlocks", "--interval", "0.1", "--count", "4"]);
        assert!(text.contains("cancelled lock "), "{text}");
        let answers = [ends.recv().unwrap(), ends.recv().unwrap()];
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
        let lost = answers.iter().find_map(|answer| answer.as_ref().err()).unwrap();
        assert!(lost.contains("deadlock"), "{lost}");
    });
    assert_eq!(dlm(&["graph", "tool-circle"]).status.code(), Some(0));
    space.force_release().unwrap();
}

/// `dlm lock` with a lockspace of one test.
struct Locker(&'static str);

impl Locker {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(TOOL);
        command.args(["lock", "-l", self.0]).args(arguments);
        command
    }

    /// Its exit status.
    fn status(&self, arguments: &[&str]) -> i32 {
        let output = finish(self.command(arguments));
        output.status.code().unwrap_or_else(|| panic!("dlm was killed: {output:?}"))
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
        assert_eq!(dlm(&["leave", self.0]).status.code(), Some(0));
        assert_eq!(dlm(&["leave", self.0]).status.code(), Some(66));
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
        let (output, text) = done.expect("neither dlm nor its command says anything");
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
        eventually("dlm has ended", || {
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
fn lock_excludes_others_for_as_long_as_the_command_runs() {
    let lock = Locker("dlmlock-ex");
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
fn lock_gives_up_when_its_time_is_over() {
    let lock = Locker("dlmlock-time");
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
fn lock_shares_what_is_shared() {
    let lock = Locker("dlmlock-shared");
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
fn lock_passes_the_status_of_the_command_on() {
    let lock = Locker("dlmlock-status");
    let script = |script: &str| lock.status(&["r", "--", "sh", "-c", script]);
    assert_eq!(script("exit 0"), 0);
    assert_eq!(script("exit 7"), 7);
    assert_eq!(script("exit 255"), 255);
    assert_eq!(script("kill -9 $$"), 137);
    assert_eq!(script("kill -TERM $$"), 143);
    // Also when the parent ignores the end of its children. The lock is not the command's.
    let ignore = "trap '' CHLD; exec /examples/dlm lock -l dlmlock-status r ls -l /proc/self/fd";
    let mut command = Command::new("sh");
    command.args(["-c", ignore]);
    let output = finish(command);
    assert_eq!(output.status.code(), Some(0));
    assert!(!String::from_utf8_lossy(&output.stdout).contains("dlm"), "{output:?}");
    lock.remove();
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn lock_tells_by_its_status_what_went_wrong() {
    let lock = Locker("dlmlock-wrong");
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
        &[&long, "true"],
    ] {
        assert_eq!(lock.status(usage), 64, "{usage:?}");
    }
    assert_eq!(lock.status(&["r", "/nonexistent"]), 69);
    assert_eq!(lock.status(&["r", "/proc"]), 69);
    let mut command = lock.command(&["r", "true"]);
    command.uid(65534).gid(65534);
    let output = finish(command);
    assert_eq!(output.status.code(), Some(77), "{output:?}");
    assert!(output.stderr.starts_with(b"dlm: "), "{output:?}");
    lock.remove();
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn lock_passes_signals_on_to_the_command() {
    let lock = Locker("dlmlock-signals");
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
fn lock_does_not_leave_the_command_without_its_lock() {
    let lock = Locker("dlmlock-killed");
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
fn lock_leaves_the_queue_when_it_is_interrupted() {
    let lock = Locker("dlmlock-queue");
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
fn many_processes_count_under_lock_and_lose_nothing() {
    const PROCESSES: usize = 8;
    const ROUNDS: usize = 10;
    let file = std::env::temp_dir().join("dlmlock-count");
    fs::write(&file, "0\n").unwrap();
    let lock = Locker("dlmlock-count");
    let step = format!("read n < {0}; echo $((n + 1)) > {0}", file.display());
    // All at once: the lockspace is not there yet, and they create it together. Then they ask for a
    // resource that is not there yet: right on kernels since 6.10 because dlm serialises that.
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
