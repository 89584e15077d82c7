//! Owns the kind `go-test`: the tests of a Go module have the results that `go test -json` gives
//! them, a panic costs one test, and every fault of Go or of a test binary is an error of its own.

mod faults;

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::results::{assert_equal, cases, reason_of, statuses};
use crate::support::{Fixture, finish};

const ALL: &str = r#"
package all
import ("fmt"; "os"; "testing"; "time")
func TestPass(t *testing.T) { t.Log("hello") }
func TestFail(t *testing.T) { t.Log("info"); t.Errorf("got %d\nwant %d", 1, 2) }
func TestSkip(t *testing.T) { t.Skip("no disk") }
func TestSub(t *testing.T) {
    t.Run("one", func(t *testing.T) {
        t.Run("deep down", func(t *testing.T) { t.Fatal("not deep") })
        t.Run("a/b", func(t *testing.T) {})
    })
    t.Run("two", func(t *testing.T) { t.Skip("not two") })
}
func TestParallel(t *testing.T) {
    for _, name := range []string{"x", "y", "z"} {
        name := name
        t.Run(name, func(t *testing.T) {
            t.Parallel()
            time.Sleep(time.Millisecond)
            fmt.Println("from", name)
            if name == "y" { t.Fail() }
        })
    }
}
func TestSide1(t *testing.T) { t.Parallel(); fmt.Println("side 1") }
func TestSide2(t *testing.T) { t.Parallel(); t.Error("side") }
func TestShort(t *testing.T) { if testing.Short() { t.Skip("short") } }
func TestDirectory(t *testing.T) {
    if _, err := os.Stat("all_test.go"); err != nil { t.Fatal(err) }
    directory, _ := os.Getwd()
    if os.Getenv("PWD") != directory { t.Fatal("PWD is", os.Getenv("PWD")) }
}
func Example_good() {
    fmt.Println("x")
    // Output: x
}
func Example_bad() {
    fmt.Println("y")
    // Output: z
}
func Example_unchecked() { panic("never run") }
func FuzzSeeds(f *testing.F) {
    f.Add(1)
    f.Add(2)
    f.Fuzz(func(t *testing.T, n int) { if n == 2 { t.Fatal("two") } })
}
func BenchmarkNever(b *testing.B) { b.Fatal("never run") }
"#;

const MAIN: &str = r#"
package main_test
import ("flag"; "fmt"; "os"; "testing")
var golden = flag.Bool("golden", false, "")
func TestMain(m *testing.M) {
    fmt.Println("Test set-up")
    if code := os.Getenv("EARLY"); code == "0" { os.Exit(0) } else if code == "7" { os.Exit(7) }
    code := m.Run()
    fmt.Println("torn down")
    if os.Getenv("LATE") != "" { code = 3 }
    os.Exit(code)
}
func TestOutside(t *testing.T) { if *golden { t.Skip("golden") } }
"#;

const CRASHES: &str = r#"
package crashes
import ("errors"; "os"; "testing"; "time")
func TestA(t *testing.T) {}
func TestNil(t *testing.T) { var p *int; *p = 1 }
func TestExit0(t *testing.T) { os.Exit(0) }
func TestExit3(t *testing.T) { os.Exit(3) }
func TestThread(t *testing.T) {
    go func() { panic(errors.New("beside")) }()
    time.Sleep(time.Minute)
}
func TestSub(t *testing.T) {
    t.Run("first", func(t *testing.T) {})
    t.Run("panics", func(t *testing.T) { panic("boom") })
    t.Run("never", func(t *testing.T) {})
}
func TestSide1(t *testing.T) { t.Parallel(); time.Sleep(50 * time.Millisecond) }
func TestSide2(t *testing.T) { t.Parallel(); time.Sleep(10 * time.Millisecond); panic("side") }
func TestZ(t *testing.T) {}
"#;

const HANGS: &str = r#"
package hangs
import ("testing"; "time")
func TestFirst(t *testing.T) {}
func TestHangs(t *testing.T) { t.Run("here", func(t *testing.T) { time.Sleep(time.Hour) }) }
"#;

