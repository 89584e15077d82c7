//! The project's Python files as far as they have been looked at, and what their names stand for across files. Knows
//! nothing of tests but the classes of the standard library that make them.

use crate::source::{Dotted, Module, Name, Source};
use persea_plugin_sdk::workspace::{self, FileKind};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// The largest Python file that is read, in bytes.
pub(crate) const MAX_FILE: u64 = 16 << 20;

/// How many files are kept, so that a base class that a thousand files share is read once.
const MAX_KEPT: usize = 256;

/// How many imports and other names may stand between a class and the name that it is used by.
const MAX_HOPS: u32 = 32;

/// How many imports are followed for one name, since `from … import *` and packages leave several ways to go at each.
const MAX_IMPORTS: usize = 1000;

/// Where the standard library has the classes below. `unittest2` is its old backport.
const UNITTEST: [&str; 4] = [
    "unittest",
    "unittest.case",
    "unittest.async_case",
    "unittest2",
];

/// The classes whose subclasses are tests.
const TEST_CASES: [&str; 2] = ["TestCase", "IsolatedAsyncioTestCase"];

/// What a name stands for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Meaning {
    /// A class whose subclasses are tests.
    TestCase,
    /// A class in a file of the project.
    Class { file: String, class: String },
    /// Something else, or something that is not in the project.
    Unknown,
}

/// The files that have been looked at.
#[derive(Default)]
pub(crate) struct Library {
    sources: HashMap<String, Option<Rc<Source>>>,
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

    /// What a dotted name in a file stands for. `tested` is the file that a user wants the tests of: where it is decides
    /// where absolute imports are looked for.
    pub(crate) fn meaning(&mut self, tested: &str, file: &str, name: &[String]) -> Meaning {
        let meaning = Search {
            library: self,
            tested,
            seen: HashSet::new(),
            imports: 0,
        }
        .look_up(file, name, 0);
        // A class that is not in the project says by its name what it is: `django.test.TestCase`.
        match name.last() {
            Some(last)
                if meaning == Meaning::Unknown
                    && self.is_foreign(file, name)
                    && last.ends_with("TestCase") =>
            {
                Meaning::TestCase
            }
            _ => meaning,
        }
    }

    /// Whether a name comes from an import, so that it can be something that no file of the project shows.
    fn is_foreign(&mut self, file: &str, name: &[String]) -> bool {
        let (Some(source), Some(first)) = (self.open(file), name.first()) else {
            return false;
        };
        source.names.contains_key(first)
            || (!source.stars.is_empty() && source.class(first).is_none())
    }

    /// The file of a module that `file` imports.
    fn find(&mut self, tested: &str, file: &str, module: &Module) -> Option<String> {
        let directories = match module.level {
            0 => {
                let mut directories = vec![directory(file).to_owned()];
                // Whoever runs tests in packages has one of the directories above in the module path.
                let mut next = Some(directory(tested));
                while let Some(each) = next {
                    directories.push(each.to_owned());
                    next = above(each);
                }
                directories
            }
            level => {
                let mut each = directory(file);
                for _ in 1..level {
                    each = above(each)?;
                }
                vec![each.to_owned()]
            }
        };
        let mut tried: Vec<String> = Vec::new();
        for directory in directories {
            if tried.contains(&directory) {
                continue;
            }
            for file in candidates(&directory, &module.path) {
                if self.open(&file).is_some() {
                    return Some(file);
                }
            }
            tried.push(directory);
        }
        None
    }
}

/// The search for what one name stands for.
struct Search<'a> {
    library: &'a mut Library,
    /// The file that the user wants the tests of.
    tested: &'a str,
    /// The names that have been looked up, with their files.
    seen: HashSet<(String, Dotted)>,
    /// How many imports have been followed.
    imports: usize,
}

