#![allow(clippy::unwrap_used, clippy::panic)]
use persea_plugin_sdk::process::Command;
use persea_plugin_sdk::testing::{Answer, Host, Installed, Processes};

use super::*;

/// An interpreter with `attrs` 23.1 and a pip that does as it's told, unless it is the system's.
fn python(has_pip: bool, is_the_systems: bool) -> Installed {
    let mut found = Distributions::from([("attrs".into(), "23.1".into())]);
    let answer = move |command: &Command| {
        let args: Vec<&str> = command.args.iter().map(String::as_str).collect();
        match &*args {
            ["-c", _, specifiers @ ..] => {
                let answers = specifiers.iter().map(|one| answer(&found, one));
                let answers: Vec<_> = answers.collect();
                Answer::code(0).stdout(json!([found, answers]).to_string())
            }
            [_, _, _, _, "--version"] => Answer::code(i32::from(!has_pip)),
            _ if is_the_systems && !args.contains(&"--break-system-packages") => Answer::code(1)
                .stderr("error: externally-managed-environment\nhint: See PEP 668 for the detailed specification.\n"),
            [_, _, _, _, "install", rest @ ..] => {
                for one in rest.iter().skip_while(|arg| **arg != "--").skip(1) {
                    let (name, version) = one.split_once("==").unwrap_or((one, "1"));
                    if name == "no-such" {
                        found.insert("came-along".into(), "1".into());
                        return Answer::code(1).stderr("ERROR: No matching distribution found for no-such\n");
                    }
                    found.insert(name.into(), version.into());
                }
                Answer::code(0)
            }
            [_, _, _, _, "uninstall", rest @ ..] => {
                found.retain(|name, _| !rest.contains(&name.as_str()));
                Answer::code(0)
            }
            other => panic!("unexpected: {other:?}"),
        }
    };
    Host::new().processes(Processes::new(answer)).install()
}

/// What the script answers where it can compare no versions.
fn answer(found: &Distributions, specifier: &str) -> (&'static str, &'static str) {
    let (name, version) = match specifier.split_once("==") {
        Some((name, version)) => (name, Some(version)),
        None => (specifier, None),
    };
    match found.get(&name.to_ascii_lowercase()) {
        _ if name.contains('>') => ("unknown", "no packaging"),
        Some(found) if version.is_none_or(|version| version == found) => ("yes", ""),
        _ => ("no", "it is not there"),
    }
}

fn request(name: &str) -> Request {
    Request::new(Requirement::new("pip").kwarg("name", name))
}

/// What pip was told to change.
fn changes(host: &Installed) -> Vec<String> {
    let commands = host.commands();
    let typed = commands.iter().filter_map(|command| {
        let rest = command.args.get(4..)?;
        (rest.first()? != "--version").then(|| rest.join(" "))
    });
    typed.collect()
}

#[test]
fn what_is_installed_is_present_under_any_spelling() {
    let _host = python(true, false);
    for (name, expected) in [
        ("attrs", Presence::Present),
        ("Attrs==23.1", Presence::Present),
        ("attrs==22", Presence::Absent),
        // What cannot be told is left to pip.
        ("attrs>=22", Presence::Absent),
        ("attrs other", Presence::Absent),
    ] {
        assert_eq!(Pip::check(&request(name)), Ok(expected), "{name}");
    }
}

