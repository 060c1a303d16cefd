//! Tests that cannot share a process, or a machine, with others: they fork, set limits, count what
//! the process does, make the kernel warn, or lock what all lockspaces need. Each module runs in a
//! machine of its own (`cargo xtask test`); by hand, run one module at a time.

mod creation;
mod examples;
mod file_system;
mod fork;
mod hazards_lockspace;
mod no_descriptors;
mod no_threads;
mod removal;
mod signals;
mod stress;
mod syscalls;
mod tool;
mod udev_permissions;
mod warns;

use std::process::{Command, Output, Stdio};

/// Runs a command to its end.
fn finish(mut command: Command) -> Output {
    let what = format!("{command:?}");
    let output = dlm_tests::within(move || command.stdin(Stdio::null()).output());
    output.unwrap_or_else(|| panic!("still running: {what}")).unwrap()
}
