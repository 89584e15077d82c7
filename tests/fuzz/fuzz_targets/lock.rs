//! Owns lock files. Every text is one and is written as it was read, or an error says what is
//! wrong, with a position in the text.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use persea_config::ConfigError;
use persea_fuzz::{assert_within, characters};
use persea_plugin::{Lock, LockError};

fuzz_target!(|text: &str| {
    let path = Path::new("project/persea.lock");
    match Lock::parse(path, text) {
        Ok(lock) => {
            let written = lock.text().expect("the lock can be written");
            let again = Lock::parse(path, &written).expect("the written lock can be read");
            assert_eq!(again.entries(), lock.entries());
            for entry in lock.entries() {
                // Names become parts of file names, and digests decide what may be loaded.
                assert!(
                    entry
                        .name
                        .bytes()
                        .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
                );
                assert_eq!(entry.sha256.len(), 64);
                assert_eq!(lock.named(&entry.id()).count(), 1);
                assert!(lock.bound_to(&entry.sha256).is_some());
                assert_eq!(lock.file_of(entry).is_none(), entry.registry().is_some());
            }
        }
        Err(LockError::Syntax(ConfigError::Syntax {
            line,
            column,
            message,
            ..
        })) => {
            assert_within(text, line, column, characters);
            assert!(!message.is_empty());
        }
        Err(LockError::Version { found, .. }) => assert_ne!(found, 1),
        Err(LockError::Entry { message, .. }) => assert!(!message.is_empty()),
        Err(other) => panic!("{other}"),
    }
});
