//! Owns what the fuzz targets share: checks of positions in a text, and a temporary file. Does not
//! know about the formats that are read.

use std::path::Path;

/// Panics unless the position that an error names is in the text, or right behind its end. Lines
/// and columns count from 1; `width` returns the columns of a line.
pub fn assert_within(text: &str, line: usize, column: usize, width: impl Fn(&str) -> usize) {
    let (Some(line_at), true) = (line.checked_sub(1), column > 0) else {
        panic!("{line}:{column} does not count from 1");
    };
    let Some(found) = text.split('\n').nth(line_at) else {
        panic!("{line}:{column} is behind the last line");
    };
    assert!(
        column <= width(found) + 1,
        "{line}:{column} is behind the end of the line"
    );
}

/// The number of characters in a text.
pub fn characters(text: &str) -> usize {
    text.chars().count()
}

/// Calls `read` with a file of these bytes, in a directory that only this process uses.
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
