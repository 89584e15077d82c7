//! Owns the outline of one Python file: its classes with their bases and methods, and its names.
//!
//! Does not know about other files. The outline comes from the text alone, and no code runs.

use std::collections::HashMap;

use crate::directive::Directives;
use crate::nesting::{MAX_NESTING, nested_too_deeply};
use crate::reader::Reader;
pub(crate) use crate::scope::{
    Alternatives, Binding, BindingIndex, ClassIndex, Dotted, Module, Reference, Star,
};
use ruff_python_ast::PySourceType;
use ruff_python_parser::parse_unchecked_source;
use ruff_text_size::Ranged;

/// The outline of one Python file.
#[derive(Debug, Default)]
pub(crate) struct Source {
    /// All classes in the order in which their bodies end, with nested and conditional ones.
    pub(crate) classes: Vec<Class>,
    /// All bindings, in order.
    pub(crate) bindings: Vec<Binding>,
    /// The bindings of the top-level names at the end of the file.
    pub(crate) names: HashMap<String, Alternatives>,
    /// Each `from … import *`, in order.
    pub(crate) stars: Vec<Star>,
    /// The names in `__all__`, where that is a list of string literals.
    pub(crate) exported: Option<Vec<String>>,
    /// The file imports unittest or unittest2, but not only mocks.
    pub(crate) imports_unittest: bool,
    /// Constructs at the top level that may add tests during the import.
    pub(crate) doubts: Vec<Doubt>,
    /// The first syntax error. The parser recovers from it, so the rest of the outline is present.
    pub(crate) syntax_error: Option<SyntaxError>,
}

/// A class of a file.
#[derive(Debug, Default)]
pub(crate) struct Class {
    pub(crate) name: String,
    /// The bases that are dotted names. Other expressions have a value only when they run.
    pub(crate) bases: Vec<Reference>,
    /// The bindings of the names at the end of the class body.
    pub(crate) members: HashMap<String, Alternatives>,
    /// The test methods, in order.
    pub(crate) methods: Vec<Method>,
    /// Names that begin with `test` and are not functions. They hide inherited tests.
    pub(crate) removed: Vec<String>,
    pub(crate) directives: Directives,
    /// Constructs that may add tests to the class during the import.
    pub(crate) doubts: Vec<Doubt>,
}

/// A method whose name begins with `test`.
#[derive(Debug, Default)]
pub(crate) struct Method {
    pub(crate) name: String,
    pub(crate) directives: Directives,
}

/// A construct that may add tests when the file is imported.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Doubt {
    /// A noun phrase for messages, such as `a metaclass`.
    pub(crate) what: String,
    /// The byte offset in the text of the file.
    pub(crate) offset: usize,
}

/// A syntax error in a file.
#[derive(Debug, PartialEq)]
pub(crate) struct SyntaxError {
    /// The line, counted from 1.
    pub(crate) line: usize,
    /// The column in characters, counted from 1.
    pub(crate) column: usize,
    pub(crate) message: String,
}

impl Source {
    /// Reads the text of a file.
    pub(crate) fn read(text: &str) -> Self {
        let mut source = Self::default();
        if let Some(offset) = nested_too_deeply(text) {
            let message = format!("nested more than {MAX_NESTING} levels deep");
            source.syntax_error = Some(SyntaxError::at(text, offset, message));
            return source;
        }
        let parsed = parse_unchecked_source(text, PySourceType::Python);
        if let Some(error) = parsed.errors().first() {
            source.syntax_error = Some(SyntaxError::at(
                text,
                error.location.start().to_usize(),
                error.error.to_string(),
            ));
        }
        Reader::read(source, parsed.suite())
    }

    /// The class of a top-level name; the likeliest where branches define several.
    #[cfg(test)]
    pub(crate) fn class(&self, name: &str) -> Option<&Class> {
        self.names
            .get(name)?
            .iter()
            .find_map(|index| match self.bindings.get(index.0)? {
                Binding::Class(class) => self.classes.get(class.0),
                _ => None,
            })
    }

    /// A reference to a top-level name as it is at the end of the file.
    pub(crate) fn reference(&self, name: &str) -> Reference {
        Reference {
            name: vec![name.to_owned()],
            bindings: self.names.get(name).cloned().unwrap_or_default(),
            stars: self.stars.len(),
        }
    }
}

impl Doubt {
    pub(crate) fn new(what: impl Into<String>, at: &impl Ranged) -> Self {
        Self {
            what: what.into(),
            offset: at.range().start().to_usize(),
        }
    }
}

impl SyntaxError {
    fn at(text: &str, offset: usize, message: String) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.rsplit('\n').next().unwrap_or_default();
        Self {
            line: before.matches('\n').count() + 1,
            column: line.chars().count() + 1,
            message,
        }
    }
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
