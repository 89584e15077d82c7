//! Tests of the resolution of names across files.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use persea_plugin_sdk::testing::{Files, Host};

/// What a name refers to; a class is given by its file and its name.
#[derive(Debug, PartialEq)]
enum Found {
    TestCase,
    Class(String, String),
    Unknown,
}

fn meaning(file: &str, name: &str) -> Found {
    let mut library = Library::default();
    let name: Dotted = name.split('.').map(str::to_owned).collect();
    let mut reference = library.open(file).unwrap().reference(&name[0]);
    reference.name = name;
    match library.meaning(file, file, &reference) {
        Meaning::TestCase => Found::TestCase,
        Meaning::Unknown => Found::Unknown,
        Meaning::Class(place) => {
            let (source, index) = library.class(&place).unwrap();
            Found::Class(place.file, source.classes[index.0].name.clone())
        }
    }
}

fn class(file: &str, class: &str) -> Found {
    Found::Class(file.to_owned(), class.to_owned())
}

#[test]
fn unittest_classes_are_known_under_any_alias() {
    let test = "import unittest, unittest as u, unittest.case\n\
                from unittest import TestCase as T, case\n\
                from unittest import IsolatedAsyncioTestCase\nBase = u.TestCase\n\
                from compat import ut\n";
    let compat =
        "try:\n    import unittest2 as ut\nexcept ImportError:\n    import unittest as ut\n";
    let _host = Host::new()
        .files(Files::new().file("t.py", test).file("compat.py", compat))
        .install();
    for name in [
        "unittest.TestCase",
        "u.TestCase",
        "T",
        "case.TestCase",
        "unittest.case.TestCase",
        "Base",
        "ut.TestCase",
    ] {
        assert_eq!(meaning("t.py", name), Found::TestCase, "{name}");
    }
    assert_eq!(
        meaning("t.py", "u.IsolatedAsyncioTestCase"),
        Found::TestCase
    );
    assert_eq!(meaning("t.py", "unittest.mock.Mock"), Found::Unknown);
    assert_eq!(
        meaning("t.py", "TestCase"),
        Found::Unknown,
        "the file does not import that name"
    );
}

#[test]
fn class_is_found_through_every_form_of_import() {
    let files = Files::new()
        .file(
            "pkg/tests/t.py",
            "from .base import A\nfrom ..common import B as C\n\
                                 from pkg import D\nimport pkg.common as p\nimport sibling\n\
                                 from stars import *\n",
        )
        .file("pkg/tests/base.py", "class A: pass\n")
        .file("pkg/tests/sibling.py", "class S: pass\n")
        .file("pkg/tests/__init__.py", "")
        .file("pkg/common.py", "class B: pass\n")
        .file("pkg/__init__.py", "from .deep.mod import D\n")
        .file("pkg/deep/mod.py", "class D: pass\n")
        .file("stars.py", "class X: pass\n");
    let _host = Host::new().files(files).install();
    for (name, file, of) in [
        ("A", "pkg/tests/base.py", "A"),
        ("C", "pkg/common.py", "B"),
        ("D", "pkg/deep/mod.py", "D"),
        ("p.B", "pkg/common.py", "B"),
        ("sibling.S", "pkg/tests/sibling.py", "S"),
        ("X", "stars.py", "X"),
    ] {
        assert_eq!(meaning("pkg/tests/t.py", name), class(file, of), "{name}");
    }
    assert_eq!(meaning("pkg/tests/t.py", "Nowhere"), Found::Unknown);
}

#[test]
fn class_outside_the_project_is_recognised_by_its_name() {
    let test = "import django.test\nfrom testtools import TestCase\nfrom lib import Base\n\
                class Local: pass\n";
    let _host = Host::new().files(Files::new().file("t.py", test)).install();
    assert_eq!(
        meaning("t.py", "django.test.SimpleTestCase"),
        Found::TestCase
    );
    assert_eq!(meaning("t.py", "TestCase"), Found::TestCase);
    assert_eq!(meaning("t.py", "Base"), Found::Unknown);
    assert_eq!(
        meaning("t.py", "OtherTestCase"),
        Found::Unknown,
        "the file does not import that name"
    );
}

#[test]
fn circular_imports_terminate() {
    let files = Files::new()
        .file("a.py", "from b import X\nY = X\nZ = Z\n")
        .file("b.py", "from a import Y as X\nfrom b import *\n");
    let _host = Host::new().files(files).install();
    for name in ["X", "Y", "Z", "Q"] {
        assert_eq!(meaning("a.py", name), Found::Unknown, "{name}");
    }
    assert_eq!(meaning("b.py", "Q"), Found::Unknown);
}

