//! Names that come from plugins and tests, made into safe names of files. Knows nothing of what is in the files.

/// The longest name of a file that common file systems take, in bytes.
const NAME_LIMIT: usize = 255;

/// The directory of a task below `test-results/`, made from its id `<uid>-<name>[;<variant>]` as Avocado makes it: characters
/// that file systems or shells treat specially become `_`, and a long name is cut such that the uid and the variant stay.
pub fn task_directory(id: &str) -> String {
    let clean = |text: &str| -> String {
        text.chars()
            .map(|c| match c {
                '<' | '>' | ':' | '"' | '/' | '\\' | '|' | '?' | '*' | ';' => '_',
                c if c.is_control() || is_direction_mark(c) => '_',
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

/// Marks that turn the direction of text around, so that a name is not what it looks like.
fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
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
        && !name
            .chars()
            .any(|c| c == '/' || c.is_control() || is_direction_mark(c))
}

/// Text from a test or a plugin made fit for a terminal: what would move the cursor, change colours or turn the writing
/// around is shown as an escape (`\x1b`), a new line as `\n`.
pub fn printable(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.chars().any(|c| c.is_control() || is_direction_mark(c)) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push(' '),
            c if (c as u32) < 0x100 && c.is_control() => {
                out.push_str(&format!("\\x{:02x}", c as u32))
            }
            c if c.is_control() || is_direction_mark(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
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
    }
}