/// A module with packages of every kind.
fn module() -> Fixture {
    let fixture = Fixture::new();
    fixture.file("go.mod", "module example.com/m\n\ngo 1.19\n");
    fixture.file("all/all_test.go", ALL);
    fixture.file("main/main.go", "package main\nfunc main() {}\n");
    fixture.file("main/main_test.go", MAIN);
    fixture.file("crashes/crashes_test.go", CRASHES);
    fixture.file("none/none.go", "package none\n");
    let unused = "package broken\nimport \"testing\"\nfunc TestA(t *testing.T) { x := 1 }\n";
    fixture.file("broken/broken_test.go", unused);
    let wrong = "package vetted\nimport (\"fmt\"; \"testing\")\n\
                 func TestA(t *testing.T) { fmt.Printf(\"%d\\n\", \"x\") }\n";
    fixture.file("vetted/vetted_test.go", wrong);
    let tagged = "//go:build extra\n\npackage none\nimport \"testing\"\n\
                  func TestTagged(t *testing.T) {}\n";
    fixture.file("none/tagged_test.go", tagged);
    fixture
}

/// The results of `go test -json`, by the path of a case; packages without tests have none.
fn of_go(fixture: &Fixture, arguments: &[&str]) -> BTreeMap<String, String> {
    let mut go = Command::new("go");
    go.args(["test", "-json", "-count=1"]).args(arguments);
    let ran = finish(fixture.equip(&mut go).spawn().unwrap());
    let mut results = BTreeMap::new();
    for line in ran.stdout.lines().filter(|line| line.starts_with('{')) {
        let event: Value = serde_json::from_str(line).unwrap();
        let status = match event["Action"].as_str().unwrap() {
            "pass" => "PASS",
            "fail" => "FAIL",
            "skip" => "SKIP",
            _ => continue,
        };
        if let Some(test) = event["Test"].as_str() {
            results.insert(test.to_owned(), status.to_owned());
        }
    }
    assert!(!results.is_empty(), "{ran}");
    results
}

/// The statuses of all cases by the names that Go has for them.
fn by_go_names(fixture: &Fixture) -> BTreeMap<String, String> {
    let cases = cases(fixture).into_iter();
    cases
        .map(|(name, status)| (name.replace('>', "/"), status))
        .collect()
}

#[test]
fn module_has_the_results_of_go_test() {
    let fixture = module();
    for (arguments, reference) in [
        (&["./all", "./main"][..], &["go:all", "go:main"][..]),
        (&["-short", "./all"], &["go:all?short"]),
        (
            &["-run=TestSub/one/deep", "./all"],
            &["go:all?run=TestSub/one/deep"],
        ),
        (
            &["-run=FuzzSeeds/seed#1", "./all"],
            &["go:all?run=FuzzSeeds/seed%231"],
        ),
    ] {
        let expected = of_go(&fixture, arguments);
        fixture.run(&[&["run"][..], reference].concat()).code(1);
        assert_eq!(by_go_names(&fixture), expected, "{arguments:?}");
    }
}

