# One case, as the recipe gives it: the text in TEXT, the number that is expected as the argument.
. "${0%/*}/words.sh"
found=$(words "$TEXT")
echo "$found words, $1 expected"
[ "$found" = "$1" ]
