#!/bin/sh
# Passes if the downloaded file has as many words as the argument says.
test "$(wc -l <"$PERSEA_ASSET_WORDS_TXT")" = "$1"
