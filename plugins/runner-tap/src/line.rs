//! Owns the parser of a single line of TAP. Does not know about other lines or about results.
//!
//! The formats are those of <https://testanything.org>: the specifications of TAP 12, 13 and 14.

/// A parsed line, without its indentation and line end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    Blank,
    /// `# …`: the text after the `#`, trimmed.
    Comment(&'a str),
    /// `TAP version N`
    Version(u64),
    Plan(Plan),
    Point(Point),
    /// `Bail out!`: its reason, which may be empty.
    BailOut(String),
    /// `pragma +strict, -bail`: the value for `strict`, if any.
    Pragma {
        strict: Option<bool>,
    },
    /// Not TAP.
    Other,
}

/// `1..N # SKIP reason`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) count: u64,
    pub(crate) directive: Option<Directive>,
    /// Text after the directive or, without a directive, after the `#`; may be empty.
    pub(crate) reason: String,
}

/// `ok N - description # DIRECTIVE reason`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) ok: bool,
    pub(crate) number: Option<u64>,
    /// Without the leading `-`, unescaped; may be empty.
    pub(crate) description: String,
    pub(crate) directive: Option<Directive>,
    /// Text after the directive; may be empty.
    pub(crate) reason: String,
}

/// TAP's two directives. Any other word is part of the description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Directive {
    Skip,
    Todo,
}

/// Splits a line into its number of indentation levels (4 blanks each) and the rest.
pub(crate) fn indentation(line: &str) -> (usize, &str) {
    let mut depth = 0;
    let mut rest = line;
    while let Some(inner) = rest.strip_prefix("    ") {
        depth += 1;
        rest = inner;
    }
    (depth, rest)
}

/// Parses a line without indentation and without white space at its end. `version` is the stream's
/// version: 12 where the stream names none.
pub(crate) fn parse(line: &str, version: u64) -> Line<'_> {
    if line.is_empty() {
        return Line::Blank;
    }
    if let Some(comment) = line.strip_prefix('#') {
        return Line::Comment(comment.trim());
    }
    point(line, version)
        .map(Line::Point)
        .or_else(|| plan(line, version).map(Line::Plan))
        .or_else(|| bail_out(line, version))
        .or_else(|| version_line(line))
        .or_else(|| pragma(line))
        .unwrap_or(Line::Other)
}

fn version_line(line: &str) -> Option<Line<'_>> {
    let (number, _) = leading_number(line.strip_prefix("TAP version ")?)?;
    Some(Line::Version(number))
}

fn point(line: &str, version: u64) -> Option<Point> {
    let (ok, rest) = match line.strip_prefix("ok") {
        Some(rest) => (true, rest),
        None => (false, line.strip_prefix("not ok")?),
    };
    // TAP 13: `/^(not )?ok\b/`. A line that begins with "okay" is not a test point.
    if rest.starts_with(is_word) {
        return None;
    }
    let rest = rest.trim_start();
    // A number must be a whole word: "ok 2nd try" has no number.
    let (number, rest) = match leading_number(rest) {
        Some((number, rest)) if !rest.starts_with(is_word) => (Some(number), rest.trim_start()),
        _ => (None, rest),
    };
    let (description, directive, reason) = split_directive(rest, version);
    let description = description.trim();
    let description = match description.strip_prefix('-') {
        Some(rest) if rest.is_empty() || rest.starts_with(char::is_whitespace) => rest.trim_start(),
        _ => description,
    };
    Some(Point {
        ok,
        number,
        description: unescape(description, version),
        directive,
        reason: unescape(reason, version),
    })
}

fn plan(line: &str, version: u64) -> Option<Plan> {
    let (count, rest) = leading_number(line.strip_prefix("1..")?)?;
    let comment = rest.trim_start().strip_prefix('#').map(str::trim_start);
    let (directive, reason) = match comment {
        None => (None, ""),
        Some(comment) => match directive(comment) {
            Some((directive, reason)) => (Some(directive), reason),
            None => (None, comment),
        },
    };
    Some(Plan {
        count,
        directive,
        reason: unescape(reason, version),
    })
}

/// Parses `Bail out!`, in upper or lower case as in TAP 14.
fn bail_out(line: &str, version: u64) -> Option<Line<'_>> {
    const WORDS: &str = "Bail out!";
    let (words, reason) = line.split_at_checked(WORDS.len())?;
    words
        .eq_ignore_ascii_case(WORDS)
        .then(|| Line::BailOut(unescape(reason.trim(), version)))
}

