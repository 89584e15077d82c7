//! The runner for the kind `noop`: does nothing, and passes. It is what a host's own cost per task is measured with.

use persea_plugin_sdk::prelude::*;

struct Noop;

impl Runner for Noop {
    fn describe() -> Description {
        Description::new("noop", "does nothing, and passes").kinds(["noop"])
    }

    fn run(_: Task) -> Result<Outcome, Error> {
        Ok(Outcome::pass())
    }
}

export!(runner: Noop);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_it_is_given_passes() {
        let runnable = Runnable::new("noop").uri("any").args(["x"]).kwarg("y", 1);
        assert_eq!(Noop::run(Task::new("1-any", runnable)), Ok(Outcome::pass()));
    }
}
