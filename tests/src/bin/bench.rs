//! `bench`: how fast Millstream is, beside floors that are measured in the same run. `tests/bench.sh` builds and runs it.

use std::process::ExitCode;

fn main() -> ExitCode {
    tests::bench::main()
}
