//! Tests of the roles: references, lists of files, and batches.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use persea_plugin_sdk::log::Level;
use persea_plugin_sdk::process::Command;
use persea_plugin_sdk::testing::{Answer, Files, Host, Processes};

use super::*;

const TEST: &str = "def test_a(): pass\n";

/// Resolves a reference in a project of these files. Returns the finding and the warnings.
fn ask(files: &[(&str, &str)], reference: &str) -> (Finding, Vec<String>) {
    let files = files
        .iter()
        .fold(Files::new(), |files, (path, text)| files.file(*path, *text));
    let host = Host::new().files(files).install();
    project::forget();
    let answer = Pytest::resolve(&ResolveRequest::new(reference)).unwrap();
    let warnings = host
        .log()
        .into_iter()
        .filter(|(level, _)| *level == Level::Warn);
    (
        answer.finding,
        warnings.map(|(_, message)| message).collect(),
    )
}

#[track_caller]
fn found(files: &[(&str, &str)], reference: &str) -> Runnable {
    match ask(files, reference).0 {
        Finding::Found(runnables) => runnables.into_iter().next().unwrap(),
        other => panic!("{reference}: {other:?}"),
    }
}

#[track_caller]
fn refused(files: &[(&str, &str)], reference: &str) -> String {
    match ask(files, reference).0 {
        Finding::NotFound(why) => why,
        other => panic!("{reference}: {other:?}"),
    }
}

#[test]
fn named_directory_is_listed_and_named_file_is_a_session() {
    let files = [("tests/test_a.py", "pytest.mark.slow pytest.mark.skipif")];
    for (reference, kind, uri) in [
        ("pytest:", FILES, "."),
        ("pytest:.", FILES, "."),
        ("pytest:tests/", FILES, "tests"),
        ("pytest:tests/test_a.py", KIND, "tests/test_a.py"),
        (
            "pytest:tests/test_a.py::T::test[a]",
            KIND,
            "tests/test_a.py::T::test[a]",
        ),
    ] {
        let runnable = found(&files, reference);
        assert_eq!(
            (runnable.kind.as_str(), runnable.uri.as_deref()),
            (kind, Some(uri))
        );
        let tags: Vec<(String, Vec<String>)> = match kind {
            KIND => vec![("slow".to_owned(), vec![])],
            _ => vec![],
        };
        assert_eq!(runnable.tags, tags, "{reference}");
    }
}

#[test]
fn missing_path_is_corrupt_so_that_no_other_resolver_takes_it() {
    for reference in ["pytest:nope", "pytest:nope.py::test", "pytest:tests::test"] {
        let (finding, _) = ask(&[("tests/test_a.py", TEST)], reference);
        assert!(
            matches!(finding, Finding::Corrupt(_)),
            "{reference}: {finding:?}"
        );
    }
}

#[test]
fn test_file_of_a_project_that_uses_pytest_is_a_session() {
    for sign in [
        ("pytest.ini", ""),
        (".pytest.ini", ""),
        ("pyproject.toml", "[tool.pytest.ini_options]\n"),
        ("tox.ini", "[tox]\n[pytest]\n"),
        ("setup.cfg", "[tool:pytest]\n"),
        ("conftest.py", ""),
        ("tests/conftest.py", ""),
    ] {
        for name in ["tests/test_a.py", "tests/a_test.py"] {
            let runnable = found(&[sign, (name, TEST)], name);
            assert_eq!(
                (runnable.kind.as_str(), runnable.uri.as_deref()),
                (KIND, Some(name))
            );
            assert_eq!(runnable.kwargs.text("session"), None, "{sign:?}");
        }
    }
    let imports = format!("  from pytest import mark\n{TEST}");
    found(&[("test_a.py", &imports)], "test_a.py");
}

#[test]
fn test_in_a_file_is_a_reference_without_a_prefix() {
    let files = [("conftest.py", ""), ("test_a.py", TEST)];
    let runnable = found(&files, "test_a.py::test_a[x::y]");
    assert_eq!(runnable.uri.as_deref(), Some("test_a.py::test_a[x::y]"));
}

#[test]
fn unittest_file_of_a_project_that_uses_pytest_is_a_session() {
    let text = "import unittest\nclass T(unittest.TestCase):\n    def test_a(self): pass\n";
    let files = [("conftest.py", ""), ("test_a.py", text), ("suite.py", text)];
    assert_eq!(found(&files, "test_a.py").kind, KIND);
    refused(&files, "suite.py");
    refused(&[("test_a.py", text)], "test_a.py");
}

