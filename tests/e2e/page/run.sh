#!/usr/bin/env bash
# Tests the status page in a real Chromium, with a real HAProxy and providers that fail.
#
#   tests/e2e/page/run.sh [RPC-WEIGHTER]          default: build/release/src/rpc-weighter
#
# Needs node 18 or later, npm, haproxy ($HAPROXY, or on the PATH, or /usr/sbin/haproxy) and Chromium ($CHROMIUM, or
# chromium on the PATH). npm packages are kept in .cache/ (RPCW_CACHE) of the repository. SCREENSHOTS=FOLDER writes the
# pictures of docs/status-page.md there.
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
chromium=${CHROMIUM:-$(command -v chromium || true)}
if [[ -z $chromium ]]; then
  # shellcheck disable=SC1091
  if [[ $( (. /etc/os-release && echo "${ID:-}") 2>/dev/null) == ubuntu ]]; then
    echo "skipped: Ubuntu has Chromium as a snap only; CHROMIUM=/path/to/chromium runs this test"
    exit 0
  fi
  echo "no chromium found: install it or set CHROMIUM" >&2
  exit 4
fi
modules=$("$repo/scripts/npm-folder" "$here")
[[ -z ${SCREENSHOTS:-} ]] || SCREENSHOTS=$(realpath -m "$SCREENSHOTS")
export SCREENSHOTS=${SCREENSHOTS:-}

work=$(mktemp -d)
group=
cleanup() {
  # The test and all that it started.
  if [[ -n $group ]]; then kill -KILL -- "-$group" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

set -m # a process group of its own
node "$here/test.mjs" "$work" "$haproxy" "$chromium" "$modules" "$binary" </dev/null &
group=$!
set +m
status=0
wait "$group" || status=$?
exit "$status"
