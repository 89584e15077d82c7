//! Owns the runner for the kind `noop`, which does nothing and passes. It serves to measure the
//! host's own cost of a task.

use persea_plugin_sdk::prelude::*;

struct Noop;

impl Plugin for Noop {
    fn describe() -> Description {
        Description::new("noop", "does nothing, and passes").role(Role::runner(["noop"]))
    }
}

impl Runner for Noop {
    fn run(_: Task) -> Result<Outcome, Error> {
        Ok(Outcome::pass())
    }
}

export!(Noop: runner);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_runnable_passes() {
        let runnable = Runnable::new("noop").uri("any").args(["x"]).kwarg("y", 1);
        assert_eq!(Noop::run(Task::new("1-any", runnable)), Ok(Outcome::pass()));
    }
}
