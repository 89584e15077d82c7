//! Owns the options of a reference: what follows its question mark. Does not know what an option
//! means.

use crate::percent::decode;

/// An option: its name, and the decoded value where there is one.
pub type ReferenceOption<'a> = (&'a str, Option<String>);

/// Divides a reference into what stands before its question mark and its options, which `&`
/// separates. The part before the question mark is decoded too.
///
/// # Errors
/// What is wrong with the text, for people: as [`decode`].
pub fn split(text: &str) -> Result<(String, Vec<ReferenceOption<'_>>), String> {
    let (head, query) = text.split_once('?').unwrap_or((text, ""));
    let options = query.split('&').filter(|option| !option.is_empty());
    let option = |option| match str::split_once(option, '=') {
        Some((name, value)) => Ok((name, Some(decode(value)?))),
        None => Ok((option, None)),
    };
    let options: Result<_, String> = options.map(option).collect();
    Ok((decode(head)?, options?))
}

/// Reads the value of a flag, which may be left out.
///
/// # Errors
/// A message for people where it is neither `true` nor `false`.
pub fn flag(name: &str, value: Option<&str>) -> Result<bool, String> {
    match value {
        None | Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(other) => Err(format!(
            "option `{name}` must be true or false, not {other}"
        )),
    }
}

/// Returns the value of an option that needs one. It may be empty.
///
/// # Errors
/// A message for people where it is missing.
pub fn needed(name: &str, value: Option<String>) -> Result<String, String> {
    value.ok_or_else(|| format!("option `{name}` needs a value: {name}=…"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn reference_is_divided_and_decoded() {
        let (head, options) = split("a%3Fb?x&y=1%26=2&").unwrap();
        assert_eq!(head, "a?b");
        assert_eq!(options, [("x", None), ("y", Some("1&=2".to_owned()))]);
        assert!(split("a?x=%2").unwrap_err().contains("two digits"));
        assert!(split("%ff").unwrap_err().contains("UTF-8"));
    }

    #[test]
    fn value_of_another_form_is_explained() {
        assert_eq!(flag("x", None), Ok(true));
        assert_eq!(flag("x", Some("false")), Ok(false));
        let why = flag("x", Some("1")).unwrap_err();
        assert_eq!(why, "option `x` must be true or false, not 1");
        assert_eq!(needed("x", Some(String::new())), Ok(String::new()));
        let why = needed("x", None).unwrap_err();
        assert_eq!(why, "option `x` needs a value: x=…");
    }
}
