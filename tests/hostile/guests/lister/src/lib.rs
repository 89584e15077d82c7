//! Owns a lister that answers as no honest lister does. The uri of a runnable says in what way.

use std::hint::black_box;
use std::time::Duration;

use persea_plugin_sdk::pages::add_runnables;
use persea_plugin_sdk::poll;
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{self, Command};

const KIND: &str = "hostile-list";

struct Hostile;

impl Plugin for Hostile {
    fn describe() -> Description {
        Description::new("hostile-lister", "lists tests as no honest lister does")
            .role(Role::lister([KIND]))
            .role(Role::runner([KIND]))
    }
}

fn test(name: &str) -> Runnable {
    Runnable::new(KIND).uri(name).identifier(name)
}

impl Lister for Hostile {
    fn list_tests(task: &Task) -> Result<Listing, Error> {
        let page = || vec![test(&"x".repeat(1000)); 4096];
        match task.runnable.uri.as_deref().unwrap_or_default() {
            "traps" => {
                add_runnables([test("before the trap")])?;
                panic!("between two pages")
            }
            // As if the refusal did not matter.
            "floods" => {
                while add_runnables(page()).is_ok() {}
                Ok(Listing::new([test("after the flood")]))
            }
            "loops" => loop {
                black_box(KIND);
            },
            "sleeps" => loop {
                poll::poll(&[], Some(Duration::from_secs(3600)))?;
            },
            "hangs" => {
                process::run(&Command::new("sleep").arg("1000"))?;
                Ok(Listing::new([test("after a long time")]))
            }
            "twice" => {
                add_runnables([test("again")])?;
                Ok(Listing::new([test("other"), test("again")]))
            }
            "undeclared" => Ok(Listing::new([Runnable::new("exec-test").uri("/bin/true")])),
            "elsewhere" => {
                let listing = Listing::new([test("one")]);
                Ok(listing.depends_on(["/etc/passwd", "../secret", "nowhere"]))
            }
            "unclear" => {
                let mut listing = Listing::new([test("one")]);
                listing.more.insert("depends-on", Value::json("{}"));
                Ok(listing)
            }
            _ => Ok(Listing::new([test("one"), test("two")])),
        }
    }
}

impl Runner for Hostile {
    fn run(_: Task) -> Result<Outcome, Error> {
        Ok(Outcome::pass())
    }
}

export!(Hostile: lister, runner);
