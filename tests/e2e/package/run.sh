#!/usr/bin/env bash
# Tests the systemd units and the packages of a build tree: makes them, runs the tarball's program where there is nothing
# else, and installs, upgrades, removes and purges the .deb in a Debian or Ubuntu of its own, in a chroot.
#
#   tests/e2e/package/run.sh [RPC-WEIGHTER]     default: build/release/src/rpc-weighter
#
# Needs root, debootstrap, lintian, rpm, openssl, haproxy, and the simulator beside the program. The bare system is kept in
# .cache/ (RPCW_CACHE) of the repository: making it takes a minute. Without root it ends after the packages, save in CI, where that is an error.
set -euo pipefail

# shellcheck source=tests/e2e/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"
need_haproxy

# ---------------------------------------------------------------------------------------------------------- the units

units=$repo/deploy/systemd
for unit in rpc-weighter.service rpc-weighter@.service rpc-weighter-once.service; do
  # The threshold is ten times the exposure that systemd-analyze shows.
  check "$unit: exposure at most 2.0" systemd-analyze security --offline=true --threshold=20 "$units/$unit"
done
# verify looks for the program and for users on this machine, so it gets a program that is there.
mkdir "$work/units"
cp "$units"/*.service "$units"/*.timer "$work/units"
sed -i "s|^ExecStart=rpc-weighter |ExecStart=$(command -v true) |" "$work"/units/*.service
verified() {
  local output
  output=$(SYSTEMD_LOG_LEVEL=warning systemd-analyze verify --man=no "$@" 2>&1) || { echo "$output"; return 1; }
  # Nothing about our units; other units of this machine may have faults of their own.
  if grep "$work" <<<"$output"; then return 1; fi
}
check "the units are well-formed" verified "$work/units/rpc-weighter.service" "$work/units/rpc-weighter@.service" \
  "$work/units/rpc-weighter-once.service" "$work/units/rpc-weighter-once.timer"
hardening() { sed -n '/^# Nothing but the network/,/^SystemCallErrorNumber/p' "$units/$1"; }
same_hardening() {
  [[ -n $(hardening rpc-weighter.service) ]]
  diff <(hardening rpc-weighter.service) <(hardening rpc-weighter@.service)
  diff <(hardening rpc-weighter.service) <(hardening rpc-weighter-once.service)
}
check "all services are hardened alike" same_hardening
# The folder in /run is there as long as the service runs.
pass_waits_for_the_service() {
  local folder condition
  folder=$(sed -n 's/^RuntimeDirectory=//p' "$units/rpc-weighter.service")
  condition=$(grep '^Condition' "$units/rpc-weighter-once.service" | sed "s|%t|$work/run|")
  [[ -n $folder && -n $condition ]]
  systemd-analyze condition "$condition"
  mkdir -p "$work/run/$folder"
  if systemd-analyze condition "$condition"; then return 1; fi
}
check "a pass is left out while the service runs" pass_waits_for_the_service
# Conflicts= would stop the service for good when a pass is started.
stops_nothing() { ! grep -E '^(Conflicts|PropagatesStopTo|Requires|BindsTo)=' "$units/rpc-weighter-once".*; }
check "a pass stops no other unit" stops_nothing
# 1: nothing healthy. systemctl --failed, OnFailure= and node_exporter tell of it.
fails_with_its_pass() { ! grep '^SuccessExitStatus=' "$units/rpc-weighter-once.service"; }
check "a pass with nothing healthy fails its unit" fails_with_its_pass

# ------------------------------------------------------------------------------------------------------- the packages

check "scripts/release makes the packages and their checksums" "$repo/scripts/release" --snapshot "$work/packages" "$tree"
deb=$(find "$work/packages" -maxdepth 1 -name '*.deb')
tarball=$(find "$work/packages" -maxdepth 1 -name '*-linux-*.tar.gz')
rpm=$(find "$work/packages" -maxdepth 1 -name '*.rpm')
[[ -n $deb ]] || finish
# A bare system to install the package in, made while other things are tested.
# shellcheck disable=SC1091
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
# What the package depends on; of alternatives the first one, as apt does. debootstrap knows no virtual
# packages: in their place it gets the ones that provide them here, where the program was built with them.
needs=$(
  dpkg-deb -f "$deb" Depends | tr ',' '\n' | sed 's/|.*//; s/(.*)//; s/ //g' | while read -r name; do
    provider=$(dpkg-query -W -f '${Package} ${Provides}\n' | grep -E "^[^ ]+ (.*[ ,])?${name//./\\.}([ ,]|$)" | cut -d' ' -f1 | head -1)
    echo "${provider:-$name}"
  done | sort -u | paste -sd,
)
cache=${RPCW_CACHE:-$repo/.cache}/package-$(sha256sum <<<"$suite $needs" | cut -c1-16).tar
making=
if [[ $(id -u) == 0 && ! -e $cache ]]; then
  echo "making a bare $suite with $needs"
  mkdir -p "${cache%/*}"
  # timeout ends all of it when it is ended.
  timeout --kill-after=5 850 debootstrap --variant=minbase --include="$needs,passwd" "$suite" "$work/system" \
    >"$work/debootstrap.log" 2>&1 </dev/null &
  making=$!
  pids+=("$making")
