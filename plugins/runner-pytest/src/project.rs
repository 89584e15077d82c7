//! Owns what a project says about pytest: where its configuration lies, how test files are named,
//! and which directories pytest does not search. Reads files, and runs nothing.

use std::cell::RefCell;
use std::collections::HashMap;

use persea_plugin_sdk::workspace::{self, FileKind};

/// Limit for a file of configuration, in bytes. A larger one counts as none.
const MAX_CONFIG: u64 = 1 << 20;

/// The files that may hold pytest's configuration, with the table that makes them do so; none where
/// the file alone is enough. In pytest's order.
const CONFIGS: [(&str, Option<&str>); 9] = [
    ("pytest.toml", None),
    (".pytest.toml", None),
    ("pytest.ini", None),
    (".pytest.ini", None),
    ("pyproject.toml", Some("[tool.pytest.ini_options]")),
    ("pyproject.toml", Some("[tool.pytest]")),
    ("tox.ini", Some("[pytest]")),
    ("setup.cfg", Some("[tool:pytest]")),
    ("setup.cfg", Some("[pytest]")),
];

/// The names that pytest gives test files where nothing else is configured.
const PYTHON_FILES: [&str; 2] = ["test_*.py", "*_test.py"];

/// Directories that pytest does not search where nothing else is configured.
const NOT_SEARCHED: [&str; 8] = [
    "*.egg",
    ".*",
    "_darcs",
    "build",
    "CVS",
    "dist",
    "node_modules",
    "venv",
];

thread_local! {
    /// What directories say: one plugin instance resolves many references of the same ones.
    static DIRECTORIES: RefCell<HashMap<String, Directory>> = RefCell::default();
}

/// What a directory says about pytest.
#[derive(Clone, Debug, Default, PartialEq)]
struct Directory {
    /// The patterns `python_files` of the configuration; empty for those of pytest. None without
    /// a configuration.
    config: Option<Vec<String>>,
    has_conftest: bool,
    is_virtual_environment: bool,
}

/// What the directories above a file say about pytest.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Project {
    /// The nearest directory with a configuration; empty for that of the project.
    pub(crate) config_directory: Option<String>,
    /// Whether a configuration or a `conftest.py` shows that the project uses pytest.
    pub(crate) uses_pytest: bool,
    /// Whether pytest would come to the file when it walks through the project.
    pub(crate) is_searched: bool,
    patterns: Vec<String>,
}

impl Project {
    /// Reads what the directories above a file, or the directory itself, say about pytest.
    pub(crate) fn of(path: &str, is_directory: bool) -> Self {
        let mut project = Self {
            is_searched: true,
            ..Self::default()
        };
        let mut directory = match is_directory {
            true => path,
            false => parent(path),
        };
        loop {
            let said = read(directory);
            project.uses_pytest |= said.config.is_some() || said.has_conftest;
            project.is_searched &= !said.is_virtual_environment && !is_not_searched(directory);
            if let (None, Some(patterns)) = (&project.config_directory, said.config) {
                project.config_directory = Some(directory.to_owned());
                project.patterns = patterns;
            }
            if matches!(directory, "" | "." | "/") || directory.ends_with("..") {
                return project;
            }
            directory = parent(directory);
        }
    }

    /// Whether pytest takes a file of this name for a test file.
    pub(crate) fn names(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        let matches = |pattern: &str| match pattern.contains('/') {
            true => is_match(pattern.trim_start_matches("./"), path) || path.ends_with(pattern),
            false => is_match(pattern, name),
        };
        match self.patterns.is_empty() {
            true => PYTHON_FILES.into_iter().any(matches),
            false => self.patterns.iter().any(|pattern| matches(pattern)),
        }
    }
}

fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) => "/",
        Some((parent, _)) => parent,
        None => "",
    }
}

fn is_not_searched(directory: &str) -> bool {
    let name = directory.rsplit('/').next().unwrap_or_default();
    !matches!(name, "" | "." | "..") && NOT_SEARCHED.iter().any(|pattern| is_match(pattern, name))
}

