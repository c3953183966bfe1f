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

# start_sim FILE ARGUMENT...: the simulator with these arguments, and waits until its ports are in FILE.
start_sim() {
  "$sim" --ports-file "$1" "${@:2}" >"$1.log" 2>&1 &
  pids+=($!)
  until_true test -s "$1"
}
# port_of FILE NAME: of a provider, or of `control`.
port_of() { sed -n "s/.*\"$2\":\([0-9]*\).*/\1/p" "$1"; }

# make_certificate FOLDER: an authority in ca.crt there, and its certificate for localhost in tls.crt with the key in tls.key.
make_certificate() {
  (
    cd "$1"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=authority
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout tls.key -out tls.csr -subj /CN=localhost
    printf 'subjectAltName=DNS:localhost\n' >san
    openssl x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out tls.crt -days 2 -extfile san
  ) >"$1/openssl.log" 2>&1
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

# until_true COMMAND...: waits for its success, at most 30 s.
until_true() {
  local end=$((SECONDS + 30))
  while ((SECONDS < end)); do
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
