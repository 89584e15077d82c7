#!/bin/sh
# Usage: ./build.sh OUTPUT, with componentize-qjs in PATH (npm install componentize-qjs@0.4.5).
# CONTRACT is the directory of the contract's WIT.
set -eu
output=$(realpath "$1")
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/deps"
cp wit/world.wit "$work"
cp -r "${CONTRACT:-../../../wit/0.2}" "$work/deps/persea-plugin"
# --sync: the contract has no asynchronous functions, and no host needs to support them.
componentize-qjs --sync --opt-size --wit "$work" --world markdown --js markdown.js -o "$output"