fn pragma(line: &str) -> Option<Line<'_>> {
    let keys = line.strip_prefix("pragma ")?;
    let mut strict = None;
    for key in keys.split([',', ' ']).filter(|key| !key.is_empty()) {
        let on = match key.as_bytes().first() {
            Some(b'+') => true,
            Some(b'-') => false,
            _ => return None,
        };
        if key.get(1..) == Some("strict") {
            strict = Some(on);
        }
    }
    Some(Line::Pragma { strict })
}

/// Splits a text into description, directive and reason.
///
/// The directive begins at the first `#` that is not escaped. In TAP 14 the `#` must also follow
/// white space, so that the fragment of a URL is not a directive.
fn split_directive(text: &str, version: u64) -> (&str, Option<Directive>, &str) {
    let mut escaped = false;
    let mut before = ' ';
    for (at, character) in text.char_indices() {
        let delimits = character == '#' && !escaped && (version < 14 || before.is_whitespace());
        // In `\\#` the first backslash escapes the second one, and the `#` ends the description.
        let after_backslash =
            character == '#' && version >= 14 && ends_in_escaped_backslash(text, at);
        if delimits || after_backslash {
            let (description, rest) = text.split_at(at);
            let rest = rest.strip_prefix('#').unwrap_or(rest).trim_start();
            return match directive(rest) {
                Some((directive, reason)) => (description, Some(directive), reason),
                None => (text, None, ""),
            };
        }
        escaped = character == '\\' && !escaped;
        before = character;
    }
    (text, None, "")
}

/// Whether the text before `at` ends in a non-zero even number of backslashes.
fn ends_in_escaped_backslash(text: &str, at: usize) -> bool {
    let before = text.get(..at).unwrap_or_default();
    let backslashes = before.len() - before.trim_end_matches('\\').len();
    backslashes > 0 && backslashes.is_multiple_of(2)
}

/// Parses `SKIP reason` or `TODO reason`, in upper or lower case.
///
/// `Skipped: reason` is a SKIP too, as TAP 14 requires. `TODO` must be a whole word, because it
/// excuses a failure.
fn directive(text: &str) -> Option<(Directive, &str)> {
    let (word, rest) = text.split_at_checked(4)?;
    let directive = if word.eq_ignore_ascii_case("skip") {
        Directive::Skip
    } else if word.eq_ignore_ascii_case("todo") && !rest.starts_with(is_word) {
        Directive::Todo
    } else {
        return None;
    };
    let reason = rest
        .split_once(char::is_whitespace)
        .map_or("", |(_, reason)| reason.trim());
    Some((directive, reason))
}

/// Removes the escapes of `#` and, in TAP 14 only, of the backslash, which earlier versions do not
/// escape.
fn unescape(text: &str, version: u64) -> String {
    if !text.contains('\\') {
        return text.to_owned();
    }
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let escaped = match characters.peek() {
            Some('#') => character == '\\',
            Some('\\') => character == '\\' && version >= 14,
            _ => false,
        };
        plain.push(if escaped {
            characters.next().unwrap_or(character)
        } else {
            character
        });
    }
    plain
}

/// Splits a text into the number that it begins with and the rest. A number that does not fit is
/// `u64::MAX`.
fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    if digits.is_empty() {
        return None;
    }
    Some((digits.parse().unwrap_or(u64::MAX), rest))
}

