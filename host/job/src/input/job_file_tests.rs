#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;
use persea_config::UserDirs;
use proptest::prelude::*;

fn read(text: &str) -> Result<JobFile, JobFileError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("job.toml");
    std::fs::write(&path, text).unwrap();
    let safe = SafeDirectories::new(&Config::default(), &UserDirs::from_env());
    JobFile::read(&path, &safe)
}

/// Names that TOML and job files take as they are.
const NAME: &str = "[a-z][a-z0-9_]{0,5}";

/// Any text as TOML writes it.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// What is wrong with a text, by its line and column.
fn place(text: &str) -> Option<(usize, usize)> {
    match read(text) {
        Err(JobFileError::Syntax(ConfigError::Syntax { line, column, .. })) => Some((line, column)),
        _ => None,
    }
}

#[test]
fn the_books_job_is_one() {
    read(include_str!("../../../../docs/examples/suites/job.toml")).unwrap();
}

#[test]
fn a_mistake_has_its_place_in_characters() {
    let start = "[[suite]]\nname = \"ä\"\n";
    assert_eq!(
        place(&format!("{start}references = [\"ä\", 1]")),
        Some((3, 20))
    );
    // Of a name that is not known the suite is told, with the name in the message.
    assert_eq!(place(&format!("\n{start}reference = []")), Some((2, 1)));
    assert_eq!(place("[[suite]"), Some((1, 9)));
}

/// A line of a job file that fits somewhere, or nearly.
fn line() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        "name|references|setup|exports|needs|resources|timeout|variants(\\.axes)?\\.[ab]|kind|uri|kwargs\\.a|settings\\.a",
        NAME,
    ];
    let value = prop_oneof![
        "\"[a-zä/ ]{0,4}\"",
        "\\[(\"[a-zä]\"(, )?){0,3}\\]",
        "\\{[a-c] = [0-9]\\}",
        "-?[0-9]{1,4}(\\.[0-9])?",
        "\\PC{0,8}",
    ];
    prop_oneof![
        Just("[[suite]]".to_owned()),
        Just("[[suite.task]]".to_owned()),
        Just("[suite.variants]".to_owned()),
        "\\[{1,2}[a-z.]{0,8}\\]{0,2}",
        (key, value).prop_map(|(key, value)| format!("{key} = {value}")),
        "# \\PC{0,6}",
        "\\PC{0,12}",
    ]
}

proptest! {
    #[test]
    fn a_mistake_is_at_a_place_that_is_there(lines in prop::collection::vec(line(), 0..12), end in "\r?\n") {
        let text = lines.join(&end);
        if let Some((line, column)) = place(&text) {
            let found: Vec<&str> = text.split('\n').collect();
            prop_assert!((1..=found.len()).contains(&line), "{line}:{column} of {text:?}");
            let width = found.get(line - 1).map_or(0, |found| found.chars().count());
            prop_assert!((1..=width + 1).contains(&column), "{line}:{column} of {text:?}");
        }
    }

    /// What a job file says of a task is what its runnable has, beside what it has from its suite.
    #[test]
    fn a_task_is_what_the_file_says(
        kind in NAME, uri in any::<String>(), arg in any::<String>(), variable in any::<String>(),
        own in prop::collection::vec(NAME, 0..3), suites in prop::collection::vec(NAME, 1..3),
    ) {
        let list = |names: &[String]| toml::Value::from(names.to_vec()).to_string();
        let text = format!(
            "[[suite]]\nname = \"s\"\nneeds = {}\n[[suite.task]]\nkind = \"{kind}\"\nuri = {}\nargs = [{}]\nneeds = {}\nenv = {{A = {}}}\n",
            list(&suites), quoted(&uri), quoted(&arg), list(&own), quoted(&variable),
        );
        let job = read(&text).unwrap();
        let suite = job.content.suites.first().unwrap();
        let runnable = job.in_suite(suite, suite.tasks.first().unwrap().runnable());
        prop_assert_eq!(runnable.kind, kind);
        prop_assert_eq!(runnable.uri, Some(uri));
        prop_assert_eq!(runnable.args, [arg]);
        prop_assert_eq!(runnable.env, [("A".to_owned(), Some(variable))]);
        prop_assert_eq!(runnable.more.get("needs").unwrap(), &Attribute::from([own, suites].concat()));
        prop_assert_eq!(runnable.more.get("suite").unwrap(), "s");
    }
}
