//! Owns a resolver for text files named `*.list` with one test per line: `$ COMMAND` for the shell,
//! or `KIND: URI`. Empty lines and those that begin with `#` are ignored.
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::workspace::{self, FileKind};

/// The largest list, in bytes.
const LIMIT: u64 = 1 << 20;

struct List;

impl Plugin for List {
    fn describe() -> Description {
        Description::new("list", "reads lists of tests, one a line")
            .role(Role::resolver(["exec-test", "greet"]))
    }
}

impl Resolver for List {
    fn resolve(request: &ResolveRequest) -> Result<Resolution, Error> {
        let reference = request.reference.as_str();
        if !reference.ends_with(".list") {
            return Ok(Resolution::not_found(format!("{reference} is no .list")));
        }
        if workspace::stat(reference)?.kind != FileKind::File {
            return Ok(Resolution::not_found(format!("{reference} is no file")));
        }
        let bytes = workspace::read_to_end(reference, LIMIT)?;
        let text = String::from_utf8_lossy(&bytes);
        let mut found = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(command) = line.strip_prefix("$ ") {
                let shell = Runnable::new("exec-test").uri("/bin/sh");
                found.push(shell.args(["-c", command]).identifier(command));
            } else if let Some((kind, uri)) = line.split_once(": ") {
                found.push(Runnable::new(kind).uri(uri.trim()).tag("listed", [""; 0]));
            } else {
                let at = index + 1;
                let why = format!("{reference}:{at}: neither `$ COMMAND` nor `KIND: URI`");
                return Ok(Resolution::corrupt(why));
            }
        }
        Ok(Resolution::found(found))
    }
}

export!(List: resolver);
