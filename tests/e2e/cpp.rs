//! Owns the kinds `googletest` and `catch2`, with programs of Debian's GoogleTest and Catch2: tests
//! have the results that the framework gives them, and a crash costs one test.

mod faults;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::json;

use crate::support::results::{assert_equal, cases, reason_of};
use crate::support::{Fixture, finish};

const GOOGLETEST: &str = r#"
#include <gtest/gtest.h>
#include <cstdlib>
#include <csignal>
#include <unistd.h>
TEST(A, passes) {}
TEST(A, fails) { printf("half a line"); EXPECT_EQ(1, 2) << "note"; FAIL(); }
TEST(A, skips) { GTEST_SKIP() << "no disk"; }
TEST(A, DISABLED_off) { FAIL(); }
TEST(A, throws) { throw std::runtime_error("bad"); }
class P : public testing::TestWithParam<int> {};
TEST_P(P, odd) { EXPECT_EQ(GetParam() % 2, 1); }
INSTANTIATE_TEST_SUITE_P(In, P, testing::Values(1, 2));
template <class T> class Typed : public testing::Test {};
typedef testing::Types<int, char> Types;
TYPED_TEST_SUITE(Typed, Types);
TYPED_TEST(Typed, small) { EXPECT_LT(sizeof(TypeParam), 2u); }
TEST(ADeathTest, dies) { EXPECT_DEATH(abort(), ""); }
TEST(ADeathTest, survives) { EXPECT_DEATH((void)0, ""); }
// Those below run only where the test asks for them.
TEST(DISABLED_Crash, a_first) { usleep(1000); }
TEST(DISABLED_Crash, b_crashes) { raise(SIGSEGV); }
TEST(DISABLED_Crash, c_exits) { exit(0); }
TEST(DISABLED_Crash, d_exits_badly) { _exit(3); }
TEST(DISABLED_Crash, e_last) {}
TEST(DISABLED_Hang, hangs) { for (;;) { sleep(1); } }
struct DISABLED_Set : testing::Test { static void SetUpTestSuite() { FAIL() << "no set-up"; } };
TEST_F(DISABLED_Set, up) {}
int main(int count, char** arguments) {
    testing::InitGoogleTest(&count, arguments);
    int code = RUN_ALL_TESTS();
    const char* leak = getenv("LEAK");
    return leak ? 23 : code;
}
"#;

const CATCH2: &str = r#"
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
#include <cstdlib>
#include <unistd.h>
TEST_CASE("passes", "[fast]") { REQUIRE(1 == 1); }
TEST_CASE("fails, with [odd] \"name\" \\", "[fast]") { int a = 1; CHECK(a == 2); REQUIRE(a == 3); }
TEST_CASE("sections") {
    SECTION("outer") { SECTION("a") { CHECK(true); } SECTION("b") { FAIL("no b"); } }
    SECTION("other") {}
}
TEST_CASE("hidden", "[.]") { REQUIRE(false); }
TEST_CASE("may", "[!mayfail]") { REQUIRE(false); }
TEST_CASE("should", "[!shouldfail]") { REQUIRE(false); }
TEST_CASE("should not", "[!shouldfail]") { REQUIRE(true); }
TEST_CASE("throws") { throw std::runtime_error("bad <thing>"); }
TEMPLATE_TEST_CASE("template", "", int, char) { REQUIRE(sizeof(TestType) < 2); }
TEST_CASE("generated") { auto n = GENERATE(1, 2, 3); SECTION("in a section") { CHECK(n < 3); } }
TEST_CASE("a crash", "[.crash]") { CHECK(true); raise(SIGSEGV); }
TEST_CASE("b exit", "[.crash]") { _exit(0); }
TEST_CASE("c bad exit", "[.crash]") { _exit(3); }
TEST_CASE("d after", "[.crash]") { CHECK(true); }
TEST_CASE("hangs", "[.hang]") { for (;;) { sleep(1); } }
"#;

