//! The project's Python files as far as they have been looked at, and what their names stand for across files. Knows
//! nothing of tests but the classes of the standard library that make them.

use crate::source::{
    Alternatives, Binding, BindingIndex, Class, ClassIndex, Dotted, Module, Reference, Source, Star,
};
use persea_plugin_sdk::workspace::{self, FileKind};
use std::collections::HashMap;
use std::rc::Rc;

/// The largest Python file that is read, in bytes.
pub(crate) const MAX_FILE: u64 = 16 << 20;

/// How many files are kept, so that a base class that a thousand files share is read once.
const MAX_KEPT: usize = 256;

/// How many imports and other names may stand between a class and the name that it is used by.
const MAX_HOPS: u32 = 32;

/// How many names are looked up for one, since `from … import *` and branches leave several ways to go at each.
const MAX_STEPS: usize = 1000;

/// Where the standard library has the classes below. `unittest2` is its old backport.
const UNITTEST: [&str; 4] = [
    "unittest",
    "unittest.case",
    "unittest.async_case",
    "unittest2",
];

/// The classes whose subclasses are tests.
const TEST_CASES: [&str; 2] = ["TestCase", "IsolatedAsyncioTestCase"];

/// Where else a project may have its modules, as setuptools and others have it.
const SOURCE_DIRECTORIES: [&str; 2] = ["src", "lib"];

/// A class in a file of the project.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) file: String,
    pub(crate) class: ClassIndex,
}

/// What a name stands for, as far as finding tests needs it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Meaning {
    /// A class whose subclasses are tests.
    TestCase,
    /// A class in a file of the project.
    Class(Place),
    /// Something else, or something that is not in the project.
    Unknown,
}

/// What a name stands for.
#[derive(Clone, Debug)]
enum Value {
    /// A module of the project: its file, and the directory of its submodules.
    Module {
        file: Option<String>,
        directory: Option<String>,
    },
    /// Something that is not in the project, by its whole name.
    Foreign(Dotted),
    Class(Place),
    Unknown,
}

/// The files that have been looked at.
#[derive(Default)]
pub(crate) struct Library {
    sources: HashMap<String, Option<Rc<Source>>>,
    /// The directory from which the files of each directory are imported.
    tops: HashMap<String, String>,
}

impl Library {
    /// Puts in a file that the caller has read.
    pub(crate) fn put(&mut self, file: &str, source: Source) -> Rc<Source> {
        if self.sources.len() >= MAX_KEPT {
            self.sources.clear();
        }
        let source = Rc::new(source);
        self.sources.insert(file.to_owned(), Some(source.clone()));
        source
    }

    /// A file of the project, if it is there and can be read.
    pub(crate) fn open(&mut self, file: &str) -> Option<Rc<Source>> {
        if let Some(known) = self.sources.get(file) {
            return known.clone();
        }
        let is_file = workspace::stat(file).is_ok_and(|stat| stat.kind == FileKind::File);
        let bytes = is_file
            .then(|| workspace::read_to_end(file, MAX_FILE).ok())
            .flatten();
        match bytes {
            Some(bytes) => Some(self.put(file, Source::read(&String::from_utf8_lossy(&bytes)))),
            None => {
                self.sources.insert(file.to_owned(), None);
                None
            }
        }
    }

    /// A class of the project.
    pub(crate) fn class(&mut self, place: &Place) -> Option<(Rc<Source>, ClassIndex)> {
        let source = self.open(&place.file)?;
        source.classes.get(place.class.0)?;
        Some((source, place.class))
    }

    /// What a name in a file stands for. `tested` is the file that a user wants the tests of: where it is decides
    /// where absolute imports are looked for.
    pub(crate) fn meaning(&mut self, tested: &str, file: &str, name: &Reference) -> Meaning {
        match self.search(tested).reference(file, name, 0) {
            Value::Class(place) => Meaning::Class(place),
            Value::Foreign(name) if is_test_case(&name) => Meaning::TestCase,
            Value::Foreign(_) | Value::Module { .. } | Value::Unknown => Meaning::Unknown,
        }
    }

    /// The file of a module that `file` imports, if it is in the project.
    pub(crate) fn module(&mut self, tested: &str, file: &str, module: &Module) -> Option<String> {
        match self.search(tested).module(file, module) {
            Value::Module { file, .. } => file,
            Value::Foreign(_) | Value::Class(_) | Value::Unknown => None,
        }
    }

    fn search<'a>(&'a mut self, tested: &'a str) -> Search<'a> {
        Search {
            library: self,
            tested,
            known: HashMap::new(),
            steps: 0,
        }
    }

    /// The directory from which a file is imported: the first one above it that is no package, or the project's own.
    fn top(&mut self, file: &str) -> String {
        let start = directory(file);
        if let Some(top) = self.tops.get(start) {
            return top.clone();
        }
        let mut top = start;
        while self.is_package(top) {
            match above(top) {
                Some(next) => top = next,
                None => break,
            }
        }
        let top = top.to_owned();
        self.tops.insert(start.to_owned(), top.clone());
        top
    }