#[test]
fn nearest_configuration_is_that_of_the_session() {
    let files = [
        ("pytest.ini", ""),
        ("sub/setup.cfg", "[metadata]\n"),
        (
            "sub/pyproject.toml",
            "[tool.pytest.ini_options]\npython_files = ['check_*.py']\n",
        ),
        ("sub/tests/check_a.py", TEST),
        ("sub/tests/test_a.py", TEST),
    ];
    let runnable = found(&files, "sub/tests/check_a.py");
    assert_eq!(runnable.kwargs.text("session"), Some("sub"));
    assert_eq!(
        found(&files, "pytest:sub/tests").kwargs.text("session"),
        Some("sub")
    );
    let why = refused(&files, "sub/tests/test_a.py");
    assert!(why.contains("by its name"), "{why}");
}

#[test]
fn directory_that_pytest_does_not_search_has_no_tests() {
    for directory in ["node_modules/x", "build", "a.egg", "env"] {
        let path = format!("{directory}/test_a.py");
        let path = path.as_str();
        let files = [("conftest.py", ""), ("env/pyvenv.cfg", ""), (path, TEST)];
        let why = refused(&files, path);
        assert!(why.contains(&format!("pytest:{path}")), "{why}");
        found(&files, &format!("pytest:{path}"));
    }
}

#[test]
fn file_of_test_functions_without_a_sign_of_pytest_is_warned_of() {
    let (finding, warnings) = ask(&[("test_a.py", TEST)], "test_a.py");
    assert!(matches!(finding, Finding::NotFound(_)));
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].contains("persea run pytest:test_a.py"),
        "{}",
        warnings[0]
    );
    let (_, warnings) = ask(
        &[("conftest.py", ""), ("test_a.py", "X = 1\n")],
        "test_a.py",
    );
    assert!(warnings.is_empty(), "a file without tests: {warnings:?}");
}

#[test]
fn test_of_another_file_and_test_without_def_are_a_session() {
    for text in [
        "from shared import test_x\n",
        "test_lam = lambda: 1\n",
        "from shared import (\n    test_x,\n)\n",
    ] {
        found(&[("pytest.ini", ""), ("test_a.py", text)], "test_a.py");
    }
}

#[test]
fn file_that_may_have_tests_is_warned_of_in_a_project_that_uses_pytest() {
    let text = "import x\nglobals()[\"test_g\"] = x.run\n";
    let (finding, warnings) = ask(&[("pytest.ini", ""), ("test_a.py", text)], "test_a.py");
    assert!(matches!(finding, Finding::NotFound(_)), "{finding:?}");
    let expected = "test_a.py may hold tests that were not found: globals() in line 2; \
                    `persea run pytest:test_a.py` runs them";
    assert_eq!(warnings, [expected]);
    // pytest does not look into a file of another name.
    let (_, warnings) = ask(&[("pytest.ini", ""), ("tool.py", text)], "tool.py");
    assert!(warnings.is_empty(), "{warnings:?}");
    // The user has named the test.
    let named = [("pytest.ini", ""), ("test_a.py", text)];
    found(&named, "test_a.py::test_g");
}

#[test]
fn examples_of_doctest_are_tests_where_the_configuration_says_so() {
    let text = "def f():\n    \"\"\"\n    >>> 1 + 1\n    2\n    \"\"\"\n";
    let with = ("pytest.ini", "[pytest]\naddopts = -q --doctest-modules\n");
    for name in ["test_a.py", "lib.py"] {
        found(&[with, (name, text)], name);
        refused(&[("pytest.ini", "[pytest]\n"), (name, text)], name);
    }
    refused(&[with, ("lib.py", "def f(): pass\n")], "lib.py");
    refused(&[with, ("setup.py", text)], "setup.py");
    found(&[("pytest.ini", ""), ("test_a.txt", text)], "test_a.txt");
    refused(&[("pytest.ini", ""), ("notes.txt", text)], "notes.txt");
    refused(&[("test_a.txt", text)], "test_a.txt");
    let globs = "[pytest]\naddopts = --doctest-glob=*.rst\n";
    found(&[("pytest.ini", globs), ("a.rst", text)], "a.rst");
    // The classes of such a file are tests of unittest, which pytest does not see.
    let both = format!("import unittest\n{text}");
    let (_, warnings) = ask(&[with, ("lib.py", &both)], "lib.py");
    assert!(warnings[0].contains("tests that were not found: doctests"));
}

