//! Owns how a call into a plugin that does not return an answer is reported: as the plugin's error,
//! its panic, the limit that it has reached, or the trap with the functions around it.

use wasmtime::{FrameInfo, Store, Trap, WasmBacktrace};

use crate::contract::data;
use crate::contract::limits::{ERROR_CODE, ERROR_MESSAGE};
use crate::engine::limits::Limit;
use crate::error::PluginError;
use crate::error::reached::ReachedLimit;
use crate::instance::context::PluginContext;
use crate::instance::state::InstanceState;
use persea_model::names::shortened;

/// The most lines of a guest's standard error in a report.
const ERROR_LINES: usize = 5;

/// The most functions of a backtrace in a report.
const FRAMES: usize = 5;

/// The longest message of a plugin in a report, in bytes.
pub(crate) const MESSAGE: usize = ERROR_MESSAGE.most;

/// The detail of an error with which a plugin blames the environment.
const INFRASTRUCTURE: &str = "infrastructure";

/// Returns the answer of a call, or reports why there is none.
pub(crate) fn answer<T>(
    context: &PluginContext,
    store: &mut Store<InstanceState>,
    called: wasmtime::Result<Result<T, data::Error>>,
) -> Result<T, PluginError> {
    match called {
        Ok(answer) => {
            let state = store.data_mut();
            state.log_output();
            // What was printed before this answer does not explain a later failure.
            state.take_errors();
            answer.map_err(|error| answered_error(&context.label, error))
        }
        Err(error) => Err(failure(context, store, &error)),
    }
}

/// Reports the error that a plugin has answered.
pub(crate) fn answered_error(plugin: &str, error: data::Error) -> PluginError {
    let blames = |(name, value): &(String, data::Value)| {
        name == INFRASTRUCTURE && matches!(value, data::Value::Boolean(true))
    };
    PluginError::Answer {
        is_infrastructure: error.detail.iter().any(blames),
        plugin: plugin.to_owned(),
        code: shortened(error.code, ERROR_CODE.most),
        message: shortened(error.message, MESSAGE),
    }
}

/// Reports why a call into a plugin has not returned. The instance cannot be called again.
pub(crate) fn failure(
    context: &PluginContext,
    store: &mut Store<InstanceState>,
    error: &wasmtime::Error,
) -> PluginError {
    context.record_death();
    let state = store.data_mut();
    let printed = printed(&state.take_errors());
    state.log_output();
    if state.panic.is_none()
        && let Some(reached) = reached(state, context, error)
    {
        return PluginError::Limit {
            plugin: context.label.clone(),
            reached: Box::new(reached),
        };
    }
    let mut message = if let Some(panic) = &state.panic {
        let (location, message) = (panic.location.clone(), panic.message.clone());
        let message = shortened(message, MESSAGE);
        format!("it panicked at {}: {message}", shortened(location, MESSAGE))
    } else if let Some(trap) = error.downcast_ref::<Trap>() {
        trap.to_string()
    } else {
        error.root_cause().to_string()
    };
    // A panic has its location, and the functions would be those that report a panic.
    if state.panic.is_none()
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
    if let Some(printed) = printed.filter(|_| state.panic.is_none()) {
        message = format!("{printed} ({message})");
    }
    PluginError::Trap {
        plugin: context.label.clone(),
        message,
    }
}

/// Returns the last lines of a guest's standard error in one line: interpreters write there what
/// went wrong, and in which file and line. None without any.
fn printed(errors: &str) -> Option<String> {
    // The first line of a Python traceback and Rust's note on backtraces say nothing.
    let is_noise = |line: &str| {
        line.starts_with("Traceback (most recent") || line.starts_with("note: run with `RUST_")
    };
    let is_useful = |line: &&str| !line.is_empty() && !is_noise(line);
    let lines: Vec<&str> = errors.lines().map(str::trim).filter(is_useful).collect();
    let last = lines.get(lines.len().saturating_sub(ERROR_LINES)..)?;
    (!last.is_empty()).then(|| shortened(last.join("; "), MESSAGE))
}

/// Formats a function of a backtrace, with its source line if the component has that.
fn frame(frame: &FrameInfo) -> Option<String> {
    let name = format!("{:#}", rustc_demangle::demangle(frame.func_name()?));
    let line = frame.symbols().iter().find_map(|symbol| {
        let line = symbol.line()?;
        Some(format!("{name} at {}:{line}", symbol.file()?))
    });
    Some(shortened(line.unwrap_or(name), MESSAGE))
}

/// Returns the limit that has ended an instance, if it was one.
fn reached(
    state: &mut InstanceState,
    context: &PluginContext,
    error: &wasmtime::Error,
) -> Option<ReachedLimit> {
    let limits = &context.limits;
    if let Some(reached) = state.usage.reached.take() {
        return Some(reached);
    }
    if let Some(Trap::StackOverflow) = error.downcast_ref() {
        return Some(limits.reached_stack());
    }
    // Wasmtime has no public types for these errors.
    let text = error.root_cause().to_string();
    if text.contains("fuel allocated for hostcalls") {
        Some(limits.reached(Limit::CallBytes))
    } else if text.contains("handles") && text.contains("limit") {
        Some(limits.reached(Limit::Handles))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traceback_becomes_a_line_with_file_and_line() {
        let traceback = "Traceback (most recent call last):\n  \
                         File \"/0/app.py\", line 7, in run\n    \
                         raise ValueError(\"boom\")\nValueError: boom\n\n\
                         note: run with `RUST_BACKTRACE=1` to display a backtrace\n";
        let line =
            r#"File "/0/app.py", line 7, in run; raise ValueError("boom"); ValueError: boom"#;
        assert_eq!(printed(traceback).as_deref(), Some(line));
        assert_eq!(printed("\n"), None);
        let many = "x\n".repeat(100) + "last";
        assert_eq!(printed(&many).as_deref(), Some("x; x; x; x; last"));
    }
}