#[test]
fn what_came_goes_again_and_what_changed_comes_back() {
    let host = python(true, false);
    let wanted = request("attrs==24.2 six");
    let fulfilled = Pip::fulfil(&wanted).unwrap();
    assert_eq!(Pip::check(&wanted), Ok(Presence::Present));
    assert_eq!(fulfilled.json(CAME), Some(r#"["six"]"#));
    Pip::release(&wanted, &fulfilled).unwrap();
    assert_eq!(Pip::check(&request("attrs==23.1")), Ok(Presence::Present));
    let expected = [
        "install -- attrs==24.2 six",
        "uninstall --yes -- six",
        "install -- attrs==23.1",
    ];
    assert_eq!(changes(&host), expected);
}

#[test]
fn what_came_before_a_failure_goes_again() {
    let host = python(true, false);
    let error = Pip::fulfil(&request("no-such")).unwrap_err();
    assert_eq!(
        error.message,
        "pip could not install no-such: ERROR: No matching distribution found for no-such"
    );
    assert_eq!(
        changes(&host).last().unwrap(),
        "uninstall --yes -- came-along"
    );
}

#[test]
fn the_systems_own_python_is_left_alone_unless_that_is_wanted() {
    let host = python(true, true);
    let error = Pip::fulfil(&request("six")).unwrap_err();
    assert!(
        error
            .message
            .contains("name the `python` of a virtual environment"),
        "{error}"
    );
    let all_the_same = Request::new(
        Requirement::new("pip")
            .kwarg("name", "six")
            .kwarg("break-system-packages", true),
    );
    Pip::fulfil(&all_the_same).unwrap();
    assert_eq!(
        changes(&host).last().unwrap(),
        "install --break-system-packages -- six"
    );
}

#[test]
fn what_cannot_be_done_says_why() {
    let _host = python(false, false);
    let error = Pip::check(&request("six")).unwrap_err();
    assert!(
        error.message.starts_with("python3 has no pip; install it"),
        "{error}"
    );
    let check = Request::new(
        Requirement::new("pip")
            .kwarg("name", "six")
            .kwarg("action", "check"),
    );
    let error = Pip::check(&check).unwrap_err();
    assert_eq!(
        error.message,
        "six is not installed for python3 (it is not there), and its action `check` forbids to install it"
    );
    let check = |name: &str| {
        let requirement = Requirement::new("pip").kwarg("name", name);
        Pip::check(&Request::new(requirement.kwarg("action", "check")))
    };
    assert_eq!(check("attrs==23.1"), Ok(Presence::Present));
    assert_eq!(
        check("attrs>=22").unwrap_err().message,
        "whether attrs>=22 is installed for python3 can't be told (no packaging), and its action `check` forbids to install it"
    );
    let message =
        |requirement: Requirement| Pip::check(&Request::new(requirement)).unwrap_err().message;
    let pip = || Requirement::new("pip");
    assert!(message(pip()).contains("it needs a `name`"));
    assert!(message(pip().kwarg("name", "--index-url=x")).contains("is no name of a distribution"));
    assert!(message(pip().kwarg("name", "a>1").kwarg("version", "2")).contains("one plain `name`"));
    assert!(
        message(pip().kwarg("name", "a").kwarg("action", "fly"))
            .contains("install, check or uninstall")
    );
}

/// What fails, and undoing it fails too: both are told.
#[test]
fn what_could_not_be_undone_is_told_beside_the_failure() {
    let mut found = Distributions::new();
    let answers = move |command: &Command| {
        let args: Vec<&str> = command.args.iter().map(String::as_str).collect();
        match &*args {
            ["-c", ..] => {
                Answer::code(0).stdout(json!([found, [answer(&found, "no-such")]]).to_string())
            }
            [_, _, _, _, "install", ..] => {
                found.insert("came-along".into(), "1".into());
                Answer::code(1).stderr("ERROR: No matching distribution\n")
            }
            _ => Answer::code(2).stderr("ERROR: Read-only file system\n"),
        }
    };
    let _host = Host::new().processes(Processes::new(answers)).install();
    let error = Pip::fulfil(&request("no-such")).unwrap_err();
    assert_eq!(
        error.message,
        "pip could not install no-such: ERROR: No matching distribution; and not undone: pip could not uninstall came-along: ERROR: Read-only file system"
    );
}

#[test]
fn an_index_is_asked_where_one_is_set() {
    let host = python(true, false);
    let wanted = request("six").setting(INDEX, "https://pypi.example.org/simple");
    Pip::fulfil(&wanted).unwrap();
    assert_eq!(
        changes(&host),
        ["install --index-url https://pypi.example.org/simple -- six"]
    );
}

#[test]
fn a_release_that_knows_nothing_touches_nothing() {
    let host = python(true, false);
    assert_eq!(Pip::release(&request("six"), &Attributes::new()), Ok(()));
    assert!(Pip::release(&request("attrs"), &Attributes::new()).is_err());
    assert!(changes(&host).is_empty());
}
