//! Owns the files into which the processes of a batch print: such a process outlives the task for
//! which it was started. Output that is written while a task runs is moved to that task's
//! directory; the rest stays in the batch's own. Does not know which process writes.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::execute::task_directory::TaskDirectory;
use crate::results::directory::Section;
use persea_model::names::TEST_RESULTS;
use persea_spawner::Environment;

/// Numbers the directories of batches, so that no two have one name.
static NEXT: AtomicUsize = AtomicUsize::new(1);

/// Numbers the directories of batches from after the one with this number, which another host has
/// made.
pub(crate) fn number_after(last: usize) {
    NEXT.fetch_max(last + 1, Ordering::Relaxed);
}

/// The size of the parts in which output is copied from another host: 1 MiB.
const PART: u32 = 1 << 20;

/// The output files of a batch.
pub(crate) struct Outputs {
    directory: TaskDirectory,
    /// Relative to the job's directory.
    path: String,
    files: Vec<Output>,
    /// Something was written while no task was running.
    has_more: bool,
}

struct Output {
    name: String,
    /// Read up to the end of the last copy. None until a process has made the file, and for one on
    /// another host.
    file: Option<File>,
    /// The end of the last copy of a file on another host, in bytes.
    copied: u64,
    /// What was written while no task was running, in bytes of the file, in order.
    rest: Vec<Range<u64>>,
}

impl Outputs {
    /// The output files of a new batch. `environment` is the batch's, if it has one already.
    pub(crate) fn new(section: &Arc<Section>, environment: Option<&Environment>) -> Self {
        let name = format!("batch.{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let directory = TaskDirectory::new(section, &name);
        if let Some(environment) = environment {
            directory.is_in(environment);
        }
        Self {
            directory,
            path: format!("{TEST_RESULTS}/{name}"),
            files: Vec::new(),
            has_more: false,
        }
    }

    /// Returns the path of an output file, as the batch's processes know it.
    pub(crate) fn file(&mut self, name: &str) -> io::Result<PathBuf> {
        let path = self.directory.output(name)?;
        if !self.files.iter().any(|output| output.name == name) {
            self.files.push(Output {
                name: name.to_owned(),
                file: None,
                copied: 0,
                rest: Vec::new(),
            });
        }
        Ok(path)
    }

    /// Copies what was written since the last call to the files of the same names in a task's
    /// directory.
    pub(crate) async fn pass_on(&mut self, task: &TaskDirectory) -> io::Result<()> {
        for output in &mut self.files {
            if self.directory.is_remote() {
                output.pass_on_from_there(&self.directory, task).await?;
                continue;
            }
            let name = output.name.clone();
            if let Some(mut file) = output.unread(&self.directory)? {
                io::copy(&mut file, &mut task.append(&name)?)?;
            }
        }
        Ok(())
    }

    /// Leaves what was written since the last call in the batch's directory: no task was running
    /// that it could belong to.
    pub(crate) async fn keep(&mut self) -> io::Result<()> {
        for output in &mut self.files {
            let range = match self.directory.is_remote() {
                true => output.unread_there(&self.directory).await?,
                false => match output.unread(&self.directory)? {
                    Some(mut file) => {
                        let start = file.stream_position()?;
                        Some(start..file.seek(SeekFrom::End(0))?)
                    }
                    None => None,
                },
            };
            if let Some(range) = range {
                output.copied = range.end;
                output.rest.push(range);
                self.has_more = true;
            }
        }
        Ok(())
    }

    /// The directory of the batch, relative to the job's, if it holds output that no task's
    /// directory has.
    pub(crate) fn rest(&self) -> Option<&str> {
        self.has_more.then_some(self.path.as_str())
    }

    /// Ends the batch, whose processes have ended. Its directory keeps what no task's directory
    /// has, and is removed if that is nothing.
    pub(crate) async fn end(mut self) {
        match self.keep().await {
            Ok(()) if !self.has_more => return self.directory.remove(),
            Ok(()) => {
                if let Some(Err(error)) = self.directory.fetch().await {
                    tracing::warn!("the output in {} is lost: {error}", self.path);
                    return;
                }
                for output in &self.files {
                    if let Err(error) = output.leave_only_rest(&self.directory) {
                        tracing::warn!("{} of a batch has output of its tests: {error}", self.path);
                    }
                }
                tracing::info!("a batch has printed while no test ran: {}", self.path);
            }
            Err(error) => tracing::warn!("cannot read the output in {}: {error}", self.path),
        }
        self.directory.settle();
    }
}

impl Output {
    /// Removes from the file what tasks' directories have.
    fn leave_only_rest(&self, directory: &TaskDirectory) -> io::Result<()> {
        if self.file.is_none() && self.copied == 0 {
            return Ok(());
        }
        let file = directory.update(&self.name)?;
        let mut buffer = vec![0; 64 * 1024];
        let mut length = 0;
        // Each range moves towards the beginning, so none overwrites a later one.
        for range in &self.rest {
            let mut from = range.start;
            while from < range.end {
                let wanted = usize::try_from(range.end - from).unwrap_or(buffer.len());
                let most = wanted.min(buffer.len());
                let read = file.read_at(buffer.get_mut(..most).unwrap_or_default(), from)?;
                if read == 0 {
                    break;
                }
                file.write_all_at(buffer.get(..read).unwrap_or_default(), length)?;
                from += read as u64;
                length += read as u64;
            }
        }
        file.set_len(length)
    }

