//! Which classes are tests, and what they inherit.

use super::*;

#[test]
fn tests_are_inherited_within_and_across_files() {
    let base = "import unittest\nclass Base(unittest.TestCase):\n    ':avocado: tags=base'\n\
                \x20   def test_base(self): pass\n    def test_off(self): pass\n";
    let test = "from common.base import Base\nclass Mixin:\n    def test_mixed(self): pass\n\
                class T(Base, Mixin):\n    ':avocado: tags=own'\n    test_off = None\n\
                \x20   def test_own(self): pass\n\
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
    // The tests of the mixin get the tag, too: in Avocado the tags of a base apply to the tests of
    // the bases before it.
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
fn directives_override_inheritance() {
    let test = "import unittest\nclass Off(unittest.TestCase):\n    ':avocado: disable'\n\
                \x20   def test_a(self): pass\n\
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
fn dependency_of_a_class_applies_to_each_test() {
    let test = "import unittest\nclass T(unittest.TestCase):\n\
                \x20   ''':avocado: dependency={\"type\": \"package\", \"name\": \"gcc\"}'''\n\
                \x20   def test_a(self):\n\
                \x20       ''':avocado: dependency={\"type\": \"pip\", \"name\": \"x\"}'''\n\
                \x20   def test_b(self): pass\n\
                class U(T):\n\
                \x20   ''':avocado: dependency={\"type\": \"asset\", \"name\": \"y\"}'''\n";
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
fn circular_bases_terminate() {
    let test = "class A(B):\n    def test_a(self): pass\nclass B(A): pass\nclass C(C): pass\n";
    assert!(not_found(Files::new().file("t.py", test), "t.py").starts_with("t.py has no class"));
}

#[test]
fn shared_base_is_examined_once() {
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
fn depth_of_ancestry_is_limited() {
    let backwards: String = (0..2_000)
        .map(|i| format!("class A{i}(A{}): pass\n", i + 1))
        .collect();
    assert!(
        not_found(Files::new().file("t.py", backwards), "t.py").starts_with("t.py has no class")
    );
}

#[test]
fn class_may_have_the_name_of_its_imported_base() {
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
fn imported_test_class_is_a_test_of_the_importing_file() {
    let base = "import unittest\nclass Base(unittest.TestCase):\n    def test_a(self): pass\n\
                class _Own(Base): pass\n";
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
                try:\n    import lib\n    class A(unittest.TestCase):\n\
                \x20       def test_a(self): pass\nexcept ImportError: pass\n\
                if lib:\n    class B(unittest.TestCase):\n        def test_x(self): pass\nelse:\n\
                \x20   class B(unittest.TestCase):\n        def test_y(self): pass\n\
                with x:\n    class C(unittest.TestCase):\n        def test_c(self): pass\n\
                if __name__ == '__main__':\n    class D(unittest.TestCase):\n\
                \x20       def test_d(self): pass\n";
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
fn run_test_is_used_only_without_other_tests() {
    let test = "import unittest\nclass A(unittest.TestCase):\n    def runTest(self): pass\n\
                class B(A):\n    def test_b(self): pass\nclass C(A): pass\n";
    let expected = ["t.py:A.runTest", "t.py:B.test_b", "t.py:C.runTest"];
    assert_eq!(uris(Files::new().file("t.py", test), "t.py"), expected);
}

#[test]
fn name_that_a_base_overrides_is_not_a_test() {
    let test = "import unittest\nclass A(unittest.TestCase):\n    def test_a(self): pass\n\
                class Off:\n    test_a = None\n\
                class B(Off, A): pass\nclass C(A, Off): pass\n";
    let expected = ["t.py:A.test_a", "t.py:C.test_a"];
    assert_eq!(uris(Files::new().file("t.py", test), "t.py"), expected);
}

#[test]
fn plain_class_is_a_test_only_with_a_directive() {
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

/// As in Avocado, a tag of the class replaces a tag of the test with the same name, and the tags of
/// a base apply only to the tests of that base.
#[test]
fn class_tags_replace_test_tags() {
    let test = "import unittest\nclass Base(unittest.TestCase):\n\
                \x20   ':avocado: tags=base,level:0'\n\
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

/// The limit is `library::MAX_HOPS`.
#[test]
fn import_chain_is_followed_to_a_limit() {
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
