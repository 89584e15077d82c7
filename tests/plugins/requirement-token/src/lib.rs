//! Owns a requirement resolver for the kind `token` and for `file`, which has a built-in resolver.
//! A token is a file of the project with a number, and each fulfilment writes the next number.
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{self, Command};
use persea_plugin_sdk::{cache, status};

struct Token;

fn path(request: &Request) -> Result<String, Error> {
    let requirement = &request.requirement;
    let name = requirement.uri.as_deref().or_else(|| requirement.kwargs.text("path"));
    let name = name.ok_or_else(|| Error::new("invalid", "a token needs a name, as its uri"))?;
    Ok(format!("{name}.token"))
}

fn shell(line: &str, args: &[&str]) -> Result<bool, Error> {
    let command = Command::new("sh").args(["-c", line, "sh"]).args(args.iter().copied());
    Ok(process::run(&command)?.code == Some(0))
}

impl RequirementResolver for Token {
    fn describe() -> Description {
        Description::new("token", "keeps numbered tokens in files")
            .kinds(["token", "file"])
            .with("one-at-a-time", true)
            .with("unique-by", Value::json(r#"["uri"]"#))
    }

    fn check(request: &Request) -> Result<Presence, Error> {
        Ok(match shell(r#"test -e "$1""#, &[&path(request)?])? {
            true => Presence::Present,
            false => Presence::Absent,
        })
    }

    fn fulfil(request: &Request) -> Result<Attributes, Error> {
        let path = path(request)?;
        let last = cache::get("last").map(|bytes| String::from_utf8_lossy(&bytes).parse::<u64>());
        let next = match last {
            Ok(Ok(last)) => last + 1,
            _ => 1,
        };
        cache::put("last", next.to_string().as_bytes())?;
        status::progress(&format!("token {next}"))?;
        if !shell(r#"echo "$2" > "$1""#, &[&path, &next.to_string()])? {
            return Err(Error::new("io", format!("{path} cannot be written")));
        }
        let env = format!(r#"{{"TOKEN": "{next}"}}"#);
        Ok(Attributes::new().with("path", path).with("env", Value::json(env)))
    }

    fn release(request: &Request, _: &Attributes) -> Result<(), Error> {
        shell(r#"rm -f "$1""#, &[&path(request)?])?;
        Ok(())
    }
}

export!(requirement_resolver: Token);
