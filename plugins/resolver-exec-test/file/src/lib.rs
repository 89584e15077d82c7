//! Owns what the resolvers `exec-test` and `tap` share: an executable file is a test. Only the
//! file's metadata is read, never its content.
//! Does not know about the kinds of tests or the order of resolvers.

use persea_plugin_sdk::workspace::{self, FileKind};
use persea_plugin_sdk::{Resolution, Runnable};

/// Resolves a reference to a test of a kind, or says why the reference is not a test.
pub fn resolve(reference: &str, kind: &str) -> Resolution {
    let stat = match workspace::stat(reference) {
        Ok(stat) => stat,
        Err(error) if error.code == "not-found" => {
            return Resolution::not_found(format!("{reference} does not exist"));
        }
        Err(error) => return Resolution::not_found(error.message),
    };
    match stat.kind {
        FileKind::File if stat.executable => Resolution::found([runnable(reference, kind)]),
        FileKind::File => Resolution::not_found(format!(
            "{reference} is not executable; if it is a test, `chmod +x` makes it one"
        )),
        FileKind::Directory => Resolution::not_found(format!("{reference} is a directory")),
        FileKind::Other => Resolution::not_found(format!("{reference} is not a regular file")),
    }
}

/// Returns the test of a file. Runners look for a program without a slash in PATH, where a name
/// such as `true` would be another file than the one found here. Such a file gets a path as its
/// uri, and the name that the user typed as its identifier.
fn runnable(reference: &str, kind: &str) -> Runnable {
    let runnable = Runnable::new(kind);
    match reference.contains('/') {
        true => runnable.uri(reference),
        false => runnable.uri(format!("./{reference}")).identifier(reference),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use persea_plugin_sdk::Finding;
    use persea_plugin_sdk::testing::{Files, Host};

    fn ask(reference: &str) -> Resolution {
        let files = Files::new()
            .executable("dir/run", "#!/bin/sh\n")
            .executable("true", "#!/bin/sh\n")
            .file("notes.txt", "")
            .directory("d")
            .other("pipe");
        let _host = Host::new().files(files).install();
        resolve(reference, "some-kind")
    }

    fn why(reference: &str) -> String {
        match ask(reference).finding {
            Finding::NotFound(why) => why,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn executable_file_is_a_test() {
        assert_eq!(
            ask("dir/run"),
            Resolution::found([Runnable::new("some-kind").uri("dir/run")])
        );
    }

    #[test]
    fn file_without_a_directory_gets_a_path_and_keeps_its_name() {
        let expected = Runnable::new("some-kind").uri("./true").identifier("true");
        assert_eq!(ask("true"), Resolution::found([expected]));
    }

    #[test]
    fn anything_else_is_not_found_with_the_reason() {
        assert_eq!(
            why("notes.txt"),
            "notes.txt is not executable; if it is a test, `chmod +x` makes it one"
        );
        assert_eq!(why("d"), "d is a directory");
        assert_eq!(why("pipe"), "pipe is not a regular file");
        assert_eq!(why("nothing:here"), "nothing:here does not exist");
    }
}