#[test]
fn names_and_directories_of_tests_are_those_of_the_configuration() {
    let ini = "[pytest]\npython_files = check_*.py\npython_functions = check\n\
               python_classes = Check\nnorecursedirs = skipped\n";
    let ini = ("pytest.ini", ini);
    for (path, text) in [
        ("check_a.py", "def check_a(): pass\n"),
        ("check_a.py", "class CheckA:\n    def check(self): pass\n"),
        ("build/check_a.py", "def check_a(): pass\n"),
    ] {
        found(&[ini, (path, text)], path);
    }
    for (path, text) in [
        ("check_a.py", "def test_a(): pass\n"),
        ("test_a.py", "def check_a(): pass\n"),
        ("skipped/check_a.py", "def check_a(): pass\n"),
    ] {
        refused(&[ini, (path, text)], path);
    }
}

#[test]
fn conftest_that_collects_other_files_is_warned_of() {
    let text = "def pytest_collect_file(parent, path): return None\n";
    let (_, warnings) = ask(&[("t/conftest.py", text)], "t/conftest.py");
    assert!(
        warnings[0].contains("`persea run pytest:t/` runs them"),
        "{warnings:?}"
    );
    let (_, warnings) = ask(&[("conftest.py", "X = 1\n")], "conftest.py");
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn test_file_that_is_too_large_to_read_is_warned_of() {
    let text = "#".repeat((4 << 20) + 1);
    let (_, warnings) = ask(&[("pytest.ini", ""), ("test_a.py", &text)], "test_a.py");
    assert!(warnings[0].contains("it is larger than 4 MiB"));
}

/// The answer of a lister for a directory whose files pytest names with this report.
fn listed(report: &str, code: i32, settings: &[(&str, i64)]) -> Result<Listing, Error> {
    let answer = Answer::code(code).report(report).stderr("ERROR: odd\n");
    let _host = Host::new().processes(Processes::always(answer)).install();
    let runnable = Runnable::new(FILES)
        .uri("tests")
        .kwarg("k", "x")
        .tag("own", [""; 0]);
    let task = settings
        .iter()
        .fold(Task::new("1-t", runnable), |task, (name, value)| {
            task.setting(*name, *value)
        });
    Pytest::list_tests(&task)
}

const TWO_FILES: &str = "{\"is\": \"ready\"}\n\
    {\"is\": \"collected\", \"selected\": 2, \"deselected\": 0}\n\
    {\"is\": \"file\", \"path\": \"tests/test_a.py\", \"tests\": 3, \"tags\": [\"slow\"]}\n\
    {\"is\": \"file\", \"path\": \"tests/test_b.py\", \"tests\": 500, \"tags\": []}\n";

#[test]
fn each_file_of_a_directory_is_a_runnable_and_a_large_one_several() {
    let report = format!("{TWO_FILES}{{\"is\": \"end\", \"code\": 5}}\n");
    let tests = listed(&report, 5, &[]).unwrap().tests;
    let shown: Vec<(Option<&str>, Option<&str>)> = tests
        .iter()
        .map(|test| (test.uri.as_deref(), test.kwargs.text("part")))
        .collect();
    let b = Some("tests/test_b.py");
    let parts = [(b, Some("1/3")), (b, Some("2/3")), (b, Some("3/3"))];
    assert_eq!(shown[0], (Some("tests/test_a.py"), None));
    assert_eq!(shown[1..], parts);
    assert!(
        tests
            .iter()
            .all(|test| test.kwargs.text("k") == Some("x") && test.kind == FILES)
    );
    assert_eq!(
        tests[3].identifier.as_deref(),
        Some("tests/test_b.py (part 3 of 3)")
    );
    let tags = [("own".to_owned(), vec![]), ("slow".to_owned(), vec![])];
    assert_eq!(
        (tests[0].tags.as_slice(), tests[1].tags.len()),
        (&tags[..], 1)
    );
    let whole = listed(&report, 5, &[(PART_SIZE.key(), 0)]).unwrap().tests;
    assert_eq!(whole.len(), 2);
}

#[test]
fn failed_listing_is_an_error_that_says_why() {
    let end = |code: i32| format!("{{\"is\": \"end\", \"code\": {code}}}\n");
    let none = "{\"is\": \"collected\", \"selected\": 0, \"deselected\": 4}\n";
    let stop = "{\"is\": \"stopped\", \"kind\": \"collect\", \"reason\": \"sub: no module x\"}\n";
    let problem = "{\"is\": \"problem\", \"reason\": \"type pip install\"}\n";
    for (report, code, part) in [
        (end(5), 5, "pytest collected no tests in tests"),
        (
            format!("{none}{}", end(5)),
            5,
            "all 4 tests of tests are deselected",
        ),
        (format!("{stop}{}", end(2)), 2, "sub: no module x"),
        (problem.to_owned(), 1, "type pip install"),
        (end(4), 4, "pytest does not accept its arguments: odd"),
        (
            end(3),
            3,
            "pytest exited with code 3 while it listed the files: odd",
        ),
        (
            TWO_FILES.to_owned(),
            0,
            "pytest exited with code 0 while it listed the files",
        ),
        (
            "rubbish\n".to_owned(),
            0,
            "pytest's list of files is broken",
        ),
    ] {
        let error = listed(&report, code, &[]).unwrap_err();
        assert!(error.message.contains(part), "{part}: {}", error.message);
    }
}

#[test]
fn listed_file_is_not_listed_again() {
    let host = Host::new()
        .processes(Processes::always(Answer::code(0)))
        .install();
    let runnable = Runnable::new(FILES).uri("tests/test_a.py");
    let listing = Pytest::list_tests(&Task::new("1-t", runnable.clone())).unwrap();
    assert_eq!(listing.tests, [runnable]);
    assert_eq!(host.commands(), [] as [Command; 0]);
}

fn task(uri: &str) -> Task {
    Task::new(uri, Runnable::new(KIND).uri(uri)).with("output-dir", format!("/out/{uri}"))
}

#[test]
fn request_of_a_batch_holds_what_differs_and_the_command_the_rest() {
    let report = "{\"is\": \"end\", \"code\": 5}\n\n{\"is\": \"exit\", \"code\": 5, \
                  \"signal\": null, \"orphans\": 2}\n";
    let mut one = task("t.py");
    one.runnable = one
        .runnable
        .env("A", "1")
        .env_remove("B")
        .kwarg("part", "1/2");
    let host = Host::new()
        .processes(Processes::always(Answer::code(0).report(report)))
        .tasks([one.with("work-dir", "/work")])
        .install();
    Pytest::run_batch(&mut Batch::of_fakes()).unwrap();
    let outcome = host.outcomes().remove(0).unwrap();
    assert_eq!(outcome.more.integer("left-behind"), Some(2));
    let names: Vec<String> = host.commands()[0]
        .env
        .iter()
        .map(|(name, _)| name.clone())
        .collect();
    assert_eq!(names, ["AVOCADO_VERSION", "A", "B"]);
    let (request, _) = host.stdin(0).unwrap();
    let request = String::from_utf8(request).unwrap();
    let (length, fields) = request.split_once('\n').unwrap();
    assert_eq!(length, fields.len().to_string());
    let fields: Vec<&str> = fields.split('\0').collect();
    assert_eq!(fields[..4], ["t.py", "1/2", "/out/t.py", "/work"]);
    assert!(fields.contains(&"AVOCADO_TEST_OUTPUTDIR=/out/t.py"));
}

#[test]
fn killed_interpreter_costs_only_its_current_task() {
    let host = Host::new()
        .processes(Processes::always(Answer::signal(9)))
        .tasks([task("a.py"), task("b.py")])
        .install();
    Pytest::run_batch(&mut Batch::of_fakes()).unwrap();
    let why = "the Python interpreter ended by signal 9 (SIGKILL) before it had run the tests";
    let dead = Outcome::error(why).with("returncode", -9);
    let outcomes: Vec<Outcome> = host.outcomes().into_iter().map(Result::unwrap).collect();
    assert_eq!(outcomes, [dead.clone(), dead]);
    assert_eq!(host.commands().len(), 2);
}

#[test]
fn scripts_are_ascii_and_end_with_their_part() {
    for (part, last) in [
        (ONE, "main()\n"),
        (batch::BATCH, "serve()\n"),
        (listing::LIST, "list_files()\n"),
    ] {
        let script = script(part);
        assert!(script.is_ascii() && script.len() < 100_000);
        assert!(script.ends_with(&format!("\n{last}")));
    }
}