/// A compiled program. It is compiled once for all tests, and again after a change.
fn compiled(name: &str, source: &str, libraries: &[&str]) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cpp");
    std::fs::create_dir_all(&directory).unwrap();
    let (text, program) = (directory.join(format!("{name}.cpp")), directory.join(name));
    let is_same = std::fs::read_to_string(&text).is_ok_and(|old| old == source);
    if !(is_same && program.exists()) {
        let _ = std::fs::remove_file(&program);
        std::fs::write(&text, source).unwrap();
        let mut compiler = Command::new("g++");
        compiler.current_dir(&directory).arg(format!("{name}.cpp"));
        let ran = compiler
            .arg("-o")
            .arg(name)
            .args(libraries)
            .output()
            .unwrap();
        assert!(
            ran.status.success(),
            "{}",
            String::from_utf8_lossy(&ran.stderr)
        );
    }
    program
}

fn googletest() -> Fixture {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let compile = || compiled("googletest", GOOGLETEST, &["-lgtest", "-lpthread"]);
    with_program(PROGRAM.get_or_init(compile))
}

fn catch2() -> Fixture {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    with_program(PROGRAM.get_or_init(|| compiled("catch2", CATCH2, &[])))
}

/// A project with the program `build/t`.
fn with_program(program: &Path) -> Fixture {
    let fixture = Fixture::new();
    fixture.file("build/about", "programs");
    std::fs::copy(program, fixture.project().join("build/t")).unwrap();
    fixture
}

const OF_GOOGLETEST: [(&str, &str); 11] = [
    ("A>passes", "PASS"),
    ("A>fails", "FAIL"),
    ("A>skips", "SKIP"),
    ("A>DISABLED_off", "SKIP"),
    ("A>throws", "FAIL"),
    ("In/P>odd/0", "PASS"),
    ("In/P>odd/1", "FAIL"),
    ("Typed/0>small", "FAIL"),
    ("Typed/1>small", "PASS"),
    ("ADeathTest>dies", "PASS"),
    ("ADeathTest>survives", "FAIL"),
];

const ENABLED: &str = "googletest:build/t?filter=-*DISABLED_Crash*:*DISABLED_Hang*:DISABLED_Set*";

#[test]
fn session_of_googletest_has_its_results() {
    let fixture = googletest();
    fixture.run(&["run", ENABLED]).code(1);
    assert_equal(&cases(&fixture), &OF_GOOGLETEST);
    let job = fixture.job();
    let reason = job.reason("build/t");
    assert!(
        reason.starts_with("5 failed (") && reason.ends_with(", 6 others"),
        "{reason}"
    );
    for (name, words) in [
        (
            "fails",
            "googletest.cpp:7: Expected equality of these values: 1; 2; note (and 1 more",
        ),
        ("skips", "no disk"),
        ("DISABLED_off", "disabled"),
        ("throws", "bad"),
        ("survives", "failed to die"),
    ] {
        let reason = reason_of(&fixture, name);
        assert!(reason.contains(words), "{name}: {reason}");
    }
    let events = job.events_of("case-finished");
    let failed = events
        .iter()
        .find(|it| it["data"]["path"][1] == "fails")
        .unwrap();
    let data = &failed["data"];
    assert_eq!(
        (&data["class-name"], &data["file"], &data["line"]),
        (&json!("A"), &json!("googletest.cpp"), &json!(7))
    );
    assert!(
        data["traceback"].as_str().unwrap().contains("note\n"),
        "{data}"
    );
    assert!(
        job.artifact("build/t", "report.xml")
            .contains("<testsuites")
    );
}

#[test]
fn isolated_tests_of_googletest_have_the_results_of_the_session() {
    let fixture = googletest();
    fixture.run(&["run", &format!("{ENABLED}&isolate")]).code(1);
    let found = fixture.job().statuses();
    let plain = |name: &String| name.trim_start_matches("build/t:").replacen('.', ">", 1);
    let found = found
        .iter()
        .map(|(name, status)| (plain(name), status.clone()));
    assert_equal(&found.collect(), &OF_GOOGLETEST);
}

