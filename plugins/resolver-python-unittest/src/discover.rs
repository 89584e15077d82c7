//! Owns the decision which classes of a Python file are tests, and which test methods each has or
//! inherits.
//!
//! The rules are Avocado's (`avocado.core.safeloader`), and unittest's where Avocado misses tests.

use crate::directive::Tags;
use crate::library::{ClassId, Library, Meaning};
use crate::source::{Binding, Class, ClassIndex, Doubt, Source};
use persea_plugin_sdk::prelude::*;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// Limit for the depth of inheritance. The search recurses, and the stack of a plugin is small.
const MAX_ANCESTRY: usize = 100;

/// Limit for the modules that are searched for classes through `from … import *`.
const MAX_STARS: usize = 100;

/// The method that unittest runs for a class without test methods.
const RUN_TEST: &str = "runTest";

/// One test method.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Test {
    pub(crate) method: String,
    pub(crate) tags: Tags,
    pub(crate) requirements: Vec<Requirement>,
}

/// The tests of a file.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Discovery {
    /// The test classes with their tests: first the classes of the file in its order, then the
    /// imported ones.
    pub(crate) classes: Vec<(String, Vec<Test>)>,
    /// The first class with a base that is not in the project, and that base. It may explain why a
    /// test is missing.
    pub(crate) unknown: Option<(String, String)>,
    /// The class in `unknown` has methods whose names begin with `test`.
    pub(crate) is_suspect: bool,
    /// Constructs that may add tests to a class of the file during the import.
    pub(crate) doubts: Vec<Doubt>,
}

/// Finds the tests of a file.
pub(crate) fn discover(library: &mut Library, file: &str, source: &Source) -> Discovery {
    let mut search = Search {
        library,
        tested: file,
        open: Vec::new(),
        parents: HashMap::new(),
        unknown: None,
    };
    let mut discovery = Discovery::default();
    for (name, place) in search.exposed(file, source) {
        let is_own = place.file == file;
        let Some((source, index)) = search.library.class(&place) else {
            continue;
        };
        let Some(class) = source.classes.get(index.0) else {
            continue;
        };
        let directives = &class.directives;
        let tests = if directives.disable {
            continue;
        } else if directives.enable && is_own {
            own_tests(class)
        } else {
            let found = search.examine(&place, class);
            // A class is relevant when it is a test or only a dynamic base keeps it from being one.
            if is_own && (found.is_test || !found.tests.is_empty()) {
                discovery.doubts.extend_from_slice(&class.doubts);
            }
            let is_unknown = search
                .unknown
                .as_ref()
                .is_some_and(|(name, _)| *name == class.name);
            discovery.is_suspect |=
                is_own && is_unknown && !found.is_test && !found.tests.is_empty();
            if !(found.is_test || directives.recursive && is_own) {
                continue;
            }
            found.into_tests()
        };
        if !is_own && tests.is_empty() {
            continue;
        }
        // Several branches may define a class with the same name.
        match discovery
            .classes
            .iter_mut()
            .find(|(known, _)| *known == name)
        {
            Some((_, known)) => {
                let is_new = |test: &Test| known.iter().all(|other| other.method != test.method);
                let new: Vec<Test> = tests.into_iter().filter(is_new).collect();
                known.extend(new);
            }
            None => discovery.classes.push((name, tests)),
        }
    }
    discovery.unknown = search.unknown;
    discovery
}

/// The tests of a class, with those that it inherits.
#[derive(Clone, Default)]
struct Examined {
    tests: Vec<Test>,
    /// Names beginning with `test` that are bound to something else than a function. They hide
    /// the tests of later bases.
    removed: Vec<String>,
    has_run_test: bool,
    /// The class derives from TestCase.
    is_test: bool,
}

impl Examined {
    fn into_tests(self) -> Vec<Test> {
        if self.tests.is_empty() && self.has_run_test {
            return vec![Test {
                method: RUN_TEST.to_owned(),
                tags: Tags::new(),
                requirements: Vec::new(),
            }];
        }
        self.tests
    }
}

/// The search for the tests of one file.
struct Search<'a> {
    library: &'a mut Library,
    /// The file whose tests the user wants.
    tested: &'a str,
    /// The classes that are being examined, outermost first. Ends circular inheritance.
    open: Vec<ClassId>,
    /// The result for each base class, so that each is examined once.
    parents: HashMap<ClassId, Examined>,
    /// The first class with a base that is not in the project, and that base.
    unknown: Option<(String, String)>,
}

