#!/bin/sh
# Makes what the others look at.
mkdir -p build
for name in parser report train; do
    echo "$name" >"build/$name"
done
