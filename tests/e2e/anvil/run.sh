#!/usr/bin/env bash
# Tests rpc-weighter with three real Ethereum nodes behind a real HAProxy: nodes that freeze, die, stop mining or turn
# up on another chain.
#
#   tests/e2e/anvil/run.sh [RPC-WEIGHTER]         default: build/release/src/rpc-weighter
#
# Needs node 18 or later, npm and haproxy ($HAPROXY, or on the PATH, or /usr/sbin/haproxy), on Linux on x86_64. anvil
# comes with an npm package, which is kept in .cache/ (RPCW_CACHE) of the repository.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../../.." && pwd)
binary=$(realpath -m "${1:-$repo/build/release/src/rpc-weighter}")
if [[ ! -x $binary ]]; then
  echo "$binary is not there: build it, or give its path as the first argument" >&2
  exit 4
fi
haproxy=${HAPROXY:-$(PATH=$PATH:/usr/sbin command -v haproxy || true)}
if [[ -z $haproxy ]]; then
  echo "no haproxy found: install it or set HAPROXY" >&2
  exit 4
fi
anvil=$("$repo/scripts/anvil-path")

work=$(mktemp -d)
group=
cleanup() {
  # The test and all that it started, stopped processes too.
  if [[ -n $group ]]; then kill -KILL -- "-$group" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

set -m # a process group of its own
node "$here/test.mjs" "$work" "$haproxy" "$anvil" "$binary" </dev/null &
group=$!
set +m
status=0
wait "$group" || status=$?
exit "$status"