#[test]
fn package_is_a_task_with_its_tests_as_cases() {
    let fixture = module();
    fixture.run(&["run", "go:./..."]).code(1);
    let expected = [
        ("example.com/m/all", "FAIL"),
        ("example.com/m/broken", "ERROR"),
        ("example.com/m/crashes", "FAIL"),
        ("example.com/m/main", "PASS"),
        ("example.com/m/none", "SKIP"),
        ("example.com/m/vetted", "ERROR"),
    ];
    assert_equal(&statuses(&fixture), &expected);
    let job = fixture.job();
    for (name, reason) in [
        (
            "example.com/m/all",
            "6 failed (TestFail, TestSub, TestParallel and 3 more), 6 others",
        ),
        (
            "example.com/m/broken",
            "example.com/m/broken does not build: broken/broken_test.go:3:28: x declared",
        ),
        ("example.com/m/none", "no test files"),
        (
            "example.com/m/vetted",
            "fmt.Printf format %d has arg \"x\" of wrong type string",
        ),
    ] {
        let found = job.reason(name);
        assert!(found.contains(reason), "{name}: {found}");
    }
    for (name, reason) in [
        ("TestFail", "all_test.go:5: got 1; want 2"),
        ("TestSkip", "no disk"),
        ("deep_down", "all_test.go:9: not deep"),
        ("TestSide2", "all_test.go:26: side"),
        ("y", "it failed without a message"),
        ("Example_bad", "got: y; want: z"),
        ("seed#1", "all_test.go:45: two"),
    ] {
        assert_eq!(reason_of(&fixture, name), reason, "{name}");
    }
    let events = job.events_of("case-finished");
    let failed = events
        .iter()
        .find(|it| it["data"]["path"][0] == "TestFail")
        .unwrap();
    let data = &failed["data"];
    assert_eq!(
        (&data["class-name"], &data["file"], &data["line"]),
        (
            &json!("example.com/m/all"),
            &json!("all_test.go"),
            &json!(5)
        )
    );
    assert!(
        data["output"].as_str().unwrap().contains("info\n"),
        "{data}"
    );
    assert!(
        job.artifact("example.com/m/main", "stdout")
            .contains("torn down\n")
    );
}

#[test]
fn isolated_tests_have_the_results_of_the_package() {
    let fixture = module();
    fixture.run(&["run", "go:all", "go:main"]).code(1);
    let of_package = cases(&fixture);
    fixture
        .run(&["run", "go:all?isolate", "go:main?isolate"])
        .code(1);
    let mut found = cases(&fixture);
    for (name, status) in statuses(&fixture) {
        let name = name.rsplit('.').next().unwrap().to_owned();
        found.insert(name, status);
    }
    // The cases of an isolated test are its subtests.
    let whole = |name: &str| match name {
        "one" | "one>deep_down" | "one>a/b" | "two" => format!("TestSub>{name}"),
        "x" | "y" | "z" => format!("TestParallel>{name}"),
        "seed#0" | "seed#1" => format!("FuzzSeeds>{name}"),
        name => name.to_owned(),
    };
    let found = found
        .into_iter()
        .map(|(name, status)| (whole(&name), status));
    assert_eq!(found.collect::<BTreeMap<_, _>>(), of_package);
}

const OF_CRASHES: [(&str, &str); 9] = [
    ("TestA", "PASS"),
    ("TestNil", "FAIL"),
    ("TestExit0", "ERROR"),
    ("TestExit3", "FAIL"),
    ("TestThread", "FAIL"),
    ("TestSub", "FAIL"),
    ("TestSide1", "PASS"),
    ("TestSide2", "FAIL"),
    ("TestZ", "PASS"),
];

#[test]
fn crash_costs_one_test() {
    let fixture = module();
    fixture.run(&["run", "go:crashes"]).code(1);
    let of_sub = [("TestSub>first", "PASS"), ("TestSub>panics", "FAIL")];
    assert_equal(&cases(&fixture), &[&OF_CRASHES[..], &of_sub].concat());
    for (name, reason) in [
        (
            "TestNil",
            "panic: runtime error: invalid memory address or nil pointer dereference \
             (crashes_test.go:5)",
        ),
        (
            "TestExit0",
            "it called os.Exit(0) (crashes_test.go:6), so that nobody knows whether it would pass",
        ),
        ("TestExit3", "the process exited with code 3"),
        ("TestThread", "panic: beside (crashes_test.go:9)"),
        ("panics", "panic: boom (crashes_test.go:14)"),
        ("TestSide2", "panic: side (crashes_test.go:18)"),
    ] {
        assert_eq!(reason_of(&fixture, name), reason, "{name}");
    }
    fixture.run(&["run", "go:crashes?isolate"]).code(1);
    let found = statuses(&fixture).into_iter();
    let own = |name: String| name.rsplit('.').next().unwrap().to_owned();
    assert_equal(
        &found.map(|(name, status)| (own(name), status)).collect(),
        &OF_CRASHES,
    );
}

