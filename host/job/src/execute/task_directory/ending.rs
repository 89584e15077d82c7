//! Owns what becomes of a task's directory when its task has ended: it moves to the job's results,
//! is recycled if nothing was written to it, or is removed.

use std::io;

use rustix::process::geteuid;

use super::{OutputFiles, RemoteDirectory, TaskDirectory};
use crate::results::recycled::RecycledDirectory;
use persea_system::directory_handle::DirectoryHandle;

impl TaskDirectory {
    /// Moves the directory to the results of all tasks after its task has ended. Returns whether
    /// there is one.
    pub(crate) fn settle(&self) -> bool {
        if self.is_made() && self.give_up_empty() {
            return false;
        }
        let moved = match self.private() {
            Some(private) => self.move_from(private),
            None => match self.remote.get() {
                Some(remote) => return self.complete(remote),
                None => return self.is_made(),
            },
        };
        moved.unwrap_or_else(|error| {
            let path = self.path.display();
            tracing::warn!("the output of a test is lost, cannot move it to {path}: {error}");
            false
        })
    }

    /// Gives the directory up for recycling if nothing was written to it. Returns whether it was
    /// given up.
    fn give_up_empty(&self) -> bool {
        if self.section.is_reused() {
            return false;
        }
        let taken = std::mem::take(&mut *self.files());
        let OutputFiles {
            own,
            recycled,
            mode,
        } = taken;
        let Some(mode) = mode else {
            return false;
        };
        let looked = self.handle().and_then(|handle| {
            let names = [&*own, &*recycled].concat();
            let like = self.private().map_or_else(|| self.section.handle(), Ok)?;
            let empty = handle.has_only_empty_files(&names, mode, like)?;
            if !empty {
                // Remove the earlier task's empty files, unless this task has written to them
                // itself.
                for name in &recycled {
                    if handle.open_file(name)?.metadata()?.len() == 0 {
                        handle.remove(name)?;
                    }
                }
            }
            Ok(empty.then_some(names))
        });
        // A directory that cannot be read is kept.
        let Some(files) = looked.ok().flatten() else {
            return false;
        };
        match self.private() {
            Some(private) => {
                if private.remove(&self.name).is_err() {
                    return false;
                }
            }
            None => self.section.recycled().put(RecycledDirectory {
                name: self.name.clone(),
                files,
                mode,
            }),
        }
        let _ = self.given_up.set(());
        true
    }

    fn move_from(&self, private: &DirectoryHandle) -> io::Result<bool> {
        let all = self.section.handle()?;
        match private.rename(&self.name, all, &self.name) {
            // The task never made it.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.is_made() => {
                return Ok(false);
            }
            moved => moved?,
        }
        if all.has_directory(&self.name) {
            self.disarm();
            return Ok(true);
        }
        all.remove(&self.name)?;
        Err(io::Error::other(
            "a file that is not a directory was in its place",
        ))
    }

    /// Clears set-user-id bits and file capabilities of what root's processes have left in the
    /// directory: other users could use them outside the sandbox.
    pub(crate) fn disarm(&self) {
        if !geteuid().is_root() {
            return;
        }
        let entered = self
            .section
            .handle()
            .and_then(|all| all.open_directory(&self.name));
        match entered.and_then(|directory| directory.remove_privileges()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(
                    "a file in {} may keep its set-user-id bit or its capabilities: {error}",
                    self.path.display()
                );
            }
            _ => {}
        }
    }

    /// Makes the empty files of the processes that were not fetched because there was nothing else,
    /// beside what the host has written here. Returns whether there is a directory.
    fn complete(&self, remote: &RemoteDirectory) -> bool {
        let exists = self.exists();
        if exists && remote.is_made.get().is_some() && remote.is_fetched.get().is_some() {
            for name in &self.files().own {
                // Fails where the test has left something else of that name.
                let _ = self.handle().and_then(|it| it.open_append(name));
            }
        }
        exists
    }

    /// Removes the directory if the host made it.
    pub(crate) fn remove(&self) {
        if let Some(remote) = self.remote.get()
            && remote.is_made.get().is_some()
        {
            remote.environment.remove_directory(&remote.path);
        }
        if self.is_made()
            && !self.give_up_empty()
            && let Err(error) = self.parent().and_then(|all| all.remove(&self.name))
        {
            tracing::warn!("cannot remove {}: {error}", self.path.display());
        }
    }

    /// Removes the directory if it is empty.
    pub(crate) fn remove_empty(&self) {
        // Fails where it has entries or is missing, which is fine.
        let _ = std::fs::remove_dir(&self.path);
    }
}