fi
check "lintian finds no error" lintian --fail-on error --allow-root "$deb"
list_of() {
  case $1 in
    *.deb) dpkg-deb --fsys-tarfile "$1" | tar -t ;;
    *.rpm) rpm -qpl --noplugins "$1" ;;
    *) tar -tzf "$1" | sed 's|^[^/]*||' ;;
  esac | sed 's|^\./|/|'
}
holds() {
  local list path
  list=$(list_of "$1")
  for path in /etc/rpc-weighter/config.toml /etc/rpc-weighter/environment /usr/bin/rpc-weighter \
    /usr/lib/systemd/system/rpc-weighter{.service,@.service,-once.service,-once.timer} \
    /usr/lib/{sysusers,tmpfiles}.d/rpc-weighter.conf /usr/share/man/man{1/rpc-weighter.1,5/rpc-weighter.toml.5}.gz \
    /usr/share/bash-completion/completions/rpc-weighter /usr/share/zsh/site-functions/_rpc-weighter \
    /usr/share/fish/vendor_completions.d/rpc-weighter.fish /usr/share/rpc-weighter/prometheus/rules.yaml \
    /usr/share/rpc-weighter/grafana/rpc-weighter.json /usr/share/doc/rpc-weighter/examples/haproxy.cfg; do
    grep -Fxq "$path" <<<"$list" || { echo "$path is missing"; return 1; }
  done
  # Nothing of a build tree or of another prefix.
  if grep -Ev '^/?(etc|usr)?(/|$)' <<<"$list"; then return 1; fi
}
for package in "$deb" "$tarball" "$rpm"; do check "${package##*/}: is complete" holds "$package"; done
config_files() { [[ $(rpm -qpc --noplugins "$rpm" | sort | xargs) == "/etc/rpc-weighter/config.toml /etc/rpc-weighter/environment" ]]; }
checksums() {
  cd "$work/packages"
  sha256sum --check --quiet SHA256SUMS
  # Each file but the list itself.
  [[ $(wc -l <SHA256SUMS) == $(find . -type f ! -name SHA256SUMS | wc -l) ]]
}
check "the checksums are right, and no file is without" checksums
refused() {
  local output
  if output=$("$repo/scripts/release" "$work/packages" 2>&1); then return 1; fi
  [[ $output == *"is there already"* ]]
}
check "a release does not overwrite another" refused
check "rpm: the two files of /etc are configuration" config_files
asks_for() { rpm -qpR --noplugins "$rpm" | grep -Ev '^(rpmlib\(|config\(|/bin/sh$)' | sort | xargs; }
of_its_own() { [[ $(asks_for) == "ca-certificates systemd" ]]; }
check "rpm: it asks for no library" of_its_own
brings_libraries() {
  local list
  list=$(list_of "$1")
  grep -Fxq /usr/lib/rpc-weighter/libcurl.so.4 <<<"$list"
  # The notices of what it brings.
  grep -Eq '^/usr/share/doc/rpc-weighter/libraries/libcurl4' <<<"$list"
}
for package in "$tarball" "$rpm"; do check "${package##*/}: brings its libraries" brings_libraries "$package"; done

# ---------------------------------------------------------------------------------------------------------- a machine

if [[ $(id -u) != 0 ]]; then
  echo "skipped: to install the package in a chroot needs root"
  [[ ${CI:-} != true ]] || failed=$((failed + 1))
  finish
