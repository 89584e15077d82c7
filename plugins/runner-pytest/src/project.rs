//! Owns what a project says about pytest: where its configuration lies, how test files are named,
//! and which directories pytest does not search. Reads files, and runs nothing.

use std::cell::RefCell;
use std::collections::HashMap;

use persea_plugin_sdk::workspace::{self, FileKind};

use crate::source::is_named;

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

/// The names of the text files that pytest takes examples of doctest from, where nothing else is
/// configured.
const TEXTS: &str = "test*.txt";

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

/// How tests are named: prefixes, or patterns of the shell.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Naming {
    pub(crate) functions: Vec<String>,
    pub(crate) classes: Vec<String>,
}

impl Default for Naming {
    fn default() -> Self {
        Self {
            functions: vec!["test".to_owned()],
            classes: vec!["Test".to_owned()],
        }
    }
}

impl Naming {
    pub(crate) fn is_function(&self, name: &str) -> bool {
        is_named(name, &self.functions)
    }

    pub(crate) fn is_class(&self, name: &str) -> bool {
        is_named(name, &self.classes)
    }
}

/// What a configuration of pytest sets.
#[derive(Clone, Debug, PartialEq)]
struct Config {
    /// Patterns for the names of test files.
    files: Vec<String>,
    naming: Naming,
    /// Patterns for directories that pytest does not search.
    not_searched: Vec<String>,
    has_doctest_modules: bool,
    /// Patterns for text files with examples of doctest.
    texts: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self::read("")
    }
}

impl Config {
    fn read(text: &str) -> Self {
        let words = |key: &str, default: &[&str]| match words(text, key) {
            none if none.is_empty() => default.iter().map(|&each| each.to_owned()).collect(),
            some => some,
        };
        let plain = || text.lines().filter_map(|line| line.split('#').next());
        let separators = [' ', '\t', ',', '"', '\'', '[', ']'];
        let options = plain().flat_map(|line| line.split(separators));
        let texts: Vec<String> = options
            .filter_map(|option| option.strip_prefix("--doctest-glob="))
            .map(str::to_owned)
            .collect();
        let naming = Naming::default();
        let names = |key: &str, default: Vec<String>| match words(key, &[]) {
            none if none.is_empty() => default,
            some => some,
        };
        Self {
            files: words("python_files", &PYTHON_FILES),
            naming: Naming {
                functions: names("python_functions", naming.functions),
                classes: names("python_classes", naming.classes),
            },
            not_searched: words("norecursedirs", &NOT_SEARCHED),
            has_doctest_modules: plain().any(|line| line.contains("--doctest-modules")),
            texts: match texts.is_empty() {
                true => vec![TEXTS.to_owned()],
                false => texts,
            },
        }
    }
}

/// What a directory says about pytest.
#[derive(Clone, Debug, Default, PartialEq)]
struct Directory {
    config: Option<Config>,
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
    /// Whether pytest takes the examples of doctest in each module for tests.
    pub(crate) has_doctest_modules: bool,
    pub(crate) naming: Naming,
    config: Config,
}

impl Project {
    /// Reads what the directories above a file, or the directory itself, say about pytest.
    pub(crate) fn of(path: &str, is_directory: bool) -> Self {
        let mut project = Self::default();
        let mut is_virtual_environment = false;
        let mut directories = Vec::new();
        let mut directory = match is_directory {
            true => path,
            false => parent(path),
        };
        loop {
            let said = read(directory);
            project.uses_pytest |= said.config.is_some() || said.has_conftest;
            is_virtual_environment |= said.is_virtual_environment;
            if let (None, Some(config)) = (&project.config_directory, said.config) {
                project.config_directory = Some(directory.to_owned());
                project.config = config;
            }
            directories.push(directory);
            if matches!(directory, "" | "." | "/") || directory.ends_with("..") {
                break;
            }
            directory = parent(directory);
        }
        let is_not_searched = |directory: &&str| {
            let name = directory.rsplit('/').next().unwrap_or_default();
            let mut patterns = project.config.not_searched.iter();
            !matches!(name, "" | "." | "..") && patterns.any(|pattern| is_match(pattern, name))
        };
        project.is_searched = !is_virtual_environment && !directories.iter().any(is_not_searched);
        project.has_doctest_modules = project.config.has_doctest_modules;
        project.naming = project.config.naming.clone();
        project
    }

    /// Whether pytest takes a file of this name for a test file.
    pub(crate) fn names(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        let matches = |pattern: &str| match pattern.contains('/') {
            true => is_match(pattern.trim_start_matches("./"), path) || path.ends_with(pattern),
            false => is_match(pattern, name),
        };
        self.config.files.iter().any(|pattern| matches(pattern))
    }

    /// Whether pytest looks for examples of doctest in a text file of this name.
    pub(crate) fn names_text(&self, name: &str) -> bool {
        let mut patterns = self.config.texts.iter();
        patterns.any(|pattern| is_match(pattern, name))
    }
}

fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) => "/",
        Some((parent, _)) => parent,
        None => "",
    }
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
        has_table.then(|| Config::read(&text))
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

/// The words of a setting in an INI or TOML file; empty where it does not set them.
fn words(text: &str, key: &str) -> Vec<String> {
    let mut lines = text.lines();
    let first = lines.find_map(|line| {
        let rest = line.trim_start().strip_prefix(key)?.trim_start();
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
pub(crate) fn is_match(pattern: &str, name: &str) -> bool {
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
            assert_eq!(words(text, "python_files"), expected, "{text}");
        }
    }
}
