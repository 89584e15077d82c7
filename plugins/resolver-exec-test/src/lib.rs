//! Owns the resolver `exec-test`: every executable file is a test, which passes with exit code 0.
//! The resolver comes late (Avocado's VERY_LOW), because a script of a language that has its own
//! resolver may be executable too.

use persea_plugin_sdk::prelude::*;

/// The resolver `exec-test`.
pub struct ExecTest;

impl Plugin for ExecTest {
    fn describe() -> Description {
        let role = Role::resolver(["exec-test"]).with("order", 1);
        Description::new(
            "exec-test",
            "finds executable files, whose exit code is their result",
        )
        .role(role)
    }
}

impl Resolver for ExecTest {
    fn resolve(request: &ResolveRequest) -> Result<Resolution, Error> {
        Ok(persea_exec_file::resolve(&request.reference, "exec-test"))
    }
}

export!(ExecTest: resolver);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_avocados_very_low() {
        let roles = ExecTest::describe().roles;
        let orders: Vec<Option<i64>> = roles
            .iter()
            .map(|role| role.more.integer("order"))
            .collect();
        assert_eq!(orders, [Some(1)]);
    }
}
