# One case of the recipe: TEXT holds the text, the argument is the expected number of words.
. "${0%/*}/words.sh"
found=$(words "$TEXT")
echo "$found words, $1 expected"
[ "$found" = "$1" ]
