# A test that prints TAP: it passes when every point does, and a failure is told by the name of its point.
. "${0%/*}/words.sh"

point() {
    number=$((${number:-0} + 1))
    if [ "$(words "$2")" = "$1" ]; then
        echo "ok $number - $3"
    else
        echo "not ok $number - $3"
    fi
}

echo 1..2
point 1 'word' 'one word is one'
point 2 'two	words' 'a tab is a space'
