//! Owns the command of a tool that runs the file of a task. Does not know the tool's options.

use persea_plugin_sdk::process::Command;
use persea_plugin_sdk::{Attributes, Error, Runnable, Task, Value};

/// Returns a keyword argument that is an option of a kind; none where it is not set.
///
/// # Errors
/// `invalid` where it is no text.
pub fn text_argument(runnable: &Runnable, name: &str) -> Result<Option<String>, Error> {
    match runnable.kwargs.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Error::new("invalid", format!("`{name}` must be a text"))),
    }
}

/// Returns the command of a tool without the file of the task, and the path of that file, which no
/// tool takes for an option. The arguments are those of the runnable. Its keyword arguments are
/// options of the kind, so that they are no variables of the tests.
///
/// # Errors
/// As [`crate::command`].
pub fn tool_command(task: &Task, tool: &str) -> Result<(Command, String), Error> {
    let mut as_program = task.clone();
    as_program.runnable.kwargs = Attributes::new();
    let mut command = crate::command(&as_program)?;
    let mut file = std::mem::replace(&mut command.program, tool.to_owned());
    if file.starts_with('-') {
        file.insert_str(0, "./");
    }
    Ok((command, file))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn tool_runs_the_file_with_the_arguments_of_the_runnable() {
        for (uri, path) in [("t/a", "t/a"), ("-a", "./-a")] {
            let runnable = Runnable::new("t").uri(uri).args(["-x"]).kwarg("name", "b");
            let (command, file) = tool_command(&Task::new("1-t", runnable), "tool").unwrap();
            assert_eq!((&*command.program, &*file), ("tool", path));
            assert_eq!(command.args, ["-x"]);
            assert!(!command.env.iter().any(|(name, _)| name == "name"));
        }
        let nothing = Task::new("1-t", Runnable::new("t"));
        assert_eq!(tool_command(&nothing, "tool").unwrap_err().code, "invalid");
    }

    #[test]
    fn argument_that_is_no_text_is_invalid() {
        let runnable = Runnable::new("t")
            .kwarg("name", "b")
            .kwarg("none", Value::Null)
            .kwarg("count", 3);
        let text = |name| text_argument(&runnable, name);
        assert_eq!(text("name").unwrap().as_deref(), Some("b"));
        assert_eq!(
            (text("none").unwrap(), text("other").unwrap()),
            (None, None)
        );
        let error = text("count").unwrap_err();
        assert_eq!(
            (&*error.code, &*error.message),
            ("invalid", "`count` must be a text")
        );
    }
}
