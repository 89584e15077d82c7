//! One Python file as far as finding tests needs it: its classes with their bases and methods, and what its names stand
//! for. Made from the file's text alone: no other file is looked at, and nothing is run.

use crate::directive::Directives;
use ruff_python_ast::token::TokenKind;
use ruff_python_ast::{self as ast, Expr, PySourceType, Stmt};
use ruff_python_parser::{Mode, lexer, parse_unchecked_source};
use std::collections::HashMap;

/// How deep brackets and blocks may be nested. CPython stops at 200 brackets or 100 blocks; the parser has no limit of
/// its own, and needs 2 KiB of a stack of 512 for each.
const MAX_NESTING: usize = 100;

/// A dotted name, split: `unittest.TestCase`.
pub(crate) type Dotted = Vec<String>;

/// One Python file.
#[derive(Debug, Default)]
pub(crate) struct Source {
    /// The classes at the top of the file, in order.
    pub(crate) classes: Vec<Class>,
    /// What names at the top of the file stand for, other than classes.
    pub(crate) names: HashMap<String, Name>,
    /// The modules of `from … import *`.
    pub(crate) stars: Vec<Module>,
    /// The first place that is no Python. What can be made out of the rest is there all the same.
    pub(crate) broken: Option<Broken>,
}

/// A class at the top of a file.
#[derive(Debug, Default)]
pub(crate) struct Class {
    pub(crate) name: String,
    /// Those that are names; calls and the like can't be known without running them.
    pub(crate) bases: Vec<Dotted>,
    pub(crate) methods: Vec<Method>,
    /// Names that are set to None, which takes away an inherited test.
    pub(crate) removed: Vec<String>,
    pub(crate) directives: Directives,
}

/// A method that looks like a test by its name.
#[derive(Debug, Default)]
pub(crate) struct Method {
    pub(crate) name: String,
    pub(crate) directives: Directives,
}

/// What a name at the top of a file stands for.
#[derive(Debug, PartialEq)]
pub(crate) enum Name {
    /// A module: `import a.b as name`.
    Module(Module),
    /// Something out of a module: `from a.b import symbol as name`.
    Import { module: Module, symbol: String },
    /// Another name: `name = a.b`.
    Alias(Dotted),
}

/// A module as an import statement names it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Module {
    /// How many dots stand before the name; 0 for an absolute import.
    pub(crate) level: u32,
    pub(crate) path: Dotted,
}

/// Where a file is no Python, and why.
#[derive(Debug, PartialEq)]
pub(crate) struct Broken {
    /// From 1.
    pub(crate) line: usize,
    /// In characters, from 1.
    pub(crate) column: usize,
    pub(crate) why: String,
}

impl Source {
    /// Reads a file's text.
    pub(crate) fn read(text: &str) -> Self {
        let mut source = Self::default();
        if let Some(offset) = nested_too_deeply(text) {
            let why = format!("nested more than {MAX_NESTING} levels deep");
            source.broken = Some(Broken::at(text, offset, why));
            return source;
        }
        let parsed = parse_unchecked_source(text, PySourceType::Python);
        if let Some(error) = parsed.errors().first() {
            source.broken = Some(Broken::at(
                text,
                error.location.start().to_usize(),
                error.error.to_string(),
            ));
        }
        source.block(parsed.suite(), true);
        source
    }

    /// Takes in the statements of a block. Imports count wherever they stand, since `try: import …` is common; classes
    /// only at the top, since whether those below an `if` are there is known only when it runs.
    fn block(&mut self, body: &[Stmt], top: bool) {
        for statement in body {
            match statement {
                Stmt::Import(import) => import.names.iter().for_each(|alias| self.import(alias)),
                Stmt::ImportFrom(import) => self.import_from(import),
                Stmt::ClassDef(class) if top => self.classes.push(Class::read(class)),
                Stmt::Assign(assign) if top => self.assign(assign),
                Stmt::If(branches) => {
                    self.block(&branches.body, false);
                    branches
                        .elif_else_clauses
                        .iter()
                        .for_each(|branch| self.block(&branch.body, false));
                }
                Stmt::Try(attempt) => {
                    // The first way that is tried is the one that users of a current Python get: it is taken last.
                    self.block(&attempt.orelse, false);
                    for ast::ExceptHandler::ExceptHandler(handler) in &attempt.handlers {
                        self.block(&handler.body, false);
                    }
                    self.block(&attempt.body, false);
                }
                Stmt::With(with) => self.block(&with.body, false),
                _ => {}
            }
        }
    }

