# What the end-to-end suites share. A run.sh says `set -euo pipefail` and sources this with its own arguments:
# [RPC-WEIGHTER], by default the one of build/release.
# shellcheck shell=bash disable=SC2034

here=$(cd "$(dirname "${BASH_SOURCE[1]}")" && pwd)
repo=$(cd "$here/../../.." && pwd)
binary=$(realpath -m "${1:-$repo/build/release/src/rpc-weighter}")
# The folder of the build, with the simulator of providers in it.
tree=$(dirname "$(dirname "$binary")")
sim=$tree/tests/sim/rpc-sim
PATH=$PATH:/usr/sbin:/sbin
if [[ ! -x $binary ]]; then
  echo "$binary is not there: build it, or give its path as the first argument" >&2
  exit 4
fi

# A folder that is gone at the end, with all that was started.
work=$(mktemp -d)
chmod 755 "$work"
pids=()
group=
clean_up() {
  local pid
  # Stopped processes too.
  if [[ -n $group ]]; then kill -KILL -- "-$group" 2>/dev/null || true; fi
  for pid in "${pids[@]}"; do
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# Sets `haproxy`, or ends the suite.
need_haproxy() {
  haproxy=${HAPROXY:-$(command -v haproxy || true)}
  [[ -n $haproxy ]] || { echo "no haproxy found: install it or set HAPROXY" >&2; exit 4; }
}

# run_group COMMAND...: to its end, in a process group of its own, and ends the suite with its status.
run_group() {
  local status=0
  set -m
  "$@" </dev/null &
  group=$!
  set +m
  wait "$group" || status=$?
  exit "$status"
}

# until_true COMMAND...: waits for its success, at most 15 s.
until_true() {
  local tries
  for ((tries = 0; tries < 150; tries++)); do
    if "$@" >/dev/null 2>&1; then return 0; fi
    sleep 0.1
  done
  echo "waited in vain for: $*" >&2
  return 1
}

passed=0
failed=0
succeeded() {
  passed=$((passed + 1))
  echo "ok    $1"
}
# failed_with NAME OUTPUT
failed_with() {
  failed=$((failed + 1))
  printf 'FAIL  %s\n      %s\n' "$1" "${2//$'\n'/$'\n      '}"
}
# check NAME COMMAND...: one test.
check() {
  local name=$1 output status
  shift
  # Not with ||, which would let a function go on after a command in it that failed.
  set +e
  output=$(
    set -e
    "$@" 2>&1
  )
  status=$?
  set -e
  if ((status == 0)); then succeeded "$name"; else failed_with "$name" "$output"; fi
}
# Ends the suite.
finish() {
  echo "$passed passed, $failed failed"
  ((failed == 0))
  exit
}
