//! Owns the environment variables of processes: the helper's own, or those of the greeting, with
//! the changes that a start requests. Does not know what a variable means.

use std::borrow::Cow;
use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// The variables that processes start with.
pub(crate) struct Variables {
    /// Entries of the form `NAME=value`.
    all: Vec<CString>,
}

impl Variables {
    /// The variables of this process, without those named in `without`.
    pub(crate) fn inherited(without: &[&str]) -> Variables {
        let all = std::env::vars_os();
        let all = all.map(|(name, value)| (name.into_vec(), value.into_vec()));
        Variables::of(all, without)
    }

    /// The given variables, without those named in `without`.
    pub(crate) fn of(
        all: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>,
        without: &[&str],
    ) -> Variables {
        let all = all.into_iter();
        let all = all.filter(|(name, _)| !without.iter().any(|other| name == other.as_bytes()));
        let all =
            all.filter_map(|(name, value)| CString::new([&*name, b"=", &value].concat()).ok());
        Variables { all: all.collect() }
    }

    /// Sets a variable.
    pub(crate) fn set(&mut self, name: &str, value: &[u8]) {
        self.all
            .retain(|entry| value_of(entry.to_bytes(), name).is_none());
        let entry = CString::new([name.as_bytes(), b"=", value].concat());
        self.all.extend(entry);
    }

    /// Returns the value of a variable.
    pub(crate) fn get(&self, name: &str) -> Option<&OsStr> {
        self.all
            .iter()
            .find_map(|entry| value_of(entry.to_bytes(), name))
            .map(OsStr::from_bytes)
    }

    /// Returns the variables after changes, of which the last one of each name counts. With
    /// `clear`, only PATH and the changes are left.
    pub(crate) fn with(&self, clear: bool, changes: &[(&str, Option<&str>)]) -> Vec<Cow<'_, CStr>> {
        let changed = |entry: &CString| {
            let entry = entry.to_bytes();
            changes
                .iter()
                .any(|(name, _)| value_of(entry, name).is_some())
        };
        let kept = self
            .all
            .iter()
            .filter(|entry| !clear || value_of(entry.to_bytes(), "PATH").is_some())
            .filter(|entry| !changed(entry));
        let mut result: Vec<Cow<'_, CStr>> = Vec::with_capacity(self.all.len() + changes.len());
        result.extend(kept.map(|entry| Cow::Borrowed(entry.as_c_str())));
        for (index, (name, value)) in changes.iter().enumerate() {
            let later = changes.get(index + 1..).unwrap_or_default();
            if let Some(value) = value
                && !later.iter().any(|(other, _)| other == name)
                && let Ok(entry) = CString::new(format!("{name}={value}"))
            {
                result.push(Cow::Owned(entry));
            }
        }
        result
    }
}

fn value_of<'a>(entry: &'a [u8], name: &str) -> Option<&'a [u8]> {
    entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(clear: bool, changes: &[(&str, Option<&str>)]) -> Vec<String> {
        let variables = Variables {
            all: vec![c"A=1".into(), c"PATH=/bin".into(), c"AB=x=y".into()],
        };
        let all = variables.with(clear, changes);
        all.iter()
            .map(|entry| entry.to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn changes_replace_add_and_remove_variables() {
        assert_eq!(with(false, &[]), ["A=1", "PATH=/bin", "AB=x=y"]);
        assert_eq!(
            with(false, &[("A", Some("2")), ("C", Some(""))]),
            ["PATH=/bin", "AB=x=y", "A=2", "C="]
        );
        assert_eq!(
            with(false, &[("AB", None), ("B", None)]),
            ["A=1", "PATH=/bin"]
        );
    }

    #[test]
    fn last_change_of_a_variable_counts() {
        assert_eq!(
            with(
                true,
                &[("A", Some("2")), ("A", None), ("B", None), ("B", Some("3"))]
            ),
            ["PATH=/bin", "B=3"]
        );
    }

    #[test]
    fn path_survives_clearing_unless_it_is_changed() {
        assert_eq!(with(true, &[]), ["PATH=/bin"]);
        assert_eq!(with(true, &[("PATH", Some("/x"))]), ["PATH=/x"]);
        assert!(with(true, &[("PATH", None)]).is_empty());
    }
}
