//! Owns a runner that tries to access its WASI. Each argument of a task is an access, and the
//! whiteboard gets its result. The variable `DESCRIBE` changes what the runner says about itself.
use persea_plugin_sdk::messages;
use persea_plugin_sdk::prelude::*;

struct Wasi;

fn attempt(access: &str) -> String {
    let result = match access.split_once(' ') {
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
    match result {
        Ok(text) => format!("{access}: {text}\n"),
        Err(_) => format!("{access}: no\n"),
    }
}

impl Plugin for Wasi {
    fn describe() -> Description {
        let described = std::env::var("DESCRIBE").unwrap_or_default();
        let describe = |name: &str, kinds: &[&str]| {
            let kinds = kinds.iter().copied();
            Description::new(name, "looks around").role(Role::runner(kinds))
        };
        match described.split_once(' ') {
            Some(("name", name)) => describe(name, &["wasi"]),
            Some(("kind", kind)) => describe("wasi", &["wasi", kind]),
            Some(("version", version)) => describe("wasi", &["wasi"]).version(version),
            _ => describe("wasi", &["wasi"]),
        }
    }
}

impl Runner for Wasi {
    fn run(task: Task) -> Result<Outcome, Error> {
        for access in &task.runnable.args {
            messages::whiteboard(&attempt(access))?;
        }
        Ok(Outcome::pass())
    }
}

export!(Wasi: runner);
