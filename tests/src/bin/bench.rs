//! `bench`: how fast Millstream is, beside floors that are measured in the same run. `tests/bench.sh` builds and runs it.

use std::process::ExitCode;

/// That of `millstream`: the library floor is held against it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    tests::bench::main()
}
