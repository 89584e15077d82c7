//! Owns the locks that apply to a job, the project's before the user's: which entry binds a
//! component, and what a project's lock has no right to grant.

use crate::instance::wasi::DIRECTORIES;
use crate::trust::entry::LockEntry;
use crate::trust::lock::Lock;

/// The lock of the project and that of the user, or only one of them.
#[derive(Clone, Debug, Default)]
pub struct Locks {
    project: Option<Lock>,
    user: Option<Lock>,
}

impl Locks {
    /// The locks of a project and of a user.
    pub fn new(project: Lock, user: Lock) -> Self {
        Self {
            project: Some(project),
            user: Some(user),
        }
    }

    /// The project's lock.
    pub(crate) fn of_project(&self) -> Option<&Lock> {
        self.project.as_ref()
    }

    /// The user's lock.
    pub(crate) fn of_user(&self) -> Option<&Lock> {
        self.user.as_ref()
    }

    /// Returns all locks, the most preferred first.
    pub fn iter(&self) -> impl Iterator<Item = &Lock> + Clone {
        self.project.iter().chain(&self.user)
    }

    /// Returns all entries, each with its lock.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&Lock, &LockEntry)> + Clone {
        self.iter()
            .flat_map(|lock| lock.entries().iter().map(move |entry| (lock, entry)))
    }

    /// Returns the entry that binds a component with this digest, with its lock.
    pub fn bound_to(&self, sha256: &str) -> Option<(&Lock, &LockEntry)> {
        let mut locks = self.iter();
        locks.find_map(|lock| Some((lock, lock.bound_to(sha256)?)))
    }

    /// Returns a directory that an entry grants although its lock must not: the project's lock, for
    /// a directory out of the project. Whoever gets a project with its lock has not agreed to that.
    /// The grant holds if the user's own lock grants the same component the same directories.
    pub(crate) fn overreach<'a>(&self, lock: &Lock, entry: &'a LockEntry) -> Option<&'a str> {
        let project = self.project.as_ref()?;
        if lock.path() != project.path() {
            return None;
        }
        let beyond = entry.grants.beyond_project()?;
        let is_agreed = self
            .user
            .as_ref()
            .and_then(|user| user.bound_to(&entry.sha256))
            .is_some_and(|agreed| {
                let agreed = agreed.grants.of(&DIRECTORIES);
                let mut granted = entry.grants.of(&DIRECTORIES).iter();
                granted.all(|directory| agreed.contains(directory))
            });
        (!is_agreed).then_some(beyond)
    }
}
