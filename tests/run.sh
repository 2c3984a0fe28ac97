#!/usr/bin/env bash
# Installs what the tests need, builds the programs, and runs every test. Works from any directory, again and again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

source tests/packages.sh

packages=(gcc libc6-dev make python3 python3-venv mosquitto mosquitto-clients curl openssl procps)
# Spark reads the lake in a page of the documentation.
packages+=(default-jre-headless)
# Faults of disks and clocks, for the tests of faults; these also mount small file systems, and so are run as root.
packages+=(strace faketime)
need "${packages[@]}"

# Readers of the lake that are not ours, other people's clients, and what stands in for AWS.
venv=target/test-venv
if ! cmp -s tests/data/requirements.txt "$venv/installed.txt"; then
    step "DuckDB, pandas, Spark, paho-mqtt and ministack into $venv"
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement tests/data/requirements.txt
    cp tests/data/requirements.txt "$venv/installed.txt"
fi

# An object store with files on disk.
if ! target/tools/bin/s3s-fs --version >/dev/null 2>&1; then
    step "s3s-fs into target/tools"
    cargo install --locked s3s-fs --version 0.14.1 --features binary --root target/tools
fi

step "cargo build"
cargo build --release --workspace --bins
cargo build --release -p tests --features failpoints --bin millstream-failpoints

# A few rounds of many. Not one of the tests below: it is worth its time with the machine for itself, and its kills are
# told here whether or not there is a test runner that shows what passes.
step "crash rig"
target/release/crash --kills 20

# The run whose summary counts comes last.
step "cargo test --doc"
cargo test --release --workspace --doc --quiet
if cargo nextest --version >/dev/null 2>&1; then
    step "cargo nextest run"
    cargo nextest run --release --workspace --no-fail-fast --profile all --test-threads $((2 * $(nproc)))
else
    step "cargo test"
    cargo test --release --workspace --no-fail-fast --lib --bins --tests
fi
