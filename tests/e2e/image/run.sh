#!/usr/bin/env bash
# Tests what the container image holds, without a container engine: lays its root out and runs the program in it by
# chroot, as the image's user.
#
#   tests/e2e/image/run.sh [RPC-WEIGHTER]     default: build/release/src/rpc-weighter
#
# IMAGE_ROOT names the root of an image that was built, and IMAGE_SAYS what its program's --version is: see scripts/image.
# A program for arm64 runs under qemu-aarch64-static elsewhere.
#
# Needs root, curl, and the simulator beside the program (tests/sim/rpc-sim of the build tree).
set -euo pipefail

# shellcheck source=tests/e2e/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"
if [[ $(id -u) != 0 ]]; then
  echo "skipped: to run the image's root by chroot needs root"
  [[ ${CI:-} != true ]]
  exit
fi

root=${IMAGE_ROOT:-$work/root}
said=${IMAGE_SAYS:-$("$binary" --version)}
[[ -n ${IMAGE_ROOT:-} ]] || "$repo/scripts/image-root" "$binary" "$root"
program=(/usr/bin/rpc-weighter)
inside() { chroot --userspec=10001:10001 "$root" "${program[@]}" "$@"; }

size() {
  local kib
  kib=$(du -sk --apparent-size "$root" | cut -f1)
  echo "$kib KiB"
  ((kib < 30 * 1024))
}
check "it is below 30 MiB" size
only_program() { [[ $(cd "$root" && find . -type f -perm /111 ! -name '*.so*') == ./usr/bin/rpc-weighter ]]; }
check "the program is all that can be run" only_program
no_privilege() { [[ -z $(find "$root" -perm /6000) ]]; }
check "no file has set-user-id or set-group-id" no_privilege
certificates() { openssl storeutl -noout -certs "$root/etc/ssl/certs/ca-certificates.crt" | grep -q 'Total found: [0-9][0-9]'; }
check "CA certificates are there" certificates
zones() { TZ=:"$root/usr/share/zoneinfo/Asia/Tokyo" date -d @0 +%H | grep -qx 09; }
check "time zones are there" zones
if [[ $(readelf -h "$root/usr/bin/rpc-weighter") == *AArch64* && $(uname -m) != aarch64 ]]; then
  cp "$(command -v qemu-aarch64-static)" "$root/emulator"
  program=(/emulator "${program[@]}")
fi
same_version() { [[ $(inside --version) == "$said" ]]; }
check "the program runs as user 10001" same_version
check "the built-in chains are listed" inside chains
cp "$repo/examples/config.toml" "$root/etc/rpc-weighter/config.toml"
example() { QUICKNODE_HOST=q.example QUICKNODE_KEY=k ALCHEMY_KEY=k ANKR_KEY=k inside check --config /etc/rpc-weighter/config.toml; }
check "the example's configuration is one" example

# A real run, with simulated providers; no HAProxy, so there is nothing to push.
start_sim "$work/ports" --count 3
{
  printf '[haproxy]\nendpoints = ["unix:/tmp/none.sock"]\n[http]\nlisten = "unix:/tmp/agent.sock"\n[probe]\ninterval = "1s"\n'
  printf '[[backend]]\nname = "b"\nchain = "ethereum"\n'
  for name in p1 p2 p3; do
    printf '[[backend.server]]\nname = "%s"\nurl = "http://127.0.0.1:%s/"\n' "$name" "$(port_of "$work/ports" "$name")"
  done
} >"$root/etc/rpc-weighter/config.toml"
scores() { inside scores --config /etc/rpc-weighter/config.toml --format csv | grep -c ,healthy, | grep -Fxq 3; }
check "three simulated providers are healthy" scores
health() { inside health --config /etc/rpc-weighter/config.toml; }
no_health() { if health; then return 1; fi; }
check "health fails while no agent runs" no_health
chroot --userspec=10001:10001 "$root" "${program[@]}" run --config /etc/rpc-weighter/config.toml >"$work/run.log" 2>&1 &
agent=$!
pids+=("$agent")
# A socket's path has 107 bytes at most, and that of a mounted image may have more.
ln -s "$root/tmp/agent.sock" "$work/agent.sock"
check "the agent gets ready" until_true curl -sf --unix-socket "$work/agent.sock" http://localhost/readyz
check "health succeeds while it runs" health
# Not in check, whose subshell has no such child to wait for.
kill "$agent"
status=0
wait "$agent" || status=$?
check "SIGTERM ends it with 0" test "$status" = 0

finish
