//! Owns the walk over the statements of a Python file: it binds names and collects classes.
//!
//! Does not know about other files.

use std::collections::HashMap;

use crate::condition::{adds_tests, adds_tests_within, holds};
use crate::directive::Directives;
use crate::expression::{dotted, split, texts};
use crate::scope::{
    Alternatives, Binding, BindingIndex, Changes, ClassIndex, Dotted, Module, Reference, Scope,
    Star,
};
use crate::source::{Class, Doubt, Method, Source};
use ruff_python_ast::{self as ast, Expr, Stmt};
use ruff_text_size::Ranged;

/// The walk over the statements of one file.
pub(crate) struct Reader {
    source: Source,
    /// The top-level names.
    module: Scope,
    /// The classes around the current statement, the innermost last.
    open: Vec<(Scope, Class)>,
    /// Top-level functions that may add tests when they are called, each with the construct.
    functions: HashMap<String, &'static str>,
    /// Functions that the top level calls or uses as class decorators, each with its byte offset.
    called: Vec<(String, usize)>,
}

impl Reader {
    /// Reads the statements of a file into its source.
    pub(crate) fn read(source: Source, statements: &[Stmt]) -> Source {
        let mut reader = Self {
            source,
            module: Scope::default(),
            open: Vec::new(),
            functions: HashMap::new(),
            called: Vec::new(),
        };
        reader.block(statements);
        reader.finish()
    }

    /// Adds the doubts about called functions, which the file may define after the call.
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

    /// A reference to a dotted name at the current statement. A class body sees its own names and
    /// those of the module, but not those of an enclosing class.
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

    /// Reads the statements of a block.
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

    /// Reads a statement with branches, of which one runs.
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
        // The likeliest branch is read last, because later star imports take precedence.
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
            // `import a.b` binds only `a`.
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
                // Decorators of the libraries parameterized and ddt replace the method by others.
                "expand" | "data" | "idata" | "file_data" if name.starts_with("test") => {
                    self.add_doubt(
                        format!("methods generated from {name} by @{last}"),
                        function,
                    );
                    binding = Binding::Call;
                }
                _ => {}
            }
        }
        // Of two methods with the same name, the directives of the first count, as in Avocado.
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
            // A decorator in the form of a call, `T = skipIf(x, "y")(T)`, keeps the binding.
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
                // `condition::adds_tests` reports classes created by type().
                let is_type = match value {
                    Expr::Call(call) if call.arguments.len() == 3 => {
                        dotted(&call.func).is_some_and(|name| name == ["type"])
                    }
                    _ => false,
                };
                if is_class && !is_type {
                    self.add_doubt(format!("{name}, created by a call"), value);
                } else if !self.open.is_empty() && name.starts_with("test") {
                    self.add_doubt(format!("the method {name}, created by a call"), value);
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
                        .push(Doubt::new("a base class created by a call", call));
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

    /// Adds a class whose body has been read.
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

    /// The directives of a function that a binding refers to, directly or through aliases. None for
    /// other bindings.
    fn as_function(&self, index: BindingIndex) -> Option<&Directives> {
        let mut index = index;
        // The loop ends, because an alias refers only to earlier bindings.
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

/// The directives in the docstring of a class or function body.
fn directives(body: &[Stmt]) -> Directives {
    match body.first() {
        Some(Stmt::Expr(statement)) => match &*statement.value {
            Expr::StringLiteral(docstring) => Directives::read(docstring.value.to_str()),
            _ => Directives::default(),
        },
        _ => Directives::default(),
    }
}
