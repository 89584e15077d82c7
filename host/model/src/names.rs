//! Owns how names and texts of plugins, tests and checkouts become safe file names and safe output
//! for a terminal.
//!
//! Does not know about what the files hold, or where a text is shown.

use std::borrow::Cow;

/// The folder of a job's directory in which each test has its own directory.
pub const TEST_RESULTS: &str = "test-results";

/// The longest file name that common file systems allow, in bytes.
pub const NAME_LIMIT: usize = 255;

/// The name of a task's directory below `test-results/`, made from the id
/// `<uid>-<name>[;<variant>]` as Avocado makes it: characters that are special to file systems or
/// shells become `_`, and a name over 255 bytes is cut in the middle, so that the uid and the
/// variant stay.
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

/// Whether a character changes the direction of text or ends a line, so that a name looks like
/// another one.
fn is_mark(c: char) -> bool {
    matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{206f}'
    )
}

/// Whether a character is invisible but acts on a terminal.
fn acts(c: char) -> bool {
    c.is_control() || is_mark(c)
}

/// The beginning of a text: at most `limit` bytes, cut between characters.
pub fn cut(text: &str, limit: usize) -> &str {
    if text.len() <= limit {
        return text;
    }
    text.get(..text.floor_char_boundary(limit))
        .unwrap_or_default()
}

/// A foreign text for people, cut to `limit` bytes.
pub fn shortened(text: String, limit: usize) -> String {
    let kept = cut(&text, limit);
    match text.len() - kept.len() {
        0 => text,
        more => format!("{kept}… ({more} more bytes)"),
    }
}

/// Whether a plugin may give a file in a task's directory this name: one path component, not
/// hidden, without invisible characters.
pub fn is_artifact_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= NAME_LIMIT
        && !name.starts_with('.')
        && !name.chars().any(|c| c == '/' || acts(c))
}

/// A foreign text as one safe line for a terminal: a character that would move the cursor, change
/// colours or the direction of text becomes an escape (`\x1b`), a newline becomes `\n`.
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |c, out| match c {
        '\n' => out.push_str("\\n"),
        '\t' => out.push(' '),
        c => escape(c, out),
    })
}

/// Like [`printable`], for a text of several lines: newlines stay.
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c, out| match c {
        '\n' => out.push('\n'),
        '\t' => out.push(' '),
        c => escape(c, out),
    })
}

/// Like [`printable`], for JSON on one line: its meaning stays, because such characters can only be
/// in strings.
pub fn printable_json(json: &str) -> Cow<'_, str> {
    escaped(json, |c, out| {
        // All of these characters have four hexadecimal digits.
        out.push_str(&format!("\\u{:04x}", u32::from(c)));
    })
}

fn escape(c: char, out: &mut String) {
    match u8::try_from(c) {
        Ok(byte) => out.push_str(&format!("\\x{byte:02x}")),
        Err(_) => out.extend(c.escape_unicode()),
    }
}

/// Replaces the characters that act on a terminal by what `with` writes.
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
    fn long_name_keeps_its_uid_and_variant() {
        let id = format!("123-{};v-1", "ü".repeat(400));
        let directory = task_directory(&id);
        assert!(directory.len() <= NAME_LIMIT, "{}", directory.len());
        assert!(directory.starts_with("123-ü"), "{directory}");
        assert!(directory.ends_with("_v-1"), "{directory}");
    }

    #[test]
    fn directory_name_is_one_path_component() {
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
    fn artifact_name_is_plain() {
        assert!(is_artifact_name("stdout"));
        assert!(is_artifact_name("crash report.txt"));
        for name in ["", ".", "..", ".hidden", "a/b", "a\nb", "a\0", "\u{1b}[1m"] {
            assert!(!is_artifact_name(name), "{name:?}");
        }
        assert!(!is_artifact_name(&"x".repeat(256)));
    }

    #[test]
    fn printable_text_moves_no_cursor() {
        assert_eq!(printable("plain: ü"), "plain: ü");
        assert_eq!(printable("a\u{1b}[2Jb\nc"), "a\\x1b[2Jb\\nc");
        assert_eq!(printable("\u{9b}x"), "\\x9bx");
        let marks = "a\u{61c}b\u{2028}c\u{202e}d\u{2069}";
        let shown = "a\\u{61c}b\\u{2028}c\\u{202e}d\\u{2069}";
        assert_eq!(printable(marks), shown);
        assert_eq!(printable_lines("a\nb\r\n\u{202e}"), "a\nb\\x0d\n\\u{202e}");
    }

    #[test]
    fn printable_json_keeps_its_meaning() {
        let text = "\0\n\u{1b}\u{7f}\u{9b}\u{202e}\u{2028}\u{61c}ü\"";
        let json = serde_json::json!({ text: [text] });
        let printed = printable_json(&json.to_string()).into_owned();
        assert!(!printed.chars().any(acts), "{printed:?}");
        let again: serde_json::Value = serde_json::from_str(&printed).unwrap_or_default();
        assert_eq!(again, json);
    }
}
