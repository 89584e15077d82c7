//! The power `artifact-list`: the names of a task's files, in pages.

use crate::contract::convert::error;
use crate::contract::data::Error;
use crate::contract::limits::ARTIFACT_PAGE;
use crate::contract::world::World;
use crate::engine::limits::Limits;
use crate::instance::state::{InstanceState, PowerState};
use crate::powers::descriptor::Power;
use persea_model::names::is_artifact_name;

pub(crate) static POWER: Power = Power {
    name: "artifact-list",
    worlds: &[
        World::Runner,
        World::Lister,
        World::RequirementResolver,
        World::ResultFormat,
    ],
    words: "list the files in the directory of its task; a format lists those of all tasks",
    grant: None,
    more_grants: &[],
};

/// A part of the list of a task's files.
#[derive(Debug)]
pub(crate) struct ArtifactPage {
    /// The names and the sizes in bytes, sorted by name.
    pub(crate) entries: Vec<(String, u64)>,
    /// Where the next page starts; none after the last one.
    pub(crate) cursor: Option<String>,
}

/// The rest of the list that the plugin reads page by page, so that a long directory is not read
/// again for each page.
struct UnreadFiles {
    task: Option<String>,
    /// Sorted by name, the last one first.
    files: Vec<(String, u64)>,
    /// The cursor of the next page; none once the list is that of an earlier task.
    cursor: Option<String>,
}

impl PowerState for UnreadFiles {
    fn refill(&mut self, _limits: &Limits) {
        self.cursor = None;
        self.files = Vec::new();
    }
}

/// What a cursor begins with, before the last name of the page before it.
const AFTER: &str = "after:";

impl InstanceState {
    /// Returns the files from a cursor on, sorted by name, the last one first.
    async fn files_from(
        &mut self,
        task: Option<&str>,
        cursor: Option<String>,
    ) -> Result<Vec<(String, u64)>, Error> {
        if let Some(unread) = self.power_mut::<UnreadFiles>()
            && unread.task.as_deref() == task
            && unread.cursor.is_some()
            && unread.cursor == cursor
        {
            return Ok(std::mem::take(&mut unread.files));
        }
        let last = cursor.as_deref().map(last_of_page).transpose()?;
        let mut files = self.list_artifacts_of(&POWER, task).await?;
        files.retain(|(name, _)| last.is_none_or(|last| name.as_str() > last));
        files.reverse();
        Ok(files)
    }

    /// Returns a page of the list of a task's files.
    pub(crate) async fn artifact_page(
        &mut self,
        task: Option<String>,
        cursor: Option<String>,
    ) -> Result<ArtifactPage, Error> {
        self.permit(&POWER)?;
        let files = self.files_from(task.as_deref(), cursor).await;
        self.take_away::<UnreadFiles>();
        let mut files = files?;
        let rest = files.len().saturating_sub(ARTIFACT_PAGE.most);
        let entries: Vec<(String, u64)> = files.split_off(rest).into_iter().rev().collect();
        let last = entries.last().filter(|_| !files.is_empty());
        let cursor = last.map(|(last, _)| format!("{AFTER}{last}"));
        if cursor.is_some() {
            self.give(UnreadFiles {
                task,
                files,
                cursor: cursor.clone(),
            });
        }
        Ok(ArtifactPage { entries, cursor })
    }
}

/// Returns the last name of the page that had a cursor.
fn last_of_page(cursor: &str) -> Result<&str, Error> {
    let name = cursor.strip_prefix(AFTER);
    name.filter(|name| is_artifact_name(name))
        .ok_or_else(|| error("invalid", format!("no page had the cursor {cursor:?}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use super::*;
    use crate::powers::testing::{FakeTask, instance_of};

    #[tokio::test]
    async fn long_list_comes_in_pages() {
        let task = Arc::new(FakeTask::default());
        let files: Vec<(String, u64)> = (0..10_000)
            .map(|number: u64| (format!("{number:05}"), number))
            .collect();
        task.files.lock().unwrap().clone_from(&files);
        let mut store = instance_of(World::Runner, &task);
        let (mut all, mut sizes, mut cursor) = (Vec::new(), Vec::new(), None);
        loop {
            let page = store.data_mut().artifact_page(None, cursor).await.unwrap();
            sizes.push(page.entries.len());
            all.extend(page.entries);
            // Files that appear meanwhile are not in the pages of the first list.
            task.files.lock().unwrap().clear();
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(sizes, [4096, 4096, 1808]);
        assert_eq!(all, files);
    }

    #[tokio::test]
    async fn earlier_cursor_goes_on_after_its_page() {
        let task = Arc::new(FakeTask::default());
        let files = ["a", "b", "c"].map(|name| (name.to_owned(), 1));
        task.files.lock().unwrap().extend(files);
        let mut store = instance_of(World::Runner, &task);
        let after = Some("after:a".into());
        let page = store.data_mut().artifact_page(None, after).await;
        let entries = page.unwrap().entries.into_iter();
        let names: Vec<String> = entries.map(|(name, _)| name).collect();
        assert_eq!(names, ["b", "c"]);
        for wrong in ["", "a", "after:", "after:../a"] {
            let refused = store.data_mut().artifact_page(None, Some(wrong.into()));
            assert_eq!(refused.await.unwrap_err().code, "invalid", "{wrong}");
        }
    }

    #[tokio::test]
    async fn next_task_of_an_instance_does_not_see_the_list_of_the_earlier_one() {
        let task = Arc::new(FakeTask::default());
        let files = (0..5000).map(|number: u64| (format!("{number:05}"), 1));
        task.files.lock().unwrap().extend(files);
        let mut store = instance_of(World::Runner, &task);
        let page = store.data_mut().artifact_page(None, None).await;
        let cursor = page.unwrap().cursor;
        task.files.lock().unwrap().clear();
        store.data_mut().refill();
        let page = store.data_mut().artifact_page(None, cursor).await;
        assert!(page.unwrap().entries.is_empty());
    }

    #[tokio::test]
    async fn runner_names_no_task() {
        let task = Arc::new(FakeTask::default());
        let mut store = instance_of(World::Runner, &task);
        let refused = store.data_mut().artifact_page(Some("1-x".into()), None);
        assert_eq!(refused.await.unwrap_err().code, "not-permitted");
    }
}