fi

# The tarball, where there is no system at all: no library, no loader, no /proc.
bare=$work/nothing
mkdir -p "$bare/opt" "$bare/usr/bin" "$bare/etc/pki/tls/certs"
tar -C "$bare/opt" --strip-components=1 -xzf "$tarball"
ln -s ../../opt/usr/bin/rpc-weighter "$bare/usr/bin/rpc-weighter"
alone() { chroot --userspec=10001:10001 "$bare" /usr/bin/rpc-weighter "$@"; }
version=$("$binary" --version)
says_version() { [[ $(alone --version) == "$version" ]]; }
check "tarball: the program runs in an empty folder, by a link" says_version
# Two providers with TLS behind a HAProxy, by a name that is looked up.
make_certificate "$work"
start_sim "$work/ports" --count 2 --tls-cert "$work/tls.crt" --tls-key "$work/tls.key"
printf '127.0.0.1 localhost\n' >"$bare/etc/hosts"
mkdir "$bare/run"
printf '[haproxy]\nendpoints = ["unix:/run/admin.sock"]\n[[backend]]\nname = "b"\nchain = "ethereum"\nstrategy = "equal"\n' \
  >"$bare/etc/config.toml"
{
  printf 'global\n stats socket %s mode 666 level admin\n' "$bare/run/admin.sock"
  printf 'defaults\n mode http\n timeout connect 5s\n timeout client 5s\n timeout server 5s\nbackend b\n'
} >"$work/haproxy.cfg"
for name in p1 p2; do
  port=$(port_of "$work/ports" "$name")
  printf ' server %s 127.0.0.1:%s weight 1\n' "$name" "$port" >>"$work/haproxy.cfg"
  printf '[[backend.server]]\nname = "%s"\nurl = "https://localhost:%s/"\n' "$name" "$port" >>"$bare/etc/config.toml"
done
chmod 640 "$bare/etc/config.toml"
chgrp 10001 "$bare/etc/config.toml"
"$haproxy" -db -f "$work/haproxy.cfg" >"$work/haproxy.log" 2>&1 &
pids+=($!)
check "HAProxy has a socket" until_true test -S "$bare/run/admin.sock"
check "tarball: check" alone check --config /etc/config.toml
distrusted() { (alone scores --config /etc/config.toml --format csv || true) | grep tls_failed; }
check "tarball: no authority, no trust" distrusted
# Each distribution has its own place for authorities: Fedora, Fedora's newer one, SUSE, Alpine, Debian.
one_pass() {
  install -D -m 644 "$work/ca.crt" "$bare$1"
  alone once --config /etc/config.toml --format csv >"$work/pass" || { cat "$work/pass"; return 1; }
  rm "$bare$1"
  [[ $(grep -c ,healthy, "$work/pass") == 2 && $(grep -c ,128, "$work/pass") == 2 ]] || { cat "$work/pass"; return 1; }
}
for place in /etc/pki/tls/certs/ca-bundle.crt /etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem /etc/ssl/ca-bundle.pem \
  /etc/ssl/cert.pem /etc/ssl/certs/ca-certificates.crt; do
  check "tarball: once, with the authorities of $place" one_pass "$place"
done

