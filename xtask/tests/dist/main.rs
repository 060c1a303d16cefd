//! The tree that `cargo xtask dist` lays out for programs in C, against Debian's.
//!
//! What has to be fetched for that and cannot be makes a test print so, and pass.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail by any of them"
)]

mod functions;
mod header;
mod manual;
mod pkgconfig;
mod programs;
mod udev;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// An empty folder for a test.
fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("dist").join(name);
    dlm_lab::vm::store::remove_all(&folder).unwrap();
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// What was fetched, or `None` with a message.
fn fetched(what: &str, folder: anyhow::Result<PathBuf>) -> Option<PathBuf> {
    match folder {
        Ok(folder) => Some(folder),
        Err(error) => {
            println!("SKIPPED: {what} cannot be fetched: {error:#}");
            None
        }
    }
}

/// The output of a command that succeeds.
fn output(command: &mut Command) -> String {
    dlm_lab::vm::apt::output(command).unwrap()
}

/// What a command that fails says.
fn failure(command: &mut Command) -> String {
    dlm_lab::vm::apt::output(command).expect_err("it succeeds").to_string()
}
