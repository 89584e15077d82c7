//! Owns a runner whose description no host accepts. A word in its data, which tests patch, says in
//! what way.
use std::hint::black_box;

use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::{SettingDescription, messages};

/// `loop`, `trap`, `call`, `name`, `vers`, `none`, `kind`, `sets`, `lies`, `edge`, `shap`, `twic`,
/// `late`, `near` or `fine`.
static WAY: &str = "describe=fine";

struct Odd;

/// A setting whose default is of another shape than it says.
fn setting(key: &str, shape: &str, default: Value) -> SettingDescription {
    SettingDescription {
        key: key.to_owned(),
        shape: shape.to_owned(),
        default_value: default,
        summary: "a setting".to_owned(),
        more: Attributes::new(),
    }
}

impl Plugin for Odd {
    fn describe() -> Description {
        let odd = || Role::runner(["odd"]);
        let description = Description::new("odd", "describes itself oddly");
        match black_box(WAY) {
            "describe=loop" => loop {
                black_box(WAY);
            },
            "describe=trap" => panic!("words fail me"),
            "describe=call" => {
                if let Err(error) = messages::progress("is anybody there?") {
                    panic!("refused: {error}");
                }
                description.role(odd())
            }
            "describe=name" => Description::new("Odd\u{1b}[2J\n", "").role(odd()),
            "describe=vers" => description.version("latest").role(odd()),
            "describe=none" => description.role(Role::runner([""; 0])),
            "describe=kind" => description.role(Role::runner(["odd\u{202e}\nrunner  forged", ""])),
            // The default is not of the shape that the setting has.
            "describe=lies" => {
                let default = Value::from("as much as I want");
                description
                    .role(odd())
                    .setting(setting("odd.number", "integer", default))
            }
            // A bound is a text, and the choices are no list.
            "describe=edge" => {
                let mut odd_bounds = setting("odd.bounds", "integer", Value::Integer(7));
                odd_bounds.more.insert("least", "none");
                odd_bounds.more.insert("choices", Value::json("{}"));
                description.role(odd()).setting(odd_bounds)
            }
            // A shape that no host knows takes any value.
            "describe=shap" => {
                let unknown = setting("odd.shape", "hypercube", Value::Null);
                description.role(odd()).setting(unknown)
            }
            "describe=twic" => {
                let first = setting("odd.twice", "integer", Value::Integer(1));
                let second = setting("odd.twice", "text", "2".into());
                description.role(odd()).setting(first).setting(second)
            }
            // It relies on names of `more` that a later contract has, or on those of this one.
            "describe=late" => description.role(odd()).with("contract", "0.2.9"),
            "describe=near" => description.role(odd()).with("contract", "0.2.0"),
            "describe=sets" => {
                let name = "odd.\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}\u{7f}";
                description
                    .role(odd())
                    .setting(setting(name, "text", Value::Null))
            }
            _ => description.role(odd()),
        }
    }
}

impl Runner for Odd {
    fn run(_: Task) -> Result<Outcome, Error> {
        Ok(Outcome::pass())
    }
}

export!(Odd: runner);