if [[ -n $making ]]; then
  wait "$making" || { tail -20 "$work/debootstrap.log"; failed=$((failed + 1)); finish; }
  rm -rf "$work"/system/var/cache/apt/archives/*.deb
  # Beside its place, so that it is put there as a whole.
  staging=$(mktemp "$cache.XXXXXX")
  trap 'rm -f "$staging"; clean_up' EXIT
  tar -C "$work/system" -cf "$staging" .
  mv "$staging" "$cache"
  rm -rf "$work/system"
fi
root=$work/root
mkdir "$root"
tar -C "$root" -xf "$cache"

# systemd-tmpfiles wants /proc. It is mounted in a mount namespace of the command's own, so it is gone with it.
inside() {
  # shellcheck disable=SC2016
  unshare --mount sh -ec 'mount -t proc proc "$0/proc"; exec chroot "$0" env -i "$@"' "$root" \
    PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"
}
# Every file, user and group; not dpkg's own lists and logs, nor the backups that tools keep of the user lists.
everything() {
  (cd "$root" && find . -path ./var/lib/dpkg -prune -o -path ./var/log -prune -o -path ./var/cache/ldconfig -prune -o -print |
    grep -Ev '^\./etc/(passwd|group|shadow|gshadow|subuid|subgid)-$|^\./etc/\.pwd\.lock$|^\./tmp/.*\.deb$' | sort)
  cut -d: -f1 "$root/etc/passwd" "$root/etc/group"
}
everything >"$work/before"
installed() {
  cp "$1" "$root/tmp/"
  inside dpkg --force-confold -i "/tmp/${1##*/}"
  [[ $(inside dpkg-query -W -f '${Status}' rpc-weighter) == "install ok installed" ]]
}
mode() { [[ $(inside stat -c '%a %U %G' "$2") == "$1" ]] || { inside stat -c '%a %U %G %n' "$2"; return 1; }; }
# The service's user reads its configuration, with the variables that its unit would give it.
config_works() {
  chroot --userspec=rpc-weighter "$root" /usr/bin/env -i QUICKNODE_HOST=q.example QUICKNODE_KEY=k ALCHEMY_KEY=k ANKR_KEY=k \
    /usr/bin/rpc-weighter check --config /etc/rpc-weighter/config.toml
}
# docs/operating.md's command for an administrator, with the keys where they belong.
documented() {
  local command
  command=$(sed -n 's/^    \((set -a; .*check.*)\)$/\1/p' "$repo/docs/operating.md")
  [[ -n $command ]]
  cp -p "$root/etc/rpc-weighter/environment" "$work/environment"
  printf '%s=k\n' QUICKNODE_HOST QUICKNODE_KEY ALCHEMY_KEY ANKR_KEY >>"$root/etc/rpc-weighter/environment"
  inside bash -c "$command"
  cp -p "$work/environment" "$root/etc/rpc-weighter/environment"
}
same_version() { [[ $(inside rpc-weighter --version) == "$version" ]]; }

check "the package asks for no init system" test ! -e "$root/usr/lib/systemd/systemd"
check "install" installed "$deb"
check "the program runs" same_version
for file in /etc/rpc-weighter/config.toml /etc/rpc-weighter/environment; do
  check "$file: root writes, the service reads" mode "640 root rpc-weighter" "$file"
done
check "/etc/rpc-weighter: not for others" mode "750 root rpc-weighter" /etc/rpc-weighter
check "/var/lib/rpc-weighter: the service's" mode "750 rpc-weighter rpc-weighter" /var/lib/rpc-weighter
check "the service's user can use the configuration" config_works
check "docs/operating.md: check with the keys of the environment file" documented

# An administrator's change meets a change of the package's own.
dpkg-deb -R "$deb" "$work/next"
sed -i 's/^Version: .*/Version: 9.9.9-1/' "$work/next/DEBIAN/control"
echo "# changed by the package" >>"$work/next/etc/rpc-weighter/config.toml"
sed -i '/etc\/rpc-weighter\/config.toml/d' "$work/next/DEBIAN/md5sums"
dpkg-deb --root-owner-group -Zgzip -z1 -b "$work/next" "$work/next.deb" >/dev/null
echo "# changed by the administrator" >>"$root/etc/rpc-weighter/config.toml"
mkdir -p "$root/var/lib/rpc-weighter"
echo '{}' >"$root/var/lib/rpc-weighter/state.json"
kept() {
  grep -q "by the administrator" "$root/etc/rpc-weighter/config.toml"
  grep -q "by the package" "$root/etc/rpc-weighter/config.toml.dpkg-dist"
  [[ -e $root/var/lib/rpc-weighter/state.json ]]
  [[ $(inside dpkg-query -W -f '${Version}' rpc-weighter) == 9.9.9-1 ]]
  mode "640 root rpc-weighter" /etc/rpc-weighter/config.toml
}
check "upgrade" installed "$work/next.deb"
check "an upgrade keeps the changed configuration, its rights and the state" kept
check "remove" inside dpkg -r rpc-weighter
removed() { [[ ! -e $root/usr/bin/rpc-weighter && -e $root/etc/rpc-weighter/config.toml && -e $root/var/lib/rpc-weighter/state.json ]]; }
check "a removal keeps configuration and state, and nothing else" removed
check "purge" inside dpkg -P rpc-weighter
nothing_left() { diff "$work/before" <(everything); }
check "a purge leaves nothing behind" nothing_left
finish
