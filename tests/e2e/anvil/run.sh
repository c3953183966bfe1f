#!/usr/bin/env bash
# Tests rpc-weighter with three real Ethereum nodes behind a real HAProxy: nodes that freeze, die, stop mining or turn
# up on another chain.
#
#   tests/e2e/anvil/run.sh [RPC-WEIGHTER]         default: build/release/src/rpc-weighter
#
# Needs node 18 or later, npm and haproxy ($HAPROXY, or on the PATH, or /usr/sbin/haproxy), on Linux on x86_64. anvil
# comes with an npm package, which is kept in .cache/ (RPCW_CACHE) of the repository.
set -euo pipefail

# shellcheck source=tests/e2e/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"
need_haproxy
anvil=$("$repo/scripts/anvil-path")
run_group node "$here/test.mjs" "$work" "$haproxy" "$anvil" "$binary"
