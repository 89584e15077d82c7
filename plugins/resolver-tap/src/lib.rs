//! Owns the resolver `tap`: every executable file is a test that prints the Test Anything Protocol.
//! A file does not show whether it prints TAP, so this resolver comes last (Avocado's LAST_RESORT):
//! executable files go to `exec-test` unless a user disables that or changes the order.

use persea_plugin_sdk::prelude::*;

/// The resolver `tap`.
pub struct Tap;

impl Resolver for Tap {
    fn describe() -> Description {
        Description::new("tap", "finds executable files, as tests that print TAP")
            .kinds(["tap"])
            .with("order", 0)
    }

    fn resolve(reference: &str, _: &Attributes) -> Result<Resolution, Error> {
        Ok(persea_exec_file::resolve(reference, "tap"))
    }
}

export!(resolver: Tap);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_avocados_last_resort() {
        assert_eq!(Tap::describe().more.integer("order"), Some(0));
    }
}
