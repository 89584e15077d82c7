//! One Python file as far as finding tests needs it: its classes with their bases and methods, and what its names stand
//! for. Made from the file's text alone: no other file is looked at, and nothing is run.

use std::collections::HashMap;

use crate::condition::{adds_tests, adds_tests_within, holds};
use crate::directive::Directives;
use crate::nesting::{MAX_NESTING, nested_too_deeply};
pub(crate) use crate::scope::{
    Alternatives, Binding, BindingIndex, ClassIndex, Dotted, Module, Reference, Star,
};
use crate::scope::{Changes, Scope};
use ruff_python_ast::{self as ast, Expr, PySourceType, Stmt};
use ruff_python_parser::parse_unchecked_source;
use ruff_text_size::Ranged;

/// One Python file.
#[derive(Debug, Default)]
pub(crate) struct Source {
    /// All classes, in order: also those in classes and below conditions.
    pub(crate) classes: Vec<Class>,
    pub(crate) bindings: Vec<Binding>,
    /// What the names at the top of the file are bound to in the end.
    pub(crate) names: HashMap<String, Alternatives>,
    /// Each `from … import *`, in order.
    pub(crate) stars: Vec<Star>,
    /// What `__all__` holds, where that is a list of texts.
    pub(crate) exported: Option<Vec<String>>,
    /// It imports unittest, or a library by a name that ends so.
    pub(crate) imports_unittest: bool,
    /// What may add tests that only importing the file shows.
    pub(crate) doubts: Vec<Doubt>,
    /// The first place that is no Python. What can be made out of the rest is there all the same.
    pub(crate) broken: Option<Broken>,
}

/// A class of a file.
#[derive(Debug, Default)]
pub(crate) struct Class {
    pub(crate) name: String,
    /// Those that are names; calls and the like can't be known without running them.
    pub(crate) bases: Vec<Reference>,
    /// What the names in its body are bound to in the end.
    pub(crate) members: HashMap<String, Alternatives>,
    /// Its tests, in order.
    pub(crate) methods: Vec<Method>,
    /// Names that begin with `test` and are no functions: they take away an inherited test.
    pub(crate) removed: Vec<String>,
    pub(crate) directives: Directives,
    /// What may add tests to it that only importing the file shows.
    pub(crate) doubts: Vec<Doubt>,
}

/// A method that looks like a test by its name.
#[derive(Debug, Default)]
pub(crate) struct Method {
    pub(crate) name: String,
    pub(crate) directives: Directives,
}

/// Something that may add tests when the file is imported.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Doubt {
    pub(crate) what: String,
    /// Where it is in the file's text, in bytes.
    pub(crate) offset: usize,
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
        let mut reader = Reader {
            source,
            module: Scope::default(),
            open: Vec::new(),
            functions: HashMap::new(),
            called: Vec::new(),
        };
        reader.block(parsed.suite());
        reader.finish()
    }

    /// The class of a name at the top of the file; the likeliest where branches define several.
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

    /// All that a name at the top of the file may stand for in the end.
    pub(crate) fn reference(&self, name: &str) -> Reference {
        Reference {
            name: vec![name.to_owned()],
            bindings: self.names.get(name).cloned().unwrap_or_default(),
            stars: self.stars.len(),
        }
    }
}

/// The reading of a file.
struct Reader {
    source: Source,
    module: Scope,
    /// The classes whose bodies are being read, the innermost last.
    open: Vec<(Scope, Class)>,
    /// The functions at the top of the file that may add tests when they are called.
    functions: HashMap<String, &'static str>,
    /// The functions that are called at the top of the file, or decorate a class there.
    called: Vec<(String, usize)>,
}

impl Reader {
    fn finish(mut self) -> Source {
        for (name, offset) in std::mem::take(&mut self.called) {
            if let Some(what) = self.functions.get(&name) {
                let what = format!("{what} in {name}()");
                self.source.doubts.push(Doubt { what, offset });
            }
        }
        let mut source = self.source;
        source.names = self.module.into_names();
        source
    }

    fn add_doubt(&mut self, what: impl Into<String>, at: &impl Ranged) {
        let doubt = Doubt::new(what, at);
        match self.open.last_mut() {
            Some((_, class)) => class.doubts.push(doubt),
            None => self.source.doubts.push(doubt),
        }
    }

    fn scope(&mut self) -> &mut Scope {
        match self.open.last_mut() {
            Some((scope, _)) => scope,
            None => &mut self.module,
        }
    }

