//! A runner that claims kinds that others claim too.
use persea_plugin_sdk::prelude::*;

struct Rival;

impl Plugin for Rival {
    fn describe() -> Description {
        Description::new("rival", "claims what others claim")
            .role(Role::runner(["exec-test", "greet"]))
    }
}

impl Runner for Rival {
    fn run(_: Task) -> Result<Outcome, Error> {
        Ok(Outcome::warn("the rival was here"))
    }
}

export!(Rival: runner);
