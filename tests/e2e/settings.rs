//! Owns settings: their layers and precedence, how `config` shows them, and which of them a task
//! may set.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::plugins::install;
use crate::support::recipes::{exec, with};
use crate::support::{Fixture, assert_stderr};

#[test]
fn job_file_leaves_the_settings_that_it_does_not_have_to_other_files() {
    let fixture = Fixture::new();
    fixture.user_config("run.shuffle = true\nrun.spawner = 'process'\n");
    fixture.file(
        "job.toml",
        "[[suite]]\nname = 'a'\nreferences = ['/bin/true']\n",
    );
    let ran = fixture.run(&["run", "--job", "job.toml"]).code(0);
    assert_eq!(ran.stderr, "", "{ran}");
    assert!(ran.stdout.contains("SHUFFLED"), "{ran}");
}

#[test]
fn options_on_both_sides_of_the_subcommand_count() {
    let fixture = Fixture::new();
    let (first, second) = ("human.output.lines=7", "run.retries=3");
    let args = [
        "--set",
        first,
        "config",
        "--set",
        second,
        "--set",
        "run.retries=4",
    ];
    let ran = fixture.run(&args).code(0);
    for line in ["human.output.lines = 7  #", "run.retries = 4  #"] {
        assert!(ran.stdout.contains(line), "no {line:?} in\n{ran}");
    }
    // What is after the subcommand comes later, and wins.
    let ran = fixture.run(&["--set", second, "config", "--set", "run.retries=1"]);
    assert!(ran.code(0).stdout.contains("run.retries = 1  #"));
    let ran = fixture.run(&["--config", "missing.toml", "config", "--set", first]);
    assert!(ran.code(4).stderr.contains("missing.toml"));
}

#[test]
fn settings_layers_override_each_other_and_show_their_origin() {
    let fixture = Fixture::new();
    let value = |options: &[&str], variable: Option<&str>| -> (Value, String) {
        let args = [&["config", "--json"], options].concat();
        let variable = variable.map(|value| ("PERSEA_RUN__MAX_PARALLEL_TASKS", value));
        let ran = fixture.run_with(&args, |command| command.envs(variable));
        let ran = ran.code(0);
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
    let user = fixture.file(
        "../home/.config/persea/config.toml",
        "run.max_parallel_tasks = 2\n",
    );
    assert_eq!(
        value(&[], None),
        (2.into(), user.canonicalize().unwrap().display().to_string())
    );
    fixture.file("persea.toml", "[run]\nmax_parallel_tasks = 3\n");
    assert_eq!(value(&[], None), (3.into(), "persea.toml".into()));
    assert_eq!(
        value(&[], Some("4")),
        (4.into(), "$PERSEA_RUN__MAX_PARALLEL_TASKS".into())
    );
    fixture.file("five.toml", "run.max_parallel_tasks = 5\n");
    assert_eq!(
        value(&["--config", "five.toml"], Some("4")),
        (5.into(), "five.toml".into())
    );
    let set = ["--config", "five.toml", "--set", "run.max_parallel_tasks=6"];
    assert_eq!(
        value(&set, Some("4")),
        (6.into(), "the command line".into())
    );

    // The text for people has one line per setting, with its description.
    let ran = fixture.run(&["config"]).code(0);
    let line = ran
        .stdout
        .lines()
        .find(|line| line.starts_with("run.max_parallel_tasks "))
        .unwrap();
    assert_eq!(
        line,
        "run.max_parallel_tasks = 3  # from persea.toml: number of tasks that run at once; 0 means \
         the number of processors for those on this machine, and the slots of all hosts or nodes \
         for those of the spawners `ssh` and `slurm`"
    );
    // A job uses the same value, and an option of its own has precedence.
    fixture
        .run(&["run", "--set", "run.max_parallel_tasks=6", "/bin/true"])
        .code(0);
    assert_eq!(
        fixture.job().events()[0]["data"]["settings"]["run.max_parallel_tasks"],
        6
    );
    fixture
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
        fixture.job().events()[0]["data"]["settings"]["run.max_parallel_tasks"],
        7
    );
}

