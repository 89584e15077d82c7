//! Owns a resolver that misbehaves as the name of a file says: it traps, loops, or gives invalid or
//! enormous answers.
use std::hint::black_box;

use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::{log, workspace};

struct Hostile;

/// The example of FIPS 180-4.
const SHA256_OF_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// A test that makes a file in the project.
fn touching(name: &str) -> Runnable {
    Runnable::new("exec-test")
        .uri("/bin/sh")
        .args(["-c".to_owned(), format!("touch {name}")])
}

/// A runnable with this many bytes of JSON in a kwarg.
fn heavy(bytes: usize) -> Runnable {
    let one = r#"{"":0}"#;
    let json = format!(
        "[{}{one}]",
        format!("{one},").repeat(bytes / (one.len() + 1))
    );
    Runnable::new("noop").kwarg("heavy", Value::json(json))
}

impl Plugin for Hostile {
    fn describe() -> Description {
        Description::new("hostile", "traps on trap.bad, loops on loop.bad")
            .role(Role::resolver(["*"]).with("order", 99))
    }
}

impl Resolver for Hostile {
    fn resolve(request: &ResolveRequest) -> Result<Resolution, Error> {
        let reference = request.reference.as_str();
        let name = reference.rsplit('/').next().unwrap_or_default();
        match name {
            "trap.bad" => panic!("cannot bear {reference}"),
            // A trap without a panic.
            #[cfg(target_arch = "wasm32")]
            "unreachable.bad" => std::arch::wasm32::unreachable(),
            "errs.bad" => Err(Error::new("io", format!("cannot read {reference}"))),
            "empty.bad" => Ok(Resolution::found(Vec::new())),
            name if name.starts_with("warns") => {
                let message = format!("{reference} has a factory of tests, which is not read");
                log::log(log::Level::Warn, &message);
                Ok(Resolution::not_found(format!("{reference} has no test")))
            }
            "loop.bad" => loop {
                black_box(reference);
            },
            "names.bad" => Ok(Resolution::found(vec![
                Runnable::new("noop").identifier("a\u{1b}[2Jb\nc"),
                Runnable::new("no\u{1b}op").uri("../../../../tmp/x"),
                Runnable::new("noop").identifier("x".repeat(5000)),
                Runnable::new("noop").identifier(""),
            ])),
            // The resolver may start no process, so it produces tests that do.
            "hands.bad" => Ok(Resolution::found(vec![
                touching("by-hand").identifier("hands"),
                Runnable::new("noop").uri("harmless"),
            ])),
            "requires.bad" => {
                let setup = Requirement::new("command").kwarg("setup", "touch by-requirement");
                Ok(Resolution::found(vec![
                    Runnable::new("noop").uri("requires").requirement(setup),
                ]))
            }
            "fetches.bad" => {
                let asset = Requirement::new("asset")
                    .kwarg("name", "mirror/abc.txt")
                    .kwarg("asset_hash", SHA256_OF_ABC);
                Ok(Resolution::found(vec![
                    Runnable::new("noop").uri("fetches").requirement(asset),
                ]))
            }
            "peek.bad" => {
                for path in ["/etc/passwd", "../outside", "link-out", "pipe"] {
                    if workspace::read(path, 0, 10).is_ok() {
                        return Ok(Resolution::corrupt(format!("I could read {path}")));
                    }
                }
                Ok(Resolution::found(vec![Runnable::new("noop").uri("held")]))
            }
            "millions.bad" => {
                let one = Runnable::new("noop");
                Ok(Resolution::found(vec![one; 10_000_000]))
            }
            // 31 MB of JSON of which each object takes 664 bytes of the host's memory.
            "heavy.bad" => Ok(Resolution::found(vec![heavy(31 << 20)])),
            // A reasonable answer, again and again.
            name if name.ends_with(".hoard.bad") => {
                Ok(Resolution::found(vec![heavy(64 << 10).identifier(name)]))
            }
            "gib.bad" => Ok(Resolution::corrupt("x".repeat(1 << 30))),
            "long.bad" => Ok(Resolution::corrupt("x".repeat(20 << 20))),
            "many.bad" => Ok(Resolution::found(vec![
                Runnable::new("noop")
                    .uri("x".repeat(1 << 16));
                400
            ])),
            "odd.bad" => Ok(Resolution::found(
                [
                    "nul\0nul",
                    "../../../etc/passwd",
                    "/etc/passwd",
                    "..",
                    ".",
                    "right\u{202e}tfel",
                    "line\nbreak",
                    "CON",
                    "a/../../b",
                    "\u{1b}[31mred",
                ]
                .map(|name| Runnable::new("noop").identifier(name))
                .to_vec(),
            )),
            "look.bad" => {
                // The answer names each of these paths that can be read.
                let mut read = Vec::new();
                for path in [
                    "/etc/shadow",
                    "shadow",
                    "pipe",
                    "/dev/zero",
                    "zero",
                    "../../etc/shadow",
                    "loop/loop/loop/secret",
                    "/proc/self/environ",
                    "proc/self/environ",
                    "loop",
                    "dangling",
                    "circle",
                    "secret\0",
                    "",
                ] {
                    if workspace::read(path, 0, 10).is_ok() {
                        read.push(path.to_owned());
                    }
                }
                let mut listed = 0;
                let mut path = String::from("loop");
                while listed < 100 && workspace::list_directory(&path).is_ok() {
                    listed += 1;
                    path.push_str("/loop");
                }
                Ok(Resolution::corrupt(format!(
                    "read {read:?}, listed {listed}"
                )))
            }
            "changing.bad" => {
                let mut sizes = Vec::new();
                for _ in 0..200 {
                    let size = workspace::stat("changing").map_or(0, |stat| stat.size);
                    let read =
                        workspace::read("changing", 0, u32::MAX).map_or(0, |bytes| bytes.len());
                    let beyond =
                        workspace::read("changing", size + 100, 100).map_or(0, |bytes| bytes.len());
                    sizes.push(read + beyond);
                }
                sizes.dedup();
                Ok(Resolution::found(vec![
                    Runnable::new("noop").uri(format!("{}", sizes.len() > 1)),
                ]))
            }
            // A test swaps this directory for a link out of the project while it is read.
            "race.bad" => {
                let (mut inside, mut outside, mut refused) = (0, 0, 0);
                for _ in 0..20_000 {
                    match workspace::read("swapped/secret", 0, 100).as_deref() {
                        Ok(b"inside") => inside += 1,
                        Ok(_) => outside += 1,
                        Err(error) => refused += usize::from(error.code != "not-found"),
                    }
                    outside += workspace::list_directory("swapped").map_or(0, |entries| {
                        entries.iter().filter(|(name, _)| name == "way-out").count()
                    });
                }
                let uri = format!("{} {} {outside}", inside > 0, refused > 0);
                Ok(Resolution::found(vec![Runnable::new("noop").uri(uri)]))
            }
            _ => Ok(Resolution::not_found(format!(
                "{reference} is not bad enough"
            ))),
        }
    }
}

export!(Hostile: resolver);
