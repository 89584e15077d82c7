# The code under test: a function that counts the words of a text.
words() (
    set -f # `*` in the text is a word, not a pattern
    set -- $1
    echo $#
)