#[test]
fn plugin_settings_are_shown_and_set_by_variables() {
    let fixture = Fixture::new();
    let config = |variables: &[(&str, &str)]| {
        let variables = variables.iter().copied();
        let ran = fixture.run_with(&["config"], |command| command.envs(variables));
        let ran = ran.code(0);
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
    let expected = "runner.exectest.clear_env = (not set)  # from the defaults: Whether tests \
                    start without the host's variables (system), or without all (`system` or \
                    `all`), for resolver `bats`, resolver `cpp`, resolver `go-test`, resolver \
                    `node-test`, resolver `rust-libtest`, lister `cpp`, lister `go-test`, lister \
                    `rust-libtest`, runner `bats`, runner `cpp`, runner `go-test`, runner \
                    `node-test`, runner `rust-libtest`, runner `exec-test`, runner `tap`";
    assert_eq!(line(&text, "runner.exectest.clear_env"), expected);
    // Names of variables cannot have hyphens, so theirs are underscores.
    let variables = [
        ("PERSEA_RUNNER__PYTHON_UNITTEST__INTERPRETER", "python3.99"),
        ("PERSEA_PLUGINS__RESULT_FORMAT__TIMEOUT", "7"),
    ];
    let text = config(&variables);
    let interpreter = line(&text, "runner.python-unittest.interpreter");
    assert_eq!(
        interpreter,
        "runner.python-unittest.interpreter = \"python3.99\"  # from \
         $PERSEA_RUNNER__PYTHON_UNITTEST__INTERPRETER: The Python that runs the tests (a text), \
         for runner `python-unittest`"
    );
    let timeout = line(&text, "plugins.result-format.timeout");
    assert!(
        timeout.contains(" = 7  # from $PERSEA_PLUGINS__RESULT_FORMAT__TIMEOUT"),
        "{timeout}"
    );
    assert!(!text.contains("python_unittest"), "{text}");

    fixture.file(
        "job.json",
        r#"[{"kind": "python-unittest", "uri": "t.py:T.test"}]"#,
    );
    let ran = fixture.run_with(&["run", "job.json"], |command| command.envs(variables));
    ran.code(1);
    let reason = fixture.job().reason("t.py:T.test");
    assert!(reason.contains("python3.99"), "{reason}");
}

#[test]
fn command_line_can_reset_the_settings_of_a_project() {
    let fixture = Fixture::new();
    fixture.file(
        "persea.toml",
        "run.scheduler = 'none-there'\n\
         run.partition = '2/2'\n\
         run.id_format = '{index}!'\n\
         job.run.result.tap.output = 'more.tap'\n\
         run.shuffle = true\n\
         run.shuffle_seed = 1\n\
         run.failfast = true\n",
    );
    fixture.run(&["run", "/bin/true"]).code(2);
    for unset in ["", "null"] {
        let names = [
            "run.scheduler",
            "run.partition",
            "run.id_format",
            "job.run.result.tap.output",
        ];
        let values = names.iter().map(|name| format!("{name}={unset}"));
        let mut values: Vec<String> = values.collect();
        values.extend(["run.shuffle=false", "run.shuffle_seed=null"].map(str::to_owned));
        let mut args = vec!["run", "--failfast=0"];
        for value in &values {
            args.extend(["--set", value]);
        }
        args.extend(["/bin/false", "/bin/true"]);
        let ran = fixture.run(&args).code(1);
        assert_eq!(ran.stderr, "");
        let job = fixture.job();
        assert_eq!(job.ids(), ["1-/bin/false", "2-/bin/true"]);
        assert_eq!(job.results()["pass"], 1);
        assert!(!job.0.join("more.tap").exists());
        let settings = &job.events()[0]["data"]["settings"];
        for name in names {
            assert_eq!(settings.get(name), None, "{name}");
        }
    }
    // A setting with a default gets that.
    let config = fixture.run(&[
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
    let fixture = Fixture::new();
    let set = |text: &str, code| {
        let ran = fixture.run(&["list", "--set", text, "/bin/true"]);
        ran.code(code).stderr
    };
    let output = "job.run.result.csv.output=x.csv";
    assert_eq!(
        set(output, 0),
        "warning: unknown setting `job.run.result.csv.output` from the command line; `persea \
         config` shows all settings\n"
    );
    install(&fixture, "plugins", &["format-csv"]);
    assert_eq!(set(output, 0), "");
    assert_eq!(set("job.run.result.csv.enabled=false", 0), "");
    let wrong = set("job.run.result.csv.enabled=no", 4);
    assert!(
        wrong.contains("expected true or false, found `\"no\"`"),
        "{wrong}"
    );
    fixture.file(
        "persea.toml",
        "plugins.disable = ['result-format.csv', 'result-format.xunit']\n",
    );
    assert_eq!(set(output, 0), "");
    assert_eq!(set("job.run.result.xunit.job_name=x", 0), "");
    // A format has no further settings.
    let unknown = set("job.run.result.csv.output.x=1", 0);
    assert!(
        unknown.contains("unknown setting `job.run.result.csv.output.x`"),
        "{unknown}"
    );
}

/// A test that sleeps for 30 s, with this `config`.
fn sleeper(config: Value) -> Value {
    let sleeper = with(exec("sleeps", "/bin/sleep"), "args", json!(["30"]));
    with(sleeper, "config", config)
}

/// Far less than the sleep, far more than the timeouts of these tests.
const SOON: Duration = Duration::from_secs(15);

#[test]
fn command_line_task_timeout_is_the_maximum() {
    let fixture = Fixture::new();
    fixture.recipe("job.json", &[sleeper(json!({"task.timeout.running": 25}))]);
    fixture.file(
        "job.toml",
        "[[suite]]\nname = 's'\ntimeout = 25\n\
         [[suite.task]]\nkind = 'exec-test'\nuri = '/bin/sleep'\nargs = ['30']\n\
         identifier = 'sleeps'\n",
    );
    fixture.file("persea.toml", "task.timeout.running = '20s'\n");
    for job in [&["job.json"][..], &["--job", "job.toml"]] {
        for option in [
            ["--task-timeout", "0.3"],
            ["--set", "task.timeout.running=0.3"],
        ] {
            let args = [&["run"][..], &option, job].concat();
            let ran = fixture.run(&args).code(8);
            assert_eq!(fixture.job().status("sleeps"), "INTERRUPTED");
            assert!(ran.took < SOON, "{:?}", ran.took);
        }
    }
    // In a file it is only the default of tasks without a timeout of their own.
    let own = json!({"task.timeout.running": 0.3});
    fixture.recipe("job.json", &[sleeper(own)]);
    let ran = fixture.run(&["run", "job.json"]).code(8);
    assert!(ran.took < SOON, "{:?}", ran.took);
}

#[test]
fn job_wide_setting_in_a_task_is_an_error() {
    let fixture = Fixture::new();
    fixture.recipe("job.json", &[sleeper(json!({"run.retries": 0}))]);
    let ran = fixture.run(&["run", "job.json", "/bin/true"]).code(1);
    assert_eq!(ran.stderr, "");
    let job = fixture.job();
    assert_eq!(job.status("sleeps"), "ERROR");
    assert_eq!(
        job.reason("sleeps"),
        "`config`: the setting `run.retries` is one for the whole job: set it with `--set \
         'run.retries=0'`, or in persea.toml"
    );
    assert_eq!(job.status("/bin/true"), "PASS");
    let run_task_with = |line: &str| {
        let suite = "[[suite]]\nname = 's'\n";
        fixture.file(
            "job.toml",
            format!("{suite}[[suite.task]]\nkind = 'noop'\nuri = 'u'\n{line}\n"),
        );
        fixture.run(&["run", "--job", "job.toml"])
    };
    for (line, words) in [
        (
            "config = {'run.retries' = 0}",
            "job.toml: suite `s`: its 1. task (`u`): `config`: the setting `run.retries` is one \
             for the whole job",
        ),
        (
            "timeout = 'soon'",
            "`timeout`: expected a number of seconds or a time such as `5m`, found `\"soon\"`",
        ),
    ] {
        let ran = run_task_with(line).code(4);
        assert_stderr(&ran, &[words]);
    }
    // A setting that neither the host nor the runner has is a warning.
    let ran = run_task_with("config = {'runner.nowhere.x' = 1}").code(0);
    let warning = "unknown setting `runner.nowhere.x` in the `config` of s-1-u: runner `noop` has \
                   none of that name";
    assert_stderr(&ran, &[warning]);
    let ran = run_task_with("config = {'runner.identifier_format' = '{uri}!'}").code(0);
    assert_eq!(ran.stderr, "");
    assert_eq!(fixture.job().ids(), ["s-1-u!"]);
}

/// The files below a directory that contain one of these texts.
fn files_with(directory: &Path, texts: &[&str]) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(directory).into_iter();
    let files = entries.map(|entry| entry.unwrap().into_path());
    let has_one = |path: &PathBuf| {
        let bytes = std::fs::read(path).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        path.is_file() && texts.iter().any(|secret| text.contains(secret))
    };
    files.filter(has_one).collect()
}

#[test]
fn secret_settings_reach_only_their_plugin() {
    // The plugin writes what it got in the opposite order.
    const TOKEN: &str = "tok-3f9c";
    const PASSWORD: &str = "pass-77aa";
    let backwards = |text: &str| text.chars().rev().collect::<String>();
    let account = format!("{{\"password\":\"{PASSWORD}\"}}");
    let token = format!("lab.api-token={TOKEN}");
    let set = format!("lab.account={account}");
    let file = format!("[lab]\napi-token = \"{TOKEN}\"\naccount = {{password = \"{PASSWORD}\"}}\n");
    let variables = [
        ("PERSEA_LAB__API_TOKEN", TOKEN),
        ("PERSEA_LAB__ACCOUNT", &account),
    ];
    let options = ["--set", &token, "--set", &set];
    let ways = [
        ("", &options[..], &[][..]),
        (&*file, &[], &[]),
        ("", &[], &variables),
    ];
    for (file, options, variables) in ways {
        let fixture = Fixture::new();
        install(&fixture, "plugins", &["lab"]);
        fixture.user_config(file);
        let task = json!({"kind": "lab", "uri": "asks", "args": ["secrets"]});
        fixture.recipe("job.json", &[task]);
        let run = |args: &[&str]| {
            let args = [args, options].concat();
            let ran = fixture.run_with(&args, |command| command.envs(variables.iter().copied()));
            let printed = ran.stdout.clone() + &ran.stderr;
            for secret in [TOKEN, PASSWORD] {
                assert!(!printed.contains(secret), "{args:?}: {ran}");
            }
            ran
        };
        let shown = run(&["config"]).code(0).stdout;
        for name in ["lab.api-token", "lab.account"] {
            let line = format!("{name} = \"(secret)\"  # from ");
            assert!(shown.contains(&line), "{shown}");
        }
        let shown = run(&["config", "--json"]).code(0).stdout;
        assert!(shown.contains("\"secret\":true"), "{shown}");
        let ran = run(&["run", "job.json"]).code(0);
        assert_eq!(ran.stderr, "", "{ran}");
        let job = fixture.job();
        let got = [backwards(TOKEN), backwards(&account)].join("\n");
        assert_eq!(job.artifact("asks", "secrets"), got);
        let settings = &job.events()[0]["data"]["settings"];
        assert!(settings["run.spawner"].is_string(), "{settings}");
        let written = files_with(&fixture.root().join("home"), &[TOKEN, PASSWORD]);
        let is_own = |path: &PathBuf| path.ends_with(".config/persea/config.toml");
        assert!(written.iter().all(is_own), "{written:?}");
    }
}

#[test]
fn secret_of_a_disabled_plugin_is_not_written_down() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["lab"]);
    fixture.user_config("lab.account.password = \"pass-77aa\"\n");
    let roles = ["runner.lab", "lister.lab", "requirement-resolver.lab"];
    let disabled = format!("plugins.disable={}", json!(roles));
    let options = ["--set", &disabled, "--set", "lab.api-token=tok-3f9c"];
    let ran = fixture.run(&[&["run"][..], &options, &["/bin/true"]].concat());
    assert_eq!(ran.code(0).stderr, "");
    let secrets = ["pass-77aa", "tok-3f9c"];
    assert_eq!(
        files_with(&fixture.job().0, &secrets),
        [""; 0].map(PathBuf::from)
    );
    let shown = fixture.run(&[&["config"][..], &options].concat()).code(0);
    for secret in secrets {
        assert!(!shown.stdout.contains(secret), "{shown}");
    }
}

