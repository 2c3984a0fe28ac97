//! The `device-sim` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    device_sim::cli::main()
}
