#!/bin/sh
# Usage: ./build.sh OUTPUT, with componentize-py in PATH (pip install componentize-py==0.25.1).
# CONTRACT is the directory of the contract's WIT.
set -eu
output=$(realpath "$1")
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/deps"
cp wit/world.wit "$work"
cp -r "${CONTRACT:-../../../wit/0.2}" "$work/deps/persea-plugin"
# Not --stub-wasi: with it, the traceback of an exception goes nowhere.
componentize-py --wit-path "$work" --world checks componentize checks -o "$output"
