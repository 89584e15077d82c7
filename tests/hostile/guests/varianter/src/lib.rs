//! Owns a varianter that fails in the way that a suite says.
use std::hint::black_box;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::workspace;

struct Hostile;

/// The number of calls of this instance.
static ASKED: AtomicI64 = AtomicI64::new(0);

const COUNT: Setting<Integer> = Setting::integer("varianter.hostile.count")
    .default(0)
    .summary("How many variants it returns");

impl Plugin for Hostile {
    fn describe() -> Description {
        Description::new("hostile", "fails in every way that a varianter can")
            .role(Role::varianter())
            .setting(&COUNT)
    }
}

impl Varianter for Hostile {
    fn vary(request: &VaryRequest) -> Result<Vec<Variation>, Error> {
        let numbered = |number: i64| Variation::new().parameter("number", number);
        match request.parameters.text("how").unwrap_or_default() {
            "panics" => panic!("no idea"),
            "loops" => loop {
                black_box(request);
            },
            "errs" => Err(Error::new("io", "out of\u{1b}[2J variants")),
            "counts" => Ok(vec![numbered(ASKED.fetch_add(1, Ordering::Relaxed))]),
            "repeats" => Ok(vec![numbered(1), numbered(2), numbered(1)]),
            "exaggerates" => Ok((0..=1_000_000).map(numbered).collect()),
            "floods" => Ok(vec![
                Variation::new().parameter("text", "x".repeat(40 << 20)),
            ]),
            "nests" => Ok(vec![Variation::new().parameter("list", Value::json("[1]"))]),
            // The second variant has what the contract lets a varianter add, and an unknown key.
            "adds" => {
                let prepare = r#"[{"kind": "command", "kwargs": {"setup": "touch prepared"}}]"#;
                let second = numbered(60)
                    .timeout(Duration::from_millis(300))
                    .with("resources", Value::json(r#"{"board": ["b2"]}"#))
                    .with("requirements", Value::json(prepare))
                    .with("colour", "blue");
                Ok(vec![numbered(0), second])
            }
            "adds-nonsense" => Ok(vec![numbered(0).with("timeout", "soon")]),
            // Bash expands this variable before it reads its script.
            "taints" => Ok(vec![
                Variation::new().parameter("BASH_ENV", "$(touch by-parameter)"),
            ]),
            "peeks" => {
                for path in ["/etc/passwd", "../outside", "", "link-out"] {
                    if workspace::read(path, 0, 10).is_ok() {
                        return Err(Error::new("io", format!("I could read {path}")));
                    }
                }
                workspace::stat("")?;
                workspace::list_directory("")?;
                let text = workspace::read_to_end("numbers", 100)?;
                let lines = String::from_utf8_lossy(&text).into_owned();
                Ok(lines
                    .lines()
                    .map(|line| Variation::new().parameter("number", line))
                    .collect())
            }
            // As many variants as the setting says, with the suite and the test that the host
            // names.
            _ => {
                let count = COUNT.get(&request.settings);
                let name = request.runnable.identifier.clone().unwrap_or_default();
                let about = format!("{}:{name}", request.suite().unwrap_or_default());
                Ok((0..count)
                    .map(|number| numbered(number).parameter("about", about.as_str()))
                    .collect())
            }
        }
    }
}

export!(Hostile: varianter);
