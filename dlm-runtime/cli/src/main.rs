//! Entrance of the program `dlm`.

use std::process::ExitCode;

fn main() -> ExitCode {
    dlm_cli::main(std::env::args_os())
}
