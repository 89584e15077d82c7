//! Owns the comparison with Avocado 113.0: its results of the sixteen runnables of `tests/mixed`.

use crate::support::Fixture;

/// Each test with its status under Avocado; none for a kind that only Avocado's own runners run.
const AVOCADO: [(&str, Option<&str>); 16] = [
    ("/bin/true", Some("PASS")),
    ("/bin/false", Some("FAIL")),
    ("sh-foo", Some("PASS")),
    ("sleep_long.sh", Some("INTERRUPTED")),
    ("tap_ok.t.sh", Some("PASS")),
    ("tap_fail.sh", Some("FAIL")),
    ("skip77.sh", Some("SKIP")),
    ("test_unit.py:T.test_ok", Some("PASS")),
    ("test_unit.py:T.test_fail", Some("FAIL")),
    ("test_unit.py:T.test_err", Some("ERROR")),
    ("test_unit.py:T.test_skipped", Some("SKIP")),
    ("instr.py:I.test_wb", None),
    ("instr.py:I.test_cancel", None),
    ("instr.py:I.test_fail", None),
    ("noop", Some("PASS")),
    ("/does/not/exist", Some("ERROR")),
];

#[test]
fn mixed_job_has_avocados_results() {
    run("process");
}

#[test]
fn mixed_job_has_the_same_results_in_sandboxes() {
    run("sandbox");
}

fn run(spawner: &str) {
    let fixture = Fixture::new();
    let mixed = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/mixed");
    let args = [
        "run",
        "--config",
        "persea.toml",
        "--max-parallel-tasks",
        "2",
        "--spawner",
        spawner,
        "mixed.json",
    ];
    let ran = fixture.run_with(&args, |command| command.current_dir(&mixed));
    let ran = ran.code(9);

    let job = fixture.job();
    for (name, status) in AVOCADO {
        assert_eq!(
            job.status(name),
            status.unwrap_or("ERROR"),
            "{name}: {}",
            job.reason(name)
        );
    }
    for (name, _) in AVOCADO.iter().filter(|(_, status)| status.is_none()) {
        assert!(
            job.reason(name)
                .starts_with("no runner for kind `avocado-instrumented`"),
            "{}",
            job.reason(name)
        );
    }
    assert_eq!(job.artifact("sh-foo", "stdout"), "out\nbar\n");
    assert_eq!(job.artifact("sh-foo", "stderr"), "err\n");
    assert_eq!(
        job.reason("sleep_long.sh"),
        "Test interrupted: Timeout reached"
    );
    assert_eq!(
        job.reason("test_unit.py:T.test_fail"),
        "AssertionError: 1 != 2"
    );
    assert_eq!(job.reason("test_unit.py:T.test_err"), "RuntimeError: boom");
    assert_eq!(job.reason("test_unit.py:T.test_skipped"), "no reason");
    assert!(
        job.reason("/does/not/exist")
            .contains("No such file or directory")
    );
    // Two reasons that Avocado lacks: the test point that failed, and the exit code.
    assert!(
        job.reason("tap_fail.sh").contains("broken thing"),
        "{}",
        job.reason("tap_fail.sh")
    );
    assert_eq!(job.reason("/bin/false"), "exited with code 1");

    let results = job.results();
    let counts = [
        "total",
        "pass",
        "errors",
        "failures",
        "skip",
        "warn",
        "interrupt",
        "cancel",
    ]
    .map(|name| results[name].as_u64().unwrap());
    assert_eq!(counts, [16, 5, 5, 3, 2, 0, 1, 0]);
    assert!(
        ran.stdout.contains(
            "RESULTS    : PASS 5 | ERROR 5 | FAIL 3 | SKIP 2 | WARN 0 | INTERRUPT 1 | CANCEL 0"
        ),
        "{ran}"
    );
    assert_eq!(job.test("/bin/true")["id"], "01-/bin/true");
    let tap = job.read("results.tap");
    assert!(tap.starts_with("1..16\n"), "{tap}");
    assert_eq!(
        tap.lines()
            .filter(|line| line.starts_with("ok ") || line.starts_with("not ok "))
            .count(),
        16
    );
    fixture.assert_no_strays();
}
