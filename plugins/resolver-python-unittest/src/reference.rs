//! Owns the form of a reference: `dir/f.py`, or `dir/f.py:REGEX` for some of its tests.
//!
//! Does not know about the file system.

/// The possible readings of a reference as a Python file and a filter, the preferred one first.
/// Empty for a reference that cannot name a Python file.
///
/// `a.py:b.py` has two readings: one file name, or a file and a filter. The caller tries them in
/// order.
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
    fn reference_is_a_file_or_a_file_with_a_filter() {
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
