//! Owns the names of a module or a class: their bindings, and how branches change them.
//!
//! Does not know about other files.

use std::collections::HashMap;

use crate::directive::Directives;

/// Limit for the bindings that one name may have from different branches.
const MAX_ALTERNATIVES: usize = 8;

/// A dotted name, split: `unittest.TestCase`.
pub(crate) type Dotted = Vec<String>;

/// Index of a binding in its file, in the order of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct BindingIndex(pub(crate) usize);

/// Index of a class in its file. Nested classes count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ClassIndex(pub(crate) usize);

/// What a statement binds a name to.
#[derive(Debug, PartialEq)]
pub(crate) enum Binding {
    Class(ClassIndex),
    /// A module: `import a.b as name`.
    Module(Module),
    /// A name imported from a module: `from a.b import symbol as name`.
    Import {
        module: Module,
        symbol: String,
    },
    /// Another name: `name = a.b`.
    Alias(Reference),
    /// A function, with the directives of its docstring.
    Function(Directives),
    /// The result of a call, which only running the file shows.
    Call,
    /// Anything else, which is neither a class nor a function.
    Other,
}

/// A module as an import statement names it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Module {
    /// The number of dots before the name; 0 for an absolute import.
    pub(crate) level: u32,
    pub(crate) path: Dotted,
}

/// A `from … import *`.
#[derive(Debug, PartialEq)]
pub(crate) struct Star {
    pub(crate) module: Module,
    /// The index of the first binding after the import.
    pub(crate) before: BindingIndex,
}

/// A dotted name at the place of its use, with the bindings of its first part there.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Reference {
    pub(crate) name: Dotted,
    /// The possible bindings of the first part, the likeliest first.
    pub(crate) bindings: Alternatives,
    /// The number of star imports before the use.
    pub(crate) stars: usize,
}

/// The possible bindings of a name, the likeliest first. Branches give a name more than one.
pub(crate) type Alternatives = Vec<BindingIndex>;

/// The namespace of a module or a class while its statements are read.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    names: HashMap<String, Alternatives>,
    /// Each change of a name in order, with its bindings before the change.
    changes: Vec<(String, Alternatives)>,
}

/// The names that a branch changed, with their new bindings. A deleted name has none.
pub(crate) type Changes = HashMap<String, Alternatives>;

impl Scope {
    pub(crate) fn get(&self, name: &str) -> Option<&Alternatives> {
        self.names.get(name)
    }

    /// Binds a name. An empty list deletes the name.
    pub(crate) fn set(&mut self, name: &str, to: Alternatives) {
        let before = self.replace(name, to);
        self.changes.push((name.to_owned(), before));
    }

    fn replace(&mut self, name: &str, to: Alternatives) -> Alternatives {
        let before = if to.is_empty() {
            self.names.remove(name)
        } else {
            self.names.insert(name.to_owned(), to)
        };
        before.unwrap_or_default()
    }

    /// Begins a branch. Returns the mark for `end_branch`.
    pub(crate) fn begin_branch(&self) -> usize {
        self.changes.len()
    }

    /// Undoes the changes of a branch and returns them.
    pub(crate) fn end_branch(&mut self, begin: usize) -> Changes {
        let mut changed = Changes::new();
        for (name, before) in self.changes.split_off(begin).into_iter().rev() {
            let now = self.replace(&name, before);
            changed.entry(name).or_insert(now);
        }
        changed
    }

    /// Merges alternative branches, of which exactly one runs. The likeliest branch comes first.
    pub(crate) fn merge(&mut self, branches: &[Changes]) {
        let mut names: Vec<&String> = branches.iter().flat_map(HashMap::keys).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let before = self.names.get(name).cloned().unwrap_or_default();
            let mut merged = Alternatives::new();
            for branch in branches {
                for each in branch.get(name).unwrap_or(&before) {
                    if !merged.contains(each) && merged.len() < MAX_ALTERNATIVES {
                        merged.push(*each);
                    }
                }
            }
            self.set(name, merged);
        }
    }

    /// The bindings at the end of the block.
    pub(crate) fn into_names(self) -> HashMap<String, Alternatives> {
        self.names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bindings(numbers: &[usize]) -> Alternatives {
        numbers.iter().copied().map(BindingIndex).collect()
    }

    #[test]
    fn branch_changes_the_scope_only_when_merged() {
        let mut scope = Scope::default();
        scope.set("kept", bindings(&[0]));
        scope.set("changed", bindings(&[1]));
        let begin = scope.begin_branch();
        scope.set("changed", bindings(&[2]));
        scope.set("changed", bindings(&[3]));
        scope.set("new", bindings(&[4]));
        scope.set("kept", bindings(&[]));
        let branch = scope.end_branch(begin);
        assert_eq!(scope.get("changed"), Some(&bindings(&[1])));
        assert_eq!(scope.get("kept"), Some(&bindings(&[0])));
        assert_eq!(scope.get("new"), None);
        scope.merge(&[branch, Changes::new()]);
        assert_eq!(scope.get("changed"), Some(&bindings(&[3, 1])));
        assert_eq!(scope.get("kept"), Some(&bindings(&[0])));
        assert_eq!(scope.get("new"), Some(&bindings(&[4])));
    }

    #[test]
    fn name_that_every_branch_deletes_is_unbound() {
        let mut scope = Scope::default();
        scope.set("name", bindings(&[0]));
        let begin = scope.begin_branch();
        scope.set("name", bindings(&[]));
        let branch = scope.end_branch(begin);
        scope.merge(&[branch]);
        assert_eq!(scope.get("name"), None);
    }
}
