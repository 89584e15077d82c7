//! Owns the form of a uri of kind python-unittest: `dir/file.py:Class.method`.
//!
//! Does not know about the file system.

/// The Python file of a uri that names a test method, otherwise none. The file may lack its `.py`,
/// as in Avocado.
pub(crate) fn file(uri: &str) -> Option<&str> {
    let (file, name) = uri.rsplit_once(':')?;
    let (class, method) = name.rsplit_once('.')?;
    let names_a_test =
        !file.is_empty() && !class.is_empty() && !method.is_empty() && !name.contains('/');
    names_a_test.then_some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uri_is_file_class_and_method() {
        assert_eq!(file("dir/t.py:T.test_a"), Some("dir/t.py"));
        assert_eq!(file("/a:b/t.py:Out.In.test"), Some("/a:b/t.py"));
        assert_eq!(file("t:T.test"), Some("t"));
        for wrong in [
            "t.py", "t.py:T", "t.py:.a", "t.py:T.", ":T.a", "", "a:b/t.py",
        ] {
            assert_eq!(file(wrong), None, "{wrong}");
        }
    }
}
