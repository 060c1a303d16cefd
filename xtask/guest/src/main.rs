//! PID 1 of the test machine.
//!
//! Mounts what a Linux program expects, loads the modules packed beside it, plays the lockspace
//! controller of a cluster of one node, and runs commands for the host.

mod controller;
mod files;
mod jobs;
mod klog;
mod serve;
mod setup;
mod uevent;

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::process::id() != 1 {
        eprintln!("dlm-guest is the init process of a virtual machine; do not run it by hand");
        return ExitCode::FAILURE;
    }
    if let Err(error) = life() {
        // Standard error is the serial console, which the host shows when a machine fails.
        eprintln!("dlm-guest: {error}");
    }
    setup::power_off()
}

fn life() -> std::io::Result<()> {
    setup::mount_basics()?;
    // Both listeners exist before the modules, so that no event can be missed.
    let devices = uevent::Uevents::listen()?;
    let lockspaces = uevent::Uevents::listen()?;
    setup::load_modules()?;
    setup::mount_module_filesystems()?;
    setup::raise_loopback()?;
    let command_line = std::fs::read_to_string("/proc/cmdline")?;
    if !command_line.split_whitespace().any(|word| word == dlm_guest::wire::NO_CONTROLLER) {
        controller::start(lockspaces)?;
    }
    serve::serve(serve::open_port(&devices)?)
}
