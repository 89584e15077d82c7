//! Owns varianters, the plugins that make variants of tests: those of the examples, and those that
//! misbehave. `suites` owns variants of axes.

use crate::support::plugins::install;
use crate::support::{Fixture, Ran, assert_stderr};

/// Runs a job of one suite with these variants. Its one test appends its parameters to `log`.
fn run(fixture: &Fixture, variants: &str, options: &[&str]) -> Ran {
    let job = format!(
        r#"
        [[suite]]
        name = "all"
        setup = "touch begun"
        [[suite.task]]
        kind = "exec-test"
        uri = "/bin/sh"
        args = ["-c", "echo $about$a$b$c $number >> log"]
        identifier = "t"
        [suite.variants]
        {variants}
        "#
    );
    fixture.file("job.toml", job);
    let fixed = ["run", "--plugin-dir", "plugins", "--job", "job.toml"];
    fixture.run(&[&fixed, options].concat())
}

/// The parameters that the tests have written, sorted.
fn parameters(fixture: &Fixture) -> Vec<String> {
    let mut lines = fixture.lines("log");
    lines.sort();
    lines
}

#[test]
fn pairwise_example_covers_every_pair_of_values() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["varianter-pairwise"]);
    let axes = "plugin = \"pairwise\"\naxes.a = [1, 2]\naxes.b = [\"x\", \"y\"]\naxes.c = [0, 1]\n";
    run(&fixture, axes, &[]).code(0);
    assert_eq!(parameters(&fixture), ["1x0", "1y1", "2x1", "2y0"]);
    let ids = fixture.job().ids();
    assert_eq!(ids.len(), 4, "{ids:?}");
    assert!(ids[0].starts_with("all-1-t;a-1-b-x-c-0-"), "{ids:?}");
    // Errors of the plugin are shown with the suite and the plugin.
    let ran = run(
        &fixture,
        "plugin = \"pairwise\"\nno = []\naxes.a = [1]",
        &[],
    )
    .code(4);
    let error = "job.toml: suite `all`: the variants of `t` cannot be made: varianter `pairwise` \
                 (plugins/varianter-pairwise.wasm): unknown parameter `no`; this varianter takes \
                 `axes` (invalid)";
    assert_stderr(&ran, &[error]);
}

#[test]
fn varianter_gets_the_test_and_its_declared_settings() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["hostile-varianter"]);
    let count = ["--set", "varianter.hostile.count=2"];
    run(&fixture, "plugin = \"hostile\"", &count).code(0);
    assert_eq!(parameters(&fixture), ["all:t 0", "all:t 1"]);
}

#[test]
fn variant_has_the_requirements_resources_and_timeout_that_its_varianter_gives() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["hostile-varianter"]);
    fixture.file("persea.toml", "[run.resources]\nboard = [\"b1\", \"b2\"]\n");
    let script = "test $number = 0 || ls prepared >> log; \
                  echo $number $PERSEA_RESOURCE_BOARD >> log; exec sleep $number";
    let job = format!(
        r#"
        [[suite]]
        name = "all"
        [[suite.task]]
        kind = "exec-test"
        uri = "/bin/sh"
        args = ["-c", "{script}"]
        identifier = "t"
        timeout = 600
        resources = {{ board = ["b1"] }}
        [suite.variants]
        plugin = "hostile"
        how = "adds"
        "#
    );
    fixture.file("job.toml", job);
    let args = ["run", "--plugin-dir", "plugins", "--job", "job.toml"];
    let ran = fixture.run(&args).code(8);
    let finished = fixture.job().events_of("task-finished");
    let status = |second: bool| {
        let is_second = |event: &&serde_json::Value| {
            event["task"].as_str().unwrap().contains("number-60") == second
        };
        let event = finished.iter().find(is_second).unwrap();
        event["data"]["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        (status(false), status(true)),
        ("PASS".into(), "INTERRUPTED".into()),
        "{ran}"
    );
    assert_eq!(parameters(&fixture), ["0 b1", "60 b2", "prepared"]);
    // A key that the host does not know is not dropped in silence.
    let unknown = "varianter `hostile` (plugins/hostile-varianter.wasm): this host does not know \
                   `colour` in the further data of a variation";
    assert_stderr(&ran, &[unknown]);
}

#[test]
fn varianter_instance_serves_all_tests_of_a_suite() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["hostile-varianter"]);
    let counts = "plugin = \"hostile\"\nhow = \"counts\"\n";
    let other = format!(
        "{counts}[[suite]]\nname = \"other\"\nreferences = [\"/bin/true\", \"/bin/true\"]\n\
         [suite.variants]\n{counts}"
    );
    run(&fixture, &other, &[]).code(0);
    let ids = fixture.job().ids();
    let variants = ids.iter().map(|id| {
        let (_, variant) = id.split_once(';').unwrap();
        variant.rsplit_once('-').unwrap().0
    });
    let expected = ["number-0", "number-0", "number-1"];
    assert_eq!(variants.collect::<Vec<_>>(), expected, "{ids:?}");
}

