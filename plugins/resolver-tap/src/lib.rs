//! Persea's resolver plugin `tap`: every executable file is a test that prints the Test Anything Protocol. Nothing about
//! a file tells that it does; so this one is asked last (Avocado's LAST_RESORT), and what is executable belongs to
//! `exec-test` until a user disables that or changes the order. The file is looked at, never opened.
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::workspace::{self, FileKind};

/// The resolver `tap`.
pub struct Tap;

impl Resolver for Tap {
    fn describe() -> Description {
        Description::new("tap", "finds executable files, as tests that print TAP")
            .kinds(["tap"])
            .with("order", 0)
    }

    fn resolve(reference: &str, _: &Attributes) -> Result<Resolution, Error> {
        let stat = match workspace::stat(reference) {
            Ok(stat) => stat,
            Err(error) if error.code == "not-found" => {
                return Ok(Resolution::NotFound(format!("{reference} does not exist")));
            }
            Err(error) => return Ok(Resolution::NotFound(error.message)),
        };
        Ok(match stat.kind {
            FileKind::File if stat.executable => {
                Resolution::Found(vec![Runnable::new("tap").uri(reference)])
            }
            FileKind::File => Resolution::NotFound(format!(
                "{reference} is not executable; if it is a test, `chmod +x` makes it one"
            )),
            FileKind::Directory => Resolution::NotFound(format!("{reference} is a directory")),
            FileKind::Other => Resolution::NotFound(format!("{reference} is not a regular file")),
        })
    }
}

export!(resolver: Tap);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use persea_plugin_sdk::testing::{Files, Host};

    fn ask(reference: &str) -> Resolution {
        let files = Files::new()
            .executable("dir/run", "#!/bin/sh\n")
            .file("notes.txt", "")
            .directory("d")
            .other("pipe");
        let _host = Host::new().files(files).install();
        Tap::resolve(reference, &Attributes::new()).unwrap()
    }

    fn why(reference: &str) -> String {
        match ask(reference) {
            Resolution::NotFound(why) => why,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn an_executable_file_is_a_test_under_the_name_that_was_typed() {
        assert_eq!(
            ask("dir/run"),
            Resolution::Found(vec![Runnable::new("tap").uri("dir/run")])
        );
    }

    #[test]
    fn anything_else_is_not_and_says_why() {
        assert_eq!(
            why("notes.txt"),
            "notes.txt is not executable; if it is a test, `chmod +x` makes it one"
        );
        assert_eq!(why("d"), "d is a directory");
        assert_eq!(why("pipe"), "pipe is not a regular file");
        assert_eq!(why("nothing:here"), "nothing:here does not exist");
    }

    #[test]
    fn it_is_asked_in_the_same_place_as_in_avocado() {
        assert_eq!(Tap::describe().more.integer("order"), Some(0));
    }
}
