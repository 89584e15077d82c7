//! What the fuzz targets share: places in a text, and a directory for those that read files. Knows nothing of what is read.

use std::path::Path;

/// Panics unless a place that an error names is in the text, or right behind its end. Both count from 1; a column counts what `width`
/// says of a line.
pub fn assert_within(text: &str, line: usize, column: usize, width: impl Fn(&str) -> usize) {
    let (Some(line_at), true) = (line.checked_sub(1), column > 0) else {
        panic!("{line}:{column} does not count from 1");
    };
    let Some(found) = text.split('\n').nth(line_at) else {
        panic!("{line}:{column} is behind the last line");
    };
    assert!(
        column <= width(found) + 1,
        "{line}:{column} is behind the line's end"
    );
}

/// How many characters a text has.
pub fn characters(text: &str) -> usize {
    text.chars().count()
}

/// Calls `read` with a file of the given bytes in a directory that is there for this process alone.
pub fn with_file<T>(name: &str, bytes: &[u8], read: impl FnOnce(&Path) -> T) -> T {
    thread_local! {
        static DIRECTORY: tempfile::TempDir = tempfile::tempdir().expect("a temporary directory");
    }
    DIRECTORY.with(|directory| {
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).expect("the file is written");
        read(&path)
    })
}
