//! The powers in a native build: functions of the `testing::Host` that is installed in the thread.

pub(crate) use crate::testing::state::{
    Child, Report, cache_get, cache_put, child_close_stdin, child_id, child_read, child_signal,
    child_wait, child_write, fetch, finish_task, list_directory, log, next_task, open, progress,
    read, read_artifact, read_download, read_task_artifact, report_write, report_write_at, run,
    start, stat, task_artifact_size, whiteboard, write_artifact,
};
