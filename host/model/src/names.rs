//! Names and texts that come from plugins, tests and checkouts, made into safe names of files, and fit to be shown. Knows nothing of what is
//! in the files, or of where a text is shown.

use std::borrow::Cow;

/// The folder of a job's directory in which each test has its own directory.
pub const TEST_RESULTS: &str = "test-results";

/// The longest name of a file that common file systems take, in bytes.
const NAME_LIMIT: usize = 255;

/// The directory of a task below `test-results/`, made from its id `<uid>-<name>[;<variant>]` as Avocado makes it: characters
/// that file systems or shells treat specially become `_`, and a long name is cut such that the uid and the variant stay.
pub fn task_directory(id: &str) -> String {
    let clean = |text: &str| -> String {
        text.chars()
            .map(|c| match c {
                '<' | '>' | ':' | '"' | '/' | '\\' | '|' | '?' | '*' | ';' => '_',
                c if acts(c) => '_',
                c => c,
            })
            .collect()
    };
    let mut name = clean(id);
    if name.starts_with('.') {
        name.replace_range(..1, "_");
    }
    if name.len() <= NAME_LIMIT {
        return name;
    }
    let uid = id.split_once('-').map_or("", |(uid, _)| uid);
    let variant = id
        .rsplit_once(';')
        .map(|(_, variant)| clean(variant))
        .unwrap_or_default();
    let tail = cut(&variant, NAME_LIMIT - (uid.len() + 2).min(NAME_LIMIT));
    let tail = if tail.is_empty() {
        String::new()
    } else {
        format!("_{tail}")
    };
    format!("{}{tail}", cut(&name, NAME_LIMIT - tail.len()))
}

/// Marks that turn the direction of text around or end its line, so that a name is not what it looks like.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{206f}')
}

/// What is not to be seen, but does something where it's shown.
fn acts(c: char) -> bool {
    c.is_control() || is_mark(c)
}

/// The beginning of a text, at most `limit` bytes, never through a character.
pub fn cut(text: &str, limit: usize) -> &str {
    if text.len() <= limit {
        return text;
    }
    text.get(..text.floor_char_boundary(limit))
        .unwrap_or_default()
}

/// A text of somebody else's that people are to read, with no more than `limit` bytes of it.
pub fn shortened(text: String, limit: usize) -> String {
    let kept = cut(&text, limit);
    match text.len() - kept.len() {
        0 => text,
        more => format!("{kept}… ({more} more bytes)"),
    }
}

/// Whether a plugin may use this as the name of a file in a task's directory: one path component, nothing hidden, no
/// character that is not to be seen.
pub fn is_artifact_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= NAME_LIMIT
        && !name.starts_with('.')
        && !name.chars().any(|c| c == '/' || acts(c))
}

/// Somebody's text made fit for a terminal, as one line: what would move the cursor, change colours or turn the writing around is shown as an
/// escape (`\x1b`), a new line as `\n`.
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |c, out| match c {
        '\n' => out.push_str("\\n"),
        '\t' => out.push(' '),
        c => escape(c, out),
    })
}

/// The same for a text of several lines, which they stay.
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c, out| match c {
        '\n' => out.push('\n'),
        '\t' => out.push(' '),
        c => escape(c, out),
    })
}

/// The same for JSON on one line, which means what it meant: such characters can only be in its strings.
pub fn printable_json(json: &str) -> Cow<'_, str> {
    escaped(json, |c, out| {
        // They all have four digits.
        out.push_str(&format!("\\u{:04x}", u32::from(c)));
    })
}

fn escape(c: char, out: &mut String) {
    match u8::try_from(c) {
        Ok(byte) => out.push_str(&format!("\\x{byte:02x}")),
        Err(_) => out.extend(c.escape_unicode()),
    }
}

/// A text in which other characters stay, and `with` writes what is in place of those that act.
fn escaped(text: &str, with: impl Fn(char, &mut String)) -> Cow<'_, str> {
    if !text.chars().any(acts) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match acts(c) {
            true => with(c, &mut out),
            false => out.push(c),
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_named_as_by_avocado() {
        assert_eq!(task_directory("01-/bin/true"), "01-_bin_true");
        assert_eq!(
            task_directory("08-test_unit.py:T.test_ok"),
            "08-test_unit.py_T.test_ok"
        );
        assert_eq!(
            task_directory("1-mixed/env.sh;run-mem-small-cf2f"),
            "1-mixed_env.sh_run-mem-small-cf2f"
        );
    }

    #[test]
    fn a_long_name_keeps_its_uid_and_variant() {
        let id = format!("123-{};v-1", "ü".repeat(400));
        let directory = task_directory(&id);
        assert!(directory.len() <= NAME_LIMIT, "{}", directory.len());
        assert!(directory.starts_with("123-ü"), "{directory}");
        assert!(directory.ends_with("_v-1"), "{directory}");
    }

    #[test]
    fn a_name_never_leaves_its_directory() {
        for id in [
            "../../etc/passwd",
            "1-../../x",
            "a\0b",
            "..",
            "1-\u{202e}gpj.exe",
        ] {
            let directory = task_directory(id);
            assert!(
                !directory.contains(['/', '\0', '\u{202e}']) && directory != "..",
                "{directory:?}"
            );
        }
    }

    #[test]
    fn artifacts_have_plain_names() {
        assert!(is_artifact_name("stdout"));
        assert!(is_artifact_name("crash report.txt"));
        for name in ["", ".", "..", ".hidden", "a/b", "a\nb", "a\0", "\u{1b}[1m"] {
            assert!(!is_artifact_name(name), "{name:?}");
        }
        assert!(!is_artifact_name(&"x".repeat(256)));
    }

    #[test]
    fn nothing_that_moves_the_cursor_is_printable() {
        assert_eq!(printable("plain: ü"), "plain: ü");
        assert_eq!(printable("a\u{1b}[2Jb\nc"), "a\\x1b[2Jb\\nc");
        assert_eq!(printable("\u{9b}x"), "\\x9bx");
        let marks = "a\u{61c}b\u{2028}c\u{202e}d\u{2069}";
        let shown = "a\\u{61c}b\\u{2028}c\\u{202e}d\\u{2069}";
        assert_eq!(printable(marks), shown);
        assert_eq!(printable_lines("a\nb\r\n\u{202e}"), "a\nb\\x0d\n\\u{202e}");
    }

    #[test]
    fn json_means_the_same_without_them() {
        let text = "\0\n\u{1b}\u{7f}\u{9b}\u{202e}\u{2028}\u{61c}ü\"";
        let json = serde_json::json!({ text: [text] });
        let printed = printable_json(&json.to_string()).into_owned();
        assert!(!printed.chars().any(acts), "{printed:?}");
        let again: serde_json::Value = serde_json::from_str(&printed).unwrap_or_default();
        assert_eq!(again, json);
    }
}
