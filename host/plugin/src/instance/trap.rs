//! What comes of a call: what the plugin answered, or what a failed call is reported as: its panic, the limit that it reached, or the trap with the functions around it.

use wasmtime::{FrameInfo, Store, Trap, WasmBacktrace};

use crate::PluginError;
use crate::contract::bindings::types;
use crate::engine::limits::{Reached, bytes};
use crate::instance::state::State;
use crate::instance::terms::Terms;
use persea_model::names::shortened;

/// How many functions of a backtrace are shown.
const FRAMES: usize = 5;

/// The longest code of an error that is shown, in bytes.
const CODE: usize = 64;

/// The longest message of a plugin that is shown, in bytes.
pub(crate) const MESSAGE: usize = 2000;

/// What a plugin has answered; or why it has not.
pub(crate) fn answered<T>(
    terms: &Terms,
    store: &mut Store<State>,
    answer: wasmtime::Result<Result<T, types::Error>>,
) -> Result<T, PluginError> {
    match answer {
        Ok(answer) => {
            store.data_mut().drain_output();
            answer.map_err(|error| refused(&terms.label, error))
        }
        Err(error) => Err(explain(terms, store, &error)),
    }
}

/// The error that a plugin has answered with.
pub(crate) fn refused(plugin: &str, error: types::Error) -> PluginError {
    PluginError::Answer {
        plugin: plugin.to_owned(),
        code: shortened(error.code, CODE),
        message: shortened(error.message, MESSAGE),
    }
}

/// Explains why a call into a plugin did not return. Its instance is gone with that.
pub(crate) fn explain(
    terms: &Terms,
    store: &mut Store<State>,
    error: &wasmtime::Error,
) -> PluginError {
    terms.died();
    let state = store.data_mut();
    state.drain_output();
    if state.last_words.is_none()
        && let Some(reached) = reached(state, terms, error)
    {
        return PluginError::Limit {
            plugin: terms.label.clone(),
            reached: Box::new(reached),
        };
    }
    let mut message = if let Some(words) = &state.last_words {
        let (place, message) = (words.location.clone(), words.message.clone());
        let message = shortened(message, MESSAGE);
        format!("it panicked at {}: {message}", shortened(place, MESSAGE))
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
            .filter_map(frame)
            .take(FRAMES)
            .collect();
        if !names.is_empty() {
            message.push_str(&format!(" (in {})", names.join(", called by ")));
        }
    }
    PluginError::Trap {
        plugin: terms.label.clone(),
        message,
    }
}

/// A function of a backtrace, with the line of its source where the component has that.
fn frame(frame: &FrameInfo) -> Option<String> {
    let name = format!("{:#}", rustc_demangle::demangle(frame.func_name()?));
    let line = frame.symbols().iter().find_map(|symbol| {
        let line = symbol.line()?;
        Some(format!("{name} at {}:{line}", symbol.file()?))
    });
    Some(shortened(line.unwrap_or(name), MESSAGE))
}

/// The limit by which an instance has ended, if it was one.
fn reached(state: &mut State, terms: &Terms, error: &wasmtime::Error) -> Option<Reached> {
    let limits = &terms.limits;
    if let Some(reached) = state.usage.reached.take() {
        return Some(reached);
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => Some(limits.reached_stack()),
        _ => {
            // Wasmtime has no type for these that others can name.
            let text = error.root_cause().to_string();
            let calls = || bytes(limits.call_bytes as u64);
            let handles = || limits.handles.to_string();
            if text.contains("fuel allocated for hostcalls") {
                Some(limits.reached("what one call hands to the host", calls(), "call_mb"))
            } else if text.contains("handles") && text.contains("limit") {
                Some(limits.reached("handles", handles(), "handles"))
            } else {
                None
            }
        }
    }
}
