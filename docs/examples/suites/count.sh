#!/bin/sh
# Passes if the words that were fetched for it are as many as it is told.
test "$(wc -l <"$PERSEA_ASSET_WORDS_TXT")" = "$1"