fn read(directory: &str) -> Directory {
    if let Some(known) = DIRECTORIES.with_borrow(|known| known.get(directory).cloned()) {
        return known;
    }
    let within = |name: &str| match directory {
        "" | "." => name.to_owned(),
        "/" => format!("/{name}"),
        directory => format!("{directory}/{name}"),
    };
    let is_file =
        |name: &str| workspace::stat(&within(name)).is_ok_and(|stat| stat.kind == FileKind::File);
    let config = CONFIGS.iter().find_map(|(name, table)| {
        if !is_file(name) {
            return None;
        }
        let bytes = workspace::read_to_end(&within(name), MAX_CONFIG).ok()?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let has_table = table.is_none_or(|table| text.lines().any(|line| line.trim() == table));
        has_table.then(|| python_files(&text))
    });
    let said = Directory {
        config,
        has_conftest: is_file("conftest.py"),
        is_virtual_environment: is_file("pyvenv.cfg"),
    };
    DIRECTORIES.with_borrow_mut(|known| known.insert(directory.to_owned(), said.clone()));
    said
}

/// Forgets what directories say, between unit tests.
#[cfg(test)]
pub(crate) fn forget() {
    DIRECTORIES.take();
}

/// The patterns of `python_files` in an INI or TOML file; empty where it does not set them.
fn python_files(text: &str) -> Vec<String> {
    let mut lines = text.lines();
    let first = lines.find_map(|line| {
        let rest = line.trim_start().strip_prefix("python_files")?.trim_start();
        rest.strip_prefix('=').or_else(|| rest.strip_prefix(':'))
    });
    let Some(first) = first else {
        return Vec::new();
    };
    let mut value = first.to_owned();
    let mut is_open = first.contains('[') && !first.contains(']');
    // In an INI file the lines of a value are indented; in TOML a list goes on to its bracket.
    let is_list = first.contains('[');
    for line in lines {
        let is_indented = line.starts_with([' ', '\t']) && !line.trim().is_empty();
        if !(is_open || (is_indented && !is_list)) {
            break;
        }
        is_open &= !line.contains(']');
        value.push(' ');
        value.push_str(line.split('#').next().unwrap_or_default());
    }
    let separators = [' ', '\t', ',', '"', '\'', '[', ']'];
    let words = value.split(separators).filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

/// Whether a name matches a pattern of the shell with `*` and `?`.
fn is_match(pattern: &str, name: &str) -> bool {
    let (mut pattern, mut name) = (pattern.chars(), name.chars());
    loop {
        match pattern.next() {
            None => return name.next().is_none(),
            Some('*') => {
                let rest = pattern.as_str();
                let mut from = name.as_str();
                loop {
                    if is_match(rest, from) {
                        return true;
                    }
                    let mut chars = from.chars();
                    if chars.next().is_none() {
                        return false;
                    }
                    from = chars.as_str();
                }
            }
            Some('?') if name.next().is_some() => {}
            Some(expected) if name.next() == Some(expected) => {}
            Some(_) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_the_shell() {
        for (pattern, name, expected) in [
            ("test_*.py", "test_a.py", true),
            ("test_*.py", "a_test.py", false),
            ("*_test.py", "a_test.py", true),
            ("*.py", ".py", true),
            ("t?.py", "ta.py", true),
            ("t?.py", "t.py", false),
            ("check_*", "check_\u{e9}.py", true),
            ("**", "", true),
        ] {
            assert_eq!(is_match(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn python_files_are_read_from_ini_and_toml() {
        for (text, expected) in [
            (
                "[pytest]\npython_files = a_*.py b.py\n",
                vec!["a_*.py", "b.py"],
            ),
            (
                "[pytest]\npython_files =\n  a.py\n\tb.py\naddopts = -q\n",
                vec!["a.py", "b.py"],
            ),
            (
                "python_files = [\"a.py\", 'b.py']\n  x = 1\n",
                vec!["a.py", "b.py"],
            ),
            (
                "python_files = [\n  \"a.py\", # one\n  \"b.py\",\n]\nx = 1\n",
                vec!["a.py", "b.py"],
            ),
            ("python_files: a.py", vec!["a.py"]),
            ("[pytest]\naddopts = -q\n", vec![]),
        ] {
            assert_eq!(python_files(text), expected, "{text}");
        }
    }
}
