//! Tests of the outline of one file.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
use super::*;
use crate::expression::split;
use proptest::prelude::*;

fn names(class: &Class) -> Vec<&str> {
    class
        .methods
        .iter()
        .map(|method| method.name.as_str())
        .collect()
}

fn absolute(path: &str) -> Module {
    Module {
        level: 0,
        path: split(path),
    }
}

#[test]
fn outline_has_classes_with_bases_methods_and_directives() {
    let source = Source::read(
        "class A(u.TestCase, Base[int], make(), metaclass=M):\n\
         \x20   '''Doc.\n\n    :avocado: tags=x\n    '''\n\
         \x20   test_off = test_too = None\n\
         \x20   async def test_b(self): pass\n\
         \x20   def helper(self):\n        def test_inner(): pass\n\
         \x20   @property\n    def test_property(self): pass\n\
         \x20   @skip('x')\n    def test_a(self): ':avocado: tags=y'\n\
         \x20   def test_a(self): pass\n\
         \x20   class Nested(u.TestCase):\n        def test_n(self): pass\n\
         if x:\n    class B(A): pass\n",
    );
    assert_eq!(source.syntax_error, None);
    let top: Vec<&str> = source.names.keys().map(String::as_str).collect();
    assert_eq!(top.len(), 2, "{top:?}");
    let class = source.class("A").unwrap();
    assert_eq!(names(class), ["test_b", "test_a"]);
    let bases: Vec<&Dotted> = class.bases.iter().map(|base| &base.name).collect();
    assert_eq!(bases, [&split("u.TestCase"), &split("Base")]);
    assert_eq!(class.removed, ["test_off", "test_too", "test_property"]);
    assert_eq!(class.directives.tags, [("x".to_owned(), vec![])]);
    assert_eq!(class.methods[1].directives.tags, [("y".to_owned(), vec![])]);
}

/// The possible bindings of a top-level name at the end of the file, the likeliest first.
fn bound<'a>(source: &'a Source, name: &str) -> Vec<&'a Binding> {
    let bindings = source.names.get(name).cloned().unwrap_or_default();
    bindings
        .iter()
        .map(|index| &source.bindings[index.0])
        .collect()
}

#[test]
fn imports_and_assignments_bind_names() {
    let source = Source::read(
        "import unittest, os.path, a.b as ab\n\
         from ..x.y import z\nfrom . import w\nfrom s import *\n\
         try:\n    import unittest2 as ut\nexcept ImportError:\n    import unittest as ut\n\
         Base = ab.C\n",
    );
    let module = |path: &str| Binding::Module(absolute(path));
    assert_eq!(bound(&source, "unittest"), [&module("unittest")]);
    assert_eq!(bound(&source, "os"), [&module("os")]);
    assert_eq!(bound(&source, "ab"), [&module("a.b")]);
    let import = |level: u32, path: &[&str], symbol: &str| Binding::Import {
        module: Module {
            level,
            path: path.iter().map(ToString::to_string).collect(),
        },
        symbol: symbol.to_owned(),
    };
    assert_eq!(bound(&source, "z"), [&import(2, &["x", "y"], "z")]);
    assert_eq!(bound(&source, "w"), [&import(1, &[], "w")]);
    assert_eq!(
        bound(&source, "ut"),
        [&module("unittest2"), &module("unittest")]
    );
    let [Binding::Alias(target)] = bound(&source, "Base")[..] else {
        panic!("{:?}", bound(&source, "Base"));
    };
    assert_eq!(target.name, split("ab.C"));
    assert_eq!(source.stars.len(), 1);
    assert_eq!(source.stars[0].module, absolute("s"));
}

#[test]
fn reference_keeps_the_binding_at_its_use() {
    let source = Source::read(
        "from a import Base\nclass Base(Base): pass\nOther = Base\nclass Base: pass\n",
    );
    let base = &source.classes[0].bases[0];
    assert!(matches!(
        source.bindings[base.bindings[0].0],
        Binding::Import { .. }
    ));
    let [Binding::Alias(other)] = bound(&source, "Other")[..] else {
        panic!();
    };
    assert_eq!(
        source.bindings[other.bindings[0].0],
        Binding::Class(ClassIndex(0))
    );
    assert_eq!(bound(&source, "Base"), [&Binding::Class(ClassIndex(1))]);
}

