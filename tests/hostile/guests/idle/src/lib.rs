//! Owns a batch runner that takes none of its tasks, and a lister that names one test, or none for
//! ever.

use std::hint::black_box;

use persea_plugin_sdk::prelude::*;

struct Idle;

impl Plugin for Idle {
    fn describe() -> Description {
        Description::new("idle", "takes none of its tasks")
            .role(Role::runner(["idle"]))
            .role(Role::batch_runner(["idle"]))
            .role(Role::lister(["script-suite"]))
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

impl Lister for Idle {
    fn list_tests(task: &Task) -> Result<Listing, Error> {
        while task.runnable.uri.as_deref() == Some("loops") {
            black_box(task);
        }
        let test = Runnable::new("script-suite")
            .uri("./suite.sh")
            .args(["good"]);
        Ok(Listing::new([test.identifier("named by idle")]).with("colour", "blue"))
    }
}

export!(Idle: runner, batch_runner, lister);