#[test]
fn hanging_test_is_named() {
    let fixture = Fixture::new();
    fixture.file("go.mod", "module example.com/m\n");
    fixture.file("hangs_test.go", HANGS);
    fixture
        .run(&["run", "--task-timeout", "20", "go:."])
        .code(8);
    let reason = fixture.job().reason("example.com/m");
    assert!(reason.contains("in case TestHangs > here"), "{reason}");
    fixture.assert_no_strays();
    // Go's own limit names the test too.
    fixture.run(&["run", "go:.?timeout=1s"]).code(1);
    let expected = [
        ("TestFirst", "PASS"),
        ("TestHangs", "FAIL"),
        ("TestHangs>here", "FAIL"),
    ];
    assert_equal(&cases(&fixture), &expected);
    let reason = reason_of(&fixture, "TestHangs");
    assert!(
        reason.starts_with("panic: test timed out after 1s"),
        "{reason}"
    );
}

#[test]
fn test_main_decides_as_it_does_for_go() {
    let fixture = module();
    for (variable, code, status, words) in [
        (
            "LATE=1",
            1,
            "FAIL",
            "the process exited with code 3, although no test failed",
        ),
        (
            "EARLY=0",
            1,
            "ERROR",
            "the tests of example.com/m/main exited with code 0 before the first one: Test set-up; \
             does its TestMain call m.Run?",
        ),
        (
            "EARLY=7",
            1,
            "FAIL",
            "the tests of example.com/m/main exited with code 7 before the first one: Test set-up",
        ),
    ] {
        let (name, value) = variable.split_once('=').unwrap();
        fixture
            .run_with(&["run", "go:main"], |it| it.env(name, value))
            .code(code);
        let job = fixture.job();
        let found = (
            job.status("example.com/m/main"),
            job.reason("example.com/m/main"),
        );
        assert_eq!(found, (status.to_owned(), words.to_owned()), "{variable}");
    }
}

#[test]
fn options_and_members_reach_the_build_and_the_tests() {
    let fixture = module();
    let with = |uri: &str, args: Value| json!({"kind": "go-test", "uri": uri, "args": args});
    let recipe = [
        with("go:main", json!(["-golden"])),
        with("go:none?tags=extra", json!([])),
    ];
    fixture.recipe("job.json", &recipe);
    fixture.run(&["run", "job.json"]).code(0);
    assert_equal(
        &cases(&fixture),
        &[("TestOutside", "SKIP"), ("TestTagged", "PASS")],
    );
    // A test that comes again is another case.
    fixture.run(&["run", "go:main?count=2"]).code(0);
    assert_eq!(fixture.job().events_of("case-finished").len(), 2);
    // As with Go, packages in which no test matches do not fail.
    fixture.run(&["run", "go:main?run=TestOther"]).code(0);
    assert_eq!(fixture.job().status("example.com/m/main"), "SKIP");
    assert_eq!(
        fixture.job().reason("example.com/m/main"),
        "no test matches `TestOther`"
    );
}

#[test]
fn list_command_runs_go_only_when_it_is_told() {
    let fixture = module();
    let listed = fixture.run(&["list", "go:./..."]).code(0);
    assert_eq!(listed.stdout, "go-test go:./...\n");
    assert!(listed.stderr.contains("`--run-listers` does"), "{listed}");
    let listed = fixture
        .run(&["list", "--run-listers", "go:main", "go:none"])
        .code(0);
    assert_eq!(
        listed.stdout,
        "go-test example.com/m/main\ngo-test example.com/m/none\n"
    );
    let isolated = ["list", "--run-listers", "go:crashes?isolate&run=TestS"];
    let listed = fixture.run(&isolated).code(0);
    let expected = ["TestSub", "TestSide1", "TestSide2"];
    let expected = expected.map(|name| format!("go-test example.com/m/crashes.{name}\n"));
    assert_eq!(listed.stdout, expected.concat());
}

#[test]
fn directory_of_go_files_has_no_tests_by_itself() {
    let fixture = module();
    fixture.script("all/run.sh", "exit 0");
    let listed = fixture.run(&["list", "all"]).code(0);
    assert_eq!(listed.stdout, "exec-test all/run.sh\n");
}