impl Search<'_> {
    fn look_up(&mut self, file: &str, name: &[String], hops: u32) -> Meaning {
        let (Some((first, rest)), Some(source), true) =
            (name.split_first(), self.library.open(file), hops < MAX_HOPS)
        else {
            return Meaning::Unknown;
        };
        // Whatever is known ends the search, so what it comes to again is unknown, or is being looked up.
        if !self.seen.insert((file.to_owned(), name.to_vec())) {
            return Meaning::Unknown;
        }
        if rest.is_empty() && source.class(first).is_some() {
            return Meaning::Class {
                file: file.to_owned(),
                class: first.clone(),
            };
        }
        match source.names.get(first) {
            Some(Name::Alias(target)) => {
                let target = [target.as_slice(), rest].concat();
                self.look_up(file, &target, hops + 1)
            }
            Some(Name::Module(module)) => self.inside(file, module, rest, hops),
            Some(Name::Import { module, symbol }) => {
                let inner = [std::slice::from_ref(symbol), rest].concat();
                self.inside(file, module, &inner, hops)
            }
            None => {
                let inside = |module| self.inside(file, module, name, hops);
                source
                    .stars
                    .iter()
                    .map(inside)
                    .find(|meaning| *meaning != Meaning::Unknown)
                    .unwrap_or(Meaning::Unknown)
            }
        }
    }

    /// What a name means in a module that `file` imports; the name's first parts may be modules in that module.
    fn inside(&mut self, file: &str, module: &Module, name: &[String], hops: u32) -> Meaning {
        self.imports += 1;
        let (Some((last, parts)), true) = (name.split_last(), self.imports <= MAX_IMPORTS) else {
            return Meaning::Unknown;
        };
        let whole = Module {
            level: module.level,
            path: [module.path.as_slice(), parts].concat(),
        };
        if whole.level == 0
            && UNITTEST.contains(&whole.path.join(".").as_str())
            && TEST_CASES.contains(&last.as_str())
        {
            return Meaning::TestCase;
        }
        if let Some(path) = self.library.find(self.tested, file, &whole) {
            let meaning = self.look_up(&path, std::slice::from_ref(last), hops + 1);
            if meaning != Meaning::Unknown {
                return meaning;
            }
        }
        if parts.is_empty() {
            return Meaning::Unknown;
        }
        // The first part is no module but a name in one, as in `from compat import unittest`.
        match self.library.find(self.tested, file, module) {
            Some(path) => self.look_up(&path, name, hops + 1),
            None => Meaning::Unknown,
        }
    }
}

