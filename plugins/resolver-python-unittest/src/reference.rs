//! What a user may type for Python tests: `dir/f.py`, and `dir/f.py:REGEX` for some of them. Looks at no file.

/// Splits a reference into the Python file and the filter behind it, or says why it names no Python file.
///
/// The file's name wins over the filter: whether `a.py:b.py` is one file or a filter is for the caller to try, in the
/// order of the answers.
pub(crate) fn readings(reference: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let whole = reference.ends_with(".py").then_some((reference, None));
    let split = reference.find(".py:").and_then(|at| {
        let (file, filter) = reference.split_at_checked(at + ".py".len())?;
        Some((file, filter.strip_prefix(':')))
    });
    whole.into_iter().chain(split)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(reference: &str) -> Vec<(&str, Option<&str>)> {
        readings(reference).collect()
    }

    #[test]
    fn a_reference_is_a_file_or_a_file_with_a_filter() {
        assert_eq!(all("dir/f.py"), [("dir/f.py", None)]);
        assert_eq!(all("/abs/f.py:T.test_a"), [("/abs/f.py", Some("T.test_a"))]);
        assert_eq!(all("f.py:(?:A|B).test"), [("f.py", Some("(?:A|B).test"))]);
        assert_eq!(all("f.py:"), [("f.py", Some(""))]);
        assert_eq!(
            all("a.py:b.py"),
            [("a.py:b.py", None), ("a.py", Some("b.py"))]
        );
        assert_eq!(all("run.sh"), []);
        assert_eq!(all("https://x/y:z"), []);
        assert_eq!(all("f.pyc"), []);
    }
}
