#![allow(clippy::unwrap_used, clippy::panic)]
use persea_plugin_sdk::process::Command;
use persea_plugin_sdk::testing::{Answer, Host, Installed, Processes};

use super::*;
use persea_requirement_tool::testing::{recorded, unrecorded};

/// A simulated interpreter with `attrs` 23.1. Its pip refuses changes where the system manages it.
fn python(has_pip: bool, is_system_managed: bool) -> Installed {
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
            _ if is_system_managed && !args.contains(&"--break-system-packages") => Answer::code(1)
                .stderr(
                    "error: externally-managed-environment\n\
                     hint: See PEP 668 for the detailed specification.\n",
                ),
            [_, _, _, _, "install", rest @ ..] => {
                for one in rest.iter().skip_while(|arg| **arg != "--").skip(1) {
                    let (name, version) = one.split_once("==").unwrap_or((one, "1"));
                    if name == "no-such" {
                        found.insert("came-along".into(), "1".into());
                        return Answer::code(1)
                            .stderr("ERROR: No matching distribution found for no-such\n");
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

/// The script's answer on an interpreter that cannot compare versions.
fn answer(found: &Distributions, specifier: &str) -> (&'static str, &'static str) {
    let (name, version) = match specifier.split_once("==") {
        Some((name, version)) => (name, Some(version)),
        None => (specifier, None),
    };
    match found.get(&name.to_ascii_lowercase()) {
        _ if name.contains('>') => ("unknown", "no packaging"),
        Some(found) if version.is_none_or(|version| version == found) => ("yes", ""),
        _ => ("no", "it is not installed"),
    }
}

fn request(name: &str) -> RequirementRequest {
    RequirementRequest::new(Requirement::new("pip").kwarg("name", name))
}

/// Arguments of the commands of pip that changed distributions, in order.
fn changes(host: &Installed) -> Vec<String> {
    let commands = host.commands();
    let typed = commands.iter().filter_map(|command| {
        let rest = command.args.get(4..)?;
        (rest.first()? != "--version").then(|| rest.join(" "))
    });
    typed.collect()
}

#[test]
fn installed_distribution_is_present_in_any_spelling() {
    let _host = python(true, false);
    for (name, expected) in [
        ("attrs", Presence::Present),
        ("Attrs==23.1", Presence::Present),
        ("attrs==22", Presence::Absent),
        // Only pip can compare versions here.
        ("attrs>=22", Presence::Absent),
        ("attrs other", Presence::Absent),
    ] {
        assert_eq!(Pip::check(&request(name)), Ok(expected.into()), "{name}");
    }
}

#[test]
fn release_uninstalls_added_distributions_and_restores_changed_ones() {
    let host = python(true, false);
    let wanted = request("attrs==24.2 six");
    let fulfilled = Pip::fulfil(&wanted).unwrap();
    assert_eq!(Pip::check(&wanted), Ok(Presence::Present.into()));
    assert_eq!(fulfilled.undo.json(ADDED), Some(r#"["six"]"#));
    Pip::release(&recorded(wanted.clone(), &fulfilled)).unwrap();
    assert_eq!(
        Pip::check(&request("attrs==23.1")),
        Ok(Presence::Present.into())
    );
    let expected = [
        "install -- attrs==24.2 six",
        "uninstall --yes -- six",
        "install -- attrs==23.1",
    ];
    assert_eq!(changes(&host), expected);
}

#[test]
fn failed_installation_is_undone() {
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
fn system_managed_python_is_changed_only_on_request() {
    let host = python(true, true);
    let error = Pip::fulfil(&request("six")).unwrap_err();
    assert!(
        error
            .message
            .contains("set `python` to the one of a virtual environment"),
        "{error}"
    );
    let forced = RequirementRequest::new(
        Requirement::new("pip")
            .kwarg("name", "six")
            .kwarg("break-system-packages", true),
    );
    Pip::fulfil(&forced).unwrap();
    assert_eq!(
        changes(&host).last().unwrap(),
        "install --break-system-packages -- six"
    );
}

#[test]
fn unmet_preconditions_are_explained() {
    let _host = python(false, false);
    let error = Pip::check(&request("six")).unwrap_err();
    assert!(
        error.message.starts_with("python3 has no pip; install it"),
        "{error}"
    );
    let check = RequirementRequest::new(
        Requirement::new("pip")
            .kwarg("name", "six")
            .kwarg("action", "check"),
    );
    let error = Pip::check(&check).unwrap_err();
    assert_eq!(
        error.message,
        "six is not installed for python3 (it is not installed), and the action `check` does not \
         install it"
    );
    let check = |name: &str| {
        let requirement = Requirement::new("pip").kwarg("name", name);
        Pip::check(&RequirementRequest::new(
            requirement.kwarg("action", "check"),
        ))
    };
    assert_eq!(check("attrs==23.1"), Ok(Presence::Present.into()));
    assert_eq!(
        check("attrs>=22").unwrap_err().message,
        "cannot tell whether attrs>=22 is installed for python3 (no packaging), and the action \
         `check` does not install it"
    );
    let message = |requirement: Requirement| {
        Pip::check(&RequirementRequest::new(requirement))
            .unwrap_err()
            .message
    };
    let pip = || Requirement::new("pip");
    assert!(message(pip()).contains("it needs a `name`"));
    assert!(
        message(pip().kwarg("name", "--index-url=x")).contains("is not a valid distribution name")
    );
    assert!(
        message(pip().kwarg("name", "a>1").kwarg("version", "2")).contains("a single plain `name`")
    );
    assert!(
        message(pip().kwarg("name", "a").kwarg("action", "fly"))
            .contains("install, check or uninstall")
    );
}

#[test]
fn failed_undo_is_reported_with_the_failure() {
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
        "pip could not install no-such: ERROR: No matching distribution; undoing failed too: pip \
         could not uninstall came-along: ERROR: Read-only file system"
    );
}

#[test]
fn index_of_the_setting_is_used() {
    let host = python(true, false);
    let wanted = request("six").setting(INDEX.key(), "https://pypi.example.org/simple");
    Pip::fulfil(&wanted).unwrap();
    assert_eq!(
        changes(&host),
        ["install --index-url https://pypi.example.org/simple -- six"]
    );
}

#[test]
fn release_without_a_record_changes_nothing() {
    let host = python(true, false);
    assert_eq!(Pip::release(&unrecorded(request("six"))), Ok(()));
    assert!(Pip::release(&unrecorded(request("attrs"))).is_err());
    assert!(changes(&host).is_empty());
}
