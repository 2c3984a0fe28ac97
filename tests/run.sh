#!/usr/bin/env bash
# Installs what the tests need, builds the programs, and runs every test. Works from any directory, again and again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

step() { printf '\n== %s\n' "$*"; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "tests/run.sh: cannot run \"$*\": be root, install sudo, or install these packages yourself" >&2
        exit 1
    fi
}

if ! command -v cargo >/dev/null; then
    echo "tests/run.sh: there is no cargo: install Rust as https://rustup.rs says" >&2
    exit 1
fi

packages=()
command -v cc >/dev/null || packages+=(gcc libc6-dev)
command -v python3 >/dev/null || packages+=(python3)
[ -x /usr/sbin/mosquitto ] || packages+=(mosquitto)
python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
command -v curl >/dev/null || packages+=(curl)
# Spark reads the lake in a page of the documentation.
command -v java >/dev/null || packages+=(default-jre-headless)
command -v openssl >/dev/null || packages+=(openssl)
# Faults of disks and clocks, for the tests of faults; these also mount small file systems, and so are run as root.
command -v strace >/dev/null || packages+=(strace)
compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null || packages+=(faketime)
command -v pkill >/dev/null || packages+=(procps)
command -v mosquitto_pub >/dev/null || packages+=(mosquitto-clients)
# Debian keeps it where not everybody's PATH leads.
[ -x /usr/sbin/mosquitto ] || command -v mosquitto >/dev/null || packages+=(mosquitto)
if [ "${#packages[@]}" -gt 0 ]; then
    step "apt-get install ${packages[*]}"
    as_root apt-get update -q
    # The tests start their own broker: one that the package starts would have the port that the pages use.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod +x "$policy"
        trap 'as_root rm -f "$policy"' EXIT
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${packages[@]}"
fi

# Readers of the lake that are not ours, and other people's clients.
venv=target/test-venv
if ! cmp -s tests/data/requirements.txt "$venv/installed.txt"; then
    step "DuckDB, pandas, Spark and paho-mqtt into $venv"
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement tests/data/requirements.txt
    cp tests/data/requirements.txt "$venv/installed.txt"
fi

step "cargo build"
cargo build --release --workspace --bins
cargo build --release -p tests --features failpoints --bin millstream-failpoints

# A few rounds of many. Not one of the tests below: it is worth its time with the machine for itself, and its kills are
# told here whether or not there is a test runner that shows what passes.
step "crash rig"
cargo run --release -p tests --bin crash -- --kills 20

# The run whose summary counts comes last.
step "cargo test --doc"
cargo test --release --workspace --doc --quiet
if cargo nextest --version >/dev/null 2>&1; then
    step "cargo nextest run"
    cargo nextest run --release --workspace --no-fail-fast
else
    step "cargo test"
    cargo test --release --workspace --no-fail-fast --lib --bins --tests
fi