#[test]
fn branches_give_a_name_all_their_bindings() {
    let class = |number| Binding::Class(ClassIndex(number));
    let source = Source::read(
        "if x:\n    class A: pass\nelif y:\n    class A: pass\nelse:\n    class A: pass\n\
         class B: pass\nif x: del B\nclass C: pass\ndel C\n",
    );
    assert_eq!(bound(&source, "A").len(), 3);
    assert_eq!(source.classes.len(), 5);
    assert_eq!(bound(&source, "B"), [&class(3)]);
    assert_eq!(bound(&source, "C"), [] as [&Binding; 0]);
    let never = [
        "if __name__ == '__main__':\n    class A: pass\n",
        "if '__main__' == __name__:\n    class A: pass\n",
        "if TYPE_CHECKING:\n    class A: pass\n",
        "if not typing.TYPE_CHECKING:\n    pass\nelse:\n    class A: pass\n",
        "if False:\n    class A: pass\n",
    ];
    for text in never {
        assert_eq!(
            bound(&Source::read(text), "A"),
            [] as [&Binding; 0],
            "{text}"
        );
    }
}

#[test]
fn conditional_and_assigned_methods_are_tests() {
    let source = Source::read(
        "def shared(self): pass\n\
         class A(B):\n\
         \x20   def check(self): pass\n    test_alias = check\n    test_shared = shared\n\
         \x20   test_lambda = lambda self: None\n\
         \x20   if x:\n        def test_maybe(self): pass\n\
         \x20   try:\n        import y\n        def test_tried(self): pass\n\
         \x20   except ImportError:\n        pass\n\
         \x20   test_data = [1]\n    def test_gone(self): pass\n    del test_gone\n",
    );
    let class = source.class("A").unwrap();
    let expected = [
        "test_alias",
        "test_shared",
        "test_lambda",
        "test_maybe",
        "test_tried",
    ];
    assert_eq!(names(class), expected);
    assert_eq!(class.removed, ["test_data"]);
}

#[test]
fn syntax_error_has_a_position_and_keeps_the_rest() {
    let source = Source::read(
        "class A(B):\n    def test_a(self):\n        é = = 1\n    def test_b(self): pass\n",
    );
    let error = source.syntax_error.unwrap();
    assert_eq!((error.line, error.column), (3, 13));
    assert!(!error.message.is_empty());
    assert_eq!(source.classes[0].name, "A");
    assert_eq!(Source::read("print 'x'\n").syntax_error.unwrap().line, 1);
}

#[test]
fn nesting_at_the_limit_is_read() {
    for (open, close) in [("(", ")"), ("f(", ")"), ("{1: ", "}"), ("x[", "]")] {
        let deep = format!(
            "x = {}1{}\n",
            open.repeat(MAX_NESTING),
            close.repeat(MAX_NESTING)
        );
        assert_eq!(Source::read(&deep).syntax_error, None, "{open}");
    }
}

#[test]
fn nesting_beyond_the_limit_is_a_syntax_error() {
    let deep = format!("x = {}1{}\n", "(".repeat(100_000), ")".repeat(100_000));
    assert!(
        Source::read(&deep)
            .syntax_error
            .unwrap()
            .message
            .contains("nested")
    );
    let blocks: String = (0..300)
        .map(|depth| format!("{}if x:\n", " ".repeat(depth)))
        .collect();
    assert!(
        Source::read(&blocks)
            .syntax_error
            .unwrap()
            .message
            .contains("nested")
    );
}

#[test]
fn brackets_in_strings_do_not_count_as_nesting() {
    let data = format!(
        "x = '{}'\n#{}\nclass A(B): pass\n",
        "(".repeat(1000),
        "[".repeat(1000)
    );
    let source = Source::read(&data);
    assert_eq!(source.syntax_error, None);
    assert_eq!(source.classes.len(), 1);
}

proptest! {
    #[test]
    fn no_text_panics(
        text in "(?s)(class|def|import|from|[()\\[\\]{}:,.'\"\\\\#*=@ \n\ta-cé]){0,80}",
    ) {
        let source = Source::read(&text);
        if let Some(error) = source.syntax_error {
            prop_assert!(error.line >= 1 && error.line <= text.matches('\n').count() + 1);
        }
    }
}
