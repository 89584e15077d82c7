//! The tests of a Python file: which of its classes are tests, and which methods they have or inherit. The rules are
//! Avocado's (`avocado.core.safeloader`), and Python's own where Avocado's miss tests.

use crate::directive::Tags;
use crate::library::{Library, Meaning};
use crate::source::{Class, Source};
use persea_plugin_sdk::prelude::*;
use std::collections::HashMap;

/// How many classes may stand above one another. Python has no such limit; a plugin's stack has one.
const MAX_ANCESTRY: usize = 100;

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
    /// The test classes with their tests, in order.
    pub(crate) classes: Vec<(String, Vec<Test>)>,
    /// A class with a base that isn't in the project, if there is one: it may be why a test isn't found.
    pub(crate) unknown: Option<(String, String)>,
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
    let mut classes: Vec<(String, Vec<Test>)> = Vec::new();
    for class in &source.classes {
        let directives = &class.directives;
        let tests = if directives.disable {
            continue;
        } else if directives.enable {
            own_tests(class)
        } else {
            let found = search.examine(file, class);
            if !found.is_test && !directives.recursive {
                continue;
            }
            found.tests
        };
        // Where a class is defined twice, the second one is what Python has in the end.
        match classes.iter_mut().find(|(name, _)| *name == class.name) {
            Some((_, known)) => *known = tests,
            None => classes.push((class.name.clone(), tests)),
        }
    }
    Discovery {
        unknown: search.unknown,
        classes,
    }
}

/// What is known of a class and all above it.
#[derive(Clone, Default)]
struct Examined {
    tests: Vec<Test>,
    is_test: bool,
}

/// A file, and a class in it.
type Place = (String, String);

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
    fn examine(&mut self, file: &str, class: &Class) -> Examined {
        let key = (file.to_owned(), class.name.clone());
        if self.open.contains(&key) || self.open.len() >= MAX_ANCESTRY {
            return Examined::default();
        }
        self.open.push(key);
        let mut found = Examined {
            tests: own_tests(class),
            is_test: false,
        };
        let bases: Vec<(&Vec<String>, Meaning)> = class
            .bases
            .iter()
            .map(|base| (base, self.library.meaning(self.tested, file, base)))
            .collect();
        // Those of the same file first: so Avocado numbers them.
        let is_here = |meaning: &Meaning| matches!(meaning, Meaning::Class { file: other, .. } if other == file);
        let (here, elsewhere): (Vec<_>, Vec<_>) =
            bases.into_iter().partition(|(_, meaning)| is_here(meaning));
        for (base, meaning) in here.into_iter().chain(elsewhere) {
            match meaning {
                Meaning::TestCase => found.is_test = true,
                Meaning::Class { file, class: name } => {
                    self.inherit(&mut found, class, &file, &name)
                }
                Meaning::Unknown if base.as_slice() != ["object"] => {
                    self.unknown
                        .get_or_insert_with(|| (class.name.clone(), base.join(".")));
                }
                Meaning::Unknown => {}
            }
        }
        self.open.pop();
        found
    }

    /// Adds what `class` inherits from the class `name` of `file`.
    fn inherit(&mut self, found: &mut Examined, class: &Class, file: &str, name: &str) {
        let Some(source) = self.library.open(file) else {
            return;
        };
        let Some(parent) = source.class(name) else {
            return;
        };
        let place = (file.to_owned(), name.to_owned());
        let inherited = match self.parents.get(&place) {
            Some(known) => known.clone(),
            None => {
                let examined = self.examine(file, parent);
                self.parents.insert(place, examined.clone());
                examined
            }
        };
        found.is_test |= inherited.is_test;
        if !inherited.tests.is_empty() {
            for test in &mut found.tests {
                add_tags(&mut test.tags, &parent.directives.tags, false);
            }
        }
        for mut test in inherited.tests {
            add_tags(&mut test.tags, &class.directives.tags, true);
            match found.tests.iter_mut().find(|own| own.method == test.method) {
                Some(own) => add_tags(&mut own.tags, &test.tags, false),
                None if class.removed.contains(&test.method) => {}
                None => {
                    test.requirements
                        .extend_from_slice(&class.directives.requirements);
                    found.tests.push(test);
                }
            }
        }
    }
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
