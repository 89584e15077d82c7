#!/bin/sh
# Sees to it that Persea's plugins can be built: a compiler for wasm32-unknown-unknown.
#
# Where the Rust toolchain has that target, it does nothing. Elsewhere `rustup target add wasm32-unknown-unknown` is the
# better way. Where rustup can't fetch it, this takes the compiler and its library source from Debian's packages into a
# cache directory (150 MB to fetch, 900 MB on disk). It installs nothing, needs no root, and leaves the compiler that
# builds the host alone. It may be run again, and twice at once.
#
# The cache directory is $PERSEA_WASM_TOOLCHAIN, or persea/wasm-toolchain below $XDG_CACHE_HOME or ~/.cache. When this has
# ended it holds `bin/` (cargo, rustc, wasm-ld, wasm-component-ld), `lib/` (what they need), `wasi/` (libraries for
# wasm32-wasip2), and `ready`, which lists the packages. The crate persea-guest-build reads it.
set -eu

target=wasm32-unknown-unknown
root=${PERSEA_WASM_TOOLCHAIN:-${XDG_CACHE_HOME:-$HOME/.cache}/persea/wasm-toolchain}
step=start
work=

say() { echo "setup: $*" >&2; }
fail() {
    say "$step failed: $*"
    step=
    exit 1
}
tidy() {
    code=$?
    [ -z "$work" ] || rm -rf "$work"
    [ "$code" -eq 0 ] || [ -z "$step" ] || say "$step failed (see above)"
    exit "$code"
}
trap tidy EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

step='looking for Rust'
command -v cargo >/dev/null && command -v rustc >/dev/null ||
    fail 'there is no cargo in PATH: install Rust from https://rustup.rs'

if libdir=$(rustc --print target-libdir --target $target) && [ -d "$libdir" ]; then
    say "the Rust toolchain has $target: nothing to do"
    exit 0
fi
if [ -f "$root/ready" ]; then
    say "$root is ready: nothing to do"
    exit 0
fi

step='looking for Debian packages'
way_out="add the target with: rustup target add $target"
for tool in apt-get apt-cache dpkg-deb; do
    command -v $tool >/dev/null || fail "there is no $tool, so this is no Debian; $way_out"
done
mkdir -p "$(dirname "$root")"
work=$(mktemp -d "$root.XXXXXX")
mkdir "$work/debs" "$work/tree"

depends() { apt-cache depends --important "$1" | sed -n "s/^ *Depends: \($2\)\$/\1/p"; }

# With lists of its own: the system's may be missing, or too old to know the packages that are there now, and it needs no root for these. A source
# that fails may be one that isn't needed.
say 'fetching the lists of packages'
mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial"
printf 'Dir::State::lists "%s";\nDir::Cache "%s";\n' "$work/apt/lists" "$work/apt/cache" >"$work/apt.conf"
APT_CONFIG=$work/apt.conf
export APT_CONFIG
apt-get -qq -o APT::Sandbox::User=root update || say 'not all lists could be fetched (see above)'
apt-cache show --no-all-versions rustc-web >/dev/null 2>&1 ||
    fail "none has rustc-web: is there a network, and is this Debian 12 with its security archive? Otherwise $way_out"
std=$(depends libstd-rust-web-dev 'libstd-rust-web-[0-9.]*')
llvm=$(depends rust-web-llvm 'llvm-[0-9]*')
llvm=${llvm#llvm-}
# The libraries that cargo needs and this system hasn't got.
libraries=$(apt-get -s -o Debug::NoLocking=1 --no-install-recommends install $(depends cargo-web 'lib.*') 2>"$work/log" |
    sed -n 's/^Inst \([^ ]*\).*/\1/p')
[ -n "$std" ] && [ -n "$llvm" ] || fail "the packages of rustc-web are not what they were; $way_out"

step='downloading'
say "downloading a compiler for $target (150 MB) to $root"
(cd "$work/debs" && apt-get -qq -o APT::Sandbox::User=root download rustc-web cargo-web rust-web-src \
    "$std" libstd-rust-web-dev rust-web-llvm "libllvm$llvm" "lld-$llvm" wasi-libc $libraries) ||
    fail "is there a network? Otherwise $way_out"

step='unpacking'
for deb in "$work"/debs/*.deb; do
    dpkg-deb -x "$deb" "$work/tree" || fail "is there room? 1.1 GB are needed in $(dirname "$root")"
done
cd "$work/tree"
one() { [ $# -eq 1 ] && [ -e "$1" ] || fail "the packages hold no single $1; $way_out"; }
one usr/src/rustc-*
source=$(basename usr/src/rustc-*)
mkdir -p usr/lib/rustlib/src bin
ln -sfn "../../../src/$source" usr/lib/rustlib/src/rust
one usr/lib/*-linux-gnu*
ln -s usr/lib/*-linux-gnu* lib
ln -s usr/lib/wasm32-wasi wasi
for tool in usr/bin/cargo usr/bin/rustc usr/lib/llvm-"$llvm"/bin/wasm-ld usr/lib/rustlib/*-linux-gnu*/bin/wasm-component-ld; do
    one "$tool"
    ln -s "../$tool" bin/
done

step='checking the compiler'
export LD_LIBRARY_PATH="$work/tree/lib"
missing=$(ldd bin/* | sed -n 's/^[[:space:]]*\([^ ]*\) => not found.*/\1/p' | sort -u)
[ -z "$missing" ] || fail "it needs libraries that this system lacks: $(echo "$missing" | tr '\n' ' '
    ); see: apt-cache depends cargo-web"
bin/cargo --version >"$work/log" 2>&1 || fail "$(cat "$work/log")"
# Its library source must be of its own version: compile the smallest library, and link something to it.
cat >"$work/check.rs" <<'RUST'
#![feature(no_core)]
#![no_core]
extern crate core;
#[panic_handler] fn panic(_: &core::panic::PanicInfo<'_>) -> ! { loop {} }
#[unsafe(no_mangle)] pub extern "C" fn three(number: u32) -> u32 { number.wrapping_add(3) }
RUST
export RUSTC_BOOTSTRAP=1
bin/rustc --target $target --edition 2024 --crate-name core --crate-type rlib --cap-lints allow \
    -C panic=abort --out-dir "$work" usr/lib/rustlib/src/rust/library/core/src/lib.rs >"$work/log" 2>&1 &&
    bin/rustc --target $target --edition 2024 --crate-type cdylib -C panic=abort -C linker="$work/tree/bin/wasm-ld" \
        --extern core="$work/libcore.rlib" -o "$work/check.wasm" "$work/check.rs" >"$work/log" 2>&1 ||
    fail "$(cat "$work/log")
It can't compile for $target; $way_out"
[ -s "$work/check.wasm" ] || fail "nothing was compiled; $way_out"

step='finishing'
for deb in "$work"/debs/*.deb; do
    basename "$deb" .deb
done >ready
cd /
if ! mv -T "$work/tree" "$root" 2>"$work/log"; then
    # Somebody else was faster, or an unfinished directory is in the way.
    [ -f "$root/ready" ] || fail "$(cat "$work/log"); remove $root and try again"
fi
say "$root is ready"
