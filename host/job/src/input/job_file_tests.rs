#![allow(clippy::unwrap_used, clippy::panic)]
use std::collections::BTreeMap;

use super::format::*;
use super::*;
use crate::input::conditions::*;
use crate::input::kind_rules::written::{OneOrMore, WrittenRule};
use persea_config::{Settings, UserDirs};
use persea_model::{Attribute, Attributes, SpawnerKind};
use proptest::prelude::*;

fn read(text: &str) -> Result<JobFile, JobFileError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("job.toml");
    std::fs::write(&path, text).unwrap();
    let safe = SafeDirectories::new(&Config::default(), &UserDirs::from_env());
    JobFile::read(&path, &safe)
}

/// Names that TOML and job files accept unquoted.
const NAME: &str = "[a-z][a-z0-9_]{0,5}";

/// A text as TOML writes it.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// The line and column of a text's mistake.
fn place(text: &str) -> Option<(usize, usize)> {
    match read(text) {
        Err(JobFileError::Syntax(ConfigError::Syntax { line, column, .. })) => Some((line, column)),
        _ => None,
    }
}

#[test]
fn example_of_the_book_is_a_valid_job_file() {
    read(include_str!("../../../../docs/examples/suites/job.toml")).unwrap();
}

/// The members of an object, which have to be those of its schema.
fn assert_members(of: &impl serde::Serialize, schema: &serde_json::Value, more: &[&str]) {
    let own = serde_json::to_value(of).unwrap();
    let own = own.as_object().unwrap().keys().map(String::as_str);
    let own: BTreeSet<&str> = own.chain(more.iter().copied()).collect();
    let properties = schema.get("properties").unwrap().as_object().unwrap();
    let described: BTreeSet<&str> = properties.keys().map(String::as_str).collect();
    assert_eq!(own, described);
}

#[test]
fn schema_has_the_members_that_the_file_may_have() {
    let schema = crate::input::schema::job_file_schema();
    let definition = |name: &str| schema.pointer(&format!("/$defs/{name}")).unwrap();
    let conditions = TaskConditions {
        needs: Vec::new(),
        after: Vec::new(),
        mutexes: Vec::new(),
        resources: BTreeMap::new(),
        timeout: None,
        retries: None,
        cwd: None,
        spawner: Some(SpawnerKind::Sandbox),
        image: None,
        limits: Attributes::new(),
    };
    let rule = WrittenRule {
        files: OneOrMore::default(),
        exclude: OneOrMore::default(),
        kind: String::new(),
        program: Vec::new(),
        is_exact: false,
        kwargs: Attributes::new(),
        env: BTreeMap::new(),
        tags: BTreeMap::new(),
        conditions: conditions.clone(),
    };
    assert_members(&rule, definition("kind"), &[]);
    let requirement = JobFileRequirement {
        kind: String::new(),
        uri: None,
        args: Vec::new(),
        kwargs: Attributes::new(),
    };
    assert_members(&requirement, definition("requirement"), &[]);
    let task = JobFileTask {
        kind: String::new(),
        uri: None,
        args: Vec::new(),
        kwargs: Attributes::new(),
        identifier: None,
        env: BTreeMap::new(),
        tags: BTreeMap::new(),
        config: Attributes::new(),
        requirements: Vec::new(),
        conditions: conditions.clone(),
    };
    assert_members(&task, definition("task"), &[]);
    let suite = JobFileSuite {
        name: String::new(),
        references: Vec::new(),
        tasks: Vec::new(),
        requirements: Vec::new(),
        setup: None,
        teardown: None,
        exports: Vec::new(),
        variants: None,
        conditions,
    };
    assert_members(&suite, definition("suite"), &["variants"]);
    let content = JobFileContent {
        settings: Settings::new(),
        kinds: Vec::new(),
        spawner: None,
        image: None,
        requirements: Vec::new(),
        suites: Vec::new(),
    };
    assert_members(&content, &schema, &[]);
}

#[test]
fn mistake_is_located_by_line_and_character() {
    let start = "[[suite]]\nname = \"ä\"\n";
    assert_eq!(
        place(&format!("{start}references = [\"ä\", 1]")),
        Some((3, 20))
    );
    // For an unknown key the place is the suite's; the message has the key.
    assert_eq!(place(&format!("\n{start}reference = []")), Some((2, 1)));
    assert_eq!(place("[[suite]"), Some((1, 9)));
}

/// A valid or nearly valid line of a job file.
fn line() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        "name|references|setup|exports|needs|resources|timeout|variants(\\.axes)?\\.[ab]|kind|uri|\
         kwargs\\.a|settings\\.a",
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
    fn location_of_a_mistake_is_inside_the_file(
        lines in prop::collection::vec(line(), 0..12), end in "\r?\n",
    ) {
        let text = lines.join(&end);
        if let Some((line, column)) = place(&text) {
            let found: Vec<&str> = text.split('\n').collect();
            prop_assert!((1..=found.len()).contains(&line), "{line}:{column} of {text:?}");
            let width = found.get(line - 1).map_or(0, |found| found.chars().count());
            prop_assert!((1..=width + 1).contains(&column), "{line}:{column} of {text:?}");
        }
    }

    /// A task's runnable has exactly what the job file says of the task and its suite.
    #[test]
    fn runnable_of_a_task_has_what_the_file_says(
        kind in NAME, uri in any::<String>(), arg in any::<String>(), variable in any::<String>(),
        own in prop::collection::vec(NAME, 0..3), suites in prop::collection::vec(NAME, 1..3),
    ) {
        let list = |names: &[String]| toml::Value::from(names.to_vec()).to_string();
        let text = format!(
            "[[suite]]\nname = \"s\"\nneeds = {}\n[[suite.task]]\nkind = \"{kind}\"\nuri = {}\n\
             args = [{}]\nneeds = {}\nenv = {{A = {}}}\n",
            list(&suites), quoted(&uri), quoted(&arg), list(&own), quoted(&variable),
        );
        let job = read(&text).unwrap();
        let suite = job.content.suites.first().unwrap();
        let runnable = job.in_suite(suite, suite.tasks.first().unwrap().runnable());
        prop_assert_eq!(runnable.kind, kind);
        prop_assert_eq!(runnable.uri, Some(uri));
        prop_assert_eq!(runnable.args, [arg]);
        prop_assert_eq!(runnable.env, [("A".to_owned(), Some(variable))]);
        let needs = Attribute::from([own, suites].concat());
        prop_assert_eq!(runnable.more.get("needs").unwrap(), &needs);
        prop_assert_eq!(runnable.more.get("suite").unwrap(), "s");
    }
}
