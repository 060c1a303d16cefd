//! The program `dlm`: who holds a lock, who waits for it, and why; and locks from the shell.
//!
//! A verb is a module with a function `run`, which is given its arguments and the [`Scene`] to look
//! at, and returns the exit status. What it prints for programs is in [`json`], and is stable.
//!
//! [`Scene`]: scene::Scene

#![forbid(unsafe_code)]

mod adopt;
pub mod args;
mod doctor;
mod dump;
mod graph;
mod hold;
pub mod json;
mod keys;
mod leave;
mod lock;
mod locks;
mod ls;
mod name;
mod output;
mod page;
mod purge;
pub mod scene;
mod status;
mod supervise;
mod top;
mod watch;
mod why;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use args::{Args, Verb};
use scene::Scene;
pub use status::{Failure, Status};

/// Runs the program with these arguments, the first of which is its name.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = match Args::try_parse_from(arguments) {
        Ok(args) => args,
        Err(error) => {
            // To the output where it is what was asked for.
            let _ = error.print();
            return if error.use_stderr() { Status::Usage.into() } else { ExitCode::SUCCESS };
        }
    };
    match run(args) {
        Ok(status) => status,
        Err(failure) => {
            eprintln!("dlm: {failure}");
            failure.status.into()
        }
    }
}

fn run(args: Args) -> Result<ExitCode, Failure> {
    let Args { common, verb } = args;
    let scene = Scene::new(&common)?;
    let status = match verb {
        Verb::Ls => ls::run(&scene, &common)?,
        Verb::Locks(verb) => locks::run(&verb, &scene, &common)?,
        Verb::Why(verb) => why::run(&verb, &scene, &common)?,
        Verb::Graph(verb) => graph::run(&verb, &scene, &common)?,
        Verb::Watch(verb) => watch::run(&verb, &scene, &common)?,
        Verb::Top(verb) => top::run(&verb, &scene, &common)?,
        Verb::Doctor => doctor::run(&common)?,
        Verb::Dump => dump::run(&scene)?,
        Verb::Lock(verb) => return lock::run(&verb, &scene),
        Verb::Hold(verb) => return hold::run(&verb, &scene, &common),
        Verb::Adopt(verb) => return adopt::run(&verb, &scene),
        Verb::Purge(verb) => purge::run(&verb, &scene)?,
        Verb::Leave(verb) => leave::run(&verb, &scene)?,
        Verb::Exec(verb) => return supervise::exec(&verb),
        Verb::Completion { shell } => page::completion(shell)?,
        Verb::Manual => page::manual()?,
    };
    Ok(status.into())
}
