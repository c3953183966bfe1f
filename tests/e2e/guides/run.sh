#!/usr/bin/env bash
# Runs the `sh` blocks of docs/guides, and the gate of examples/github-actions.yaml, with a real HAProxy and simulated
# providers.
#
#   tests/e2e/guides/run.sh [RPC-WEIGHTER]     default: build/release/src/rpc-weighter
#
# Needs haproxy ($HAPROXY, or on the PATH, or /usr/sbin/haproxy) and the simulator beside the program.
set -euo pipefail

# shellcheck source=tests/e2e/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"
need_haproxy

start_sim "$work/ports" --providers own-1,own-2,own-3

# The README's two files, with the simulator's addresses and this test's folder.
mkdir -p "$work/bin" "$work/run/haproxy"
# readme_block FIRST-LINE: the indented block that begins with it.
readme_block() { awk -v first="    $1" '$0 == first {on = 1} on && /^[^ ]/ {exit} on {print substr($0, 5)}' "$repo/README.md"; }
localised() {
  sed -e "s|/run/haproxy/|$work/run/haproxy/|g; s| group haproxy||; s|^    bind .*|    bind unix@$work/http.sock|" \
    -e "s|10\.0\.0\.5:8545|127.0.0.1:$(port_of "$work/ports" own-1)|g; s|10\.0\.0\.6:8545|127.0.0.1:$(port_of "$work/ports" own-2)|g" \
    -e "s|10\.0\.0\.7:8545|127.0.0.1:$(port_of "$work/ports" own-3)|g"
}
readme_block global | localised >"$work/haproxy.cfg"
# With a key in each URL, which no output may show.
key=a1b2c3d4e5f6
readme_block '[haproxy]' | localised | sed -E "s|^( *url = \"http://[^\"]*/)\"|\1$key\"|" >"$work/config.toml"
[[ $(grep -c "/$key\"" "$work/config.toml") == 3 ]] || { echo "no keys were put into the configuration"; exit 1; }
ln -s "$binary" "$work/bin/rpc-weighter"
"$haproxy" -W -db -f "$work/haproxy.cfg" >"$work/haproxy.log" 2>&1 &
pids+=($!)
until_true test -S "$work/run/haproxy/admin.sock"

# status_of FILE [FOLDER]: runs a block and sets `status`. A line that begins with ! must fail. FOLDER comes first on the PATH.
status_of() {
  status=0
  # A command after ! is exempt from errexit, so its success is made a failure by hand.
  sed -i -E 's/^! (.*)$/if \1; then exit 99; fi/' "$1"
  (cd "$work" && env -i PATH="${2:-$work/bin}:$PATH" HOME="$work" GITHUB_STEP_SUMMARY="$work/summary.md" \
    timeout 120 bash -euo pipefail "$1") >"$work/output" 2>&1 </dev/null || status=$?
}
# run NAME FILE: a block, as one test.
run() {
  status_of "$2"
  cat "$work/output" >>"$work/outputs"
  if ((status == 0)); then succeeded "$1"; else failed_with "$1: exit $status" "$(cat "$2" "$work/output")"; fi
}

for guide in "$repo"/docs/guides/*.md; do
  name=$(basename "$guide" .md)
  awk -v prefix="$work/block.$name." '/^```sh$/ {on = ++n; next} /^```/ {on = 0} on {print > (prefix n)}' "$guide"
done
blocks=("$work"/block.*)
((${#blocks[@]} >= 10)) || { echo "only ${#blocks[@]} blocks were found"; exit 1; }
for block in "${blocks[@]}"; do
  localised <"$block" >"$block.here"
  run "docs/guides/${block##*/block.}" "$block.here"
done

