//! Owns the resolver `exec-test`: every executable file is a test, which passes with exit code 0.
//! The resolver comes late (Avocado's VERY_LOW), because a script of a language that has its own
//! resolver may be executable too.

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
    fn order_is_avocados_very_low() {
        assert_eq!(ExecTest::describe().more.integer("order"), Some(1));
    }
}
