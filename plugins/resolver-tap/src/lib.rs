//! Persea's resolver plugin `tap`: every executable file is a test that prints the Test Anything Protocol. Nothing about
//! a file tells that it does; so this one is asked last (Avocado's LAST_RESORT), and what is executable belongs to
//! `exec-test` until a user disables that or changes the order.
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
    fn it_is_asked_in_the_same_place_as_in_avocado() {
        assert_eq!(Tap::describe().more.integer("order"), Some(0));
    }
}
