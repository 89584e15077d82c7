//! Owns the summary of a failed build: the errors of cargo and the compiler in one line.

/// The most errors that a summary has.
const MOST: usize = 3;

/// The longest summary of one error, in bytes.
const LONGEST: usize = 500;

/// Returns the first errors in what cargo has printed; none where it has none.
pub(crate) fn summary(text: &str) -> Option<String> {
    let mut errors: Vec<String> = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if !is_error(line) {
            continue;
        }
        let mut error = line.trim_end().to_owned();
        let is_compilers = lines
            .peek()
            .is_some_and(|next| next.trim_start().starts_with("--> "));
        if is_compilers {
            let place = lines.next().unwrap_or_default().trim_start();
            let place = place.trim_start_matches("--> ").to_owned();
            let is_of_it = |next: &&str| !next.trim().is_empty() && !is_error(next);
            let mut shown = std::iter::from_fn(|| lines.next_if(is_of_it));
            if let Some(label) = shown.find_map(label) {
                error = format!("{error}: {label}");
            }
            error = format!("{error} ({place})");
        } else {
            // An error of cargo has its causes below it.
            while let Some(next) = lines.next_if(|next| !is_error(next)) {
                let next = next.trim();
                if !next.is_empty() && !is_progress(next) {
                    error.push_str(if error.ends_with(':') { " " } else { "; " });
                    error.push_str(next);
                }
            }
        }
        errors.push(cut(error));
    }
    // Cargo's own last words say nothing that the compiler has not said.
    if errors.iter().any(|error| !is_conclusion(error)) {
        errors.retain(|error| !is_conclusion(error));
    }
    let surplus = errors.len().saturating_sub(MOST);
    errors.truncate(MOST);
    if surplus > 0 {
        errors.push(format!("{surplus} more"));
    }
    (!errors.is_empty()).then(|| errors.join("; "))
}

fn is_error(line: &str) -> bool {
    line.starts_with("error: ") || line.starts_with("error[")
}

/// What the compiler writes below the code that is wrong: `|   ^^^ expected `u32`, found `&str``.
fn label(line: &str) -> Option<&str> {
    let (margin, _) = line.split_once('^')?;
    let is_mark = margin.chars().all(|char| " |-".contains(char));
    let (_, label) = line.rsplit_once('^')?;
    Some(label.trim()).filter(|label| is_mark && !label.is_empty())
}

/// Whether a line shows the progress of cargo, such as `   Compiling a v0.1.0`.
fn is_progress(line: &str) -> bool {
    let word = line.split(' ').next().unwrap_or_default();
    matches!(
        word,
        "Compiling" | "Checking" | "Finished" | "Blocking" | "warning:"
    )
}

fn is_conclusion(error: &str) -> bool {
    error.starts_with("error: could not compile") || error.starts_with("error: aborting due to")
}

fn cut(mut text: String) -> String {
    if text.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or_default());
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compilers_errors_have_their_places() {
        let text = "   Compiling a v0.1.0 (/w/a)\n\
                    warning: unused variable: `x`\n --> src/lib.rs:1:1\n\n\
                    error[E0425]: cannot find value `y` in this scope\n --> src/lib.rs:3:5\n  |\n\
                    3 |     y\n  |     ^ not found in this scope\n\n\
                    error: expected `;`\n   --> a/src/b.rs:7:1\n\n\
                    error: could not compile `a` (lib test) due to 2 previous errors\n\
                    warning: build failed, waiting for other jobs to finish...\n";
        let expected = "error[E0425]: cannot find value `y` in this scope: not found in this scope \
                        (src/lib.rs:3:5); \
                        error: expected `;` (a/src/b.rs:7:1)";
        assert_eq!(summary(text).as_deref(), Some(expected));
    }

    #[test]
    fn errors_of_cargo_have_their_causes() {
        let text = "error: failed to parse manifest at `/w/Cargo.toml`\n\nCaused by:\n  \
                    no targets specified in the manifest\n";
        let expected = "error: failed to parse manifest at `/w/Cargo.toml`; Caused by: \
                        no targets specified in the manifest";
        assert_eq!(summary(text).as_deref(), Some(expected));
        assert_eq!(summary("   Compiling a\nwarning: x\n"), None);
    }

    #[test]
    fn conclusion_alone_is_kept_and_many_errors_are_counted() {
        let alone = "error: could not compile `a` (lib)\n";
        assert_eq!(summary(alone).as_deref(), Some(alone.trim_end()));
        let many = "error: x\n --> a:1:1\n".repeat(5);
        let found = summary(&many).unwrap_or_default();
        assert!(found.ends_with("error: x (a:1:1); 2 more"), "{found}");
        let long = summary(&format!("error: {}", "é".repeat(LONGEST))).unwrap_or_default();
        assert!(long.len() <= LONGEST + 4 && long.ends_with('…'), "{long}");
    }
}
