setup() {
    printf 'a flower\n' >"$BATS_TEST_TMPDIR/text"
}

@test "words are counted" {
    run wc -w <"$BATS_TEST_TMPDIR/text"
    [ "$output" -eq 2 ]
}

@test "hyphens join words" {
    run wc -w <<<'a-flower'
    echo "it counted $output"
    [ "$output" -eq 2 ]
}

@test "every dictionary has words" {
    [ -d /usr/share/dictionaries-of-words ] || skip "no dictionaries"
    [ "$(cat /usr/share/dictionaries-of-words/* | wc -w)" -gt 0 ]
}
