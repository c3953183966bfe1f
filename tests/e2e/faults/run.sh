#!/usr/bin/env bash
# What the machine does to the agent: full disks, clocks that jump, a socket that vanishes, little memory, signals at any
# moment, reloads without end. It goes on, says why, and the weights are right again.
#
#   tests/e2e/faults/run.sh [RPC-WEIGHTER]     default: build/release/src/rpc-weighter
#
# Needs haproxy ($HAPROXY, or on the PATH, or /usr/sbin/haproxy), node 18 or later, prlimit, faketime, and the simulator of
# the build.
set -euo pipefail

# shellcheck source=tests/e2e/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"
need_haproxy
libraries=(/usr/lib/*/faketime/libfaketimeMT.so.1)
[[ -e ${libraries[0]} ]] || { echo "libfaketime is missing: install the package faketime" >&2; exit 4; }
run_group node "$here/test.mjs" "$work" "$haproxy" "$sim" "$binary" "${libraries[0]}"
