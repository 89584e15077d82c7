//! Owns the fixed limits of the contract: every number that `wit/` names, and the lengths of what
//! plugins answer. The book's page on limits is made of this table. Does not know the limits that
//! settings change; `engine::limits` has those.

use std::fmt;

use crate::contract::data::Error;
use crate::contract::errors::error;
use crate::error::reached::{ReachedLimit, bytes as format_bytes};

/// One fixed limit.
#[derive(Debug)]
pub(crate) struct ContractLimit {
    /// The part of the contract that has the limit, for the book: `cases`, `runnable`.
    #[cfg_attr(not(test), allow(dead_code))]
    part: &'static str,
    /// What is limited: "names in the path of a case", or for bytes "the path of a case".
    pub(crate) what: &'static str,
    /// The largest number that is accepted.
    pub(crate) most: usize,
    pub(crate) unit: LimitUnit,
    /// What happens beyond the limit.
    pub(crate) beyond: Beyond,
}

/// What a limit's number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitUnit {
    Count,
    Bytes,
}

/// What happens beyond a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beyond {
    /// The call fails with the error of this code.
    Fails(&'static str),
    /// The rest is cut off, or counts as if it was not asked for.
    IsCut,
    /// The host sends the rest later.
    IsNextPage,
    /// The answer is refused: the plugin's call counts as failed.
    IsRefused,
}

impl ContractLimit {
    /// Checks a number of things, or of bytes.
    ///
    /// # Errors
    /// It exceeds the limit.
    pub(crate) fn check(&self, found: usize) -> Result<(), Error> {
        if found <= self.most {
            return Ok(());
        }
        Err(error(self.code(), self.exceeded(found)))
    }

    /// Returns the message about a number that exceeds the limit.
    pub(crate) fn exceeded(&self, found: usize) -> String {
        let found = Amount(self.unit, found);
        let of = match self.unit {
            LimitUnit::Count => "",
            LimitUnit::Bytes => "in ",
        };
        format!(
            "{found} {of}{}: the contract allows at most {self}",
            self.what
        )
    }

    /// Reports the limit as one that a plugin has reached.
    pub(crate) fn reached(&self) -> ReachedLimit {
        let instead = "it is part of the contract".to_owned();
        ReachedLimit::fixed(self.what, self.to_string(), instead)
    }

    fn code(&self) -> &'static str {
        match self.beyond {
            Beyond::Fails(code) => code,
            Beyond::IsCut | Beyond::IsNextPage | Beyond::IsRefused => "invalid",
        }
    }
}

impl fmt::Display for ContractLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Amount(self.unit, self.most).fmt(f)
    }
}

/// A number with its unit, for people: `4,096` or `64 KiB`.
struct Amount(LimitUnit, usize);

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            LimitUnit::Bytes => f.write_str(&format_bytes(self.1 as u64)),
            LimitUnit::Count => f.write_str(&grouped(self.1)),
        }
    }
}

/// Writes a number with a comma before each group of three digits.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Defines the limits, and [`ALL`] of them in the same order. Some are enforced below this crate,
/// by the constant from which they are made here.
macro_rules! limits {
    ($($name:ident: $part:literal, $what:literal, $most:expr, $unit:ident, $beyond:expr;)*) => {
        $(
            #[cfg_attr(not(test), allow(dead_code))]
            pub(crate) static $name: ContractLimit = ContractLimit {
                part: $part,
                what: $what,
                most: $most,
                unit: LimitUnit::$unit,
                beyond: $beyond,
            };
        )*

        /// All fixed limits, in the order of the book's table.
        #[cfg(test)]
        static ALL: &[&ContractLimit] = &[$(&$name),*];
    };
}

use Beyond::{Fails, IsCut, IsNextPage, IsRefused};

/// The most bytes that one call reads or stores, as the type of the contract's lengths: 1 MiB.
pub(crate) const PIECE: u32 = 1 << 20;

