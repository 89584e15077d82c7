//! Owns what the host reads of files on other hosts. Whatever bytes arrive, no name leads out of
//! its directory, no mode has a set-id bit, the content of a file has its size, and the verdict
//! does not depend on how the bytes are split.
#![no_main]

use libfuzzer_sys::fuzz_target;
use persea_helper::protocol::archive::{ArchiveItem, ArchiveReader, Record, check_path};
use persea_helper::protocol::decode;
use persea_helper::protocol::project::{ProjectReply, ProjectRequest};

/// The records and the lengths of the contents, and whether the bytes end in an error.
fn read(bytes: &[u8], piece: usize) -> (Vec<(Record, u64)>, bool) {
    let mut reader = ArchiveReader::default();
    let mut records: Vec<(Record, u64)> = Vec::new();
    for piece in bytes.chunks(piece.max(1)) {
        reader.push(piece);
        loop {
            match reader.next_item() {
                Ok(None) => break,
                Ok(Some(ArchiveItem::Record(record))) => records.push((record, 0)),
                Ok(Some(ArchiveItem::Content(content))) => {
                    let (record, length) = records.last_mut().expect("content follows a record");
                    *length += content.len() as u64;
                    assert!(matches!(record, Record::File { size, .. } if *length <= *size));
                }
                Err(_) => return (records, true),
            }
        }
    }
    (records, false)
}

fn check(records: &[(Record, u64)]) {
    for (record, _) in records {
        match record {
            Record::Directory { path, mode } | Record::File { path, mode, .. } => {
                check_path(&path.0).expect("the path is checked");
                assert_eq!(mode & !0o1777, 0);
            }
            Record::Link { path, .. } | Record::LeftOut { path, .. } => {
                check_path(&path.0).expect("the path is checked");
            }
            Record::FileEnd { .. } | Record::End { .. } => {}
        }
    }
    for pair in records.windows(2) {
        let [(before, length), (after, _)] = pair else {
            continue;
        };
        assert!(
            !matches!(before, Record::End { .. }),
            "nothing follows the end"
        );
        match before {
            Record::File { size, .. } => {
                assert_eq!(size, length);
                assert!(matches!(after, Record::FileEnd { .. }));
            }
            _ => assert!(!matches!(after, Record::FileEnd { .. })),
        }
    }
}

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = input;
    let whole = read(bytes, bytes.len());
    assert_eq!(whole, read(bytes, usize::from(piece)));
    check(&whole.0);
    let _ = decode::<ProjectReply>(bytes);
    let _ = decode::<ProjectRequest>(bytes);
});
