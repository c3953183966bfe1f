#!/usr/bin/env bash
# Reads off the program which of the compiler's and linker's defences it has, and that it says nothing of the folder that
# it was built in.
#
#   tests/e2e/hardening/run.sh [RPC-WEIGHTER]     default: build/release/src/rpc-weighter
#
# Needs binutils. The program must be an optimised one, with symbols.
set -euo pipefail

# shellcheck source=tests/e2e/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"

header=$(readelf -hW "$binary")
segments=$(readelf -lW "$binary")
dynamic=$(readelf -dW "$binary")
symbols=$(readelf --dyn-syms -W "$binary")

has() { grep -Eq -- "$2" <<<"$1"; }
lacks() { ! has "$@"; }

check "it is a position-independent executable" has "$header" 'Type: +DYN'
check "the dynamic section says so too" has "$dynamic" 'FLAGS_1.*PIE'
check "relocations are read-only once it has started" has "$segments" '^ +GNU_RELRO '
check "all of them: symbols are bound at the start" has "$dynamic" 'FLAGS.*(BIND_NOW|NOW)'
check "the stack cannot be executed" has "$segments" 'GNU_STACK .* RW +0x'
check "no segment is writable and executable" lacks "$segments" '^ +LOAD .* RWE '
check "code is not relocated" lacks "$dynamic" 'TEXTREL'
check "libraries are looked for where the system has them" lacks "$dynamic" '\((RPATH|RUNPATH)\)'
check "stack frames have a guard" has "$symbols" ' __stack_chk_fail(@|$)'
check "calls of the C library are checked (_FORTIFY_SOURCE)" has "$symbols" ' __[a-z]+_chk(@|$)'
check "calls of the C++ library are checked (_GLIBCXX_ASSERTIONS)" has "$symbols" '__glibcxx_assert_fail'
if [[ $(uname -m) == x86_64 ]]; then
  # Every function that a pointer may lead to begins so.
  guarded() { objdump -d --no-show-raw-insn --disassemble=main "$binary" | grep -A1 '<main>:' | grep -q endbr64; }
  check "indirect calls have marked targets (-fcf-protection)" guarded
fi
says_folder() { grep -Fqa -- "$repo" "$binary"; }
says_nothing() { ! says_folder; }
check "the build's folder is not in it" says_nothing


parts() { "$repo/scripts/sbom" "$binary" >"$work/parts.json"; }
check "scripts/sbom knows every library that it loads" parts
spdx() {
  perl -MJSON::PP -0777 -ne '
    my $d = decode_json($_);
    my %id = map { $_->{SPDXID} => $_ } @{$d->{packages}};
    die "not SPDX 2.3" unless $d->{spdxVersion} eq "SPDX-2.3" && $d->{SPDXID} eq "SPDXRef-DOCUMENT";
    for (@{$d->{relationships}}) { $id{$_->{relatedSpdxElement}} or die "unknown $_->{relatedSpdxElement}" }
    for (@{$d->{packages}}) { $_->{versionInfo} ne "" && $_->{licenseDeclared} ne "" or die "$_->{name}: no version or licence" }
    for my $name (qw(curl openssl boost rapidjson glibc)) { grep { $_->{name} eq $name } @{$d->{packages}} or die "no $name" }
  ' "$work/parts.json"
}
check "and prints well-formed SPDX" spdx
finish