    fn import(&mut self, alias: &ast::Alias) {
        let path = split(alias.name.as_str());
        let (name, path) = match (&alias.asname, path.first()) {
            (Some(name), _) => (name.to_string(), path),
            // `import a.b` makes only `a` known.
            (None, Some(first)) => (first.clone(), vec![first.clone()]),
            (None, None) => return,
        };
        self.names
            .insert(name, Name::Module(Module { level: 0, path }));
    }

    fn import_from(&mut self, import: &ast::StmtImportFrom) {
        let path = import
            .module
            .as_ref()
            .map(|path| split(path.as_str()))
            .unwrap_or_default();
        let module = Module {
            level: import.level,
            path,
        };
        for alias in &import.names {
            if alias.name.as_str() == "*" {
                self.stars.push(module.clone());
                continue;
            }
            let symbol = alias.name.to_string();
            let name = alias
                .asname
                .as_ref()
                .map_or_else(|| symbol.clone(), ToString::to_string);
            self.names.insert(
                name,
                Name::Import {
                    module: module.clone(),
                    symbol,
                },
            );
        }
    }

    fn assign(&mut self, assign: &ast::StmtAssign) {
        if let ([Expr::Name(target)], Some(value)) =
            (assign.targets.as_slice(), dotted(&assign.value))
        {
            self.names.insert(target.id.to_string(), Name::Alias(value));
        }
    }

    /// The class of a name; the last one where it comes twice.
    pub(crate) fn class(&self, name: &str) -> Option<&Class> {
        self.classes.iter().rev().find(|class| class.name == name)
    }
}

impl Class {
    fn read(class: &ast::StmtClassDef) -> Self {
        let mut read = Self {
            name: class.name.to_string(),
            bases: class.bases().iter().filter_map(dotted).collect(),
            directives: directives(&class.body),
            ..Self::default()
        };
        for statement in &class.body {
            match statement {
                Stmt::FunctionDef(function) => read.method(function),
                Stmt::Assign(assign) if assign.value.is_none_literal_expr() => {
                    let names = assign.targets.iter().filter_map(Expr::as_name_expr);
                    read.removed.extend(names.map(|name| name.id.to_string()));
                }
                _ => {}
            }
        }
        read
    }

    fn method(&mut self, function: &ast::StmtFunctionDef) {
        let name = function.name.as_str();
        let is_property = |decorator: &ast::Decorator| matches!(&decorator.expression, Expr::Name(name) if name.id == "property");
        if !name.starts_with("test")
            || function.decorator_list.iter().any(is_property)
            || self.methods.iter().any(|known| known.name == name)
        {
            return;
        }
        let name = name.to_owned();
        let directives = directives(&function.body);
        self.methods.push(Method { name, directives });
    }
}

impl Broken {
    fn at(text: &str, offset: usize, why: String) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.rsplit('\n').next().unwrap_or_default();
        Self {
            line: before.matches('\n').count() + 1,
            column: line.chars().count() + 1,
            why,
        }
    }
}

/// What the docstring of a class's or function's body says.
fn directives(body: &[Stmt]) -> Directives {
    match body.first() {
        Some(Stmt::Expr(statement)) => match &*statement.value {
            Expr::StringLiteral(docstring) => Directives::read(docstring.value.to_str()),
            _ => Directives::default(),
        },
        _ => Directives::default(),
    }
}

fn split(name: &str) -> Dotted {
    name.split('.').map(str::to_owned).collect()
}

