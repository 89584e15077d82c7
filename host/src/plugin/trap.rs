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
            .map(|name| format!("{:#}", rustc_demangle::demangle(name)))
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