/// Each of 40 modules star-imports all others, so the number of paths grows with the factorial of
/// 40.
#[test]
fn dense_star_imports_terminate() {
    let stars: String = (0..40).map(|i| format!("from m{i} import *\n")).collect();
    let detours: String = (0..40)
        .map(|i| format!("from m{i} import *\nx{i} = y.z{i}\n"))
        .collect();
    let mut files = Files::new().file("one.py", "from m0 import *\nclass Here: pass\n");
    for i in 0..40 {
        let own = format!("x = y.a{i}\nclass Only{i}: pass\n");
        let text = if i % 2 == 0 { &stars } else { &detours };
        files = files.file(format!("m{i}.py"), format!("{text}{own}"));
    }
    let _host = Host::new().files(files).install();
    assert_eq!(meaning("one.py", "Nowhere"), Found::Unknown);
    assert_eq!(meaning("one.py", "Nowhere.a.b.c"), Found::Unknown);
    assert_eq!(meaning("one.py", "x"), Found::Unknown);
    assert_eq!(meaning("one.py", "Here"), class("one.py", "Here"));
    assert_eq!(meaning("one.py", "Only0"), class("m0.py", "Only0"));
}

#[test]
fn parent_directory_never_leaves_the_project() {
    assert_eq!(above("./a/b"), Some("./a"));
    assert_eq!(above("./a"), Some("."));
    assert_eq!(above("."), None);
    assert_eq!(above("a"), Some(""));
    assert_eq!(above("/a"), Some("/"));
    assert_eq!(above("../x"), Some(".."));
    assert_eq!(above(".."), None);
    assert_eq!(join("", "a"), "a");
    assert_eq!(join("/", "a"), "/a");
    assert_eq!(join("d", "a"), "d/a");
}

#[test]
fn names_resolve_as_in_python() {
    let files = Files::new()
        .file(
            "pk/__init__.py",
            "from .impl import Thing\nfrom .test_base import Base as tests\n",
        )
        .file(
            "pk/impl.py",
            "class Thing: pass\nclass Outer:\n    class Inner: pass\n\
                             \x20   Alias = Inner\nclass Heir(Outer): pass\n",
        )
        .file(
            "pk/test_base.py",
            "class Base: pass\nclass _Private: pass\n",
        )
        .file("pk/tests/__init__.py", "class Wrong: pass\n")
        .file(
            "starred.py",
            "__all__ = ['_Public']\nclass _Public: pass\nclass Hidden: pass\n",
        )
        .file("pk/string.py", "class Own: pass\n")
        .file("space/deep/mod.py", "class Deep: pass\n")
        .file("src/lib2/__init__.py", "class Lib: pass\n")
        .file(
            "pk/t.py",
            "import pk, pk.impl, space.deep.mod, lib2, string\nfrom pk.test_base import *\n\
             from starred import *\n\
             from pk import tests as Tests\nclass Base(Base): pass\n\
             from pk.impl import Outer as Swapped, Heir\n\
             First, Second = Heir, Swapped\nEither = Heir if x else Swapped\nLast: type = First\n\
             from . import string as own\n",
        );
    let _host = Host::new().files(files).install();
    for (name, found) in [
        ("pk.Thing", class("pk/impl.py", "Thing")),
        ("pk.impl.Outer.Inner", class("pk/impl.py", "Inner")),
        ("pk.impl.Outer.Alias", class("pk/impl.py", "Inner")),
        ("Heir.Inner", class("pk/impl.py", "Inner")),
        ("Tests", class("pk/test_base.py", "Base")),
        ("Base", class("pk/t.py", "Base")),
        ("_Private", Found::Unknown),
        ("_Public", class("starred.py", "_Public")),
        ("Hidden", Found::Unknown),
        ("space.deep.mod.Deep", class("space/deep/mod.py", "Deep")),
        ("lib2.Lib", class("src/lib2/__init__.py", "Lib")),
        ("Second", class("pk/impl.py", "Outer")),
        ("Either", class("pk/impl.py", "Heir")),
        ("Last", class("pk/impl.py", "Heir")),
        ("own.Own", class("pk/string.py", "Own")),
    ] {
        assert_eq!(meaning("pk/t.py", name), found, "{name}");
    }
}

#[test]
fn star_import_overrides_only_earlier_bindings() {
    let files = Files::new()
        .file("a.py", "class X: pass\nclass Y: pass\n")
        .file("t.py", "class X: pass\nfrom a import *\nclass Y: pass\n");
    let _host = Host::new().files(files).install();
    assert_eq!(meaning("t.py", "X"), class("a.py", "X"));
    assert_eq!(meaning("t.py", "Y"), class("t.py", "Y"));
}

#[test]
fn modules_of_a_package_are_found_from_its_top_level_directory() {
    let files = Files::new()
        .file("one/pk/__init__.py", "")
        .file("one/pk/base.py", "class One: pass\n")
        .file("one/pk/sub/__init__.py", "")
        .file("one/pk/sub/base.py", "class Sub: pass\n")
        .file("one/pk/sub/t.py", "import pk.base\nfrom base import Sub\n")
        .file("pk/base.py", "class Other: pass\n");
    let _host = Host::new().files(files).install();
    assert_eq!(
        meaning("one/pk/sub/t.py", "pk.base.One"),
        class("one/pk/base.py", "One")
    );
    let sub = class("one/pk/sub/base.py", "Sub");
    assert_eq!(
        meaning("one/pk/sub/t.py", "Sub"),
        sub,
        "the test is found, so that the runner can report the failed import"
    );
}
