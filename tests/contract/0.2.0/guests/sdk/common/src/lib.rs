//! Owns what the components share: their description, and commands of the shell.
use std::time::Duration;

use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{Command, Exit};

pub const WORD: Setting<Text> = Setting::text("corpus.word")
    .default("hello")
    .summary("what to say");
pub const PAUSE: Setting<Time> = Setting::duration("corpus.pause")
    .default(Duration::from_secs(1))
    .at_most(60.0)
    .summary("how long to wait");

/// The description of all components, without roles.
pub fn description() -> Description {
    Description::new("corpus", "does a little of everything")
        .setting(&WORD)
        .setting(&PAUSE)
        .with("contract", "0.2.0")
}

pub fn sh(script: &str, args: &[&str]) -> Command {
    let shell = Command::new("sh").args(["-c", script, "sh"]);
    let shell = shell.args(args.iter().copied());
    shell.env("CORPUS_SET", "set").env_remove("CORPUS_UNSET")
}

/// The exit code of a process; -1 where it ended otherwise.
pub fn code(exit: &Exit) -> i32 {
    exit.code().unwrap_or(-1)
}

pub fn test(kind: &str, uri: &str) -> Runnable {
    Runnable::new(kind).uri(uri).tag("corpus", [""; 0])
}