/// The dotted name that an expression is; of `Base[int]`, that of `Base`.
fn dotted(mut expression: &Expr) -> Option<Dotted> {
    let mut parts = Vec::new();
    loop {
        match expression {
            Expr::Name(name) => {
                parts.push(name.id.to_string());
                parts.reverse();
                return Some(parts);
            }
            Expr::Attribute(attribute) => {
                parts.push(attribute.attr.to_string());
                expression = &attribute.value;
            }
            Expr::Subscript(subscript) if parts.is_empty() => expression = &subscript.value,
            _ => return None,
        }
    }
}

/// Where brackets or blocks are nested too deeply to be parsed, in bytes, if they are.
fn nested_too_deeply(text: &str) -> Option<usize> {
    // A quick look that takes brackets in strings for brackets; few files go further.
    let mut depth = 0_usize;
    let mut blank = Some(0_usize);
    let suspect = text.bytes().position(|byte| {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        blank = match (byte, blank) {
            (b'\n', _) => Some(0),
            (b' ' | b'\t', Some(columns)) => Some(columns + 1),
            _ => None,
        };
        depth > MAX_NESTING || blank.is_some_and(|columns| columns > MAX_NESTING)
    })?;
    let mut lexer = lexer::lex(text, Mode::Module);
    let (mut brackets, mut blocks) = (0_usize, 0_usize);
    loop {
        match lexer.next_token() {
            TokenKind::EndOfFile => return None,
            TokenKind::Lpar | TokenKind::Lsqb | TokenKind::Lbrace => brackets += 1,
            TokenKind::Rpar | TokenKind::Rsqb | TokenKind::Rbrace => {
                brackets = brackets.saturating_sub(1)
            }
            TokenKind::Indent => blocks += 1,
            TokenKind::Dedent => blocks = blocks.saturating_sub(1),
            _ => {}
        }
        if brackets + blocks > MAX_NESTING {
            return Some(suspect);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
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
    fn classes_and_their_methods_are_found_at_the_top_only() {
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
        assert_eq!(source.classes.len(), 1);
        let class = source.class("A").unwrap();
        assert_eq!(names(class), ["test_b", "test_a"]);
        assert_eq!(class.bases, [split("u.TestCase"), split("Base")]);
        assert_eq!(class.removed, ["test_off", "test_too"]);
        assert_eq!(class.directives.tags, [("x".to_owned(), vec![])]);
        assert_eq!(class.methods[1].directives.tags, [("y".to_owned(), vec![])]);
    }

    #[test]
    fn names_are_known_by_what_they_stand_for() {
        let source = Source::read(
            "import unittest, os.path, a.b as ab\n\
             from unittest import TestCase as T\nfrom ..x.y import z\nfrom . import w\nfrom s import *\n\
             try:\n    import unittest2 as ut\nexcept ImportError:\n    import unittest as ut\n\
             Base = ab.C\n",
        );
        assert_eq!(source.names["unittest"], Name::Module(absolute("unittest")));
        assert_eq!(source.names["os"], Name::Module(absolute("os")));
        assert_eq!(source.names["ab"], Name::Module(absolute("a.b")));
        let symbol = "TestCase".to_owned();
        assert_eq!(
            source.names["T"],
            Name::Import {
                module: absolute("unittest"),
                symbol
            }
        );
        let module = Module {
            level: 2,
            path: split("x.y"),
        };
        assert_eq!(
            source.names["z"],
            Name::Import {
                module,
                symbol: "z".to_owned()
            }
        );
        let module = Module {
            level: 1,
            path: vec![],
        };
        assert_eq!(
            source.names["w"],
            Name::Import {
                module,
                symbol: "w".to_owned()
            }
        );
        assert_eq!(source.names["ut"], Name::Module(absolute("unittest2")));
        assert_eq!(source.names["Base"], Name::Alias(split("ab.C")));
        assert_eq!(source.stars, [absolute("s")]);
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
}
