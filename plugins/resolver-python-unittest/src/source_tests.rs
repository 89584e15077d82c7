//! What is read of one file.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
use super::*;
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
fn classes_and_their_methods_are_names_of_where_they_stand() {
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
    assert_eq!(source.broken, None);
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

/// What a name stands for in the end, the likeliest first.
fn bound<'a>(source: &'a Source, name: &str) -> Vec<&'a Binding> {
    let bindings = source.names.get(name).cloned().unwrap_or_default();
    bindings
        .iter()
        .map(|index| &source.bindings[index.0])
        .collect()
}

#[test]
fn names_are_known_by_what_they_stand_for() {
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
fn a_name_means_what_it_was_bound_to_where_it_is_used() {
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
fn branches_bind_a_name_to_all_that_they_may() {
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
fn methods_below_conditions_and_by_assignment_are_tests() {
    let source = Source::read(
        "def shared(self): pass\n\
         class A(B):\n\
         \x20   def check(self): pass\n    test_alias = check\n    test_shared = shared\n    test_lambda = lambda self: None\n\
         \x20   if x:\n        def test_maybe(self): pass\n\
         \x20   try:\n        import y\n        def test_tried(self): pass\n    except ImportError:\n        pass\n\
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
fn a_broken_file_says_where_and_keeps_the_rest() {
    let source = Source::read(
        "class A(B):\n    def test_a(self):\n        é = = 1\n    def test_b(self): pass\n",
    );
    let broken = source.broken.unwrap();
    assert_eq!((broken.line, broken.column), (3, 13));
    assert!(!broken.why.is_empty());
    assert_eq!(source.classes[0].name, "A");
    assert_eq!(Source::read("print 'x'\n").broken.unwrap().line, 1);
}

#[test]
fn as_much_nesting_as_is_allowed_is_read() {
    for (open, close) in [("(", ")"), ("f(", ")"), ("{1: ", "}"), ("x[", "]")] {
        let deep = format!(
            "x = {}1{}\n",
            open.repeat(MAX_NESTING),
            close.repeat(MAX_NESTING)
        );
        assert_eq!(Source::read(&deep).broken, None, "{open}");
    }
}

#[test]
fn nesting_that_would_end_the_stack_is_refused() {
    let deep = format!("x = {}1{}\n", "(".repeat(100_000), ")".repeat(100_000));
    assert!(Source::read(&deep).broken.unwrap().why.contains("nested"));
    let blocks: String = (0..300)
        .map(|depth| format!("{}if x:\n", " ".repeat(depth)))
        .collect();
    assert!(Source::read(&blocks).broken.unwrap().why.contains("nested"));
}

#[test]
fn brackets_in_strings_are_no_nesting() {
    let data = format!(
        "x = '{}'\n#{}\nclass A(B): pass\n",
        "(".repeat(1000),
        "[".repeat(1000)
    );
    let source = Source::read(&data);
    assert_eq!(source.broken, None);
    assert_eq!(source.classes.len(), 1);
}

proptest! {
    #[test]
    fn any_text_is_read(text in "(?s)(class|def|import|from|[()\\[\\]{}:,.'\"\\\\#*=@ \n\ta-cé]){0,80}") {
        let source = Source::read(&text);
        if let Some(broken) = source.broken {
            prop_assert!(broken.line >= 1 && broken.line <= text.matches('\n').count() + 1);
        }
    }
}
