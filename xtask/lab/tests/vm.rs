//! Machines as other commands of this program use them. Run with `--ignored`: the first time they
//! fetch what they need.

use dlm_lab::vm::{Command, Exit, Input, Kind, Trouble, Vm, VmOptions};
use std::time::{Duration, Instant};

fn start() -> anyhow::Result<Vm> {
    Vm::start(&VmOptions { time_limit: Duration::from_secs(120), ..VmOptions::default() })
}

fn sh(script: &str) -> Command {
    Command::new("sh").args(["-c", script])
}

#[test]
#[ignore = "needs a virtual machine"]
fn commands_run_at_the_same_time_and_keep_their_output_apart() {
    let vm = start().unwrap();
    std::thread::scope(|scope| {
        for n in 0..12_u8 {
            let vm = &vm;
            scope.spawn(move || {
                let input = vec![b'a' + n; 300_000];
                // Each waits for the file that the last one makes.
                let script = format!(
                    "wc -c; echo {n} >&2; touch /tmp/{n}; until test -e /tmp/11; do usleep 9999; \
                     done; exit {n}"
                );
                let output = vm.capture(&sh(&script).input(Input::Bytes(input))).unwrap();
                assert_eq!(output.exit, Exit::Code(n.into()));
                assert_eq!(output.stdout, b"300000\n");
                assert_eq!(output.stderr, format!("{n}\n").into_bytes());
            });
        }
    });
}

#[test]
#[ignore = "needs a virtual machine"]
fn a_hanging_command_is_reported_and_the_machine_stays_usable() {
    let vm = start().unwrap();
    let begin = Instant::now();
    let error = vm.capture(&sh("sleep 100").limit(Duration::from_millis(300))).unwrap_err();
    assert_eq!(error.downcast_ref::<Trouble>().map(|t| t.kind), Some(Kind::TimeLimit));
    assert!(error.to_string().contains("Show Blocked State"), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(20));
    assert!(vm.capture(&sh("true")).unwrap().exit.success());
}

#[test]
#[ignore = "needs a virtual machine"]
fn the_kernel_log_is_read_from_any_point() {
    let vm = start().unwrap();
    let before = vm.kernel_log_since(vm.log_start()).unwrap().next;
    vm.capture(&sh("echo one > /dev/kmsg")).unwrap();
    let between = vm.kernel_log_since(before).unwrap();
    vm.capture(&sh("echo BUG: two > /dev/kmsg")).unwrap();
    let after = vm.kernel_log_since(between.next).unwrap();
    assert!(between.text.contains("one") && between.is_clean());
    assert!(!after.text.contains("one") && after.complaints().count() == 1);
    assert!(vm.kernel_log_since(0).unwrap().text.contains("Linux version"));
}

#[test]
#[ignore = "needs a virtual machine"]
fn input_that_nobody_reads_and_files_that_do_not_fit_do_no_harm() {
    let vm = start().unwrap();
    let much = Input::Bytes(vec![0; 4 << 20]);
    let output = vm.capture(&sh("exec <&-; exit 4").input(much.clone())).unwrap();
    assert_eq!(output.exit, Exit::Code(4));
    assert!(vm.capture(&sh("sleep 0.3").input(much)).unwrap().exit.success());
    assert!(vm.put_file("/proc/nothing/here", 0o644, b"x").is_err());
    let size = vm.capture(&sh("dd if=/dev/zero of=/fill bs=1M; rm /fill; wc -c < /a")).unwrap();
    assert_eq!(size.stdout, b"");
    vm.put_file("/deep/folder/script", 0o755, b"#!/bin/sh\necho $0 $A; pwd\n").unwrap();
    let script = Command::new("/deep/folder/script").env("A", "b c").cwd("/deep");
    assert_eq!(vm.capture(&script).unwrap().stdout, b"/deep/folder/script b c\n/deep\n");
}

#[test]
#[ignore = "needs a virtual machine"]
fn without_its_controller_a_guest_describes_no_cluster() {
    let options = VmOptions { controller: false, snapshot: false, ..VmOptions::default() };
    let vm = Vm::start(&options).unwrap();
    let output =
        vm.capture(&sh("ls /sys/kernel/config/dlm; grep -c '^dlm ' /proc/modules")).unwrap();
    assert_eq!(output.stdout, b"1\n");
}
