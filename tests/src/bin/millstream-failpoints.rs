//! `millstream` with fail points: see `pipeline/src/failpoint.rs`.

use std::process::ExitCode;

fn main() -> ExitCode {
    millstream::cli::main()
}
