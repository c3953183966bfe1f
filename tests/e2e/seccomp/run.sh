#!/usr/bin/env bash
# Runs every command under deploy/seccomp/rpc-weighter.json, loaded by libseccomp, with a real HAProxy and with providers on
# HTTP and HTTPS. The default action is to kill here, so that one call too many is seen.
#
#   tests/e2e/seccomp/run.sh [RPC-WEIGHTER]     default: build/release/src/rpc-weighter
#
# Needs haproxy ($HAPROXY, or on the PATH, or /usr/sbin/haproxy), a C++ compiler, libseccomp-dev, RapidJSON, curl, openssl,
# node, script (bsdutils), and the simulator of the build.
set -euo pipefail

# shellcheck source=tests/e2e/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"
need_haproxy
# Here and not in the build, which needs no libseccomp then.
loader=$work/seccomp-load
"${CXX:-c++}" -std=c++20 -Wall -Wextra -Werror -O1 -o "$loader" "$here/load.cpp" -lseccomp
profile=$repo/deploy/seccomp/rpc-weighter.json
export PATH HOME=$work
cd "$work"

# ---- what the filter is for

"$loader" - >without
"$loader" "$profile" >with
refused() {
  [[ $(wc -l <with) -gt 10 ]] || return 1
  ! grep -v ' EPERM$' with
}
check "a process, a trace, another program by descriptor, odd sockets and the like are refused" refused
# The names that an ordinary user may call, so that the lines above are the filter's doing.
allowed_without() {
  local name
  for name in clone ptrace process_vm_readv personality memfd_create; do grep -Fx "$name 0" without >/dev/null || return 1; done
  grep -Fx "execveat ENOENT" without >/dev/null
}
check "and are not without it" allowed_without
killed() {
  # A shell starts processes.
  local status=0
  "$loader" "$profile" /bin/sh -c '/bin/true; /bin/true' 2>/dev/null || status=$?
  [[ $status == 159 ]] # 128 and SIGSYS
}
check "in these tests a refused call kills" killed

# ---- the stage

make_certificate "$work"
start_sim ports --providers a,b
start_sim tls-ports --providers c --tls-cert tls.crt --tls-key tls.key
a=$(port_of ports a)
b=$(port_of ports b)
c=$(port_of tls-ports c)
control=$(port_of ports control)
behave() { curl -sS --fail -o /dev/null -d "$2" "http://127.0.0.1:$control/providers/$1"; }

cat >haproxy.cfg <<EOF
global
  stats socket $work/admin.sock mode 600 level admin
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
backend rpc
  balance roundrobin
  server a 127.0.0.1:$a weight 1
  server b 127.0.0.1:$b weight 1
  server c 127.0.0.1:$c weight 1
EOF
"$haproxy" -W -db -S "$work/master.sock" -f haproxy.cfg 2>haproxy.log &
proxy=$!
pids+=("$proxy")
until_true test -S admin.sock
until_true test -S master.sock

# A name to look up, a certificate, HAProxy by its socket and by its master.
cat >config.toml <<EOF
watch_config = true
[haproxy]
endpoints = ["unix:$work/admin.sock", "master:unix:$work/master.sock"]
watch_interval = "200ms"
[probe]
interval = "200ms"
ca_file = "$work/ca.crt"
[http]
listen = "unix:$work/http.sock"
[[backend]]
name = "rpc"
chain = "ethereum"
strategy = "equal"
ramp = "0s"
eject_time = "0s"
[[backend.server]]
name = "a"
url = "http://127.0.0.1:$a/"
[[backend.server]]
name = "b"
url = "http://localhost:$b/"
[[backend.server]]
name = "c"
url = "https://localhost:$c/"
EOF
chmod 600 config.toml

filtered() { "$loader" "$profile" "$binary" "$@"; }
ends() {
  local wanted=$1 status=0
  shift
  filtered "$@" || status=$?
  [[ $status == "$wanted" ]] || { echo "ends with $status: $*"; return 1; }
}
# shellcheck disable=SC2329 # by until_true
weights_are() {
  local found
  found=$(node -e '
    const peer = require("net").connect(process.argv[1], () => peer.write("show servers state rpc\n"));
    let reply = ""; peer.on("data", (d) => (reply += d));
    peer.on("close", () => console.log(reply.split("\n").map((l) => l.split(" ")).filter((f) => f.length > 8 && /^\d+$/.test(f[0])).map((f) => f[7]).join(" ")));
  ' "$work/admin.sock")
  [[ $found == "$1" ]]
}

# ---- commands that end

check "check" ends 0 check --config config.toml
check "check --online" ends 0 check --config config.toml --online
check "scores" ends 0 scores --config config.toml --format json
check "once" ends 0 once --config config.toml --state once.json
check "once again, with its state" ends 0 once --config config.toml --state once.json
check "it has set weights" until_true weights_are "86 85 85"
check "discover" ends 0 discover --haproxy "unix:$work/admin.sock" --probe
check "chains" ends 0 chains ethereum
check "manual" ends 0 manual man
check "a file that is wrong" ends 2 check --config haproxy.cfg
check "a HAProxy that is not there" ends 3 discover --haproxy tcp:127.0.0.1:1

# ---- run

"$loader" "$profile" "$binary" run --config config.toml --state state.json --record recording 2>log &
agent=$!
pids+=("$agent")
served() { curl -sS --fail --max-time 10 --unix-socket http.sock "http://localhost$1"; }
check "run: ready" until_true served /readyz
behave b '{"fault":"hang"}'
check "run: a provider that hangs is taken out" until_true weights_are "128 0 128"
behave b '{"fault":"none"}'
check "run: and comes back" until_true weights_are "86 85 85"
pages() {
  local path
  for path in / /metrics /healthz /api/v1/status /api/v1/history /api/v1/decisions; do served "$path" >/dev/null; done
  curl -sS --max-time 1 --unix-socket http.sock http://localhost/api/v1/events >events || [[ $? == 28 ]]
  grep -q '^event: status' events
}
check "run: all pages" pages
check "health" ends 0 health --url "unix:$work/http.sock"
check "explain" ends 0 explain --url "unix:$work/http.sock" --backend rpc --server c
check "top, one table" ends 0 top --url "unix:$work/http.sock"
in_terminal() {
  # Keys: sort, then quit. The terminal's own process is not under the filter.
  (sleep 1.5; printf s; sleep 0.5; printf q) |
    timeout 60 script -qec "$loader $profile $binary top --url unix:$work/http.sock" /dev/null >screen
  grep -q 'SERVER' screen
}
check "top in a terminal" in_terminal
check "status" ends 0 status --config config.toml
check "drain" ends 0 drain rpc/a --config config.toml --wait 5s
check "ready" ends 0 ready rpc/a --config config.toml
check "run: drained and ready again" until_true weights_are "86 85 85"
says() { grep -q -- "$1" log; }
sed -i 's/strategy = "equal"/strategy = "leader"/' config.toml
kill -HUP "$agent"
check "run: SIGHUP" until_true weights_are "256 0 0"
kill -USR2 "$proxy"
check "run: a reload of HAProxy" until_true says "was reloaded"
check "run: weights are back after it" until_true weights_are "256 0 0"
ended() {
  local status=0
  kill -TERM "$agent"
  wait "$agent" || status=$?
  [[ $status == 0 ]] || { tail -5 log; return 1; }
}
# In this shell, whose child it is.
if ended; then succeeded "run: SIGTERM"; else failed_with "run: SIGTERM" "it does not end well"; fi
check "replay" ends 0 replay --config config.toml recording
check "run with a state that is there" test -s state.json
finish