#[test]
fn test_without_variants_is_not_run() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["hostile-varianter"]);
    run(&fixture, "plugin = \"hostile\"", &[]).code(0);
    assert_eq!(fixture.job().ids(), Vec::<String>::new());
    run(
        &fixture,
        "plugin = \"hostile\"",
        &["--set", "run.exit.empty=fail"],
    )
    .code(2);
    // Other tests of the job run.
    let other = "plugin = \"hostile\"\n[[suite]]\nname = \"other\"\nreferences = [\"/bin/true\"]";
    run(&fixture, other, &[]).code(0);
    assert_eq!(fixture.job().ids(), ["other-1-/bin/true"]);
}

#[test]
fn varianter_reads_only_files_of_the_project() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["hostile-varianter"]);
    fixture.file("../outside", "1\n");
    fixture.file("numbers", "1\n2\n");
    std::os::unix::fs::symlink("../outside", fixture.project().join("link-out")).unwrap();
    run(&fixture, "plugin = \"hostile\"\nhow = \"peeks\"", &[]).code(0);
    assert_eq!(parameters(&fixture), ["1", "2"]);
}

#[test]
fn failed_varianter_ends_the_job_before_any_task() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["hostile-varianter"]);
    for (how, words) in [
        ("panics", "failed: it panicked at "),
        ("panics", ": no idea"),
        (
            "loops",
            "has reached its limit on the time for one answer, 2 s",
        ),
        (
            "errs",
            "(plugins/hostile-varianter.wasm): out of\\x1b[2J variants (io)",
        ),
        (
            "floods",
            "has reached its limit on what one call hands to the host, 32 MiB",
        ),
        ("repeats", "answered with the same variant twice: number=1"),
        (
            "exaggerates",
            "has reached its limit on what one call hands to the host, 32 MiB",
        ),
        (
            "adds-nonsense",
            "the value `more.timeout` is invalid: expected a whole number of nanoseconds, found",
        ),
        (
            "nests",
            "answered with the parameter `list`, whose value [1] is not a text, number or \
             truth value",
        ),
    ] {
        let variants = format!("plugin = \"hostile\"\nhow = \"{how}\"");
        let limit = ["--set", "plugins.varianter.timeout=2"];
        let ran = run(&fixture, &variants, &limit).code(4);
        let parts = [
            "job.toml: suite `all`: the variants of `t` ",
            "varianter `hostile` (plugins/hostile-varianter.wasm)",
            words,
        ];
        assert_stderr(&ran, &parts);
        assert!(!fixture.project().join("begun").exists(), "{ran}");
        fixture.assert_no_job();
    }
    fixture.assert_no_strays();
}

#[test]
fn unknown_varianter_error_lists_the_available_ones() {
    let fixture = Fixture::new();
    std::fs::create_dir(fixture.project().join("plugins")).unwrap();
    let ran = run(&fixture, "plugin = \"clever\"", &[]).code(4);
    let error = "job.toml: suite `all`: no varianter is named `clever` (`variants.plugin`): there \
                 is none; add one with `persea plugin add FILE`";
    assert_stderr(&ran, &[error]);
    install(
        &fixture,
        "plugins",
        &["hostile-varianter", "varianter-pairwise"],
    );
    let ran = run(&fixture, "plugin = \"clever\"", &[]).code(4);
    assert!(ran.stderr.contains("there are hostile, pairwise"), "{ran}");
    let list = ["list", "--plugin-dir", "plugins", "--job", "job.toml"];
    let ran = fixture.run(&list).code(4);
    assert!(ran.stderr.contains("no varianter is named"), "{ran}");
    let ran = run(&fixture, "plugin = 3", &[]).code(4);
    assert!(ran.stderr.contains("`plugin` is a text"), "{ran}");
}

#[test]
fn list_and_inspect_show_a_varianter() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["hostile-varianter"]);
    let list = ["plugin", "list", "--plugin-dir", "plugins"];
    let ran = fixture.run(&list).code(0);
    assert!(ran.stdout.contains("varianter      hostile"), "{ran}");
    let inspect = ["plugin", "inspect", "plugins/hostile-varianter.wasm"];
    let ran = fixture.run(&[&inspect[..], &["--json"]].concat()).code(0);
    let inspected: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(inspected["settings"][0]["default-value"], 0, "{ran}");
    let ran = fixture.run(&inspect).code(0);
    for row in [
        "roles     varianter",
        "settings  varianter.hostile.count: How many variants it returns (a whole number, \
         default 0)",
        "powers    log: write messages to the log",
        "          workspace: read files of the project",
        "granted   process=process,sandbox workspace=.",
        "spawners  tests that come from it run only with the spawner `process` or \
         `sandbox` (the grant",
        "trust     locked in persea.lock as varianter.hostile",
    ] {
        assert!(ran.stdout.contains(row), "{ran}");
    }
}
