//! Owns the requirements of the lab: each call writes a line to the file `lab.log` of the project.

use persea_plugin_sdk::prelude::*;

use crate::{Lab, MARKED, remaining, shell};

/// `image` waits for the file that its uri names; `power` fails once; `timed` logs the time that is
/// left in each call; `witness` logs what its release gets to know, and hangs where its uri is
/// `hangs`.
pub const KINDS: [&str; 4] = ["image", "power", "timed", "witness"];

/// Writes a line: the word, the uri, and more.
fn log(word: &str, request: &RequirementRequest, more: &str) -> Result<(), Error> {
    let uri = request.requirement.uri.as_deref().unwrap_or("-");
    let line = format!("{word} {uri} {more}");
    shell(r#"echo "$1" >> lab.log"#, &[&line])?;
    Ok(())
}

/// The boards and the variant of the only task that has a requirement.
fn of_task(request: &RequirementRequest) -> String {
    let boards = request.leases("board").join(",");
    let variant = request.more.json("variant").unwrap_or("-");
    format!("{boards} {variant}")
}

impl RequirementResolver for Lab {
    fn check(request: &RequirementRequest) -> Result<CheckedRequirement, Error> {
        if request.requirement.kind == "timed" {
            log("check", request, &remaining())?;
        }
        Ok(Presence::Absent.into())
    }

    fn fulfil(request: &RequirementRequest) -> Result<FulfilledRequirement, Error> {
        let uri = request.requirement.uri.as_deref().unwrap_or("image");
        let kind = request.requirement.kind.as_str();
        let more = match kind {
            "timed" => remaining(),
            _ => of_task(request),
        };
        log("begin", request, &more)?;
        let is_there = match kind {
            "power" => shell(MARKED, &[uri])?,
            "image" => shell(r#"while ! test -e "$1"; do sleep 0.02; done"#, &[uri])?,
            "witness" if uri == "hangs" => shell("sleep 1000", &[])?,
            _ => true,
        };
        if !is_there {
            return Err(Error::new("failed", "the socket does not answer").infrastructure());
        }
        log("end", request, &of_task(request))?;
        let fulfilled = FulfilledRequirement::new();
        Ok(match uri {
            "one" if kind == "witness" => fulfilled.undo("one", 1),
            _ => fulfilled,
        })
    }

    fn release(request: &ReleaseRequest) -> Result<(), Error> {
        let more = match request.request.requirement.kind.as_str() {
            "timed" => remaining(),
            "witness" => {
                let undo = request.undo.as_ref();
                let undo = undo.map_or("none".to_owned(), |undo| undo.0.len().to_string());
                let by = request.more.text("fulfilled-by").unwrap_or("nobody");
                format!("{undo} {by}")
            }
            _ => of_task(&request.request),
        };
        log("release", &request.request, &more)
    }
}
