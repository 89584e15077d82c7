# A test that prints TAP: it passes if every point passes, and a failure names its points.
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
