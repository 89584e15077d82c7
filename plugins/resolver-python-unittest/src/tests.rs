//! What users rely on, through the plugin's one call.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use persea_plugin_sdk::testing::{Files, Host};

fn ask(files: Files, reference: &str) -> Resolution {
    let _host = Host::new().files(files).install();
    LIBRARY.take();
    PythonUnittest::resolve(reference, &Attributes::new()).unwrap()
}

fn found(files: Files, reference: &str) -> Vec<Runnable> {
    match ask(files, reference) {
        Resolution::Found(runnables) => runnables,
        other => panic!("{other:?}"),
    }
}

fn uris(files: Files, reference: &str) -> Vec<String> {
    found(files, reference)
        .into_iter()
        .map(|runnable| runnable.uri.unwrap())
        .collect()
}

fn not_found(files: Files, reference: &str) -> String {
    match ask(files, reference) {
        Resolution::NotFound(why) => why,
        other => panic!("{other:?}"),
    }
}

const TWO: &str = "import unittest\nclass A(unittest.TestCase):\n    def test_b(self): pass\n    def test_a(self): pass\n\
                   class B(unittest.TestCase):\n    async def test_b(self): pass\n";

#[test]
fn tests_come_in_the_files_order_with_the_path_as_typed() {
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
fn a_filter_is_searched_in_class_and_method() {
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
        "none of the 3 tests of t.py matches `C.test`; one of them is A.test_b"
    );
    let _host = Host::new().files(files()).install();
    let error = PythonUnittest::resolve("t.py:(", &Attributes::new()).unwrap_err();
    assert!(
        error
            .message
            .starts_with("the filter `(` of t.py is no regular expression"),
        "{error}"
    );
}

#[test]
fn a_file_name_with_a_colon_is_a_file_name() {
    assert_eq!(
        uris(Files::new().file("a.py:b.py", TWO), "a.py:b.py").len(),
        3
    );
}

