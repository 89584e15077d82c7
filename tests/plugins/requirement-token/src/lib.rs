//! Owns a requirement resolver for the kind `token` and for `file`, which has a built-in resolver.
//! A token is a file of the project with a number, and each fulfilment writes the next number.
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{self, Command};
use persea_plugin_sdk::{cache, messages};

struct Token;

fn path(request: &RequirementRequest) -> Result<String, Error> {
    let requirement = &request.requirement;
    let name = requirement
        .uri
        .as_deref()
        .or_else(|| requirement.kwargs.text("path"));
    let name = name.ok_or_else(|| Error::new("invalid", "a token needs a name, as its uri"))?;
    Ok(format!("{name}.token"))
}

fn shell(line: &str, args: &[&str]) -> Result<bool, Error> {
    let command = Command::new("sh")
        .args(["-c", line, "sh"])
        .args(args.iter().copied());
    Ok(process::run(&command)?.success())
}

impl Plugin for Token {
    fn describe() -> Description {
        let role = Role::requirement_resolver(["token", "file"]).with("one-at-a-time", true);
        Description::new("token", "keeps numbered tokens in files")
            .role(role.with("unique-by", Value::list(["uri"])))
    }
}

impl RequirementResolver for Token {
    fn check(request: &RequirementRequest) -> Result<CheckedRequirement, Error> {
        Ok(match shell(r#"test -e "$1""#, &[&path(request)?])? {
            true => Presence::Present,
            false => Presence::Absent,
        }
        .into())
    }

    fn fulfil(request: &RequirementRequest) -> Result<FulfilledRequirement, Error> {
        let path = path(request)?;
        let last = cache::get("last").map(|bytes| String::from_utf8_lossy(&bytes).parse::<u64>());
        let next = match last {
            Ok(Ok(last)) => last + 1,
            _ => 1,
        };
        cache::put("last", next.to_string().as_bytes())?;
        messages::progress(&format!("token {next}"))?;
        if !shell(r#"echo "$2" > "$1""#, &[&path, &next.to_string()])? {
            return Err(Error::new("io", format!("{path} cannot be written")));
        }
        let fulfilled = FulfilledRequirement::new().undo("path", path);
        Ok(fulfilled.env([("TOKEN", next.to_string())]))
    }

    fn release(request: &ReleaseRequest) -> Result<(), Error> {
        shell(r#"rm -f "$1""#, &[&path(&request.request)?])?;
        Ok(())
    }
}

export!(Token: requirement_resolver);
