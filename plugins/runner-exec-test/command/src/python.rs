//! Owns what runners share that run many tasks with one Python interpreter, which forks a process
//! for each: the request of a task, and the part of the script that reads requests and ends what a
//! test leaves behind. Does not know what the interpreter runs.

use persea_plugin_sdk::process::Command;

/// The part of a script that `persea_python_batch.py` describes. It needs the modules `os` and
/// `sys`, and stands before the runner's own part.
pub const BATCH: &str = include_str!("persea_python_batch.py");

/// Prefixes of the environment variables that differ from task to task. They go into the request of
/// a task; the interpreter starts with all others.
const TASK_PREFIXES: [&str; 2] = ["AVOCADO_TEST_", "AVOCADO_TESTS_"];

/// An environment variable with its value; without one it is removed.
pub type Variable = (String, Option<String>);

/// Takes the variables that differ from task to task out of a command.
pub fn take_variables(command: &mut Command) -> Vec<Variable> {
    let differs = |(name, _): &Variable| {
        let mut prefixes = TASK_PREFIXES.iter();
        prefixes.any(|prefix| name.starts_with(prefix))
    };
    let (variables, common) = std::mem::take(&mut command.env)
        .into_iter()
        .partition(differs);
    command.env = common;
    variables
}

/// Encodes a request. NUL separates the fields, because neither a path nor an environment variable
/// can contain it.
#[must_use]
pub fn request(fields: &[&str], variables: &[Variable]) -> Vec<u8> {
    let mut fields = fields.join("\0");
    for (name, value) in variables {
        fields.push('\0');
        fields.push_str(name);
        if let Some(value) = value {
            fields.push('=');
            fields.push_str(value);
        }
    }
    format!("{}\n{fields}", fields.len()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_a_task_go_into_its_request() {
        let mut command = Command::new("python3")
            .env("AVOCADO_TEST_WORKDIR", "/w")
            .env("HOME", "/h");
        let variables = take_variables(&mut command);
        assert_eq!(command.env, [("HOME".to_owned(), Some("/h".to_owned()))]);
        let removed = [&variables[..], &[("A".to_owned(), None)]].concat();
        let expected = b"29\na\0b\0AVOCADO_TEST_WORKDIR=/w\0A";
        let length = expected.len() - 3;
        let expected = String::from_utf8_lossy(expected).replacen("29", &length.to_string(), 1);
        assert_eq!(request(&["a", "b"], &removed), expected.as_bytes());
    }

    #[test]
    fn script_is_ascii() {
        assert!(
            BATCH.is_ascii(),
            "an interpreter in a locale without UTF-8 rejects other arguments"
        );
    }
}
