//! Persea's resolver plugin `exec-test`: every executable file is a test, which passes when it exits with 0. It is asked
//! nearly last (Avocado's VERY_LOW), since a script in a language that has a resolver of its own is executable too.
use persea_plugin_sdk::prelude::*;

/// The resolver `exec-test`.
pub struct ExecTest;

impl Resolver for ExecTest {
    fn describe() -> Description {
        Description::new(
            "exec-test",
            "finds executable files, whose exit code is their result",
        )
        .kinds(["exec-test"])
        .with("order", 1)
    }

    fn resolve(reference: &str, _: &Attributes) -> Result<Resolution, Error> {
        Ok(persea_exec_file::resolve(reference, "exec-test"))
    }
}

export!(resolver: ExecTest);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_asked_in_the_same_place_as_in_avocado() {
        assert_eq!(ExecTest::describe().more.integer("order"), Some(1));
    }
}
