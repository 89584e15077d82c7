//! Owns the Python files of the project that have been read, and the resolution of names across
//! them.
//!
//! Does not know about test methods: a base class either is one of unittest's or it is not.

use crate::source::{
    Alternatives, Binding, BindingIndex, Class, ClassIndex, Dotted, Module, Reference, Source, Star,
};
use persea_plugin_sdk::workspace::{self, FileKind};
use std::collections::HashMap;
use std::rc::Rc;

/// The largest Python file that is read, in bytes.
pub(crate) const MAX_FILE: u64 = 16 << 20;

/// How many files are cached. A base class that a thousand test files share is read once.
const MAX_KEPT: usize = 256;

/// Limit for the imports and aliases between a name and its class.
const MAX_HOPS: u32 = 32;

/// Limit for the lookups of one name. Star imports and branches offer several ways at each step.
const MAX_STEPS: usize = 1000;

/// The modules that export [`TEST_CASES`]. `unittest2` is an old backport.
const UNITTEST: [&str; 4] = [
    "unittest",
    "unittest.case",
    "unittest.async_case",
    "unittest2",
];

/// The classes whose subclasses are tests.
const TEST_CASES: [&str; 2] = ["TestCase", "IsolatedAsyncioTestCase"];

/// Directories of a project that often contain its modules, a convention of setuptools and others.
const SOURCE_DIRECTORIES: [&str; 2] = ["src", "lib"];

/// Identifies a class in a file of the project.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ClassId {
    pub(crate) file: String,
    pub(crate) class: ClassIndex,
}

/// What a name refers to, reduced to what the search for tests needs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Meaning {
    /// A class whose subclasses are tests.
    TestCase,
    /// A class in a file of the project.
    Class(ClassId),
    /// Anything else, or something outside the project.
    Unknown,
}

/// What a name refers to.
#[derive(Clone, Debug)]
enum Value {
    /// A module of the project. A package without `__init__.py` has no file, and only a package has
    /// a directory of submodules.
    Module {
        file: Option<String>,
        directory: Option<String>,
    },
    /// Something outside the project, with its full name.
    Foreign(Dotted),
    Class(ClassId),
    Unknown,
}

/// The files that have been read.
#[derive(Default)]
pub(crate) struct Library {
    /// The content of each file; none where there is no such file or it cannot be read.
    sources: HashMap<String, Option<Rc<Source>>>,
    /// Maps a directory to the directory from which its files are imported.
    tops: HashMap<String, String>,
}

impl Library {
    /// Adds a file that the caller has read.
    pub(crate) fn put(&mut self, file: &str, source: Source) -> Rc<Source> {
        if self.sources.len() >= MAX_KEPT {
            self.sources.clear();
        }
        let source = Rc::new(source);
        self.sources.insert(file.to_owned(), Some(source.clone()));
        source
    }

    /// Returns a file of the project, and reads it on first use. None where it cannot be read.
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

    /// Finds a class of the project: its file and its index there.
    pub(crate) fn class(&mut self, place: &ClassId) -> Option<(Rc<Source>, ClassIndex)> {
        let source = self.open(&place.file)?;
        source.classes.get(place.class.0)?;
        Some((source, place.class))
    }

    /// Resolves a name that is used in `file`. `tested` is the file whose tests the user wants; its
    /// directory decides where absolute imports are searched.
    pub(crate) fn meaning(&mut self, tested: &str, file: &str, name: &Reference) -> Meaning {
        match self.search(tested).reference(file, name, 0) {
            Value::Class(place) => Meaning::Class(place),
            Value::Foreign(name) if is_test_case(&name) => Meaning::TestCase,
            Value::Foreign(_) | Value::Module { .. } | Value::Unknown => Meaning::Unknown,
        }
    }

    /// The file of a module that `file` imports. None for a module outside the project.
    pub(crate) fn module(&mut self, tested: &str, file: &str, module: &Module) -> Option<String> {
        match self.search(tested).module(file, module) {
            Value::Module { file, .. } => file,
            Value::Foreign(_) | Value::Class(_) | Value::Unknown => None,
        }
    }

    /// Begins the resolution of one name.
    fn search<'a>(&'a mut self, tested: &'a str) -> Search<'a> {
        Search {
            library: self,
            tested,
            known: HashMap::new(),
            steps: 0,
        }
    }

    /// The directory from which a file is imported: the nearest one above it that is not a package.
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
            // The root of a project is not a package of its parent; the runner has the same rule.
            && [".git", "pyproject.toml"]
                .iter()
                .all(|name| workspace::stat(&join(directory, name)).is_err())
    }

    /// Finds a module by its path below a directory: a package, a file or a namespace package.
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
        // A directory without __init__.py is a namespace package where nothing else has its name.
        let stat = workspace::stat(if within.is_empty() { "." } else { &within });
        stat.is_ok_and(|stat| stat.kind == FileKind::Directory)
            .then_some(Value::Module {
                file: None,
                directory: Some(within),
            })
    }
}

/// The resolution of one name.
struct Search<'a> {
    library: &'a mut Library,
    /// The file whose tests the user wants.
    tested: &'a str,
    /// The value of each resolved name of a file. None while its resolution runs, which ends
    /// circular imports.
    known: HashMap<(String, String), Option<Value>>,
    /// The lookups so far, limited by [`MAX_STEPS`].
    steps: usize,
}

impl Search<'_> {
    /// Resolves a dotted name that is used in `file`.
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

    /// Resolves a name from its possible bindings and from the star imports before its use. A star
    /// import counts where it follows the newest binding.
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

    /// Resolves one binding of `file`.
    fn binding(&mut self, file: &str, source: &Source, index: BindingIndex, hops: u32) -> Value {
        match source.bindings.get(index.0) {
            Some(Binding::Class(class)) => Value::Class(ClassId {
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

    /// Resolves a name at the top level of a file, as it is at the end of the file.
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

    /// Resolves an attribute of a value.
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

    /// Resolves an attribute of a class or of its bases.
    fn member(&mut self, place: &ClassId, name: &str, hops: u32) -> Value {
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

    /// Finds the module that `file` imports.
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
        // The interpreter imports unittest before any module of the project can shadow it.
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

    /// The directories to search for absolute imports: first those of the runner, then those that a
    /// project may add to `sys.path` itself.
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

/// Whether a name outside the project is a class whose subclasses are tests. Outside the standard
/// library this is a guess from the name, such as `django.test.TestCase`.
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

/// The directory of a file; empty for the root of the project.
fn directory(file: &str) -> &str {
    match file.rsplit_once('/') {
        Some(("", _)) => "/",
        Some((directory, _)) => directory,
        None => "",
    }
}

/// The parent of a directory. None where the name does not show it, as for `..`.
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
