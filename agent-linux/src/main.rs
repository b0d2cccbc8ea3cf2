//! The agent program; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    agent_linux::cli::main()
}
