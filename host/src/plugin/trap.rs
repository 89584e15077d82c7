//! What a failed call is reported as: the plugin's panic, the limit that it reached, or the trap with the functions around it.

use wasmtime::{Store, Trap, WasmBacktrace};

use super::PluginError;
use super::state::State;

/// How many functions of a backtrace are shown.
const FRAMES: usize = 5;

/// Explains why a call into a plugin did not return.
pub(super) fn explain(
    plugin: &str,
    store: &mut Store<State>,
    error: &wasmtime::Error,
) -> PluginError {
    let state = store.data_mut();
    state.drain_output();
    let mut message = if let Some(words) = &state.last_words {
        format!("it panicked at {}: {}", words.location, words.message)
    } else if let Some(limit) = &state.usage.reached {
        limit.clone()
    } else if let Some(trap) = error.downcast_ref::<Trap>() {
        trap.to_string()
    } else {
        error.root_cause().to_string()
    };
    // A panic names its place; the functions would be those of the panic itself.
    if state.last_words.is_none()
        && let Some(backtrace) = error.downcast_ref::<WasmBacktrace>()
    {
        let names: Vec<String> = backtrace
            .frames()
            .iter()
            .filter_map(|frame| frame.func_name())
            .take(FRAMES)
            .map(|name| rustc_demangle(name))
            .collect();
        if !names.is_empty() {
            message.push_str(&format!(" (in {})", names.join(", called by ")));
        }
    }
    PluginError::Trap {
        plugin: plugin.to_owned(),
        message,
    }
}

/// A Rust symbol without its hash; other names as they are.
fn rustc_demangle(name: &str) -> String {
    let Some(inner) = name
        .strip_prefix("_ZN")
        .and_then(|rest| rest.strip_suffix('E'))
    else {
        return name.to_owned();
    };
    let mut parts = Vec::new();
    let mut rest = inner;
    while let Some(digits) = rest
        .find(|c: char| !c.is_ascii_digit())
        .filter(|digits| *digits > 0)
    {
        let (Some(length), Some(after)) = (
            rest.get(..digits)
                .and_then(|length| length.parse::<usize>().ok()),
            rest.get(digits..),
        ) else {
            return name.to_owned();
        };
        let (Some(part), Some(remainder)) = (after.get(..length), after.get(length..)) else {
            return name.to_owned();
        };
        parts.push(part);
        rest = remainder;
    }
    if parts
        .last()
        .is_some_and(|part| part.len() == 17 && part.starts_with('h'))
    {
        parts.pop();
    }
    parts.join("::")
}

/// The number of a trap's own code, where a limit on the stack was reached and the message should say how.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_readable() {
        assert_eq!(
            rustc_demangle("_ZN4core9panicking5panic17h0123456789abcdefE"),
            "core::panicking::panic"
        );
        assert_eq!(rustc_demangle("my_function"), "my_function");
        assert_eq!(rustc_demangle("_ZN99xE"), "_ZN99xE");
    }
}
