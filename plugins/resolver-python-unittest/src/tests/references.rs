//! References and filters, and the answers to files without tests.

use super::*;

const TWO: &str = "import unittest\nclass A(unittest.TestCase):\n    def test_b(self): pass\n\
                   \x20   def test_a(self): pass\n\
                   class B(unittest.TestCase):\n    async def test_b(self): pass\n";

#[test]
fn tests_keep_the_order_of_the_file_and_the_typed_path() {
    let files = || Files::new().file("dir/t.py", TWO);
    let all = [
        "dir/t.py:A.test_b",
        "dir/t.py:A.test_a",
        "dir/t.py:B.test_b",
    ];
    assert_eq!(uris(files(), "dir/t.py"), all);
    assert_eq!(
        found(files(), "dir/t.py").first().unwrap().kind,
        "python-unittest"
    );
}

#[test]
fn filter_matches_class_and_method() {
    let files = || Files::new().file("t.py", TWO);
    assert_eq!(uris(files(), "t.py:A.test_a"), ["t.py:A.test_a"]);
    assert_eq!(
        uris(files(), "t.py:_b$"),
        ["t.py:A.test_b", "t.py:B.test_b"]
    );
    assert_eq!(uris(files(), "t.py:"), uris(files(), "t.py"));
    let why = not_found(files(), "t.py:C.test");
    assert_eq!(
        why,
        "no test of t.py matches `C.test`: it has 3 tests, such as A.test_b"
    );
    let _host = Host::new().files(files()).install();
    let error = PythonUnittest::resolve(&ResolveRequest::new("t.py:(")).unwrap_err();
    assert!(
        error
            .message
            .starts_with("the filter `(` of t.py is not a regular expression"),
        "{error}"
    );
}

#[test]
fn file_name_may_contain_a_colon() {
    assert_eq!(
        uris(Files::new().file("a.py:b.py", TWO), "a.py:b.py").len(),
        3
    );
}

#[test]
fn file_without_tests_is_not_found_with_a_reason() {
    let file = |text: &str| Files::new().file("t.py", text).directory("d.py");
    assert_eq!(
        not_found(file(""), "run.sh"),
        "run.sh is not a Python file: its name does not end with .py"
    );
    assert_eq!(not_found(file(""), "none.py"), "none.py does not exist");
    assert_eq!(
        not_found(file(""), "none.py:T.test"),
        "none.py does not exist"
    );
    assert_eq!(not_found(file(""), "d.py"), "d.py is not a regular file");
    assert_eq!(not_found(file("print(1)\n"), "t.py"), "t.py has no class");
    assert_eq!(
        not_found(file("class A: pass\n"), "t.py"),
        "t.py has no class that derives from unittest.TestCase"
    );
    let why = not_found(
        file("from unittest import TestCase\nclass A(TestCase): pass\n"),
        "t.py",
    );
    assert_eq!(
        why,
        "the class A of t.py has no method whose name begins with `test`"
    );
    let why = not_found(
        file("from lib import Base\nclass A(Base):\n    def test_a(self): pass\n"),
        "t.py",
    );
    assert!(
        why.ends_with("A derives from Base, which is not found in the project"),
        "{why}"
    );
}

#[test]
fn syntax_error_is_corrupt_only_in_a_test_file() {
    let broken_test =
        "import unittest\nclass A(unittest.TestCase):\n    def test_a(self):\n        x = = 1\n";
    let Finding::Corrupt(why) = ask(Files::new().file("t.py", broken_test), "t.py").finding else {
        panic!()
    };
    assert!(why.starts_with("t.py:4:13: syntax error: "), "{why}");
    let why = not_found(Files::new().executable("t.py", broken_test), "t.py");
    assert!(
        why.starts_with("t.py:4:13: syntax error: "),
        "an executable file may be an exec-test, as in Avocado: {why}"
    );
    let python2 = "class A: pass\nprint 'old'\n";
    assert!(
        not_found(Files::new().file("t.py", python2), "t.py")
            .starts_with("t.py:2:7: syntax error: ")
    );
    let Finding::Corrupt(_) = ask(Files::new().file("t.py", python2), "t.py:A").finding else {
        panic!("a filter means that the file is a Python test file")
    };
}
