//! Owns a runner whose description no host accepts. A word in its data, which tests patch, says in
//! what way.
use std::hint::black_box;

use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::status;

/// `loop`, `trap`, `call`, `name`, `vers`, `none`, `kind`, `sets` or `fine`.
static WAY: &str = "describe=fine";

struct Odd;

impl Runner for Odd {
    fn describe() -> Description {
        let description = Description::new("odd", "describes itself oddly");
        match black_box(WAY) {
            "describe=loop" => loop {
                black_box(WAY);
            },
            "describe=trap" => panic!("words fail me"),
            "describe=call" => {
                if let Err(error) = status::progress("is anybody there?") {
                    panic!("refused: {error}");
                }
                description.kinds(["odd"])
            }
            "describe=name" => Description::new("Odd\u{1b}[2J\n", "").kinds(["odd"]),
            "describe=vers" => description.version("latest").kinds(["odd"]),
            "describe=none" => description,
            "describe=kind" => description.kinds(["odd\u{202e}\nrunner  forged", ""]),
            "describe=sets" => {
                let name = "odd.\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}\u{7f}";
                description.settings([name]).kinds(["odd"])
            }
            _ => description.kinds(["odd"]),
        }
    }

    fn run(_: Task) -> Result<Outcome, Error> {
        Ok(Outcome::pass())
    }
}

export!(runner: Odd);