#[test]
fn members_of_a_table_in_a_file_are_one_setting() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["lab"]);
    fixture.file(
        "persea.toml",
        "[lab.account]\nuser.name = \"ann\"\nboards = [1, 2]\n",
    );
    let task = json!({"kind": "lab", "uri": "asks", "args": ["secrets"]});
    fixture.recipe("job.json", &[task]);
    let ran = fixture.run(&["run", "job.json"]).code(0);
    assert_eq!(ran.stderr, "");
    let got = fixture.job().artifact("asks", "secrets");
    let table = got
        .lines()
        .last()
        .unwrap()
        .chars()
        .rev()
        .collect::<String>();
    let table: Value = serde_json::from_str(&table).unwrap();
    assert_eq!(table, json!({"boards": [1, 2], "user": {"name": "ann"}}));
    // A value of its own has precedence, and `account` is no setting of another shape.
    let set = ["run", "--set", "lab.account={}", "job.json"];
    fixture.run(&set).code(0);
    assert!(fixture.job().artifact("asks", "secrets").ends_with("}{"));
    let other = ["run", "--set", "lab.api-token.x=1", "job.json"];
    let ran = fixture.run(&other).code(0);
    assert_stderr(&ran, &["warning: unknown setting `lab.api-token.x`"]);
}

#[test]
fn wrong_value_of_a_secret_setting_is_not_shown() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["lab"]);
    fixture.recipe("job.json", &[json!({"kind": "lab", "uri": "x"})]);
    let wrong = ["run", "--set", "lab.api-token=[4711]", "job.json"];
    let ran = fixture.run(&wrong).code(4);
    let parts = [
        "setting `lab.api-token` from the command line: ",
        "expects a text, found another value",
    ];
    assert_stderr(&ran, &parts);
    assert!(!ran.stderr.contains("4711"), "{ran}");
    // A task has its own settings in the journal.
    let config = json!({"lab.api-token": "tok-3f9c"});
    let task = with(json!({"kind": "lab", "uri": "x"}), "config", config);
    fixture.recipe("job.json", &[task]);
    fixture.run(&["run", "job.json"]).code(1);
    let parts = ["the setting `lab.api-token` of runner `lab` ", " is secret"];
    fixture.job().assert_error("x", &parts);
}
