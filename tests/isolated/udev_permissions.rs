//! The permissions of a lockspace's node where udev runs, with our rules. `cargo xtask test` puts
//! udev and the rules into the machine.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dlm_runtime::{Lockspace, LockspaceOptions};
use dlm_tests::{PATIENCE, PROMPT, eventually, process};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Where udev and the rules are.
const UDEVADM: &str = "/udev/udevadm";
const RULES: &str = "/udev/51-dlm.rules";
/// What the rules give a lockspace.
const BY_RULE: u32 = 0o660;

/// A rule that takes its time, for lockspaces of this name.
const SLOW_RULE: &str = r#"KERNEL=="dlm_slow*", PROGRAM="/bin/sleep 0.5""#;
const SLOW: Duration = Duration::from_millis(500);

/// udev, for one test at a time.
struct Udev {
    daemon: Child,
}

impl Udev {
    fn of_this_machine() -> MutexGuard<'static, Option<Self>> {
        static UDEV: Mutex<Option<Udev>> = Mutex::new(None);
        let mut udev = UDEV.lock().unwrap_or_else(PoisonError::into_inner);
        udev.get_or_insert_with(Self::start);
        udev
    }

    fn start() -> Self {
        // A link in these machines, for want of udev.
        fs::remove_file("/dev/misc").unwrap();
        let rules = "/etc/udev/rules.d";
        fs::create_dir_all(rules).unwrap();
        fs::copy(RULES, format!("{rules}/51-dlm.rules")).unwrap();
        fs::write(format!("{rules}/40-slow.rules"), SLOW_RULE).unwrap();
        // It is the daemon by its name.
        std::os::unix::fs::symlink(UDEVADM, "/bin/systemd-udevd").unwrap();
        let mut command = Command::new("/bin/systemd-udevd");
        let daemon = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        eventually("udev is up", || fs::exists("/run/udev/control").unwrap());
        Self { daemon }
    }

    /// Stops it until the result is dropped.
    fn stop(&self) -> Stopped {
        let process = Pid::from_raw(self.daemon.id().try_into().unwrap());
        kill(process, Signal::SIGSTOP).unwrap();
        Stopped(process)
    }
}

struct Stopped(Pid);

impl Drop for Stopped {
    fn drop(&mut self) {
        kill(self.0, Signal::SIGCONT).unwrap();
    }
}

/// Waits until udev has done all it was told of.
fn settle() {
    let status = Command::new(UDEVADM).args(["settle", "--timeout=120"]).status().unwrap();
    assert!(status.success(), "{status}");
}

fn mode(name: &str) -> u32 {
    fs::metadata(format!("/dev/dlm_{name}")).unwrap().mode() & 0o7777
}

fn has_link(name: &str) -> bool {
    fs::read_link(format!("/dev/misc/dlm_{name}")).is_ok()
}

/// That a lockspace has these permissions and its link now, and when udev is done.
#[track_caller]
fn check(name: &str, wanted: u32) {
    let look = || format!("{:04o}, link: {}", mode(name), has_link(name));
    let now = look();
    settle();
    let wanted = format!("{wanted:04o}, link: true");
    assert_eq!([now, look()], [wanted.clone(), wanted], "now, and when udev is done");
}

fn options(mode: u32) -> LockspaceOptions {
    LockspaceOptions::new().permissions(mode)
}

#[test]
#[ignore = "needs a DLM device and udev: cargo xtask test runs it in a VM"]
fn the_permissions_asked_for_hold_after_udevs_rules() {
    let _udev = Udev::of_this_machine();
    for asked in [0o600, 0o666, 0o660, 0o640, 0o644, 0o664, 0o400, 0o440, 0o444, 0o606] {
        let name = format!("m{asked:o}");
        let lockspace = options(asked).create(&name).unwrap();
        check(&name, asked);
        lockspace.release().unwrap();
    }
}

#[test]
#[ignore = "needs a DLM device and udev: cargo xtask test runs it in a VM"]
fn they_hold_when_the_rules_run_again() {
    let _udev = Udev::of_this_machine();
    let lockspace = options(0o600).create("again").unwrap();
    let trigger = Command::new(UDEVADM).args(["trigger", "--subsystem-match=misc"]).status();
    assert!(trigger.unwrap().success());
    settle();
    check("again", 0o600);
    lockspace.release().unwrap();
}

#[test]
#[ignore = "needs a DLM device and udev: cargo xtask test runs it in a VM"]
fn without_permissions_the_rules_count() {
    let _udev = Udev::of_this_machine();
    for lockspace in [Lockspace::create("rules").unwrap(), options(0).create("zero").unwrap()] {
        check(&lockspace.name().to_string(), BY_RULE);
        lockspace.release().unwrap();
    }
}

#[test]
#[ignore = "needs a DLM device and udev: cargo xtask test runs it in a VM"]
fn a_slow_udev_is_waited_for() {
    let _udev = Udev::of_this_machine();
    // The second has the minor number of the first, of which udev still knows.
    for _ in 0..2 {
        let start = Instant::now();
        let lockspace = options(0o600).create("slow").unwrap();
        assert!(start.elapsed() >= SLOW, "{:?}", start.elapsed());
        check("slow", 0o600);
        lockspace.release().unwrap();
    }
}

#[test]
#[ignore = "needs a DLM device and udev: cargo xtask test runs it in a VM"]
fn a_lockspace_that_was_there_is_not_waited_for() {
    let _udev = Udev::of_this_machine();
    let first = options(0o600).create("slow-there").unwrap();
    settle();
    let start = Instant::now();
    let second = options(0o666).create("slow-there").unwrap();
    // For an event that does not come.
    assert!(start.elapsed() < PROMPT, "{:?}", start.elapsed());
    check("slow-there", 0o666);
    second.release().unwrap();
    first.release().unwrap();
}

#[test]
#[ignore = "needs a DLM device and udev: cargo xtask test runs it in a VM"]
fn udev_is_waited_for_from_another_network_namespace_too() {
    if process::role().is_some() {
        let start = Instant::now();
        let lockspace = options(0o600).create("slow-elsewhere").unwrap();
        // Its messages do not get here, and the whole patience was not needed.
        let elapsed = start.elapsed();
        assert!(elapsed >= SLOW && elapsed < Duration::from_secs(9), "{elapsed:?}");
        check("slow-elsewhere", 0o600);
        lockspace.release().unwrap();
        return process::say("done");
    }
    let _udev = Udev::of_this_machine();
    let test = dlm_tests::test_name!(udev_is_waited_for_from_another_network_namespace_too);
    let mut child = process::spawn_by(&["unshare", "-n"], test, "creator", "");
    assert_eq!(child.line(), "done");
}

#[test]
#[ignore = "needs a DLM device and udev: cargo xtask test runs it in a VM"]
fn a_udev_that_does_not_answer_is_not_waited_for_for_ever() {
    let udev = Udev::of_this_machine();
    let udev = udev.as_ref().unwrap();
    let stopped = udev.stop();
    let start = Instant::now();
    let lockspace = options(0o600).timeout(Duration::from_secs(8)).create("stopped").unwrap();
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    assert_eq!(mode("stopped"), 0o600);
    drop(stopped);
    settle();
    assert!(has_link("stopped"));
    lockspace.release().unwrap();
}
