//! The program under test.

use std::process::Command;

/// The program, under the emulator that `cargo xtask test --arch` has for it.
pub(crate) fn program() -> Command {
    let program = env!("CARGO_BIN_EXE_dlm");
    let runner = std::env::var("DLM_RUNNER").unwrap_or_default();
    let mut words = runner.split_whitespace();
    let Some(emulator) = words.next() else { return Command::new(program) };
    let mut command = Command::new(emulator);
    command.args(words).arg(program);
    command
}