    fn is_package(&mut self, directory: &str) -> bool {
        let name = directory.rsplit('/').next().unwrap_or_default();
        let is_identifier = name.starts_with(|first: char| first.is_alphabetic() || first == '_')
            && name
                .chars()
                .all(|each| each.is_alphanumeric() || each == '_');
        is_identifier
            && self.open(&join(directory, "__init__.py")).is_some()
            // As the runner has it: such a directory is a project.
            && [".git", "pyproject.toml"].iter().all(|name| workspace::stat(&join(directory, name)).is_err())
    }

    /// A module of a directory.
    fn module_in(&mut self, directory: &str, path: &[String]) -> Option<Value> {
        let within = path
            .iter()
            .fold(directory.to_owned(), |at, part| join(&at, part));
        let package = join(&within, "__init__.py");
        if self.open(&package).is_some() {
            return Some(Value::Module {
                file: Some(package),
                directory: Some(within),
            });
        }
        let file = format!("{within}.py");
        if !path.is_empty() && self.open(&file).is_some() {
            return Some(Value::Module {
                file: Some(file),
                directory: None,
            });
        }
        // A directory without an __init__.py is a package too, if nothing else has that name.
        let stat = workspace::stat(if within.is_empty() { "." } else { &within });
        stat.is_ok_and(|stat| stat.kind == FileKind::Directory)
            .then_some(Value::Module {
                file: None,
                directory: Some(within),
            })
    }
}

/// The search for what one name stands for.
struct Search<'a> {
    library: &'a mut Library,
    /// The file that the user wants the tests of.
    tested: &'a str,
    /// What names of files have been found to stand for; nothing while they are looked up, so that a circle ends.
    known: HashMap<(String, String), Option<Value>>,
    steps: usize,
}

