#!/usr/bin/env bash
# Measures Millstream beside floors: docs/performance.md. Installs what that needs, builds the programs as they are published.
# Works from any directory; the last line on standard output is one JSON object.
#
#   tests/bench.sh [--quick] [--json] [--only throughput,latency,backlog,ready] [--inflight N] [--scaling]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tests/packages.sh

{
    need gcc libc6-dev make mosquitto util-linux
    step "cargo build --profile dist"
    cargo build --profile dist -p millstream -p device-sim
    cargo build --profile dist -p tests --bin bench
} >&2

target="${CARGO_TARGET_DIR:-target}"
# Queues and lake are on the disk of the repository: what counts as /tmp may be memory, where fsync costs nothing.
scratch="$target/bench"
mkdir -p "$scratch"
scratch="$(mktemp -d -p "$scratch")"
trap 'rm -rf "$scratch"' EXIT
status=0
TMPDIR="$(realpath "$scratch")" "$target/dist/bench" "$@" || status=$?
exit "$status"
