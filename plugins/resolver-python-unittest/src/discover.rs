//! The tests of a Python file: which of its classes are tests, and which methods they have or inherit. The rules are
//! Avocado's (`avocado.core.safeloader`), and Python's own where Avocado's miss tests.

use crate::directive::Tags;
use crate::library::{Library, Meaning, Place};
use crate::source::{Binding, Class, ClassIndex, Doubt, Source};
use persea_plugin_sdk::prelude::*;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// How many classes may stand above one another. Python has no such limit; a plugin's stack has one.
const MAX_ANCESTRY: usize = 100;

/// How many modules are followed from one to the next by `from … import *` for the classes that they bring.
const MAX_STARS: usize = 100;

/// The method that unittest runs where a class has no other test.
const RUN_TEST: &str = "runTest";

/// One test method.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Test {
    pub(crate) method: String,
    pub(crate) tags: Tags,
    pub(crate) requirements: Vec<Requirement>,
}

/// What a file has.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Discovery {
    /// The test classes with their tests: those of the file in order, then those that it imports.
    pub(crate) classes: Vec<(String, Vec<Test>)>,
    /// A class with a base that isn't in the project, if there is one: it may be why a test isn't found.
    pub(crate) unknown: Option<(String, String)>,
    /// That class has methods that look like tests.
    pub(crate) is_suspect: bool,
    /// What may add tests to a class of the file when it is imported.
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
            // What a call has made or taken as a base may be a test class.
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
        // Branches may define a class of one name each.
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

/// What is known of a class and all above it.
#[derive(Clone, Default)]
struct Examined {
    tests: Vec<Test>,
    /// Names that are no tests here, whatever a class further on says.
    removed: Vec<String>,
    has_run_test: bool,
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

struct Search<'a> {
    library: &'a mut Library,
    /// The file that the user wants the tests of.
    tested: &'a str,
    /// The classes that are being examined, so that a circle ends.
    open: Vec<Place>,
    /// The classes that others derive from, so that each is examined once, on however many ways it is inherited.
    parents: HashMap<Place, Examined>,
    unknown: Option<(String, String)>,
}

impl Search<'_> {
    /// The classes that are names of a module, as unittest looks for tests: its own in order, then those that it imports. Each comes once.
    fn exposed(&mut self, file: &str, source: &Source) -> Vec<(String, Place)> {
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
            (name, Place { file, class })
        });
        let mut exposed: Vec<(String, Place)> = own.collect();
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
        let mut known: HashSet<Place> = exposed.iter().map(|(_, place)| place.clone()).collect();
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

    /// The modules of the project from which a file imports all names.
    fn starred(&mut self, file: &str, source: &Source) -> Vec<(String, Rc<Source>)> {
        let modules = source.stars.iter().filter_map(|star| {
            let other = self.library.module(self.tested, file, &star.module)?;
            let source = self.library.open(&other)?;
            Some((other, source))
        });
        modules.collect()
    }

    fn examine(&mut self, place: &Place, class: &Class) -> Examined {
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
        // Those of the same file first: so Avocado numbers them.
        let is_here = |meaning: &Meaning| matches!(meaning, Meaning::Class(other) if other.file == place.file);
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

    /// Adds what `class` inherits from the class at `place`.
    fn inherit(&mut self, found: &mut Examined, class: &Class, place: &Place) {
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

/// Whether a name looks like that of a class: modules and functions need not be looked for in other files.
fn may_be_class(name: &str) -> bool {
    name.trim_start_matches('_').starts_with(char::is_uppercase)
}

/// The tests that a class has itself, with what its docstring says of all of them.
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

/// Adds tags; those that are there already are kept, or replaced.
fn add_tags(tags: &mut Tags, more: &Tags, replace: bool) {
    for (name, values) in more {
        match tags.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) if replace => known.clone_from(values),
            Some(_) => {}
            None => tags.push((name.clone(), values.clone())),
        }
    }
}