#[test]
fn what_is_no_test_says_why() {
    let file = |text: &str| Files::new().file("t.py", text).directory("d.py");
    assert_eq!(
        not_found(file(""), "run.sh"),
        "run.sh is no Python file: its name does not end with .py"
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
fn a_broken_test_is_corrupt_and_another_broken_file_is_not_mine() {
    let broken_test =
        "import unittest\nclass A(unittest.TestCase):\n    def test_a(self):\n        x = = 1\n";
    let Resolution::Corrupt(why) = ask(Files::new().file("t.py", broken_test), "t.py") else {
        panic!()
    };
    assert!(why.starts_with("t.py:4:13: syntax error: "), "{why}");
    let why = not_found(Files::new().executable("t.py", broken_test), "t.py");
    assert!(
        why.starts_with("t.py:4:13: syntax error: "),
        "exec-test may have it, as in Avocado: {why}"
    );
    let python2 = "class A: pass\nprint 'old'\n";
    assert!(
        not_found(Files::new().file("t.py", python2), "t.py")
            .starts_with("t.py:2:7: syntax error: ")
    );
    let Resolution::Corrupt(_) = ask(Files::new().file("t.py", python2), "t.py:A") else {
        panic!("who names a test in a file means Python")
    };
}

#[test]
fn tests_are_inherited_in_a_file_and_across_files() {
    let base = "import unittest\nclass Base(unittest.TestCase):\n    ':avocado: tags=base'\n    def test_base(self): pass\n    def test_off(self): pass\n";
    let test = "from common.base import Base\nclass Mixin:\n    def test_mixed(self): pass\n\
                class T(Base, Mixin):\n    ':avocado: tags=own'\n    test_off = None\n    def test_own(self): pass\n\
                class U(T): pass\n";
    let files = || {
        Files::new()
            .file("tests/t.py", test)
            .file("common/base.py", base)
    };
    let all = [
        "tests/t.py:T.test_own",
        "tests/t.py:T.test_mixed",
        "tests/t.py:T.test_base",
        "tests/t.py:U.test_own",
        "tests/t.py:U.test_mixed",
        "tests/t.py:U.test_base",
        "tests/t.py:Base.test_base",
        "tests/t.py:Base.test_off",
    ];
    assert_eq!(uris(files(), "tests/t.py"), all);
    // Also what the mixin has: Avocado gives the tags of one base to what came from the bases before it.
    let tags: Vec<Vec<String>> = found(files(), "tests/t.py:T")
        .into_iter()
        .map(|runnable| runnable.tags.into_iter().map(|(name, _)| name).collect())
        .collect();
    assert_eq!(
        tags,
        [
            vec!["own", "base"],
            vec!["own", "base"],
            vec!["base", "own"]
        ]
    );
}

#[test]
fn directives_decide_over_inheritance() {
    let test = "import unittest\nclass Off(unittest.TestCase):\n    ':avocado: disable'\n    def test_a(self): pass\n\
                class On:\n    ':avocado: enable'\n    def test_b(self): pass\n\
                class Deep(Off):\n    ':avocado: recursive'\n\
                class Foreign(lib.Thing):\n    ':avocado: recursive'\n    def test_c(self): pass\n";
    let files = Files::new().file("t.py", test);
    assert_eq!(
        uris(files, "t.py"),
        ["t.py:On.test_b", "t.py:Deep.test_a", "t.py:Foreign.test_c"]
    );
}

#[test]
fn a_dependency_of_the_class_is_one_of_every_test() {
    let test = "import unittest\nclass T(unittest.TestCase):\n    ''':avocado: dependency={\"type\": \"package\", \"name\": \"gcc\"}'''\n\
                \x20   def test_a(self):\n        ''':avocado: dependency={\"type\": \"pip\", \"name\": \"x\"}'''\n    def test_b(self): pass\n\
                class U(T):\n    ''':avocado: dependency={\"type\": \"asset\", \"name\": \"y\"}'''\n";
    let of = |runnable: Runnable| {
        runnable
            .requirements
            .into_iter()
            .map(|one| one.kind)
            .collect::<Vec<_>>()
    };
    let kinds: Vec<Vec<String>> = found(Files::new().file("t.py", test), "t.py")
        .into_iter()
        .map(of)
        .collect();
    assert_eq!(
        kinds,
        [
            vec!["pip", "package"],
            vec!["package"],
            vec!["pip", "package", "asset"],
            vec!["package", "asset"]
        ]
    );
}

#[test]
fn classes_that_derive_from_each_other_come_to_an_end() {
    let test = "class A(B):\n    def test_a(self): pass\nclass B(A): pass\nclass C(C): pass\n";
    assert!(not_found(Files::new().file("t.py", test), "t.py").starts_with("t.py has no class"));
}

#[test]
fn a_class_that_is_inherited_on_many_ways_is_examined_once() {
    let mut diamonds =
        "import unittest\nclass A0(unittest.TestCase):\n    def test_a(self): pass\n".to_owned();
    for i in 1..200 {
        let above = i - 1;
        diamonds += &format!(
            "class B{i}(A{above}): pass\nclass C{i}(A{above}): pass\nclass A{i}(B{i}, C{i}): pass\n"
        );
    }
    let found = uris(Files::new().file("t.py", diamonds), "t.py:^A199.");
    assert_eq!(found, ["t.py:A199.test_a"]);

    let bases: Vec<String> = (0..40).map(|i| format!("K{i}")).collect();
    let circles: String = bases
        .iter()
        .map(|name| format!("class {name}({}): pass\n", bases.join(", ")))
        .collect();
    assert!(not_found(Files::new().file("t.py", circles), "t.py").starts_with("t.py has no class"));
}

#[test]
fn a_line_of_ancestors_has_an_end() {
    let backwards: String = (0..2_000)
        .map(|i| format!("class A{i}(A{}): pass\n", i + 1))
        .collect();
    assert!(
        not_found(Files::new().file("t.py", backwards), "t.py").starts_with("t.py has no class")
    );
}

#[test]
fn a_base_class_may_have_the_name_of_the_test() {
    let files = Files::new()
        .file("pk/__init__.py", "")
        .file(
            "pk/test_base.py",
            "import unittest\nclass Base(unittest.TestCase):\n    def test_a(self): pass\n",
        )
        .file(
            "pk/test_b.py",
            "from pk.test_base import Base\nclass Base(Base):\n    pass\n",
        );
    assert_eq!(uris(files, "pk/test_b.py"), ["pk/test_b.py:Base.test_a"]);
}

#[test]
fn an_imported_test_class_is_tested_where_it_is_imported_as_unittest_does() {
    let base = "import unittest\nclass Base(unittest.TestCase):\n    def test_a(self): pass\nclass _Own(Base): pass\n";
    let files = |text: &str| Files::new().file("base.py", base).file("t.py", text);
    assert_eq!(
        uris(files("from base import Base as B, _Own\n# class\n"), "t.py"),
        ["t.py:B.test_a", "t.py:_Own.test_a"]
    );
    assert_eq!(
        uris(files("from base import *\n# class\n"), "t.py"),
        ["t.py:Base.test_a"]
    );
    let deleted = "from base import Base\nclass T(Base):\n    def test_b(self): pass\ndel Base\n";
    assert_eq!(
        uris(files(deleted), "t.py"),
        ["t.py:T.test_b", "t.py:T.test_a"]
    );
    let module = "import base\nclass T(base.Base): pass\n";
    assert_eq!(uris(files(module), "t.py"), ["t.py:T.test_a"]);
}

#[test]
fn classes_below_conditions_are_found() {
    let test = "import unittest\n\
                try:\n    import lib\n    class A(unittest.TestCase):\n        def test_a(self): pass\nexcept ImportError: pass\n\
                if lib:\n    class B(unittest.TestCase):\n        def test_x(self): pass\nelse:\n    class B(unittest.TestCase):\n        def test_y(self): pass\n\
                with x:\n    class C(unittest.TestCase):\n        def test_c(self): pass\n\
                if __name__ == '__main__':\n    class D(unittest.TestCase):\n        def test_d(self): pass\n";
    let expected = [
        "t.py:A.test_a",
        "t.py:B.test_y",
        "t.py:B.test_x",
        "t.py:C.test_c",
    ];
    let mut found = uris(Files::new().file("t.py", test), "t.py");
    found.sort();
    let mut expected = expected.map(str::to_owned);
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn run_test_is_the_test_of_a_class_that_has_no_other() {
    let test = "import unittest\nclass A(unittest.TestCase):\n    def runTest(self): pass\n\
                class B(A):\n    def test_b(self): pass\nclass C(A): pass\n";
    let expected = ["t.py:A.runTest", "t.py:B.test_b", "t.py:C.runTest"];
    assert_eq!(uris(Files::new().file("t.py", test), "t.py"), expected);
}

#[test]
fn a_name_that_is_taken_away_in_a_base_is_no_test() {
    let test = "import unittest\nclass A(unittest.TestCase):\n    def test_a(self): pass\nclass Off:\n    test_a = None\n\
                class B(Off, A): pass\nclass C(A, Off): pass\n";
    let expected = ["t.py:A.test_a", "t.py:C.test_a"];
    assert_eq!(uris(Files::new().file("t.py", test), "t.py"), expected);
}

/// What the plugin warns of about a file.
fn warnings(text: &str, reference: &str) -> Vec<String> {
    let host = Host::new().files(Files::new().file("t.py", text)).install();
    LIBRARY.take();
    PythonUnittest::resolve(reference, &Attributes::new()).unwrap();
    let logs = host.log().into_iter();
    logs.filter(|(level, _)| *level == Level::Warn)
        .map(|(_, message)| message)
        .collect()
}

#[test]
fn a_file_that_may_hold_other_tests_is_warned_of() {
    let case = "import unittest\nclass T(unittest.TestCase):\n    def test_a(self): pass\n";
    for (more, why) in [
        (
            "def load_tests(loader, tests, pattern): return tests\n",
            "load_tests() in line 4",
        ),
        (
            "for n in '12': setattr(T, 'test_' + n, f)\n",
            "setattr in line 4",
        ),
        (
            "def add():\n    for n in '12':\n        setattr(T, n, f)\nadd()\n",
            "setattr in add() in line 7",
        ),
        (
            "globals()['U'] = f()\n",
            "an assignment into its namespace in line 4",
        ),
        (
            "TestMade = make(T)\n",
            "TestMade, which a call makes in line 4",
        ),
        (
            "TestMade = type('TestMade', (T,), {})\n",
            "a class made by type() in line 4",
        ),
        (
            "class M(T, metaclass=Meta): pass\n",
            "a metaclass in line 4",
        ),
        (
            "class M(six.with_metaclass(Meta, T)): pass\n",
            "a metaclass in line 4",
        ),
        (
            "class M(T):\n    @parameterized.expand([1])\n    def test_x(self, n): pass\n",
            "methods made from test_x by @expand in line 5",
        ),
        (
            "class M(T):\n    test_x = make()\n",
            "the method test_x, which a call makes in line 5",
        ),
        ("suite = doctest.DocTestSuite()\n", "doctests"),
    ] {
        let expected = [format!("t.py may hold tests that were not found: {why}")];
        assert_eq!(
            warnings(&format!("{case}{more}"), "t.py"),
            expected,
            "{more}"
        );
    }
    for none in [
        "",
        "if __name__ == '__main__': setattr(T, 'x', 1)\n",
        "def helper(o):\n    setattr(o, 'x', 1)\n",
        "T = skip('x')(T)\n",
        "class A(T, metaclass=abc.ABCMeta): pass\n",
    ] {
        assert_eq!(
            warnings(&format!("{case}{none}"), "t.py"),
            [] as [&str; 0],
            "{none}"
        );
    }
    let loads = format!("{case}def load_tests(loader, tests, pattern): return tests\n");
    assert_eq!(
        warnings(&loads, "t.py:T.test_a"),
        [] as [&str; 0],
        "the user has named what to run"
    );
}

#[test]
fn a_file_of_unittest_without_tests_is_warned_of() {
    for (text, why) in [
        (
            "import unittest\n",
            "it imports unittest, but no test class is to be seen",
        ),
        (
            "from unittest import TestCase\nclass A(TestCase): pass\n",
            "its test classes have no test method",
        ),
        (
            "from lib import Base\nclass A(Base):\n    def test_a(self): pass\n",
            "A derives from Base, which is not in the project",
        ),
    ] {
        let expected = [format!("t.py may hold tests that were not found: {why}")];
        assert_eq!(warnings(text, "t.py"), expected, "{text}");
    }
    for none in [
        "from unittest import mock\n",
        "import unittest.mock\n",
        "class A: pass\nsetattr(A, 'x', 1)\n",
        "from lib import Base\nclass A(Base): pass\n",
    ] {
        assert_eq!(warnings(none, "t.py"), [] as [&str; 0], "{none}");
    }
}

#[test]
fn a_class_of_object_is_no_test_unless_it_says_so() {
    let plain = "class T(object):\n    def test_a(self): pass\n";
    assert_eq!(
        not_found(Files::new().file("t.py", plain), "t.py"),
        "t.py has no class that derives from unittest.TestCase"
    );
    let both = "import unittest\nclass T(object, unittest.TestCase):\n    def test_a(self): pass\n";
    assert_eq!(
        uris(Files::new().file("t.py", both), "t.py"),
        ["t.py:T.test_a"]
    );
    let enabled = "class T(object):\n    ':avocado: enable'\n    def test_a(self): pass\n";
    assert_eq!(
        uris(Files::new().file("t.py", enabled), "t.py"),
        ["t.py:T.test_a"]
    );
}

/// As in Avocado, the tags of its class replace those of a test with the same name, and those of a base are for what the base has.
#[test]
fn tags_of_a_class_replace_those_of_its_tests() {
    let test = "import unittest\nclass Base(unittest.TestCase):\n    ':avocado: tags=base,level:0'\n\
                class T(Base):\n    ':avocado: tags=class,level:1'\n\
                \x20   def test_a(self):\n        ':avocado: tags=own,level:2,level:3'\n\
                \x20   def test_b(self): pass\n";
    let tags: Vec<Vec<(String, Vec<String>)>> = found(Files::new().file("t.py", test), "t.py:T")
        .into_iter()
        .map(|runnable| runnable.tags)
        .collect();
    let owned = |tags: &[(&str, &[&str])]| -> Vec<(String, Vec<String>)> {
        let texts = |values: &[&str]| values.iter().map(ToString::to_string).collect();
        let tags = tags.iter();
        tags.map(|(name, values)| (name.to_string(), texts(values)))
            .collect()
    };
    let with_own = owned(&[("own", &[]), ("level", &["1"]), ("class", &[])]);
    assert_eq!(
        tags,
        [with_own, owned(&[("class", &[]), ("level", &["1"])])]
    );
}

/// A name is followed through some files, and no further than `library::MAX_HOPS`.
#[test]
fn imports_are_followed_through_a_limited_number_of_files() {
    let chain = |length: usize| {
        let mut files = Files::new().file(
            "m0.py",
            "import unittest\nclass Base(unittest.TestCase):\n    def test_a(self): pass\n",
        );
        for n in 1..=length {
            let import = format!("from m{} import Base\n", n - 1);
            files = files.file(format!("m{n}.py"), import);
        }
        let test = format!("from m{length} import Base\nclass T(Base): pass\n");
        files.file("t.py", test)
    };
    assert_eq!(uris(chain(10), "t.py:T"), ["t.py:T.test_a"]);
    let why = not_found(chain(200), "t.py");
    assert!(
        why.contains("derives from Base, which is not found"),
        "{why}"
    );
}