    fn bind(&mut self, name: &str, binding: Binding) {
        let index = BindingIndex(self.source.bindings.len());
        self.source.bindings.push(binding);
        self.scope().set(name, vec![index]);
    }

    /// A dotted name as it is understood here: a class's body sees its own names and those of the module.
    fn reference(&self, name: Dotted) -> Reference {
        let first = name.first().map(String::as_str).unwrap_or_default();
        let own = self.open.last().and_then(|(scope, _)| scope.get(first));
        let bindings = own.or_else(|| self.module.get(first)).cloned();
        Reference {
            name,
            bindings: bindings.unwrap_or_default(),
            stars: self.source.stars.len(),
        }
    }

    /// Takes in the statements of a block.
    fn block(&mut self, body: &[Stmt]) {
        for statement in body {
            self.statement(statement);
        }
    }

    fn statement(&mut self, statement: &Stmt) {
        if let Some(what) = adds_tests(statement) {
            self.add_doubt(what, statement);
        }
        match statement {
            Stmt::Import(import) => import.names.iter().for_each(|alias| self.import(alias)),
            Stmt::ImportFrom(import) => self.import_from(import),
            Stmt::ClassDef(class) => self.class(class),
            Stmt::FunctionDef(function) => self.function(function),
            Stmt::Assign(assign) => {
                for target in &assign.targets {
                    self.assign(target, &assign.value);
                }
            }
            Stmt::AnnAssign(assign) => {
                if let Some(value) = &assign.value {
                    self.assign(&assign.target, value);
                }
            }
            Stmt::Delete(delete) => {
                for name in delete.targets.iter().filter_map(Expr::as_name_expr) {
                    self.scope().set(name.id.as_str(), Alternatives::new());
                }
            }
            Stmt::Expr(expression) => {
                if let (Expr::Call(call), true) = (&*expression.value, self.open.is_empty())
                    && let Expr::Name(function) = &*call.func
                {
                    let offset = call.range.start().to_usize();
                    self.called.push((function.id.to_string(), offset));
                }
            }
            Stmt::With(with) => self.block(&with.body),
            Stmt::If(_) | Stmt::Try(_) | Stmt::For(_) | Stmt::While(_) | Stmt::Match(_) => {
                self.branches(statement)
            }
            _ => {}
        }
    }