    /// Copies what was written since the last call from another host.
    async fn pass_on_from_there(
        &mut self,
        directory: &TaskDirectory,
        task: &TaskDirectory,
    ) -> io::Result<()> {
        let mut to = None;
        loop {
            let part = match directory.read(&self.name, self.copied, PART).await {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                part => part?,
            };
            if part.is_empty() {
                return Ok(());
            }
            let file = match &mut to {
                Some(file) => file,
                none => none.insert(task.append(&self.name)?),
            };
            io::Write::write_all(file, &part)?;
            self.copied += part.len() as u64;
        }
    }

    /// What of a file on another host has not been copied.
    async fn unread_there(&self, directory: &TaskDirectory) -> io::Result<Option<Range<u64>>> {
        match directory.size(&self.name).await {
            Ok(size) => Ok((size > self.copied).then_some(self.copied..size)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The file, if something in it has not been read.
    fn unread(&mut self, directory: &TaskDirectory) -> io::Result<Option<&File>> {
        if self.file.is_none() {
            match directory.open(&self.name) {
                Ok(file) => self.file = Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        let Some(file) = &self.file else {
            return Ok(None);
        };
        let mut position = file;
        let is_unread = file.metadata()?.len() > position.stream_position()?;
        Ok(is_unread.then_some(file))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;
    use std::io::Write as _;

    use super::*;

    #[tokio::test]
    async fn output_during_a_task_is_copied_to_that_task() {
        let dir = tempfile::tempdir().unwrap();
        let section = Section::of_tests(dir.path());
        let mut outputs = Outputs::new(&section, None);
        let path = outputs.file("stderr").unwrap();
        let mut tool = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .unwrap();
        let tasks: Vec<TaskDirectory> = ["1", "2", "3"]
            .iter()
            .map(|name| TaskDirectory::new(&section, name))
            .collect();
        for (number, task) in tasks.iter().enumerate() {
            outputs.keep().await.unwrap();
            if number != 1 {
                writeln!(tool, "of {number}").unwrap();
            }
            outputs.pass_on(task).await.unwrap();
            assert_eq!(outputs.rest(), None);
        }
        let stderr = |name: &str| fs::read_to_string(section.path().join(name).join("stderr")).ok();
        assert_eq!(stderr("1").as_deref(), Some("of 0\n"));
        assert_eq!(stderr("2"), None);
        assert_eq!(stderr("3").as_deref(), Some("of 2\n"));
        let batch = path.parent().unwrap().to_owned();
        outputs.end().await;
        assert!(!batch.exists(), "all of it is in the tasks' directories");
    }

    #[tokio::test]
    async fn output_between_two_tasks_stays_with_the_batch() {
        let dir = tempfile::tempdir().unwrap();
        let section = Section::of_tests(dir.path());
        let mut outputs = Outputs::new(&section, None);
        let path = outputs.file("stderr").unwrap();
        fs::write(&path, "between\n").unwrap();
        outputs.keep().await.unwrap();
        let task = TaskDirectory::new(&section, "1");
        outputs.pass_on(&task).await.unwrap();
        assert!(!task.exists());
        let rest = outputs.rest().unwrap().to_owned();
        assert!(
            path.parent()
                .unwrap()
                .ends_with(rest.rsplit('/').next().unwrap())
        );
        outputs.end().await;
        assert_eq!(fs::read_to_string(path).unwrap(), "between\n");
    }

    #[tokio::test]
    async fn file_of_a_batch_has_only_what_no_task_has() {
        let dir = tempfile::tempdir().unwrap();
        let section = Section::of_tests(dir.path());
        let mut outputs = Outputs::new(&section, None);
        let path = outputs.file("stderr").unwrap();
        let other = outputs.file("stdout").unwrap();
        let mut options = fs::OpenOptions::new();
        options.create(true).append(true);
        let mut tool = options.open(&path).unwrap();
        let long = "long ".repeat(50_000);
        for number in 0..3 {
            let task = TaskDirectory::new(&section, &number.to_string());
            outputs.keep().await.unwrap();
            fs::write(&other, format!("task {number}\n").repeat(number + 1)).unwrap();
            writeln!(tool, "of {number}").unwrap();
            outputs.pass_on(&task).await.unwrap();
            write!(tool, "after {number} {long}").unwrap();
        }
        outputs.end().await;
        let expected: String = (0..3).map(|n| format!("after {n} {long}")).collect();
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
        assert_eq!(fs::read_to_string(&other).unwrap(), "");
        let task = fs::read_to_string(section.path().join("1/stderr")).unwrap();
        assert_eq!(task, "of 1\n");
    }
}
