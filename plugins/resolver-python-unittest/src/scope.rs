//! What names stand for at each place of a Python file: bindings, and how branches add to them. Knows nothing of other files.

use std::collections::HashMap;

use crate::directive::Directives;

/// The most values that one name may have from different branches.
const MAX_ALTERNATIVES: usize = 8;

/// A dotted name, split: `unittest.TestCase`.
pub(crate) type Dotted = Vec<String>;

/// A binding of a file: they are numbered in the order in which the file makes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct BindingIndex(pub(crate) usize);

/// A class of a file, nested ones included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ClassIndex(pub(crate) usize);

/// What a statement binds a name to.
#[derive(Debug, PartialEq)]
pub(crate) enum Binding {
    Class(ClassIndex),
    /// A module: `import a.b as name`.
    Module(Module),
    /// Something out of a module: `from a.b import symbol as name`.
    Import {
        module: Module,
        symbol: String,
    },
    /// What another name stood for: `name = a.b`.
    Alias(Reference),
    /// A function, with what its docstring says.
    Function(Directives),
    /// The result of a call, which only running shows.
    Call,
    /// Anything else: no class and no function.
    Other,
}

/// A module as an import statement names it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Module {
    /// How many dots stand before the name; 0 for an absolute import.
    pub(crate) level: u32,
    pub(crate) path: Dotted,
}

/// A `from … import *`.
#[derive(Debug, PartialEq)]
pub(crate) struct Star {
    pub(crate) module: Module,
    /// The first binding that comes after it.
    pub(crate) before: BindingIndex,
}

/// A dotted name where it is used: its first part means what it was bound to there.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Reference {
    pub(crate) name: Dotted,
    /// What the first part may be bound to, the likeliest first.
    pub(crate) bindings: Alternatives,
    /// How many star imports come before it.
    pub(crate) stars: usize,
}

/// What a name may be bound to, the likeliest first; more than one where branches bind it.
pub(crate) type Alternatives = Vec<BindingIndex>;

/// The names of a block that has a namespace: a module or a class.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    names: HashMap<String, Alternatives>,
    /// The names that were changed, with what they were before.
    changes: Vec<(String, Alternatives)>,
}

/// What a branch has bound names to; nothing where it has deleted one.
pub(crate) type Changes = HashMap<String, Alternatives>;

impl Scope {
    pub(crate) fn get(&self, name: &str) -> Option<&Alternatives> {
        self.names.get(name)
    }

    /// Binds a name, or unbinds it where there is nothing to bind it to.
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

    /// Where a branch begins, for `end_branch`.
    pub(crate) fn begin_branch(&self) -> usize {
        self.changes.len()
    }

    /// Takes back what a branch has changed, and returns it.
    pub(crate) fn end_branch(&mut self, begin: usize) -> Changes {
        let mut changed = Changes::new();
        for (name, before) in self.changes.split_off(begin).into_iter().rev() {
            let now = self.replace(&name, before);
            changed.entry(name).or_insert(now);
        }
        changed
    }

    /// Goes on after branches of which one is taken, the likeliest first.
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

    /// What the names stand for in the end.
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
    fn a_branch_leaves_the_scope_as_it_was_until_it_is_merged() {
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
    fn a_name_that_every_branch_deletes_is_unbound() {
        let mut scope = Scope::default();
        scope.set("name", bindings(&[0]));
        let begin = scope.begin_branch();
        scope.set("name", bindings(&[]));
        let branch = scope.end_branch(begin);
        scope.merge(&[branch]);
        assert_eq!(scope.get("name"), None);
    }
}