    /// Takes in the branches of a statement of which one is taken.
    fn branches(&mut self, statement: &Stmt) {
        let mut branches: Vec<Vec<&[Stmt]>> = Vec::new();
        let mut may_pass = true;
        match statement {
            Stmt::If(first) => {
                let holds_first = holds(&first.test);
                if holds_first != Some(false) {
                    branches.push(vec![&first.body]);
                }
                may_pass = holds_first != Some(true);
                for other in first.elif_else_clauses.iter().filter(|_| may_pass) {
                    if other
                        .test
                        .as_ref()
                        .is_none_or(|test| holds(test) != Some(false))
                    {
                        branches.push(vec![&other.body]);
                    }
                }
                may_pass &= first
                    .elif_else_clauses
                    .last()
                    .is_none_or(|last| last.test.is_some());
            }
            Stmt::Try(attempt) => {
                branches.push(vec![&attempt.body, &attempt.orelse]);
                for ast::ExceptHandler::ExceptHandler(handler) in &attempt.handlers {
                    branches.push(vec![&handler.body]);
                }
                may_pass = false;
            }
            Stmt::For(each) => branches.push(vec![&each.body, &each.orelse]),
            Stmt::While(each) => branches.push(vec![&each.body, &each.orelse]),
            Stmt::Match(choice) => {
                branches.extend(choice.cases.iter().map(|case| vec![case.body.as_slice()]));
            }
            _ => {}
        }
        // The likeliest is read last, so that its star imports count for more than those of the others.
        let mut changes: Vec<Changes> = Vec::new();
        for blocks in branches.into_iter().rev() {
            let begin = self.scope().begin_branch();
            blocks.into_iter().for_each(|block| self.block(block));
            changes.push(self.scope().end_branch(begin));
        }
        changes.reverse();
        if may_pass {
            changes.push(Changes::new());
        }
        self.scope().merge(&changes);
        if let Stmt::Try(attempt) = statement {
            self.block(&attempt.finalbody);
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
        self.source.imports_unittest |= alias.name.as_str() == "unittest2"
            || split(alias.name.as_str())
                .first()
                .is_some_and(|first| first == "unittest")
                && alias.name.as_str() != "unittest.mock";
        self.bind(&name, Binding::Module(Module { level: 0, path }));
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
        let is_unittest = module.level == 0
            && (module.path == ["unittest"] || module.path == ["unittest", "case"]);
        for alias in &import.names {
            if alias.name.as_str() == "*" {
                self.source.imports_unittest |= is_unittest;
                let before = BindingIndex(self.source.bindings.len());
                let module = module.clone();
                self.source.stars.push(Star { module, before });
                continue;
            }
            let symbol = alias.name.to_string();
            let name = alias
                .asname
                .as_ref()
                .map_or_else(|| symbol.clone(), ToString::to_string);
            self.source.imports_unittest |= is_unittest && symbol != "mock" || symbol == "unittest";
            let module = module.clone();
            self.note_load_tests(&name, alias);
            self.bind(&name, Binding::Import { module, symbol });
        }
    }

    fn note_load_tests(&mut self, name: &str, at: &impl Ranged) {
        if name == "load_tests" && self.open.is_empty() {
            self.add_doubt("load_tests()", at);
        }
    }

    fn function(&mut self, function: &ast::StmtFunctionDef) {
        let name = function.name.as_str();
        self.note_load_tests(name, function);
        if self.open.is_empty() {
            if let Some(what) = adds_tests_within(&function.body) {
                self.functions.insert(name.to_owned(), what);
            }
            self.bind(name, Binding::Function(Directives::default()));
            return;
        }
        let decorators = function.decorator_list.iter().map(|one| &one.expression);
        let mut binding = Binding::Function(directives(&function.body));
        for decorator in decorators {
            let called = match decorator {
                Expr::Call(call) => &call.func,
                other => other,
            };
            let last = dotted(called)
                .and_then(|mut name| name.pop())
                .unwrap_or_default();
            match last.as_str() {
                "property" => binding = Binding::Other,
                // Those of the libraries parameterized and ddt put other methods in the place of this one.
                "expand" | "data" | "idata" | "file_data" if name.starts_with("test") => {
                    self.add_doubt(format!("methods made from {name} by @{last}"), function);
                    binding = Binding::Call;
                }
                _ => {}
            }
        }
        // Where a method is defined twice, the first one's directives count, as in Avocado.
        let known = self.scope().get(name).cloned().unwrap_or_default();
        let is_function = |index: &BindingIndex| {
            matches!(
                self.source.bindings.get(index.0),
                Some(Binding::Function(_))
            )
        };
        if matches!(binding, Binding::Function(_))
            && !known.is_empty()
            && known.iter().all(is_function)
        {
            return;
        }
        self.bind(name, binding);
    }

    fn assign(&mut self, target: &Expr, value: &Expr) {
        match (target, value) {
            (Expr::Name(name), _) => self.assign_name(name.id.as_str(), value),
            (Expr::Tuple(targets), Expr::Tuple(values)) if targets.len() == values.len() => {
                for (target, value) in targets.iter().zip(values) {
                    self.assign(target, value);
                }
            }
            (Expr::Tuple(targets), _) => {
                for name in targets.iter().filter_map(Expr::as_name_expr) {
                    self.bind(name.id.as_str(), Binding::Call);
                }
            }
            _ => {}
        }
    }

    fn assign_name(&mut self, name: &str, value: &Expr) {
        self.note_load_tests(name, value);
        if name == "__all__" && self.open.is_empty() {
            self.source.exported = texts(value);
        }
        match value {
            Expr::If(choice) => {
                let mut both = Alternatives::new();
                for value in [&choice.body, &choice.orelse] {
                    self.assign_name(name, value);
                    both.extend(self.scope().get(name).cloned().unwrap_or_default());
                }
                self.scope().set(name, both);
            }
            Expr::Lambda(_) => self.bind(name, Binding::Function(Directives::default())),
            // A decorator that is written as a call: `T = skipIf(x, "y")(T)`.
            Expr::Call(call)
                if call
                    .arguments
                    .args
                    .iter()
                    .any(|each| matches!(each, Expr::Name(own) if own.id == name)) => {}
            Expr::Call(_) => {
                let is_class = self.open.is_empty()
                    && (name.starts_with("Test")
                        || ["Test", "Tests", "TestCase"]
                            .iter()
                            .any(|end| name.ends_with(end)));
                if is_class
                    && !matches!(value, Expr::Call(call) if call.arguments.len() == 3 && dotted(&call.func).is_some_and(|name| name == ["type"]))
                {
                    self.add_doubt(format!("{name}, which a call makes"), value);
                } else if !self.open.is_empty() && name.starts_with("test") {
                    self.add_doubt(format!("the method {name}, which a call makes"), value);
                }
                self.bind(name, Binding::Call);
            }
            value => match dotted(value) {
                Some(target) => {
                    let target = self.reference(target);
                    self.bind(name, Binding::Alias(target));
                }
                None => self.bind(name, Binding::Other),
            },
        }
    }

    fn class(&mut self, definition: &ast::StmtClassDef) {
        let mut class = Class {
            name: definition.name.to_string(),
            directives: directives(&definition.body),
            ..Class::default()
        };
        for base in definition.bases() {
            match base {
                // `six.with_metaclass(Meta, Base)`
                Expr::Call(call)
                    if dotted(&call.func).is_some_and(|name| {
                        name.last().is_some_and(|last| last == "with_metaclass")
                    }) =>
                {
                    let bases = call.arguments.args.iter().skip(1).filter_map(dotted);
                    class.bases.extend(bases.map(|base| self.reference(base)));
                    class.doubts.push(Doubt::new("a metaclass", call));
                }
                Expr::Call(call) => {
                    class
                        .doubts
                        .push(Doubt::new("a base that a call makes", call));
                }
                Expr::If(choice) => {
                    let both = [&choice.body, &choice.orelse]
                        .into_iter()
                        .filter_map(|base| dotted(base));
                    class.bases.extend(both.map(|base| self.reference(base)));
                }
                base => class
                    .bases
                    .extend(dotted(base).map(|base| self.reference(base))),
            }
        }
        let keywords = definition
            .arguments
            .iter()
            .flat_map(|all| all.keywords.iter());
        for keyword in keywords {
            let is_metaclass = keyword
                .arg
                .as_ref()
                .is_some_and(|name| name.as_str() == "metaclass");
            let is_plain = dotted(&keyword.value)
                .is_some_and(|name| name.last().is_some_and(|last| last == "ABCMeta"));
            if is_metaclass && !is_plain {
                class.doubts.push(Doubt::new("a metaclass", keyword));
            }
        }
        for decorator in &definition.decorator_list {
            let offset = definition.range.start().to_usize();
            match &decorator.expression {
                Expr::Call(call)
                    if dotted(&call.func).is_some_and(|name| {
                        name.last()
                            .is_some_and(|last| last == "parameterized_class")
                    }) =>
                {
                    class
                        .doubts
                        .push(Doubt::new("@parameterized_class", definition));
                }
                Expr::Name(name) if self.open.is_empty() => {
                    self.called.push((name.id.to_string(), offset));
                }
                _ => {}
            }
        }
        self.open.push((Scope::default(), class));
        self.block(&definition.body);
        if let Some((scope, class)) = self.open.pop() {
            let index = self.close(scope, class);
            self.bind(definition.name.as_str(), Binding::Class(index));
        }
    }

    /// Takes in a class whose body has been read.
    fn close(&mut self, scope: Scope, mut class: Class) -> ClassIndex {
        class.members = scope.into_names();
        let mut tests: Vec<(&String, &Alternatives)> = class
            .members
            .iter()
            .filter(|(name, _)| name.starts_with("test"))
            .collect();
        tests.sort_by_key(|(_, bindings)| bindings.iter().min().copied());
        for (name, bindings) in tests {
            match bindings.iter().find_map(|index| self.as_function(*index)) {
                Some(directives) => class.methods.push(Method {
                    name: name.clone(),
                    directives: directives.clone(),
                }),
                None => class.removed.push(name.clone()),
            }
        }
        self.source.classes.push(class);
        ClassIndex(self.source.classes.len() - 1)
    }

    /// What the docstring of a function says, where a name is bound to one of this file.
    fn as_function(&self, index: BindingIndex) -> Option<&Directives> {
        let mut index = index;
        // Whatever an alias stands for was bound before it.
        loop {
            match self.source.bindings.get(index.0)? {
                Binding::Function(directives) => return Some(directives),
                Binding::Alias(target) if target.name.len() == 1 => {
                    index = *target.bindings.first()?;
                }
                _ => return None,
            }
        }
    }
}

impl Doubt {
    fn new(what: impl Into<String>, at: &impl Ranged) -> Self {
        Self {
            what: what.into(),
            offset: at.range().start().to_usize(),
        }
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

/// The texts of a list or a tuple that holds nothing else.
fn texts(list: &Expr) -> Option<Vec<String>> {
    let elements = match list {
        Expr::List(list) => &list.elts,
        Expr::Tuple(tuple) => &tuple.elts,
        _ => return None,
    };
    let text = |element: &Expr| match element {
        Expr::StringLiteral(text) => Some(text.value.to_str().to_owned()),
        _ => None,
    };
    elements.iter().map(text).collect()
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
