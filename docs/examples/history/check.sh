#!/bin/sh
# Fails while the file is there.
test ! -e broken
