#!/usr/bin/env bash
# Usage: tests/contract/0.2.0/build.sh [sdk|c|python|javascript|qjs...]
#
# Makes the components of the corpus again, by default all of them: components/*.wasm.zst and
# modules/*.wasm. Nobody needs it to run the tests: the corpus is in the repository because later
# tools would make other components. It is for the time before 0.2.0 is released, and a record of
# how the components were made.
#
# Needs cargo, setup.sh, Python 3 with venv, Node 20, zstd. .ci/guest-tools gets everything else.
set -euo pipefail
cd "$(dirname "$0")"

repository=$(realpath ../../..)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p components modules

pack() { # pack NAME FILE: compresses a component
    zstd --quiet --force -19 "$2" -o "components/$1.wasm.zst"
    printf '%9d bytes, %8d compressed: %s\n' \
        "$(stat -c %s "$2")" "$(stat -c %s "components/$1.wasm.zst")" "$1"
}

guests_of_sdk() {
    cargo run --quiet --locked --release -p persea-guest-build --example build-guests -- \
        guests/sdk/Cargo.toml "$work/sdk" resolver varianter runner program-runner batch-runner \
        lister requirement-resolver scheduler result-format
    for component in "$work"/sdk/*.wasm; do
        pack "sdk-$(basename "$component" .wasm)" "$component"
    done
}

bind() { # bind SOURCE WORLD WIT: a core module of a file in C
    "$tools/bin/wit-bindgen" c --world "$2" --rename-world corpus --out-dir "$work/$1" "$3" \
        >/dev/null 2> >(grep -v '^Generating' >&2)
    "$tools/bin/zig-cc" --target=wasm32-wasi -mexec-model=reactor -Os -s -I "$work/$1" \
        "guests/c/$1.c" "$work/$1/corpus.c" "$work/$1/corpus_component_type.o" -o "$work/$1.wasm"
}

guests_in_c() {
    tools=$("$repository/.ci/guest-tools" bindings c javascript)
    for world in resolver varianter runner program-runner batch-runner requirement-resolver \
        scheduler result-format; do
        bind "$world" "$world" wit
    done
    bind lister listing-runner guests/wit
    for module in "$work"/*.wasm; do
        name=$(basename "$module" .wasm)
        "$tools/bin/jco" new "$module" -o "$work/$name.component" >/dev/null
        pack "c-$name" "$work/$name.component"
    done
    bind printf runner wit
    cp "$work/printf.wasm" modules/c-printf.wasm
}

guest_in_python() {
    tools=$("$repository/.ci/guest-tools" python)
    # --stub-wasi would make it smaller, but then a traceback goes nowhere.
    (cd guests/python && "$tools/bin/componentize-py" --wit-path ../wit --world everything \
        componentize app -o "$work/python.wasm") >/dev/null
    rm -rf guests/python/__pycache__
    pack python "$work/python.wasm"
}

guest_in_javascript() {
    tools=$("$repository/.ci/guest-tools" javascript)
    # Node looks for packages beside the script.
    cp guests/javascript/build.mjs "$tools/build-corpus.mjs"
    node "$tools/build-corpus.mjs" guests/javascript/app.js guests/wit everything \
        "$work/javascript.wasm"
    rm "$tools/build-corpus.mjs"
    pack javascript "$work/javascript.wasm"
}

guest_in_quickjs() {
    tools=$("$repository/.ci/guest-tools" javascript)
    sed 's/^const int64 = BigInt;/const int64 = Number;/' guests/javascript/app.js >"$work/app.js"
    "$tools/bin/componentize-qjs" --sync --opt-size --wit guests/wit --world everything \
        --js "$work/app.js" -o "$work/qjs.wasm" >/dev/null
    pack qjs "$work/qjs.wasm"
}

[ $# -gt 0 ] || set -- sdk c python javascript qjs
for language in "$@"; do
    case $language in
    sdk) guests_of_sdk ;;
    c) guests_in_c ;;
    python) guest_in_python ;;
    javascript) guest_in_javascript ;;
    qjs) guest_in_quickjs ;;
    *) echo "build.sh: no such language: $language" >&2 && exit 2 ;;
    esac
done