limits! {
    JSON_LEVELS: "value", "levels of lists and objects in `json`", persea_model::DEEPEST, Count,
        Fails("invalid");
    ATTRIBUTE_NAME: "attributes", "a name", 1 << 10, Bytes, IsRefused;
    ERROR_CODE: "error", "a code", 64, Bytes, IsCut;
    ERROR_MESSAGE: "error", "a message", 2000, Bytes, IsCut;
    PLUGIN_NAME: "description", "a plugin's name", 64, Bytes, IsRefused;
    IDENTIFIER: "runnable", "an identifier", 16 << 10, Bytes, IsRefused;
    RUNNABLE_ARGUMENTS: "runnable", "arguments of a runnable", 1 << 16, Count, IsRefused;
    RUNNABLE_VARIABLES: "runnable", "changes to variables in a runnable", 1 << 12, Count, IsRefused;
    TAGS: "runnable", "tags of a runnable", 1 << 10, Count, IsRefused;
    TAG_VALUES: "runnable", "values of a tag", 1 << 10, Count, IsRefused;
    REQUIREMENTS: "runnable", "requirements of a runnable", 1 << 10, Count, IsRefused;
    OUTCOME_REASON: "outcome", "the reason of a task", 64 << 10, Bytes, IsCut;
    RUNNABLES: "resolve, list-tests", "runnables for one reference", 1 << 22, Count,
        Fails("limit");
    VARIATIONS: "vary", "variations of one test", 1_000_000, Count, Fails("limit");
    PROGRAM_COMMANDS: "run-program", "commands of one program", 16, Count, IsRefused;
    PLAN_PAGE: "schedule", "tasks in a page of the plan", 4096, Count, IsNextPage;
    READY_TASKS: "schedule", "ready tasks in a turn", 4096, Count, IsNextPage;
    EVENT_PAGE: "format", "events in a page", 512, Count, IsNextPage;
    DIRECTORY_ENTRIES: "workspace", "entries of a directory", 1 << 16, Count, Fails("too-large");
    WORKSPACE_READ: "workspace", "one read", PIECE as usize, Bytes, IsCut;
    COMMAND_ARGUMENTS: "process", "arguments of a command", 1 << 16, Count, Fails("invalid");
    COMMAND_VARIABLES: "process", "changes to variables in a command", 1 << 12, Count,
        Fails("invalid");
    COMMAND_INPUT: "process", "the input of a command, given as bytes", persea_spawner::MAX_INPUT,
        Bytes, Fails("invalid");
    PIPE_READ: "process", "one read", PIECE as usize, Bytes, IsCut;
    ARTIFACT_NAME: "artifacts, cache", "a name", persea_model::names::NAME_LIMIT, Bytes,
        Fails("invalid");
    ARTIFACT_READ: "artifacts", "one read", PIECE as usize, Bytes, IsCut;
    ARTIFACTS: "artifact-list", "files of a task",
        persea_system::directory_handle::MOST_LISTED_FILES, Count, Fails("io");
    ARTIFACT_PAGE: "artifact-list", "entries in a page", 4096, Count, IsNextPage;
    CASE_NAMES: "cases", "names in the path of a case", 64, Count, Fails("invalid");
    CASE_PATH: "cases", "the path of a case", 4 << 10, Bytes, Fails("invalid");
    CASE_REASON: "cases", "the reason of a case", 64 << 10, Bytes, IsCut;
    POLLABLES: "poll", "pollables at once", 1024, Count, Fails("limit");
    POLLED: "poll", "pollables in one call", 1024, Count, Fails("invalid");
    DOWNLOADS: "fetch", "downloads at once", 256, Count, Fails("limit");
    DOWNLOAD_READ: "fetch", "one read", PIECE as usize, Bytes, IsCut;
    CACHE_NAMES: "cache", "names in the cache", 1024, Count, Fails("limit");
    CACHE_VALUE: "cache", "a value in the cache", PIECE as usize, Bytes, Fails("too-large");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceeded_limit_says_what_there_is_too_much_of() {
        assert!(CASE_PATH.check(4096).is_ok() && CASE_NAMES.check(64).is_ok());
        let message = |limit: &ContractLimit, found| limit.check(found).err().map(|it| it.message);
        let path = "4097 bytes in the path of a case: the contract allows at most 4 KiB";
        assert_eq!(message(&CASE_PATH, 4097).as_deref(), Some(path));
        let names = "1,000 names in the path of a case: the contract allows at most 64";
        assert_eq!(message(&CASE_NAMES, 1000).as_deref(), Some(names));
    }

    impl fmt::Display for Beyond {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self {
                Self::Fails(code) => write!(f, "the call fails with `{code}`"),
                Self::IsCut => f.write_str("the rest is left out"),
                Self::IsNextPage => f.write_str("the host sends the rest later"),
                Self::IsRefused => f.write_str("the answer counts as an error"),
            }
        }
    }

    #[test]
    fn book_has_the_table_of_all_fixed_limits() {
        let rows = ALL.iter().map(|limit| {
            let parts = limit.part.split(", ").map(|part| format!("`{part}`"));
            let parts: Vec<String> = parts.collect();
            let (what, beyond) = (limit.what, limit.beyond);
            format!("| {} | {what} | {limit} | {beyond} |\n", parts.join(", "))
        });
        let head = "| Part of the contract | What | At most | Beyond |\n|---|---|---|---|\n";
        let table: String = std::iter::once(head.to_owned()).chain(rows).collect();
        let book = include_str!("../../../../docs/limits.md");
        assert!(
            book.contains(&table),
            "docs/limits.md lacks this table:\n{table}"
        );
    }

    #[test]
    fn book_names_every_setting_that_limits_plugins() {
        let book = include_str!("../../../../docs/limits.md");
        for name in persea_config::limits().chain([persea_config::SHARED_LIMIT]) {
            let setting = format!("`plugins.limits.{name}`");
            assert!(book.contains(&setting), "docs/limits.md lacks {setting}");
        }
    }

    #[test]
    fn contract_and_table_have_the_same_numbers() {
        let wit = [
            include_str!("../../../../wit/0.2/types.wit"),
            include_str!("../../../../wit/0.2/powers.wit"),
            include_str!("../../../../wit/0.2/worlds.wit"),
        ]
        .concat();
        // Numbers and units stand on one line in the contract's text, or are wrapped.
        let wit = wit.replace("\n", " ").replace("///", " ");
        let wit = wit.split_whitespace().collect::<Vec<&str>>().join(" ");
        for (limit, text) in [
            (&JSON_LEVELS, "nested more than 100 levels deep"),
            (&PLUGIN_NAME, "at most 64 characters"),
            (&VARIATIONS, "variants of a test, at most 1,000,000"),
            (&PROGRAM_COMMANDS, "1 to 16 alternative commands"),
            (&PLAN_PAGE, "At most 4,096 tasks"),
            (&READY_TASKS, "or the first 4,096"),
            (&EVENT_PAGE, "At most 512 events"),
            (&DIRECTORY_ENTRIES, "more than 65,536 entries"),
            (&WORKSPACE_READ, "of more than 1 MiB counts as 1 MiB"),
            (
                &COMMAND_INPUT,
                "These bytes, at most 16 MiB, then end of file",
            ),
            (&COMMAND_INPUT, "more than 16 MiB of input"),
            (&PIPE_READ, "up to `length` of them (at most 1 MiB)"),
            (&ARTIFACT_NAME, "at most 255 bytes"),
            (&ARTIFACT_READ, "(at most 1 MiB) of a file"),
            (&ARTIFACT_PAGE, "At most 4,096 entries"),
            (&CASE_NAMES, "at most 64 names"),
            (&CASE_PATH, "of 4 KiB together"),
            (&CASE_REASON, "cuts it at 64 KiB"),
            (&POLLABLES, "more than 1,024 pollables at once"),
            (&POLLED, "for more than 1,024 pollables"),
            (&DOWNLOADS, "more than 256 downloads at once"),
            (&DOWNLOAD_READ, "(at most 1 MiB), from `offset`"),
            (&CACHE_NAMES, "more than 1,024 names"),
            (&CACHE_VALUE, "more than 1 MiB"),
        ] {
            let number = limit.to_string().replace(" bytes", "");
            assert!(text.contains(&number), "{text}: {number}");
            assert!(wit.contains(text), "the contract does not say {text:?}");
        }
    }

    #[test]
    fn digits_are_grouped_by_three() {
        for (number, text) in [
            (7, "7"),
            (512, "512"),
            (4096, "4,096"),
            (1_000_000, "1,000,000"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }
}
