//! The powers in a native build: functions of the `testing::Host` that is installed in the thread.

pub(crate) use crate::testing::state::{Child, Download, Pollable, Report};
pub(crate) use crate::testing::state::{
    add_runnables, add_variations, artifact_read, artifact_size, artifact_write, cache_get,
    cache_put, case_finish, case_start, child_close_stdin, child_id, child_read, child_signal,
    child_wait, child_write, deadline, download_info, download_read, fail_task, fetch, finish_task,
    list_artifacts, list_directory, log, now, open_report, poll, pollable_ready, progress, read,
    report_append, report_overwrite, run, start, stat, take_task, watch, whiteboard,
};