impl Search<'_> {
    /// The classes that a module exposes by name, where unittest looks for tests: first its own in
    /// order, then the imported ones. Each class appears once.
    fn exposed(&mut self, file: &str, source: &Source) -> Vec<(String, ClassId)> {
        let mut own = Vec::new();
        let mut others = Vec::new();
        for (name, bindings) in &source.names {
            for index in bindings {
                match source.bindings.get(index.0) {
                    Some(Binding::Class(class)) => own.push((*class, name.clone())),
                    Some(Binding::Import { .. } | Binding::Alias(_)) if may_be_class(name) => {
                        others.push((*index, name.clone()));
                    }
                    _ => {}
                }
            }
        }
        own.sort_unstable();
        others.sort_unstable();
        let own = own.into_iter().map(|(class, name)| {
            let file = file.to_owned();
            (name, ClassId { file, class })
        });
        let mut exposed: Vec<(String, ClassId)> = own.collect();
        let mut names: Vec<String> = others.into_iter().map(|(_, name)| name).collect();
        let mut followed = HashSet::from([file.to_owned()]);
        let mut pending: Vec<(String, Rc<Source>)> = self.starred(file, source);
        while let Some((file, source)) = pending.pop() {
            if followed.len() >= MAX_STARS || !followed.insert(file.clone()) {
                continue;
            }
            let is_exported = |name: &String| match &source.exported {
                Some(exported) => exported.contains(name),
                None => !name.starts_with('_'),
            };
            let mut own: Vec<String> = source
                .names
                .keys()
                .filter(|name| is_exported(name))
                .cloned()
                .collect();
            own.sort_unstable();
            names.extend(own.into_iter().filter(|name| may_be_class(name)));
            pending.extend(self.starred(&file, &source));
        }
        let mut known: HashSet<ClassId> = exposed.iter().map(|(_, place)| place.clone()).collect();
        for name in names {
            let reference = source.reference(&name);
            if let Meaning::Class(place) = self.library.meaning(self.tested, file, &reference)
                && known.insert(place.clone())
            {
                exposed.push((name, place));
            }
        }
        exposed
    }

    /// The modules of the project that a file names in `from … import *`.
    fn starred(&mut self, file: &str, source: &Source) -> Vec<(String, Rc<Source>)> {
        let modules = source.stars.iter().filter_map(|star| {
            let other = self.library.module(self.tested, file, &star.module)?;
            let source = self.library.open(&other)?;
            Some((other, source))
        });
        modules.collect()
    }

    /// Collects the tests of a class and of its bases.
    fn examine(&mut self, place: &ClassId, class: &Class) -> Examined {
        if self.open.contains(place) || self.open.len() >= MAX_ANCESTRY {
            return Examined::default();
        }
        self.open.push(place.clone());
        let mut found = Examined {
            tests: own_tests(class),
            removed: class.removed.clone(),
            has_run_test: class.members.contains_key(RUN_TEST),
            is_test: false,
        };
        let bases: Vec<(String, Meaning)> = class
            .bases
            .iter()
            .map(|base| {
                let meaning = self.library.meaning(self.tested, &place.file, base);
                (base.name.join("."), meaning)
            })
            .collect();
        // Bases of the same file come first, which gives the order of Avocado.
        let is_here = |meaning: &Meaning| match meaning {
            Meaning::Class(other) => other.file == place.file,
            Meaning::TestCase | Meaning::Unknown => false,
        };
        let (here, elsewhere): (Vec<_>, Vec<_>) =
            bases.into_iter().partition(|(_, meaning)| is_here(meaning));
        for (base, meaning) in here.into_iter().chain(elsewhere) {
            match meaning {
                Meaning::TestCase => found.is_test = true,
                Meaning::Class(base) => self.inherit(&mut found, class, &base),
                Meaning::Unknown if base != "object" => {
                    self.unknown
                        .get_or_insert_with(|| (class.name.clone(), base));
                }
                Meaning::Unknown => {}
            }
        }
        self.open.pop();
        found
    }

    /// Adds the tests that `class` inherits from the base class `place`.
    fn inherit(&mut self, found: &mut Examined, class: &Class, place: &ClassId) {
        let Some((source, ClassIndex(index))) = self.library.class(place) else {
            return;
        };
        let Some(parent) = source.classes.get(index) else {
            return;
        };
        let inherited = match self.parents.get(place) {
            Some(known) => known.clone(),
            None => {
                let examined = self.examine(place, parent);
                self.parents.insert(place.clone(), examined.clone());
                examined
            }
        };
        found.is_test |= inherited.is_test;
        found.has_run_test |= inherited.has_run_test;
        if !inherited.tests.is_empty() {
            for test in &mut found.tests {
                add_tags(&mut test.tags, &parent.directives.tags, false);
            }
        }
        for mut test in inherited.tests {
            add_tags(&mut test.tags, &class.directives.tags, true);
            match found.tests.iter_mut().find(|own| own.method == test.method) {
                Some(own) => add_tags(&mut own.tags, &test.tags, false),
                None if found.removed.contains(&test.method) => {}
                None => {
                    test.requirements
                        .extend_from_slice(&class.directives.requirements);
                    found.tests.push(test);
                }
            }
        }
        for name in inherited.removed {
            if !found.removed.contains(&name) {
                found.removed.push(name);
            }
        }
    }
}

/// Whether a name looks like a class name. Names of modules and functions are not followed into
/// other files, which saves reading them.
fn may_be_class(name: &str) -> bool {
    name.trim_start_matches('_').starts_with(char::is_uppercase)
}

/// The tests that a class defines itself, with the tags and requirements of its docstring.
fn own_tests(class: &Class) -> Vec<Test> {
    let own = |method: &crate::source::Method| {
        let mut test = Test {
            method: method.name.clone(),
            tags: method.directives.tags.clone(),
            requirements: method.directives.requirements.clone(),
        };
        add_tags(&mut test.tags, &class.directives.tags, true);
        test.requirements
            .extend_from_slice(&class.directives.requirements);
        test
    };
    class.methods.iter().map(own).collect()
}

/// Adds tags. `replace` decides whether a tag that exists already gets the new values or keeps its
/// own.
fn add_tags(tags: &mut Tags, more: &Tags, replace: bool) {
    for (name, values) in more {
        match tags.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) if replace => known.clone_from(values),
            Some(_) => {}
            None => tags.push((name.clone(), values.clone())),
        }
    }
}
