# What is tested here: a function that counts the words of a text.
words() (
    set -f # a text with `*` in it is a text, not a pattern
    set -- $1
    echo $#
)
