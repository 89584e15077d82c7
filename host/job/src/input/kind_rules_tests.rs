//! Tests which rule a file has, and what becomes of it.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use persea_config::UserDirs;

fn rules(toml: &str, hint: Option<&str>) -> Result<(tempfile::TempDir, KindRules), String> {
    let start = tempfile::tempdir().unwrap();
    if let Some(hint) = hint {
        std::fs::write(start.path().join(hint::FILE), hint).unwrap();
    }
    let settings: persea_config::Settings = toml::from_str(toml).unwrap();
    let mut config = Config::default();
    config.take(Path::new("persea.toml"), settings);
    config.check().map_err(|error| error.to_string())?;
    let home = start.path().to_path_buf();
    let dirs = UserDirs {
        config: home.clone(),
        data: home.clone(),
        cache: home.clone(),
        state: home.clone(),
        home,
    };
    let safe = SafeDirectories::new(&config, &dirs);
    let rules = KindRules::new(&config, &safe, start.path());
    rules
        .map(|rules| (start, rules))
        .map_err(|error| error.to_string())
}

fn runnable(rules: &KindRules, reference: &str) -> Runnable {
    match rules.answer(reference, |_| true) {
        Some(RuleAnswer::Runnable(runnable)) => *runnable,
        other => panic!("{reference}: {other:?}"),
    }
}

#[test]
fn program_runs_the_files_of_its_globs() {
    let toml = r#"
        [[kind]]
        match = "t/**/*.t"
        exclude = ["t/lib/**"]
        kind = "tap"
        program = ["perl", "-Ilib", "{path}", "-v"]
        env.LANG = "C"
        tags.perl = []
        timeout = "5m"

        [[kind]]
        match = ["*.sh", "*.bash"]
        kind = "exec-test"
        program = ["bash"]
    "#;
    let (_start, rules) = rules(toml, None).unwrap();
    let perl = runnable(&rules, "./t/a/b.t");
    assert_eq!(perl.kind, "tap");
    assert_eq!(perl.uri.as_deref(), Some("perl"));
    assert_eq!(perl.args, ["-Ilib", "./t/a/b.t", "-v"]);
    assert_eq!(perl.identifier.as_deref(), Some("./t/a/b.t"));
    assert_eq!(perl.env, [("LANG".to_owned(), Some("C".to_owned()))]);
    assert_eq!(perl.tags, [("perl".to_owned(), Vec::new())]);
    assert_eq!(
        perl.more.get("timeout").unwrap().as_u64(),
        Some(300_000_000_000)
    );
    // Without `{path}` the file is the last argument.
    assert_eq!(runnable(&rules, "x/y.bash").args, ["x/y.bash"]);
    for other in ["t/lib/a.t", "a.t", "y.py"] {
        assert!(rules.answer(other, |_| true).is_none(), "{other}");
    }
}

#[test]
fn first_rule_that_matches_counts() {
    let toml = r#"
        kind = [
            { match = "a.t", kind = "exec-test", program = ["first"] },
            { match = "*.t", kind = "tap", program = ["second"] },
        ]
    "#;
    let (_start, rules) = rules(toml, None).unwrap();
    assert_eq!(runnable(&rules, "a.t").uri.as_deref(), Some("first"));
    assert_eq!(runnable(&rules, "b.t").uri.as_deref(), Some("second"));
}

#[test]
fn file_without_a_program_goes_to_the_resolvers_of_its_kind() {
    let toml = r#"kind = [{ match = "*.py", kind = "pytest", env.A = "rule", retries = 2 }]"#;
    let (_start, rules) = rules(toml, None).unwrap();
    match rules.answer("a.py", |kind| kind == "pytest") {
        Some(RuleAnswer::Resolve { kind, rule }) => {
            assert_eq!(kind, "pytest");
            let mut found = Runnable {
                env: vec![("A".to_owned(), Some("own".to_owned()))],
                ..Runnable::default()
            };
            rules.add_to(rule, &mut found);
            assert_eq!(found.env, [("A".to_owned(), Some("own".to_owned()))]);
            assert_eq!(found.more.get("retries").unwrap().as_u64(), Some(2));
        }
        other => panic!("{other:?}"),
    }
    // No resolver knows the kind: its runner gets the file.
    let Some(RuleAnswer::Runnable(alone)) = rules.answer("a.py", |_| false) else {
        panic!("the rule matches");
    };
    assert_eq!(alone.uri.as_deref(), Some("a.py"));
    assert_eq!(alone.args, [""; 0]);
}