no_key() {
  local found=0
  # In what the blocks printed, and in the files that they made.
  grep -F "$key" "$work/outputs" "$work"/*.json "$work/found.toml" || found=$?
  # 1: in none. 2 would be a file that cannot be read.
  [[ $found == 1 ]]
}
check "no block shows a key" no_key
# The guide's look for keys finds one: with a program that shows the paths of its URLs, the block must fail.
mkdir "$work/leaky"
printf '#!/bin/sh\n%s "$@" | sed "s|/…\\"|/%s\\"|g"\n' "$binary" "$key" >"$work/leaky/rpc-weighter"
chmod +x "$work/leaky/rpc-weighter"
block=$(grep -lF scores.json "$work"/block.security.*.here)
finds_a_key() {
  cat "$block"
  status_of "$block" "$work/leaky"
  cat "$work/output"
  # 99: by its own line, and not by a fault of another.
  [[ $status == 99 && $(<"$work/output") == *"/$key\""* ]]
}
check "docs/guides/security.md: a key that got out is found" finds_a_key

# The line for cron, as cron's shell runs it: silent while all is well, and else there is something to mail.
mkdir "$work/etc"
cron_line=$(sed -n 's/^    \* \* \* \* \*  rpc-weighter  //p' "$repo/docs/guides/one-shot-and-ci.md" |
  sed "s|/etc/rpc-weighter/|$work/etc/|g; s|/var/lib/rpc-weighter/|$work/etc/|g")
from_cron() { env -i PATH="$work/bin:/usr/bin:/bin" HOME="$work" sh -c "$cron_line" 2>&1 </dev/null; }
cron_is_silent() {
  local output
  output=$(from_cron)
  echo "$output"
  # cron takes % for the end of the line.
  [[ -n $cron_line && $cron_line != *%* && -z $output && -s $work/etc/once.json ]]
}
cron_mails() {
  local output
  output=$(from_cron)
  echo "$output"
  [[ $output == *"$1"* ]]
}
cp "$work/config.toml" "$work/etc/config.toml"
check "cron's line is silent while all is well, without an environment file" cron_is_silent
# shellcheck disable=SC2016
sed -i -E 's|127\.0\.0\.1:[0-9]+/[^"]*|127.0.0.1:${PORT}/|' "$work/etc/config.toml"
check "cron's line mails an error of the configuration" cron_mails "the variable PORT is not set"
# Nothing listens at port 9 of this machine.
echo "PORT='9'" >"$work/etc/environment"
check "cron's line mails the table when no provider is healthy" cron_mails "exit code 1: rpc-backend "

# Links to files and to their headings, in every page.
broken=
# The anchors of a page's headings, as GitHub makes them.
anchors_of() { sed -n 's/^##* //p' "$1" | tr '[:upper:]' '[:lower:]' | sed 's/[^a-z0-9 _-]//g; s/ /-/g'; }
while IFS=: read -r page link; do
  target=${link#*](}
  target=${target%)}
  anchor=${target#"${target%%#*}"}
  target=${target%%#*}
  [[ $target != *://* ]] || continue
  file=$repo/$page
  [[ -z $target ]] || file=$repo/$(dirname "$page")/$target
  if [[ ! -e $file ]]; then
    broken+="$page: no file $target"$'\n'
  elif [[ -n $anchor ]] && ! grep -Fxq -e "${anchor#\#}" <(anchors_of "$file"); then
    broken+="$page: no heading $target$anchor"$'\n'
  fi
done < <(cd "$repo" && grep -oE '\]\([^) ]+\)' --with-filename README.md CONTRIBUTING.md CHANGELOG.md SECURITY.md docs/*.md docs/*/*.md deploy/*/*.md)
no_broken_link() { echo "$broken"; [[ -z $broken ]]; }
check "links of the pages lead to files and headings" no_broken_link

mkdir "$work/ci"
sed '/^\[haproxy\]/,/^$/d' "$work/config.toml" >"$work/ci/providers.toml"
awk '/- name: Gate/ {gate = 1} gate && /run: \|/ {on = 1; next} on && !/^          / {exit} on {print substr($0, 11)}' \
  "$repo/examples/github-actions.yaml" >"$work/gate"
[[ $(wc -l <"$work/gate") -ge 3 ]] || { echo "the gate was not found"; exit 1; }
run "examples/github-actions.yaml: the gate opens" "$work/gate"
check "the gate writes a table to the job's summary" grep -q own-1 "$work/summary.md"
# No healthy provider: nothing listens at port 9 of this machine.
sed -E 's|127\.0\.0\.1:[0-9]+|127.0.0.1:9|' "$work/ci/providers.toml" >"$work/dead.toml"
mv "$work/dead.toml" "$work/ci/providers.toml"
printf 'set +e\nbash -e %s\n[[ $? == 1 ]]\n' "$work/gate" >"$work/shut"
run "examples/github-actions.yaml: the gate stays shut without a healthy provider" "$work/shut"

finish
