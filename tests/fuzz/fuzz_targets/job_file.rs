//! Owns job files. Every text is one, or an error says what is wrong, with a position in the text
//! where the TOML or its shape is invalid.
#![no_main]

use libfuzzer_sys::fuzz_target;
use persea_config::{Config, ConfigError, SafeDirectories, UserDirs};
use persea_fuzz::{assert_within, characters, with_file};
use persea_job::{JobFile, JobFileError};

fuzz_target!(|text: &str| {
    with_file("job.toml", text.as_bytes(), |path| {
        let safe = SafeDirectories::new(&Config::default(), &UserDirs::from_env());
        match JobFile::read(path, &safe) {
            Ok(job) => {
                let mut config = Config::default();
                job.configure(&mut config);
                // The configuration checks the values later, when all its layers are known.
                let _ = config.check();
            }
            Err(JobFileError::Syntax(ConfigError::Syntax {
                line,
                column,
                message,
                ..
            })) => {
                assert_within(text, line, column, characters);
                assert!(!message.is_empty());
            }
            Err(JobFileError::Suite { message, .. }) => assert!(!message.is_empty()),
            Err(JobFileError::Empty { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    });
});
