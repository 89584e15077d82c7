//! Owns which of the host's environment variables a plugin and its processes see.

use crate::instance::grants::{Grant, Grants};

/// The grant of variables of the host's environment.
pub(crate) static VARIABLES: Grant = Grant {
    name: "environment",
    parameter: "VARIABLE",
    default: None,
    built_in: Some("*"),
    check: |name| match name.contains('=') || name.contains('*') && name != "*" {
        true => Err("that is no variable's name, and `*` alone is any".to_owned()),
        false => Ok(()),
    },
    provenance: &[],
    propose: None,
    summary: "variables of the host that the plugin sees through WASI, and its processes see; `*` \
              for all",
};

/// Variables that every process sees, whoever starts it, because few programs work without them.
const BASIC: [&str; 11] = [
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TERM", "TMPDIR", "PWD",
];

/// The beginnings of the names of more such variables.
const BASIC_PREFIXES: [&str; 3] = ["LC_", "PERSEA_", "AVOCADO_"];

/// Returns the host's variables that a plugin sees, with their values.
pub(crate) fn granted_variables(grants: &Grants) -> impl Iterator<Item = (String, String)> {
    let all = std::env::vars_os();
    let all =
        all.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    all.filter(|(name, _)| grants.allows(&VARIABLES, name))
}

/// Returns the names of the host's variables that the processes of a plugin do not see.
pub(crate) fn hidden_variables(grants: &Grants) -> Vec<String> {
    if grants.allows(&VARIABLES, "*") {
        return Vec::new();
    }
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let is_basic = |name: &String| {
        let mut prefixes = BASIC_PREFIXES.iter();
        BASIC.contains(&name.as_str()) || prefixes.any(|prefix| name.starts_with(prefix))
    };
    names
        .filter(|name| !is_basic(name) && !grants.allows(&VARIABLES, name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_see_basic_and_granted_variables_only() {
        // Cargo has set some variables for the test.
        let is_hidden = |granted: &[&str], name: &str| {
            let values = granted.iter().map(|&name| name.to_owned()).collect();
            let grants = Grants(vec![(&VARIABLES, values)]);
            hidden_variables(&grants)
                .iter()
                .any(|hidden| hidden == name)
        };
        assert!(is_hidden(&[], "CARGO_PKG_NAME"));
        assert!(!is_hidden(&["CARGO_PKG_NAME"], "CARGO_PKG_NAME"));
        assert!(is_hidden(&["CARGO_PKG_NAME"], "CARGO_PKG_VERSION"));
        assert!(!is_hidden(&["*"], "CARGO_PKG_VERSION"));
        assert!(!is_hidden(&[], "PATH"));
    }
}
