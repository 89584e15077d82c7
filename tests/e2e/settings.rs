//! Settings: where they come from, which one counts, and how they are shown.

use serde_json::Value;

use crate::support::{Sandbox, finish};

#[test]
fn settings_layers_override_each_other_and_show_their_origin() {
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
fn plugin_settings_are_shown_and_set_by_variables() {
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

#[test]
fn command_line_can_reset_the_settings_of_a_project() {
    let sandbox = Sandbox::new();
    sandbox.file(
        "persea.toml",
        "run.scheduler = 'none-there'\nrun.partition = '2/2'\nrun.id_format = '{index}!'\njob.run.result.tap.output = 'more.tap'\nrun.shuffle = true\nrun.shuffle_seed = 1\nrun.failfast = true\n",
    );
    sandbox.run(&["run", "/bin/true"]).code(2);
    for off in ["", "null"] {
        let names = [
            "run.scheduler",
            "run.partition",
            "run.id_format",
            "job.run.result.tap.output",
        ];
        let mut all: Vec<String> = names.iter().map(|name| format!("{name}={off}")).collect();
        all.extend(["run.shuffle=false", "run.shuffle_seed=null"].map(str::to_owned));
        let mut args = vec!["run", "--failfast=0"];
        for one in &all {
            args.extend(["--set", one]);
        }
        args.extend(["/bin/false", "/bin/true"]);
        let ran = sandbox.run(&args).code(1);
        assert_eq!(ran.stderr, "");
        let job = sandbox.job();
        assert_eq!(job.ids(), ["1-/bin/false", "2-/bin/true"]);
        assert_eq!(job.results()["pass"], 1);
        assert!(!job.0.join("more.tap").exists());
        let settings = &job.events()[0]["data"]["settings"];
        for name in names {
            assert_eq!(settings.get(name), None, "{name}");
        }
    }
    // A default comes back.
    let config = sandbox.run(&[
        "config",
        "--set",
        "run.order=null",
        "--set",
        "run.scheduler=",
    ]);
    let config = config.code(0).stdout;
    assert!(
        config.contains("run.order = \"given\"  # from the command line"),
        "{config}"
    );
    assert!(config.contains("run.scheduler = (not set)"), "{config}");
}

#[test]
fn settings_of_a_locked_result_format_are_known_and_checked() {
    let sandbox = Sandbox::new();
    let set = |text: &str, code| {
        let ran = sandbox.run(&["list", "--set", text, "/bin/true"]);
        ran.code(code).stderr
    };
    let output = "job.run.result.csv.output=x.csv";
    assert_eq!(
        set(output, 0),
        "warning: nothing knows the setting `job.run.result.csv.output` from the command line; `persea config` shows all\n"
    );
    crate::support::plugins::install(&sandbox, "plugins", &["format-csv"]);
    assert_eq!(set(output, 0), "");
    assert_eq!(set("job.run.result.csv.enabled=false", 0), "");
    let wrong = set("job.run.result.csv.enabled=no", 4);
    assert!(
        wrong.contains("expected true or false, found `\"no\"`"),
        "{wrong}"
    );
    sandbox.file(
        "persea.toml",
        "plugins.disable = ['result-format.csv', 'result-format.xunit']\n",
    );
    assert_eq!(set(output, 0), "");
    assert_eq!(set("job.run.result.xunit.job_name=x", 0), "");
    // The host has no other settings for formats.
    let unknown = set("job.run.result.csv.output.x=1", 0);
    assert!(unknown.contains("nothing knows the setting"), "{unknown}");
}

/// A recipe of one test that sleeps, with this as its `config`.
fn sleeper(config: &str) -> String {
    format!(
        r#"{{"kind": "exec-test", "uri": "/bin/sleep", "args": ["30"], "identifier": "sleeps", "config": {config}}}"#
    )
}

#[test]
fn command_line_task_timeout_is_the_maximum() {
    let sandbox = Sandbox::new();
    sandbox.file("job.json", sleeper(r#"{"task.timeout.running": 25}"#));
    sandbox.file(
        "job.toml",
        "[[suite]]\nname = 's'\ntimeout = 25\n[[suite.task]]\nkind = 'exec-test'\nuri = '/bin/sleep'\nargs = ['30']\nidentifier = 'sleeps'\n",
    );
    sandbox.file("persea.toml", "task.timeout.running = '20s'\n");
    for own in [&["job.json"][..], &["--job", "job.toml"]] {
        for typed in [
            ["--task-timeout", "0.3"],
            ["--set", "task.timeout.running=0.3"],
        ] {
            let args = [&["run"][..], &typed, own].concat();
            let ran = sandbox.run(&args).code(8);
            assert_eq!(sandbox.job().status("sleeps"), "INTERRUPTED");
            assert!(
                ran.took < std::time::Duration::from_secs(15),
                "{:?}",
                ran.took
            );
        }
    }
    // Of a file it is what tasks have that set none themselves.
    sandbox.file("persea.toml", "task.timeout.running = '20s'\n");
    sandbox.file("job.json", sleeper(r#"{"task.timeout.running": 0.3}"#));
    let ran = sandbox.run(&["run", "job.json"]).code(8);
    assert!(
        ran.took < std::time::Duration::from_secs(15),
        "{:?}",
        ran.took
    );
}

#[test]
fn job_wide_setting_in_a_task_is_an_error() {
    let sandbox = Sandbox::new();
    sandbox.file("job.json", sleeper(r#"{"run.retries": 0}"#));
    let ran = sandbox.run(&["run", "job.json", "/bin/true"]).code(1);
    assert_eq!(ran.stderr, "");
    let job = sandbox.job();
    assert_eq!(job.status("sleeps"), "ERROR");
    assert_eq!(
        job.reason("sleeps"),
        "`config`: the setting `run.retries` is one for the whole job: set it with `--set 'run.retries=0'`, or in persea.toml"
    );
    assert_eq!(job.status("/bin/true"), "PASS");
    let task = |line: &str| {
        let start = "[[suite]]\nname = 's'\n";
        sandbox.file(
            "job.toml",
            format!("{start}[[suite.task]]\nkind = 'noop'\nuri = 'u'\n{line}\n"),
        );
        sandbox.run(&["run", "--job", "job.toml"])
    };
    for (line, words) in [
        (
            "config = {'run.retries' = 0}",
            "job.toml: suite `s`: its 1. task (`u`): `config`: the setting `run.retries` is one for the whole job",
        ),
        (
            "timeout = 'soon'",
            "`timeout`: expected a number of seconds or a time such as `5m`, found `\"soon\"`",
        ),
    ] {
        let ran = task(line).code(4);
        assert!(ran.stderr.contains(words), "{ran}");
    }
    // What neither the host nor the runner knows is said.
    let ran = task("config = {'runner.nowhere.x' = 1}").code(0);
    assert!(ran.stderr.contains("unknown setting `runner.nowhere.x` in the `config` of s-1-u: runner `noop` has none of that name"), "{ran}");
    let ran = task("config = {'runner.identifier_format' = '{uri}!'}").code(0);
    assert_eq!(ran.stderr, "");
    assert_eq!(sandbox.job().ids(), ["s-1-u!"]);
}
