//! Owns the resolver `tap`: every executable file is a test that prints the Test Anything Protocol.
//! A file does not show whether it prints TAP, so this resolver comes last (Avocado's LAST_RESORT):
//! executable files go to `exec-test` unless a user disables that or changes the order.

use persea_plugin_sdk::prelude::*;

/// The resolver `tap`.
pub struct Tap;

impl Plugin for Tap {
    fn describe() -> Description {
        let role = Role::resolver(["tap"]).with("order", 0);
        Description::new("tap", "finds executable files, as tests that print TAP").role(role)
    }
}

impl Resolver for Tap {
    fn resolve(request: &ResolveRequest) -> Result<Resolution, Error> {
        Ok(persea_exec_file::resolve(&request.reference, "tap"))
    }
}

export!(Tap: resolver);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_avocados_last_resort() {
        let roles = Tap::describe().roles;
        let orders: Vec<Option<i64>> = roles
            .iter()
            .map(|role| role.more.integer("order"))
            .collect();
        assert_eq!(orders, [Some(0)]);
    }
}