#[test]
fn crashes_of_googletest_cost_one_test_each() {
    let fixture = googletest();
    let args = json!(["--gtest_also_run_disabled_tests"]);
    let filter = json!({"filter": "DISABLED_Crash.*"});
    let session = json!({"kind": "googletest", "uri": "build/t", "args": args, "kwargs": filter});
    fixture.recipe("job.json", &[session]);
    fixture.run(&["run", "job.json"]).code(1);
    let expected = [
        ("DISABLED_Crash>a_first", "PASS"),
        ("DISABLED_Crash>b_crashes", "FAIL"),
        ("DISABLED_Crash>c_exits", "ERROR"),
        ("DISABLED_Crash>d_exits_badly", "FAIL"),
        ("DISABLED_Crash>e_last", "PASS"),
    ];
    assert_equal(&cases(&fixture), &expected);
    let ended = "the process ended by signal 11 (SIGSEGV)";
    assert_eq!(reason_of(&fixture, "b_crashes"), ended);
    assert_eq!(
        reason_of(&fixture, "c_exits"),
        "the process exited with code 0"
    );
    assert_eq!(
        reason_of(&fixture, "d_exits_badly"),
        "the process exited with code 3"
    );
    let filter = json!({"filter": "DISABLED_Crash.*", "isolate": true});
    let one = json!({"kind": "googletest", "uri": "build/t", "args": args, "kwargs": filter});
    fixture.recipe("job.json", &[one]);
    fixture.run(&["run", "job.json"]).code(1);
    let found = fixture.job().statuses();
    let plain = |name: &String| name.trim_start_matches("build/t:").replacen('.', ">", 1);
    let found = found
        .iter()
        .map(|(name, status)| (plain(name), status.clone()));
    assert_equal(&found.collect(), &expected);
}

#[test]
fn process_that_ends_badly_after_passing_tests_has_failed() {
    let fixture = googletest();
    let run = |reference: &str, variable: &str| {
        let mut command = fixture.persea(&["run", reference]);
        finish(command.env(variable, "1").spawn().unwrap()).code(1);
        (
            fixture.job().status("build/t"),
            fixture.job().reason("build/t"),
        )
    };
    let leak = "the process exited with code 23, although no test failed";
    let expected = ("FAIL".to_owned(), leak.to_owned());
    assert_eq!(run("googletest:build/t?filter=A.passes", "LEAK"), expected);
    assert_eq!(
        run("googletest:build/t?filter=A.passes&isolate=false", "LEAK"),
        expected
    );
    let disabled = "GTEST_ALSO_RUN_DISABLED_TESTS";
    let (status, reason) = run("googletest:build/t?filter=DISABLED_Set.*", disabled);
    assert_eq!(status, "FAIL");
    assert!(
        reason.contains("SetUpTestSuite or TearDownTestSuite"),
        "{reason}"
    );
}

const OF_CATCH2: [(&str, &str); 10] = [
    ("passes", "PASS"),
    ("fails, with [odd] \"name\" \\", "FAIL"),
    ("sections", "FAIL"),
    ("may", "PASS"),
    ("should", "PASS"),
    ("should not", "FAIL"),
    ("throws", "FAIL"),
    ("template - int", "FAIL"),
    ("template - char", "PASS"),
    ("generated", "FAIL"),
];

#[test]
fn session_of_catch2_has_its_results_and_sections() {
    let fixture = catch2();
    fixture.run(&["run", "catch2:build/t"]).code(1);
    let sections = [
        ("sections>outer", "FAIL"),
        ("sections>outer>a", "PASS"),
        ("sections>outer>b", "FAIL"),
        ("sections>other", "PASS"),
        ("generated>in a section", "FAIL"),
    ];
    assert_equal(&cases(&fixture), &[&OF_CATCH2[..], &sections].concat());
    for (name, expected) in [
        (
            OF_CATCH2[1].0,
            "catch2.cpp:7: CHECK(a == 2): 1 == 2 (and 1 more failure)",
        ),
        ("b", "catch2.cpp:9: no b"),
        ("may", "failed, as expected: catch2.cpp:13: REQUIRE(false)"),
        ("should not", "passed, but was expected to fail"),
        ("throws", "catch2.cpp:16: threw: bad <thing>"),
        ("generated", "catch2.cpp:18: CHECK(n < 3): 3 < 3"),
    ] {
        assert_eq!(reason_of(&fixture, name), expected, "{name}");
    }
}

