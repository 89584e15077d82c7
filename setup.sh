#!/bin/sh
# Gets a compiler for wasm32-unknown-unknown, the target of Persea's plugins.
#
# If the Rust toolchain has that target, the script does nothing. With rustup,
# `rustup target add wasm32-unknown-unknown` is the better way. Without rustup, the script unpacks
# the compiler and the source of its libraries from Debian's packages into a cache directory
# (150 MB to download, 900 MB on disk). It installs nothing, needs no root, and does not touch the
# compiler that builds the host. It may run again, and several times at once.
#
# The cache directory is $PERSEA_WASM_TOOLCHAIN, or persea/wasm-toolchain below $XDG_CACHE_HOME or
# ~/.cache. At the end it holds `bin/` (cargo, rustc, wasm-ld, wasm-component-ld), `lib/` (their
# libraries), `wasi/` (libraries for wasm32-wasip2), and `ready`, which lists the packages. The
# crate persea-guest-build reads it.
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
    fail 'cargo and rustc are not in PATH; install Rust from https://rustup.rs'

if libdir=$(rustc --print target-libdir --target $target) && [ -d "$libdir" ]; then
    say "the Rust toolchain has $target; nothing to do"
    exit 0
fi
if [ -f "$root/ready" ]; then
    say "$root is ready; nothing to do"
    exit 0
fi

step='looking for Debian packages'
help="help: rustup target add $target"
for tool in apt-get apt-cache dpkg-deb; do
    command -v $tool >/dev/null || fail "$tool is missing, so this is not Debian; $help"
done
mkdir -p "$(dirname "$root")"
work=$(mktemp -d "$root.XXXXXX")
mkdir "$work/debs" "$work/tree"

depends() { apt-cache depends --important "$1" | sed -n "s/^ *Depends: \($2\)\$/\1/p"; }

# The system's package lists may be missing or out of date, and updating them needs root, so apt
# gets lists of its own. A source that fails may be one that is not needed.
say 'downloading the package lists'
mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial"
printf 'Dir::State::lists "%s";\nDir::Cache "%s";\n' "$work/apt/lists" "$work/apt/cache" \
    >"$work/apt.conf"
APT_CONFIG=$work/apt.conf
export APT_CONFIG
apt-get -qq -o APT::Sandbox::User=root update ||
    say 'some package lists cannot be downloaded (see above)'
apt-cache show --no-all-versions rustc-web >/dev/null 2>&1 ||
    fail "no list has the package rustc-web, which Debian 12 has in its security archive; \
check the network and the sources of apt. $help"
std=$(depends libstd-rust-web-dev 'libstd-rust-web-[0-9.]*')
llvm=$(depends rust-web-llvm 'llvm-[0-9]*')
llvm=${llvm#llvm-}
# The libraries that cargo needs and this system lacks.
libraries=$(apt-get -s -o Debug::NoLocking=1 --no-install-recommends \
    install $(depends cargo-web 'lib.*') 2>"$work/log" |
    sed -n 's/^Inst \([^ ]*\).*/\1/p')
[ -n "$std" ] && [ -n "$llvm" ] || fail "the package rustc-web has unexpected dependencies; $help"

step='downloading'
say "downloading a compiler for $target (150 MB) to $root"
(cd "$work/debs" && apt-get -qq -o APT::Sandbox::User=root download \
    rustc-web cargo-web rust-web-src "$std" libstd-rust-web-dev \
    rust-web-llvm "libllvm$llvm" "lld-$llvm" wasi-libc $libraries) ||
    fail "check the network; $help"

step='unpacking'
for deb in "$work"/debs/*.deb; do
    dpkg-deb -x "$deb" "$work/tree" || fail "check the free space: $(dirname "$root") needs 1.1 GB"
done
cd "$work/tree"
one() { [ $# -eq 1 ] && [ -e "$1" ] || fail "the packages have no single $1; $help"; }
one usr/src/rustc-*
source=$(basename usr/src/rustc-*)
mkdir -p usr/lib/rustlib/src bin
ln -sfn "../../../src/$source" usr/lib/rustlib/src/rust
one usr/lib/*-linux-gnu*
ln -s usr/lib/*-linux-gnu* lib
ln -s usr/lib/wasm32-wasi wasi
for tool in usr/bin/cargo usr/bin/rustc usr/lib/llvm-"$llvm"/bin/wasm-ld \
    usr/lib/rustlib/*-linux-gnu*/bin/wasm-component-ld; do
    one "$tool"
    ln -s "../$tool" bin/
done

step='checking the compiler'
export LD_LIBRARY_PATH="$work/tree/lib"
missing=$(ldd bin/* | sed -n 's/^[[:space:]]*\([^ ]*\) => not found.*/\1/p' | sort -u)
[ -z "$missing" ] || fail "libraries are missing: $(echo "$missing" | tr '\n' ' '
    ); help: apt-cache depends cargo-web"
bin/cargo --version >"$work/log" 2>&1 || fail "$(cat "$work/log")"
# The library source must have the compiler's version: compile the smallest library, link to it.
cat >"$work/check.rs" <<'RUST'
#![feature(no_core)]
#![no_core]
extern crate core;
#[panic_handler] fn panic(_: &core::panic::PanicInfo<'_>) -> ! { loop {} }
#[unsafe(no_mangle)] pub extern "C" fn three(number: u32) -> u32 { number.wrapping_add(3) }
RUST
export RUSTC_BOOTSTRAP=1
bin/rustc --target $target --edition 2024 --crate-name core --crate-type rlib --cap-lints allow \
    -C panic=abort --out-dir "$work" usr/lib/rustlib/src/rust/library/core/src/lib.rs \
    >"$work/log" 2>&1 &&
    bin/rustc --target $target --edition 2024 --crate-type cdylib -C panic=abort \
        -C linker="$work/tree/bin/wasm-ld" --extern core="$work/libcore.rlib" \
        -o "$work/check.wasm" "$work/check.rs" >"$work/log" 2>&1 ||
    fail "$(cat "$work/log")
The compiler cannot build for $target; $help"
[ -s "$work/check.wasm" ] || fail "the compiler has written no file; $help"

step='finishing'
for deb in "$work"/debs/*.deb; do
    basename "$deb" .deb
done >ready
cd /
if ! mv -T "$work/tree" "$root" 2>"$work/log"; then
    # Another run was faster, or an unfinished directory is in the way.
    [ -f "$root/ready" ] || fail "$(cat "$work/log"); help: remove $root and run setup.sh again"
fi
say "$root is ready"
