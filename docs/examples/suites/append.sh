#!/bin/sh
# Adds a line to what the suite has set up. Two at once would lose one of them: that is what the mutex is for.
before=$(cat scratch/lines)
printf '%s\n%s\n' "$before" "$1" >scratch/lines
