#!/bin/sh
# Usage: ./build.sh OUTPUT, with wit-bindgen (cargo install wit-bindgen-cli@0.63.0) and persea in
# PATH, and a C compiler for wasm32-wasi in CC: `zig cc`, or that of wasi-sdk.
# CONTRACT is the directory of the contract's WIT.
set -eu
output=$(realpath "$1")
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/deps"
cp wit/world.wit "$work"
cp -r "${CONTRACT:-../../../wit/0.2}" "$work/deps/persea-plugin"
wit-bindgen c --world check --out-dir "$work" "$work"
# A reactor has no main: the host calls its exports.
${CC:-zig cc} --target=wasm32-wasi -mexec-model=reactor -Os -I "$work" \
    check.c "$work/check.c" "$work/check_component_type.o" -o "$work/check.wasm"
persea plugin pack "$work/check.wasm" -o "$output"
