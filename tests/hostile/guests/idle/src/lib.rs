//! Owns a batch runner that takes none of its tasks.

use persea_plugin_sdk::prelude::*;

struct Idle;

impl Runner for Idle {
    fn describe() -> Description {
        Description::new("idle", "takes none of its tasks").kinds(["idle"])
    }

    fn run(_: Task) -> Result<Outcome, Error> {
        Ok(Outcome::pass())
    }
}

impl BatchRunner for Idle {
    fn run_batch(_: &mut Batch) -> Result<(), Error> {
        Ok(())
    }
}

export!(batch_runner: Idle);
