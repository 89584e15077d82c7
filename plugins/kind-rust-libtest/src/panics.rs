//! Owns the messages of panics in what a test has printed.

use persea_plugin_sdk::Outcome;

/// The longest reason, in bytes.
const LONGEST: usize = 2_000;

/// The longest text of a panic with its backtrace, in bytes.
const LONGEST_TEXT: usize = 16 << 10;

/// The lines that end the message of a panic.
const ENDS: [&str; 2] = ["stack backtrace:", "note: "];

/// A panic.
#[derive(Debug, PartialEq)]
pub(crate) struct Panic {
    /// The message, in one line.
    message: String,
    /// The place in the source: `src/lib.rs:4:5`.
    place: String,
    /// All that was printed about it.
    text: String,
}

impl Panic {
    /// The outcome of a test that ended with this panic.
    pub(crate) fn outcome(&self) -> Outcome {
        Outcome::fail(format!("panicked at {}: {}", self.place, self.message))
            .with("failure-type", "panic")
            .with("traceback", self.text.as_str())
    }
}

/// Returns the panic that ended a test: the last one of the thread that has the test's name, or
/// else the last one.
pub(crate) fn last(stderr: &str, test: Option<&str>) -> Option<Panic> {
    let all: Vec<(&str, Panic)> = panics(stderr);
    let of_test = test.and_then(|test| all.iter().rposition(|(thread, _)| *thread == test));
    let index = of_test.or(all.len().checked_sub(1))?;
    all.into_iter().nth(index).map(|(_, panic)| panic)
}

/// All panics in a text, with the names of their threads.
fn panics(text: &str) -> Vec<(&str, Panic)> {
    let mut found = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some((thread, place)) = head(line) else {
            continue;
        };
        let mut whole = line.to_owned();
        let mut message: Vec<&str> = Vec::new();
        let mut is_message = true;
        while let Some(next) = lines.next_if(|next| head(next).is_none()) {
            is_message &= !ENDS.iter().any(|end| next.starts_with(end));
            if is_message && !next.trim().is_empty() {
                message.push(next.trim());
            }
            whole.push('\n');
            whole.push_str(next);
        }
        let panic = Panic {
            message: cut(message.join("; "), LONGEST),
            place: place.to_owned(),
            text: cut(whole.trim_end().to_owned(), LONGEST_TEXT),
        };
        found.push((thread, panic));
    }
    found
}

/// Reads the first line of a panic: `thread 'a::b' (12) panicked at src/lib.rs:4:5:`.
fn head(line: &str) -> Option<(&str, &str)> {
    let rest = line.strip_prefix("thread '")?;
    let (thread, place) = rest.split_once(" panicked at ")?;
    let (thread, _) = thread.rsplit_once('\'')?;
    Some((thread, place.strip_suffix(':')?))
}

fn cut(mut text: String, longest: usize) -> String {
    if text.len() > longest {
        let end = (0..=longest).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or_default());
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "before\n\
        \nthread 'a::b' (12) panicked at src/lib.rs:4:5:\n\
        assertion `left == right` failed: numbers\n  left: 1\n right: 2\n\
        note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n\
        \nthread '<unnamed>' panicked at src/other.rs:1:1:\nlater\nstack backtrace:\n   0: x\n";

    fn reason(text: &str, test: Option<&str>) -> Option<String> {
        last(text, test).and_then(|panic| panic.outcome().reason)
    }

    #[test]
    fn panic_of_the_tests_own_thread_counts() {
        let own = "panicked at src/lib.rs:4:5: assertion `left == right` failed: numbers; left: 1; \
                   right: 2";
        assert_eq!(reason(TEXT, Some("a::b")).as_deref(), Some(own));
        let other = "panicked at src/other.rs:1:1: later";
        for test in [None, Some("c")] {
            assert_eq!(reason(TEXT, test).as_deref(), Some(other));
        }
        assert_eq!(reason("thread 'x' says\npanicked at\n", None), None);
    }

    #[test]
    fn traceback_has_the_whole_text_of_the_panic() {
        let outcome = last(TEXT, None).map(|panic| panic.outcome());
        let traceback = outcome.and_then(|it| it.more.text("traceback").map(str::to_owned));
        let expected = "thread '<unnamed>' panicked at src/other.rs:1:1:\nlater\n\
                        stack backtrace:\n   0: x";
        assert_eq!(traceback.as_deref(), Some(expected));
    }

    #[test]
    fn long_message_is_cut() {
        let long = format!("thread 'x' panicked at a:1:1:\n{}\n", "é".repeat(LONGEST));
        let reason = reason(&long, None).unwrap_or_default();
        assert!(
            reason.len() < LONGEST + 40 && reason.ends_with('…'),
            "{}",
            reason.len()
        );
    }
}