/// Whether a character is a word character of regular expressions: letter, digit or underscore.
fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn read(line: &str, version: u64) -> (String, Option<Directive>, String) {
        match parse(line, version) {
            Line::Point(point) => (point.description, point.directive, point.reason),
            other => panic!("{line} is {other:?}"),
        }
    }

    /// The examples of the TAP 14 specification, sections "Directive" and "Escaping".
    #[test]
    fn examples_of_the_tap_14_specification_are_parsed() {
        let todo = Some(Directive::Todo);
        let skip = Some(Directive::Skip);
        for (line, description, directive, reason) in [
            (
                "ok 1 - must be skipped test # SKIP",
                "must be skipped test",
                skip,
                "",
            ),
            (
                "ok 2 - must not be skipped test \\# SKIP",
                "must not be skipped test # SKIP",
                None,
                "",
            ),
            ("ok 1 - do it later # Skipped", "do it later", skip, ""),
            (
                "ok 2 - works on windows # Skipped: only run on windows",
                "works on windows",
                skip,
                "only run on windows",
            ),
            (
                "ok 1 # skip this test is skipped",
                "",
                skip,
                "this test is skipped",
            ),
            (
                "ok 2 not skipped: https://example.com/page.html#skip is a url",
                "not skipped: https://example.com/page.html#skip is a url",
                None,
                "",
            ),
            (
                "ok 3 - #SkIp case insensitive, so this is skipped",
                "",
                skip,
                "case insensitive, so this is skipped",
            ),
            (
                "not ok 14 # TODO bend space and time",
                "",
                todo,
                "bend space and time",
            ),
            ("ok 1 - hello # todo", "hello", todo, ""),
            ("ok 2 - hello \\# todo", "hello # todo", None, ""),
            (
                "ok 3 - hello # todo hash \\# character",
                "hello",
                todo,
                "hash # character",
            ),
            (
                "ok 4 - hello # todo hash # character",
                "hello",
                todo,
                "hash # character",
            ),
            (
                "ok 5 - hello \\\\# todo hash \\# character",
                "hello \\",
                todo,
                "hash # character",
            ),
            (
                "ok 6 - hello \\\\# todo hash # character",
                "hello \\",
                todo,
                "hash # character",
            ),
            (
                "ok 7 - hello # description # todo",
                "hello # description # todo",
                None,
                "",
            ),
            (
                "ok 8 - hello \\\\\\\\\\\\\\# todo",
                "hello \\\\\\# todo",
                None,
                "",
            ),
        ] {
            let expected = (description.to_owned(), directive, reason.to_owned());
            assert_eq!(read(line, 14), expected, "{line}");
        }
    }

    #[test]
    fn before_tap_14_directives_need_no_blank_and_backslashes_are_literal() {
        assert_eq!(
            read("ok 1 - a#skip b", 13),
            ("a".to_owned(), Some(Directive::Skip), "b".to_owned())
        );
        assert_eq!(read("ok 1 - C:\\\\temp \\# x", 12).0, "C:\\\\temp # x");
        assert_eq!(read("ok 1 - C:\\\\temp \\# x", 14).0, "C:\\temp # x");
    }

    #[test]
    fn numbers_are_whole_words() {
        let number = |line| match parse(line, 13) {
            Line::Point(point) => point.number,
            other => panic!("{line} is {other:?}"),
        };
        assert_eq!(number("ok 12 - a"), Some(12));
        assert_eq!(number("ok 12- a"), Some(12));
        assert_eq!(number("ok 2nd try"), None);
        assert_eq!(number("ok - 2"), None);
        assert_eq!(number("ok 99999999999999999999999"), Some(u64::MAX));
    }

    #[test]
    fn other_lines_are_not_tap() {
        for line in [
            "okay",
            "ok1",
            "not  ok 1",
            "notok",
            "OK 1",
            "1..",
            "1...2",
            "2..3",
            "TAP version x",
            "Bail out",
            "pragma strict",
        ] {
            assert_eq!(parse(line, 14), Line::Other, "{line}");
        }
    }

    #[test]
    fn pragmas_set_strict() {
        assert_eq!(
            parse("pragma +strict", 14),
            Line::Pragma { strict: Some(true) }
        );
        assert_eq!(
            parse("pragma +bail, -strict", 14),
            Line::Pragma {
                strict: Some(false)
            }
        );
        assert_eq!(
            parse("pragma +unheard-of", 14),
            Line::Pragma { strict: None }
        );
    }

    #[test]
    fn plans_have_a_reason_with_and_without_skip() {
        let reason = |line| match parse(line, 14) {
            Line::Plan(plan) => (plan.count, plan.directive, plan.reason),
            other => panic!("{line} is {other:?}"),
        };
        assert_eq!(
            reason("1..0 # SKIP no disk"),
            (0, Some(Directive::Skip), "no disk".to_owned())
        );
        assert_eq!(
            reason("1..0 # Skipped: no disk"),
            (0, Some(Directive::Skip), "no disk".to_owned())
        );
        assert_eq!(
            reason("1..0 # no \\# disk"),
            (0, None, "no # disk".to_owned())
        );
        assert_eq!(reason("1..7"), (7, None, String::new()));
    }
}
