//! Tests of what bats 1.5, 1.8 and 1.13 print.
#![allow(clippy::unwrap_used)]
use super::*;

const PRINTED: &str = "1..7
suite /w/t.bats
# set up
begin 1 passes
ok 1 passes in 40ms
begin 2 fails with \"quotes\" in 3ms
not ok 2 fails with \"quotes\" in 3ms in 17ms
# (in test file t.bats, line 6)
#   `[ \"$output\" = bye ]' failed
# some output
#
# more
begin 3 skips
ok 3 skips in 29ms # skip no disk
begin 4 silently
ok 4 silently # skip
begin 5 prints
ok 1 fake
not ok 6 other
# note
ok 5 prints in 2sec
begin 6 helper
not ok 6 helper
# (from function `assert' in file helper.bash, line 3,
#  in test file t.bats, line 9)
#   `assert' failed with status 7
begin 7 dies
not ok 8 teardown_file failed
# (from function `teardown_file' in test file t.bats, line 1)
#   `false' failed
# bats warning: Executed 6 instead of expected 7 tests
";

/// The lines of it that belong to no test.
const WITHOUT_TEST: &str = "set up\nok 1 fake\nnot ok 6 other\nnote\n\
                            bats warning: Executed 6 instead of expected 7 tests\n";

fn reason_of<'a>(results: &'a [TestResult], name: &str) -> &'a str {
    let result = results.iter().find(|result| result.name == name).unwrap();
    result.reason.as_deref().unwrap_or_default()
}

#[test]
fn results_are_read_whatever_the_parts() {
    use Verdict::{Failed, Passed, Skipped};
    for size in [1, 13, 4096] {
        let mut stream = Stream::default();
        let mut results = Vec::new();
        for part in PRINTED.as_bytes().chunks(size) {
            results.extend(stream.take(part));
        }
        results.extend(stream.finish());
        let found: Vec<_> = results
            .iter()
            .map(|it| (it.name.as_str(), it.verdict))
            .collect();
        let expected = [
            ("passes", Passed),
            ("fails with \"quotes\" in 3ms", Failed),
            ("skips", Skipped),
            ("silently", Skipped),
            ("prints", Passed),
            ("helper", Failed),
            ("teardown_file", Failed),
        ];
        assert_eq!(found, expected, "{size}");
        for (name, reason) in [
            (
                "fails with \"quotes\" in 3ms",
                "t.bats:6: `[ \"$output\" = bye ]' failed; some output; more",
            ),
            ("skips", "no disk"),
            ("silently", "skipped"),
            ("helper", "t.bats:9: `assert' failed with status 7"),
            ("teardown_file", "t.bats:1: `false' failed"),
        ] {
            assert_eq!(reason_of(&results, name), reason);
        }
        let times: Vec<Option<u128>> = results
            .iter()
            .map(|it| it.duration.map(|it| it.as_millis()))
            .collect();
        let expected = [Some(40), Some(17), Some(29), None, Some(2_000), None, None];
        assert_eq!(times, expected);
        assert_eq!((stream.planned(), stream.ended()), (Some(7), 6));
        assert_eq!(stream.running().collect::<Vec<_>>(), ["dies"]);
        assert_eq!(stream.outside(), WITHOUT_TEST);
    }
}

#[test]
fn message_of_the_shell_is_the_reason() {
    let mut stream = Stream::default();
    let text = "1..1\nnot ok 1 setup_file failed\n# /w/e.bats: line 4: syntax error\n";
    stream.take(text.as_bytes());
    let results = stream.finish();
    assert_eq!(
        reason_of(&results, "setup_file"),
        "/w/e.bats: line 4: syntax error"
    );
    let mut silent = Stream::default();
    silent.take(b"1..1\nbegin 1 a\nnot ok 1 a\n");
    assert_eq!(
        reason_of(&silent.finish(), "a"),
        "it failed without a message"
    );
}