#[test]
fn isolated_tests_of_catch2_have_the_results_of_the_session() {
    let fixture = catch2();
    fixture
        .run(&[
            "run",
            "--set",
            "runner.catch2.isolate=true",
            "catch2:build/t",
        ])
        .code(1);
    let found = fixture.job().statuses();
    let plain = |name: &String| name.trim_start_matches("build/t:").to_owned();
    let found = found
        .iter()
        .map(|(name, status)| (plain(name), status.clone()));
    assert_equal(&found.collect(), &OF_CATCH2);
    assert_eq!(
        cases(&fixture)["outer>b"],
        "FAIL",
        "sections are the cases of an isolated test"
    );
}

#[test]
fn crashes_of_catch2_cost_one_test_each() {
    let fixture = catch2();
    fixture
        .run(&["run", "catch2:build/t?filter=[crash]"])
        .code(1);
    let expected = [
        ("a crash", "FAIL"),
        ("b exit", "ERROR"),
        ("c bad exit", "FAIL"),
        ("d after", "PASS"),
    ];
    assert_equal(&cases(&fixture), &expected);
    let reason = reason_of(&fixture, "a crash");
    assert!(reason.contains("SIGSEGV"), "{reason}");
}

#[test]
fn hanging_test_is_named() {
    let args = json!(["--gtest_also_run_disabled_tests"]);
    for (fixture, kind, args, filter, words) in [
        (
            googletest(),
            "googletest",
            args,
            "*Hang*",
            "in case DISABLED_Hang > hangs",
        ),
        (catch2(), "catch2", json!([]), "hangs", "in case hangs"),
    ] {
        let hanging = json!({"kind": kind, "uri": "build/t", "args": args,
                             "kwargs": {"filter": filter}});
        fixture.recipe("job.json", &[hanging]);
        fixture
            .run(&["run", "--task-timeout", "3", "job.json"])
            .code(8);
        let reason = fixture.job().reason("build/t");
        assert!(reason.contains(words), "{kind}: {reason}");
        assert!(
            cases(&fixture)
                .values()
                .all(|status| status == "INTERRUPTED")
        );
        fixture.assert_no_strays();
    }
}

#[test]
fn list_command_asks_a_program_only_when_it_is_told() {
    let fixture = catch2();
    let reference = "catch2:build/t?isolate&filter=[fast]";
    let listed = fixture.run(&["list", reference]).code(0);
    assert_eq!(listed.stdout, "catch2 build/t\n");
    assert!(listed.stderr.contains("`--run-listers` does"), "{listed}");
    let listed = fixture.run(&["list", "--run-listers", reference]).code(0);
    let expected = "catch2 build/t:passes\ncatch2 build/t:fails, with [odd] \"name\" \\\n";
    assert_eq!(listed.stdout, expected);
}

#[test]
fn members_of_a_recipe_hold_for_each_isolated_test() {
    let fixture = googletest();
    let args = json!(["--gtest_also_run_disabled_tests"]);
    let kwargs = json!({"filter": "*Hang*:A.passes", "isolate": true});
    let all = json!({"kind": "googletest", "uri": "build/t", "args": args, "kwargs": kwargs,
                     "timeout": 2});
    fixture.recipe("job.json", &[all]);
    fixture.run(&["run", "job.json"]).code(8);
    let expected = [
        ("build/t:A.passes", "PASS"),
        ("build/t:DISABLED_Hang.hangs", "INTERRUPTED"),
    ];
    assert_equal(&fixture.job().statuses(), &expected);
    fixture.assert_no_strays();
}