impl Search<'_> {
    fn reference(&mut self, file: &str, reference: &Reference, hops: u32) -> Value {
        let (Some((first, rest)), Some(source)) =
            (reference.name.split_first(), self.library.open(file))
        else {
            return Value::Unknown;
        };
        let stars = source.stars.get(..reference.stars).unwrap_or(&source.stars);
        let first = self.name(file, &source, first, &reference.bindings, stars, hops);
        rest.iter()
            .fold(first, |value, part| self.attribute(value, part, hops))
    }

    /// What a name stands for, by what it may be bound to and the star imports up to where it is used.
    fn name(
        &mut self,
        file: &str,
        source: &Source,
        name: &str,
        bindings: &Alternatives,
        stars: &[Star],
        hops: u32,
    ) -> Value {
        self.steps += 1;
        if hops >= MAX_HOPS || self.steps > MAX_STEPS {
            return Value::Unknown;
        }
        let newest = bindings.iter().max();
        let later = stars.iter().rev();
        let later = later.take_while(|star| newest.is_none_or(|newest| *newest < star.before));
        let mut foreign = None;
        for star in later {
            match self.module(file, &star.module) {
                Value::Module {
                    file: Some(other), ..
                } => {
                    let is_exported = match self.library.open(&other).as_deref() {
                        Some(Source {
                            exported: Some(names),
                            ..
                        }) => names.iter().any(|one| one == name),
                        _ => !name.starts_with('_'),
                    };
                    if is_exported {
                        match self.global(&other, name, hops + 1) {
                            Value::Unknown => {}
                            known => return known,
                        }
                    }
                }
                Value::Foreign(module) => {
                    foreign.get_or_insert_with(|| [module, vec![name.to_owned()]].concat());
                }
                Value::Module { .. } | Value::Class(_) | Value::Unknown => {}
            }
        }
        if !bindings.is_empty() {
            foreign = None;
        }
        for index in bindings {
            match self.binding(file, source, *index, hops) {
                Value::Unknown => {}
                Value::Foreign(name) if is_test_case(&name) => return Value::Foreign(name),
                Value::Foreign(name) => {
                    foreign.get_or_insert(name);
                }
                known => return known,
            }
        }
        foreign.map_or(Value::Unknown, Value::Foreign)
    }

    fn binding(&mut self, file: &str, source: &Source, index: BindingIndex, hops: u32) -> Value {
        match source.bindings.get(index.0) {
            Some(Binding::Class(class)) => Value::Class(Place {
                file: file.to_owned(),
                class: *class,
            }),
            Some(Binding::Module(module)) => self.module(file, module),
            Some(Binding::Import { module, symbol }) => {
                let module = self.module(file, module);
                self.attribute(module, symbol, hops + 1)
            }
            Some(Binding::Alias(target)) => self.reference(file, target, hops + 1),
            Some(Binding::Function(_) | Binding::Call | Binding::Other) | None => Value::Unknown,
        }
    }

    /// What a name at the top of a file stands for in the end.
    fn global(&mut self, file: &str, name: &str, hops: u32) -> Value {
        let key = (file.to_owned(), name.to_owned());
        if let Some(known) = self.known.get(&key) {
            return known.clone().unwrap_or(Value::Unknown);
        }
        self.known.insert(key.clone(), None);
        let Some(source) = self.library.open(file) else {
            return Value::Unknown;
        };
        let none = Alternatives::new();
        let bindings = source.names.get(name).unwrap_or(&none);
        let value = self.name(file, &source, name, bindings, &source.stars, hops);
        self.known.insert(key, Some(value.clone()));
        value
    }

    fn attribute(&mut self, of: Value, name: &str, hops: u32) -> Value {
        match of {
            Value::Module { file, directory } => {
                let value = match file {
                    Some(file) => self.global(&file, name, hops + 1),
                    None => Value::Unknown,
                };
                match (value, directory) {
                    (Value::Unknown, Some(directory)) => self
                        .library
                        .module_in(&directory, &[name.to_owned()])
                        .unwrap_or(Value::Unknown),
                    (value, _) => value,
                }
            }
            Value::Foreign(mut path) => {
                path.push(name.to_owned());
                Value::Foreign(path)
            }
            Value::Class(place) => self.member(&place, name, hops + 1),
            Value::Unknown => Value::Unknown,
        }
    }

    /// What a name stands for in a class, or in those above it.
    fn member(&mut self, place: &Place, name: &str, hops: u32) -> Value {
        self.steps += 1;
        let (Some((source, index)), true) = (
            self.library.class(place),
            hops < MAX_HOPS && self.steps <= MAX_STEPS,
        ) else {
            return Value::Unknown;
        };
        let Some(Class { members, bases, .. }) = source.classes.get(index.0) else {
            return Value::Unknown;
        };
        if let Some(bindings) = members.get(name) {
            return self.name(&place.file, &source, name, bindings, &[], hops);
        }
        for base in bases {
            let base = self.reference(&place.file, base, hops + 1);
            if let value @ (Value::Class(_) | Value::Module { .. }) =
                self.attribute(base, name, hops + 1)
            {
                return value;
            }
        }
        Value::Unknown
    }

    /// The module that `file` imports.
    fn module(&mut self, file: &str, module: &Module) -> Value {
        if module.level > 0 {
            let mut within = directory(file);
            for _ in 1..module.level {
                match above(within) {
                    Some(next) => within = next,
                    None => return Value::Unknown,
                }
            }
            let found = self.library.module_in(within, &module.path);
            return found.unwrap_or(Value::Unknown);
        }
        let Some(first) = module.path.first() else {
            return Value::Unknown;
        };
        // unittest itself is imported before anything of the project.
        if UNITTEST.contains(&first.as_str()) {
            return Value::Foreign(module.path.clone());
        }
        let mut namespace = None;
        for within in self.directories(file) {
            match self.library.module_in(&within, &module.path) {
                Some(found @ Value::Module { file: Some(_), .. }) => return found,
                Some(found) => {
                    namespace.get_or_insert(found);
                }
                None => {}
            }
        }
        namespace.unwrap_or_else(|| Value::Foreign(module.path.clone()))
    }

    /// Where absolute imports are looked for: first where the runner looks, then where a path that something else sets may lead.
    fn directories(&mut self, file: &str) -> Vec<String> {
        let mut directories = vec![self.library.top(self.tested), String::new()];
        directories.push(directory(file).to_owned());
        let mut next = Some(directory(self.tested));
        while let Some(each) = next {
            directories.push(each.to_owned());
            next = above(each);
        }
        directories.extend(SOURCE_DIRECTORIES.map(str::to_owned));
        let mut unique: Vec<String> = Vec::new();
        for directory in directories {
            if !unique.contains(&directory) {
                unique.push(directory);
            }
        }
        unique
    }
}

/// Whether something that is not in the project is a class whose subclasses are tests. What is not of the standard library says so by its
/// name: `django.test.TestCase`.
fn is_test_case(name: &[String]) -> bool {
    let Some((last, module)) = name.split_last() else {
        return false;
    };
    match module.first() {
        Some(first) if UNITTEST.contains(&first.as_str()) => {
            UNITTEST.contains(&module.join(".").as_str()) && TEST_CASES.contains(&last.as_str())
        }
        Some(_) => last.ends_with("TestCase"),
        None => false,
    }
}

fn join(directory: &str, name: &str) -> String {
    match directory {
        "" => name.to_owned(),
        "/" => format!("/{name}"),
        directory => format!("{directory}/{name}"),
    }
}

/// The directory that a file is in; empty for the project's own.
fn directory(file: &str) -> &str {
    match file.rsplit_once('/') {
        Some(("", _)) => "/",
        Some((directory, _)) => directory,
        None => "",
    }
}

/// The directory above, if its name tells.
fn above(of: &str) -> Option<&str> {
    match of {
        "" | "." | "/" => None,
        _ if of == ".." || of.ends_with("/..") => None,
        _ => Some(directory(of)),
    }
}

#[cfg(test)]
#[path = "library_tests.rs"]
mod tests;
