#!/usr/bin/env bash
# The agent for long, while providers fail at random and HAProxy is reloaded, restarted and set by hand: it holds no more
# memory and no more descriptors than after its first minutes, and HAProxy has the weights of its report.
#
#   tests/e2e/soak/run.sh [RPC-WEIGHTER]     default: build/release/src/rpc-weighter
#
#   SOAK_SECONDS=1800   how long, besides the warm-up of a sixth of that (default: 100, so two minutes in all)
#   SOAK_SEED=7         of all that is drawn (default: 1)
#   SOAK_OUT=FOLDER     writes soak.json and soak.svg there
#
# Needs haproxy ($HAPROXY, or on the PATH, or /usr/sbin/haproxy), node 18 or later, and the simulator of the build.
set -euo pipefail

# shellcheck source=tests/e2e/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"
need_haproxy
out=${SOAK_OUT:-}
if [[ -n $out ]]; then out=$(realpath "$out"); fi
run_group node "$here/test.mjs" "$work" "$haproxy" "$sim" "$binary" "${SOAK_SECONDS:-100}" "${SOAK_SEED:-1}" "$out"
