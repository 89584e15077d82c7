//! A runner that claims kinds that others claim too.
use persea_plugin_sdk::prelude::*;

struct Rival;

impl Runner for Rival {
    fn describe() -> Description {
        Description::new("rival", "claims what others claim").kinds(["exec-test", "greet"])
    }

    fn run(_: Task) -> Result<Outcome, Error> {
        Ok(Outcome::warn("the rival was here"))
    }
}

export!(runner: Rival);
