//! Owns a batch runner that takes none of its tasks.

use persea_plugin_sdk::prelude::*;

struct Idle;

impl Plugin for Idle {
    fn describe() -> Description {
        Description::new("idle", "takes none of its tasks")
            .role(Role::runner(["idle"]))
            .role(Role::batch_runner(["idle"]))
    }
}

impl Runner for Idle {
    fn run(_: Task) -> Result<Outcome, Error> {
        Ok(Outcome::pass())
    }
}

impl BatchRunner for Idle {
    fn run_batch(_: &mut Batch) -> Result<(), Error> {
        Ok(())
    }
}

export!(Idle: runner, batch_runner);
