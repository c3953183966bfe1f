#!/usr/bin/env bash
# Tests the status page in a real Chromium, with a real HAProxy and providers that fail.
#
#   tests/e2e/page/run.sh [RPC-WEIGHTER]          default: build/release/src/rpc-weighter
#
# Needs node 18 or later, npm, haproxy ($HAPROXY, or on the PATH, or /usr/sbin/haproxy) and Chromium ($CHROMIUM, or
# chromium on the PATH). npm packages are kept in .cache/ (RPCW_CACHE) of the repository. SCREENSHOTS=FOLDER writes the
# pictures of docs/status-page.md there.
set -euo pipefail

# shellcheck source=tests/e2e/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"
need_haproxy
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
run_group node "$here/test.mjs" "$work" "$haproxy" "$chromium" "$modules" "$binary"
