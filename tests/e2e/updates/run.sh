#!/usr/bin/env bash
# Updates everything under load, one after another: HAProxy, its agent, a node, a leader's node. No request may fail.
#
#   tests/e2e/updates/run.sh [RPC-WEIGHTER]     default: build/release/src/rpc-weighter
#
# Needs haproxy ($HAPROXY, or on the PATH, or /usr/sbin/haproxy), node 18 or later, and the simulator of the build.
set -euo pipefail

# shellcheck source=tests/e2e/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"
need_haproxy
run_group node "$here/test.mjs" "$work" "$haproxy" "$sim" "$binary" "$repo/docs/updates.md"
