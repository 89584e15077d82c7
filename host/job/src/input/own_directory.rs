//! Owns the directory in which a single task runs: `cwd` of a runnable. Does not know whether a
//! recipe, a job file or a resolver has set it, nor where the environment has the project.

use std::path::{Path, PathBuf};

use persea_model::{Attribute, Attributes};

/// The key of a runnable's directory.
pub(crate) const CWD: &str = "cwd";

/// The directory that a runnable with this `more` sets for its processes, on this machine; none for
/// that of the project. [`check`] has accepted it.
pub(crate) fn of(more: &Attributes, project: &Path) -> Option<String> {
    let own = more.get(CWD)?.as_str()?;
    // Without its `.`, which would show in the variables of the test.
    let path: PathBuf = project.join(own).components().collect();
    Some(path.to_string_lossy().into_owned())
}

/// Checks a runnable's `cwd`.
///
/// # Errors
/// The value is not the path of a directory.
pub(crate) fn check(more: &Attributes) -> Result<(), String> {
    match more.get(CWD) {
        None | Some(Attribute::Null) => Ok(()),
        Some(own) => match own.as_str() {
            Some(path) if !path.is_empty() && !path.contains('\0') => Ok(()),
            _ => Err(format!(
                "`{CWD}`: expected the path of a directory, found `{own}`"
            )),
        },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn more(cwd: &str) -> Attributes {
        serde_json::from_str(&format!(r#"{{"cwd": {cwd}}}"#)).unwrap()
    }

    #[test]
    fn path_is_relative_to_the_project() {
        let project = Path::new("/p");
        let of = |cwd: &str| of(&more(cwd), project);
        assert_eq!(of("\"a/./b\""), Some("/p/a/b".to_owned()));
        assert_eq!(of("\".\""), Some("/p".to_owned()));
        assert_eq!(of("\"/x\""), Some("/x".to_owned()));
        assert_eq!(of("null"), None);
    }

    #[test]
    fn value_that_is_no_path_is_refused() {
        check(&more("\"a\"")).unwrap();
        check(&more("null")).unwrap();
        for cwd in ["\"\"", "3", "[\"a\"]", "\"a\\u0000b\""] {
            let error = check(&more(cwd)).unwrap_err();
            assert!(error.starts_with("`cwd`: expected the path"), "{error}");
        }
    }
}