/// The files that a module may be in below a directory, in Python's order.
fn candidates(directory: &str, path: &Dotted) -> impl Iterator<Item = String> {
    let parts = std::iter::once(directory).filter(|directory| !directory.is_empty());
    let stem = parts
        .chain(path.iter().map(String::as_str))
        .collect::<Vec<_>>()
        .join("/");
    let package = if stem.is_empty() {
        "__init__.py".to_owned()
    } else {
        format!("{stem}/__init__.py")
    };
    let module = (!path.is_empty()).then(|| format!("{stem}.py"));
    std::iter::once(package).chain(module)
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
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use persea_plugin_sdk::testing::{Files, Host};

    fn meaning(file: &str, name: &str) -> Meaning {
        let name: Dotted = name.split('.').map(str::to_owned).collect();
        Library::default().meaning(file, file, &name)
    }

    fn class(file: &str, class: &str) -> Meaning {
        Meaning::Class {
            file: file.to_owned(),
            class: class.to_owned(),
        }
    }

    #[test]
    fn the_standard_library_is_known_under_any_name() {
        let test = "import unittest, unittest as u, unittest.case\nfrom unittest import TestCase as T, case\n\
                    from unittest import IsolatedAsyncioTestCase\nBase = u.TestCase\nfrom compat import ut\n";
        let compat =
            "try:\n    import unittest2 as ut\nexcept ImportError:\n    import unittest as ut\n";
        let _host = Host::new()
            .files(Files::new().file("t.py", test).file("compat.py", compat))
            .install();
        for name in [
            "unittest.TestCase",
            "u.TestCase",
            "T",
            "case.TestCase",
            "unittest.case.TestCase",
            "Base",
            "ut.TestCase",
        ] {
            assert_eq!(meaning("t.py", name), Meaning::TestCase, "{name}");
        }
        assert_eq!(
            meaning("t.py", "u.IsolatedAsyncioTestCase"),
            Meaning::TestCase
        );
        assert_eq!(meaning("t.py", "unittest.mock.Mock"), Meaning::Unknown);
        assert_eq!(
            meaning("t.py", "TestCase"),
            Meaning::Unknown,
            "it is not imported under that name"
        );
    }

    #[test]
    fn classes_are_followed_through_the_project() {
        let files = Files::new()
            .file("pkg/tests/t.py", "from .base import A\nfrom ..common import B as C\nfrom pkg import D\nimport pkg.common as p\nimport sibling\nfrom stars import *\n")
            .file("pkg/tests/base.py", "class A: pass\n")
            .file("pkg/tests/sibling.py", "class S: pass\n")
            .file("pkg/tests/__init__.py", "")
            .file("pkg/common.py", "class B: pass\n")
            .file("pkg/__init__.py", "from .deep.mod import D\n")
            .file("pkg/deep/mod.py", "class D: pass\n")
            .file("stars.py", "class X: pass\n");
        let _host = Host::new().files(files).install();
        for (name, file, of) in [
            ("A", "pkg/tests/base.py", "A"),
            ("C", "pkg/common.py", "B"),
            ("D", "pkg/deep/mod.py", "D"),
            ("p.B", "pkg/common.py", "B"),
            ("sibling.S", "pkg/tests/sibling.py", "S"),
            ("X", "stars.py", "X"),
        ] {
            assert_eq!(meaning("pkg/tests/t.py", name), class(file, of), "{name}");
        }
        assert_eq!(meaning("pkg/tests/t.py", "Nowhere"), Meaning::Unknown);
    }

    #[test]
    fn a_class_from_outside_of_the_project_is_known_by_its_name() {
        let test = "import django.test\nfrom testtools import TestCase\nfrom lib import Base\nclass Local: pass\n";
        let _host = Host::new().files(Files::new().file("t.py", test)).install();
        assert_eq!(
            meaning("t.py", "django.test.SimpleTestCase"),
            Meaning::TestCase
        );
        assert_eq!(meaning("t.py", "TestCase"), Meaning::TestCase);
        assert_eq!(meaning("t.py", "Base"), Meaning::Unknown);
        assert_eq!(
            meaning("t.py", "OtherTestCase"),
            Meaning::Unknown,
            "nothing imports it"
        );
    }

    #[test]
    fn circles_come_to_an_end() {
        let files = Files::new()
            .file("a.py", "from b import X\nY = X\nZ = Z\n")
            .file("b.py", "from a import Y as X\nfrom b import *\n");
        let _host = Host::new().files(files).install();
        for name in ["X", "Y", "Z", "Q"] {
            assert_eq!(meaning("a.py", name), Meaning::Unknown, "{name}");
        }
        assert_eq!(meaning("b.py", "Q"), Meaning::Unknown);
    }

    /// Each of these modules imports all the others' names: without care there are more ways through them than atoms.
    #[test]
    fn many_ways_through_modules_come_to_an_end() {
        let stars: String = (0..40).map(|i| format!("from m{i} import *\n")).collect();
        let detours: String = (0..40)
            .map(|i| format!("from m{i} import *\nx{i} = y.z{i}\n"))
            .collect();
        let mut files = Files::new().file("one.py", "from m0 import *\nclass Here: pass\n");
        for i in 0..40 {
            let own = format!("x = y.a{i}\nclass Only{i}: pass\n");
            let text = if i % 2 == 0 { &stars } else { &detours };
            files = files.file(format!("m{i}.py"), format!("{text}{own}"));
        }
        let _host = Host::new().files(files).install();
        assert_eq!(meaning("one.py", "Nowhere"), Meaning::Unknown);
        assert_eq!(meaning("one.py", "Nowhere.a.b.c"), Meaning::Unknown);
        assert_eq!(meaning("one.py", "x"), Meaning::Unknown);
        assert_eq!(meaning("one.py", "Here"), class("one.py", "Here"));
        assert_eq!(meaning("one.py", "Only0"), class("m0.py", "Only0"));
    }

    #[test]
    fn imports_stay_below_where_the_file_is() {
        assert_eq!(above("./a/b"), Some("./a"));
        assert_eq!(above("./a"), Some("."));
        assert_eq!(above("."), None);
        assert_eq!(above("a"), Some(""));
        assert_eq!(above("/a"), Some("/"));
        assert_eq!(above("../x"), Some(".."));
        assert_eq!(above(".."), None);
        assert_eq!(
            candidates("", &vec!["a".into()]).collect::<Vec<_>>(),
            ["a/__init__.py", "a.py"]
        );
        assert_eq!(
            candidates("d", &vec![]).collect::<Vec<_>>(),
            ["d/__init__.py"]
        );
    }
}
