//! How the file of a test is imported: module names, `sys.path`, packages and failures.

use crate::support::{check, module, run, tree};

#[test]
fn failed_import_is_an_error_with_its_exception() {
    let ran = module("import not_there_at_all\n");
    check(
        &ran,
        "error",
        "ModuleNotFoundError: No module named 'not_there_at_all'",
    );
    assert!(
        !ran.get("traceback").contains("<string>"),
        "the traceback shows frames of the script: {}",
        ran.get("traceback")
    );
    assert!(ran.stderr().contains("No module named 'not_there_at_all'"));
    check(&module("x = = 1\n"), "error", "SyntaxError: invalid syntax");
    check(
        &module("1 / 0\n"),
        "error",
        "ZeroDivisionError: division by zero",
    );
    check(
        &module("import sys\nsys.exit(3)\n"),
        "error",
        "SystemExit: 3",
    );
    let nothing = tempfile::tempdir().unwrap();
    check(
        &run(nothing.path(), &["t.py:T.test"]),
        "error",
        "ModuleNotFoundError: No module named 't'",
    );
}

#[test]
fn shadowed_file_is_an_error_that_names_the_other_module() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("os.py"), "import unittest\n").unwrap();
    let ran = run(directory.path(), &["os.py:T.test"]);
    assert!(
        ran.get("reason")
            .starts_with("ImportError: the module name os belongs to /"),
        "{}",
        ran.get("reason")
    );
    assert!(
        ran.get("reason").ends_with(", not to os.py"),
        "{}",
        ran.get("reason")
    );
}

#[test]
fn imports_search_the_directory_of_the_test_and_the_working_directory() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let class = "class T(unittest.TestCase):\n    def test(self): pass\n";
    write("top.py", "");
    write("sub/sibling.py", "");
    write(
        "sub/t.py",
        &format!("import unittest, sibling, top\n{class}"),
    );
    check(&run(directory.path(), &["sub/t.py:T.test"]), "pass", "");
    write("loose/t.py", "from .base import X\n");
    let ran = run(directory.path(), &["loose/t.py:T.test"]);
    assert!(
        ran.get("reason").contains("attempted relative import"),
        "{}",
        ran.get("reason")
    );
}

#[test]
fn package_file_is_imported_from_the_top_level_directory() {
    let test = "import os, sys, unittest\nfrom ..base import X\nimport string\n\
                class T(unittest.TestCase):\n    def test(self):\n\
                \x20       self.assertEqual(__name__, 'pkg.tests.t')\n\
                \x20       self.assertEqual(sys.path[0], os.path.realpath(TOP))\n\
                \x20       self.assertNotIn(os.path.dirname(__file__), sys.path)\n\
                \x20       self.assertTrue(string.digits)\n\
                \x20       import pkg.tests.t as again\n\
                \x20       self.assertIs(again.T, type(self))\n";
    let files = |top: &'static str| {
        let test = test.replace("TOP", &format!("'{top}'"));
        tree(&[
            ("src/pkg/__init__.py", ""),
            ("src/pkg/base.py", "X = 1\n"),
            ("src/pkg/tests/__init__.py", ""),
            (
                "src/pkg/tests/string.py",
                "raise Exception('not this one')\n",
            ),
            ("src/pkg/tests/t.py", &test),
        ])
    };
    let directory = files("src");
    check(
        &run(directory.path(), &["src/pkg/tests/t.py:T.test"]),
        "pass",
        "",
    );
    let directory = files(".");
    let ran = run(&directory.path().join("src"), &["pkg/tests/t.py:T.test"]);
    check(&ran, "pass", "");
    assert_eq!(ran.get("class-name"), "pkg.tests.t.T");
    // Python puts the working directory first, so the directory of the file is in `sys.path`.
    let directory = files("../..");
    let tests = directory.path().join("src/pkg/tests");
    std::fs::remove_file(tests.join("string.py")).unwrap();
    let text = std::fs::read_to_string(tests.join("t.py")).unwrap();
    let text = text.replace("assertNotIn", "assertIn");
    std::fs::write(tests.join("t.py"), text).unwrap();
    check(&run(&tests, &["t.py:T.test"]), "pass", "");
}

#[test]
fn skip_in_a_package_skips_its_tests() {
    let directory = tree(&[
        (
            "pkg/__init__.py",
            "import unittest\nraise unittest.SkipTest('no lib')\n",
        ),
        ("pkg/sub/__init__.py", ""),
        (
            "pkg/sub/t.py",
            "import unittest\nclass T(unittest.TestCase):\n    def test(self): pass\n",
        ),
    ]);
    check(
        &run(directory.path(), &["pkg/sub/t.py:T.test"]),
        "skip",
        "no lib",
    );
}

#[test]
fn init_file_is_imported_as_its_package() {
    let directory = tree(&[(
        "pkg/__init__.py",
        "import unittest\nclass T(unittest.TestCase):\n\
         \x20   def test(self): self.assertEqual(__name__, 'pkg')\n",
    )]);
    check(
        &run(directory.path(), &["pkg/__init__.py:T.test"]),
        "pass",
        "",
    );
}

#[test]
fn project_root_with_an_init_file_is_not_a_package() {
    let test = "import unittest\nclass T(unittest.TestCase):\n\
                \x20   def test(self): self.assertEqual(__name__, 'tests.t')\n";
    let directory = tree(&[
        ("project/__init__.py", ""),
        ("project/pyproject.toml", ""),
        ("project/tests/__init__.py", ""),
        ("project/tests/t.py", test),
    ]);
    check(
        &run(directory.path(), &["project/tests/t.py:T.test"]),
        "pass",
        "",
    );
    let test = test.replace("tests.t", "t");
    let directory = tree(&[("no-name/__init__.py", ""), ("no-name/t.py", &test)]);
    check(&run(directory.path(), &["no-name/t.py:T.test"]), "pass", "");
}

#[test]
fn file_with_several_tests_is_imported_once() {
    let directory = tree(&[(
        "t.py",
        "import unittest\nwith open('count', 'a') as file: file.write('x')\n1 / 0\n",
    )]);
    run(
        directory.path(),
        &["t.py:T.test_a", "t.py:T.test_b", "t.py:T.test_c"],
    );
    let count = std::fs::read_to_string(directory.path().join("count")).unwrap();
    assert_eq!(count, "x");
}