#[test]
fn kind_that_runs_its_files_itself_takes_no_program() {
    let toml = r#"kind = [{ match = "*.bats", kind = "bats", program = ["bats"] }]"#;
    let (_start, rules) = rules(toml, None).unwrap();
    match rules.answer("a.bats", |_| true) {
        Some(RuleAnswer::NeedlessProgram(kind)) => assert_eq!(kind, "bats"),
        other => panic!("{other:?}"),
    }
    // A kind that only a runner knows may be a program.
    assert_eq!(
        match rules.answer("a.bats", |_| false) {
            Some(RuleAnswer::Runnable(runnable)) => runnable.args,
            other => panic!("{other:?}"),
        },
        ["a.bats"]
    );
}

#[test]
fn file_of_a_rule_with_a_directory_is_absolute() {
    let toml = r#"kind = [{ match = "*.t", kind = "tap", program = ["perl"], cwd = "lib" }]"#;
    let (start, rules) = rules(toml, None).unwrap();
    let path = start.path().join("t/a.t");
    assert_eq!(runnable(&rules, "t/a.t").args, [path.to_str().unwrap()]);
}

#[test]
fn hints_come_after_the_rules_of_the_settings() {
    let hint = "[kinds]\ntap = ./*.t\n[tap]\nuri = $testpath\nkwargs = A=1\n";
    let toml = r#"kind = [{ match = "a.t", kind = "exec-test", program = ["sh"] }]"#;
    let (_start, rules) = rules(toml, Some(hint)).unwrap();
    assert_eq!(runnable(&rules, "a.t").kind, "exec-test");
    let hinted = runnable(&rules, "b.t");
    assert_eq!(
        (hinted.kind.as_str(), hinted.uri.as_deref()),
        ("tap", Some("b.t"))
    );
    assert_eq!(hinted.args, [""; 0]);
    assert_eq!(hinted.kwargs.get("A").unwrap().as_str(), Some("1"));
}

#[test]
fn files_and_directories_are_excluded() {
    let toml = r#"references.exclude = ["build/", "*.so", "./t/slow/"]"#;
    let (_start, rules) = rules(toml, None).unwrap();
    for path in ["build/x", "./a/build/x", "lib/a.so", "t/slow/a.t"] {
        assert!(rules.excludes(path), "{path}");
    }
    for path in ["builder", "t/a.t"] {
        assert!(!rules.excludes(path), "{path}");
    }
}

#[test]
fn wrong_rule_is_named_by_its_number_and_its_file() {
    for (rule, expected) in [
        (r#"{ kind = "tap" }"#, "missing field `match`"),
        (r#"{ match = "*.t" }"#, "missing field `kind`"),
        (
            r#"{ match = "*.t", kind = "" }"#,
            "`kind`: expected the name",
        ),
        (
            r#"{ match = [], kind = "tap" }"#,
            "`match`: expected a glob",
        ),
        (
            r#"{ match = "", kind = "tap" }"#,
            "`match`: expected a glob",
        ),
        (r#"{ match = "[", kind = "tap" }"#, "`match`: the glob `[`"),
        (
            r#"{ match = "a", kind = "tap", exclude = "{" }"#,
            "`exclude`: the glob `{`",
        ),
        (r#"{ match = "a", kind = "tap", progam = ["a"] }"#, "progam"),
        (
            r#"{ match = "a", kind = "tap", retries = "x" }"#,
            "`retries`",
        ),
        (r#"{ match = "a", kind = "tap", cwd = "" }"#, "`cwd`"),
    ] {
        let toml = format!("kind = [{{ match = \"x\", kind = \"tap\" }}, {rule}]");
        let error = rules(&toml, None).map(|_| ()).unwrap_err();
        assert!(error.contains("the 2. `[[kind]]`: "), "{error}");
        assert!(error.contains(expected), "{rule}: {error}");
    }
    let error = rules(r#"kind = ["a"]"#, None).map(|_| ()).unwrap_err();
    assert!(error.contains("expected a list of tables"), "{error}");
    let error = rules(r#"references.exclude = ["["]"#, None)
        .map(|_| ())
        .unwrap_err();
    assert!(error.contains("`references.exclude`"), "{error}");
}
