//! Settings: where they come from, which one counts, and how they are shown.

use serde_json::Value;

use crate::support::{Sandbox, finish};

#[test]
fn settings_come_in_layers_and_say_where_from() {
    let sandbox = Sandbox::new();
    let value = |more: &[&str], variable: Option<&str>| -> (Value, String) {
        let mut args = vec!["config", "--json"];
        args.extend(more);
        let mut command = sandbox.persea(&args);
        if let Some(value) = variable {
            command.env("PERSEA_RUN__MAX_PARALLEL_TASKS", value);
        }
        let ran = finish(command.spawn().unwrap()).code(0);
        let mut lines = ran
            .stdout
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let row = lines
            .find(|row| row["name"] == "run.max_parallel_tasks")
            .unwrap();
        (
            row["value"].clone(),
            row["origin"].as_str().unwrap().to_owned(),
        )
    };
    assert_eq!(value(&[], None), (0.into(), "the defaults".into()));
    let user = sandbox.file(
        "../home/.config/persea/config.toml",
        "run.max_parallel_tasks = 2\n",
    );
    assert_eq!(
        value(&[], None),
        (2.into(), user.canonicalize().unwrap().display().to_string())
    );
    sandbox.file("persea.toml", "[run]\nmax_parallel_tasks = 3\n");
    assert_eq!(value(&[], None), (3.into(), "persea.toml".into()));
    assert_eq!(
        value(&[], Some("4")),
        (4.into(), "$PERSEA_RUN__MAX_PARALLEL_TASKS".into())
    );
    sandbox.file("five.toml", "run.max_parallel_tasks = 5\n");
    assert_eq!(
        value(&["--config", "five.toml"], Some("4")),
        (5.into(), "five.toml".into())
    );
    let set = ["--config", "five.toml", "--set", "run.max_parallel_tasks=6"];
    assert_eq!(
        value(&set, Some("4")),
        (6.into(), "the command line".into())
    );

    // For people: each setting in a line, with what it does.
    let ran = sandbox.run(&["config"]).code(0);
    let line = ran
        .stdout
        .lines()
        .find(|line| line.starts_with("run.max_parallel_tasks "))
        .unwrap();
    assert_eq!(
        line,
        "run.max_parallel_tasks = 3  # from persea.toml: how many tasks run at once; 0 is the number of processors"
    );
    // And it is the one that a job uses.
    sandbox
        .run(&["run", "--set", "run.max_parallel_tasks=6", "/bin/true"])
        .code(0);
    assert_eq!(
        sandbox.job().events()[0]["data"]["settings"]["run.max_parallel_tasks"],
        6
    );
    sandbox
        .run(&[
            "run",
            "--set",
            "run.max_parallel_tasks=6",
            "--max-parallel-tasks",
            "7",
            "/bin/true",
        ])
        .code(0);
    assert_eq!(
        sandbox.job().events()[0]["data"]["settings"]["run.max_parallel_tasks"],
        7
    );
}

#[test]
fn the_settings_of_plugins_are_shown_and_can_be_set_by_variables() {
    let sandbox = Sandbox::new();
    let config = |variables: &[(&str, &str)]| {
        let mut command = sandbox.persea(&["config"]);
        let ran = finish(command.envs(variables.iter().copied()).spawn().unwrap()).code(0);
        assert_eq!(ran.stderr, "", "{ran}");
        ran.stdout
    };
    let line = |text: &str, name: &str| {
        let mut lines = text
            .lines()
            .filter(|line| line.starts_with(&format!("{name} ")));
        let line = lines.next().unwrap_or_default().to_owned();
        assert_eq!(lines.next(), None, "{name}");
        line
    };
    let text = config(&[]);
    let clear =
        "runner.exectest.clear_env = (not set)  # from the defaults: for runner `exec-test`, ";
    let shown = line(&text, "runner.exectest.clear_env");
    assert!(shown.starts_with(clear), "{shown}");
    // A variable's name has no hyphen.
    let variables = [
        ("PERSEA_RUNNER__PYTHON_UNITTEST__INTERPRETER", "python3.99"),
        ("PERSEA_PLUGINS__RESULT_FORMAT__TIMEOUT", "7"),
    ];
    let text = config(&variables);
    let interpreter = line(&text, "runner.python-unittest.interpreter");
    assert_eq!(
        interpreter,
        "runner.python-unittest.interpreter = \"python3.99\"  # from $PERSEA_RUNNER__PYTHON_UNITTEST__INTERPRETER: for runner `python-unittest`"
    );
    let timeout = line(&text, "plugins.result-format.timeout");
    assert!(
        timeout.contains(" = 7  # from $PERSEA_PLUGINS__RESULT_FORMAT__TIMEOUT"),
        "{timeout}"
    );
    assert!(!text.contains("python_unittest"), "{text}");

    sandbox.file(
        "job.json",
        r#"[{"kind": "python-unittest", "uri": "t.py:T.test"}]"#,
    );
    let mut command = sandbox.persea(&["run", "job.json"]);
    finish(command.envs(variables).spawn().unwrap()).code(1);
    let reason = sandbox.job().reason("t.py:T.test");
    assert!(reason.contains("python3.99"), "{reason}");
}
