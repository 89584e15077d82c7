#!/bin/sh
# A test that is a program: it passes if the program exits with 0.
set -eu
. "$AVOCADO_TEST_BASEDIR/words.sh"

expect() {
    found=$(words "$2")
    echo "\"$2\" has $found words"
    [ "$found" = "$1" ] || { echo "it should have $1" >&2; exit 1; }
}

expect 0 ''
expect 2 'hello world'
expect 3 '  one * three  '
