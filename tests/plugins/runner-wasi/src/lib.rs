//! A runner that looks around in its WASI: each argument of its task is something to try, and the whiteboard says what came of it.
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::status;

struct Wasi;

fn attempt(what: &str) -> String {
    let came = match what.split_once(' ') {
        Some(("read", path)) => std::fs::read_to_string(path).map_err(|error| error.kind()),
        Some(("write", path)) => std::fs::write(path, "written")
            .map(|()| "written".to_owned())
            .map_err(|error| error.kind()),
        Some(("sleep", seconds)) => {
            std::thread::sleep(std::time::Duration::from_secs(seconds.parse().unwrap_or(0)));
            Ok("slept".to_owned())
        }
        Some(("variable", name)) => std::env::var(name).map_err(|_| std::io::ErrorKind::NotFound),
        _ => Ok("?".to_owned()),
    };
    match came {
        Ok(text) => format!("{what}: {text}\n"),
        Err(_) => format!("{what}: no\n"),
    }
}

impl Runner for Wasi {
    fn describe() -> Description {
        Description::new("wasi", "looks around").kinds(["wasi"])
    }

    fn run(task: Task) -> Result<Outcome, Error> {
        for what in &task.runnable.args {
            status::whiteboard(&attempt(what))?;
        }
        Ok(Outcome::pass())
    }
}

export!(runner: Wasi);
