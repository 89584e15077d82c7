#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod environment;

use persea_plugin_sdk::process::Command;
use persea_plugin_sdk::testing::Installed;

use self::environment::Environment;
use super::*;
use persea_requirement_tool::testing::{recorded, unrecorded};

fn request(name: &str) -> RequirementRequest {
    RequirementRequest::new(Requirement::new("package").kwarg("name", name))
}

/// Commands that changed packages, in order.
fn changes(host: &Installed) -> Vec<String> {
    let commands = host.commands();
    let changing = commands.iter().filter(|command| command.program == "env");
    let typed = |command: &Command| {
        let args = command.args.iter().skip(2).map(String::as_str);
        args.filter(|arg| !arg.starts_with("DPkg"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    changing.map(typed).collect()
}

#[test]
fn earlier_configuration_stays_and_no_other() {
    let host = Environment::apt().install();
    let fulfilled = Package::fulfil(&request("gone")).unwrap();
    Package::release(&recorded(request("gone"), &fulfilled)).unwrap();
    let changes = changes(&host);
    let ends: Vec<&str> = changes.iter().map(String::as_str).collect();
    assert_eq!(
        ends,
        [
            "apt-get install --yes --no-install-recommends --no-remove -o gone",
            "apt-get remove --yes -o gone libalong",
            "apt-get purge --yes -o libalong",
        ]
    );
}

#[test]
fn name_with_a_dot_is_not_a_regular_expression() {
    let host = Environment::apt().install();
    let error = Package::fulfil(&request("un.known")).unwrap_err();
    assert_eq!(error.message, "apt has no package un.known");
    assert_eq!(changes(&host), Vec::<String>::new());
    assert!(Package::fulfil(&request("kno.wn")).is_ok());
    assert_eq!(changes(&host).len(), 1);
}

#[test]
fn installed_package_of_any_architecture_is_present() {
    let host = Environment::apt().install();
    for (name, expected) in [
        ("libc6", Presence::Present),
        ("old", Presence::Present),
        ("gone", Presence::Absent),
        ("lib", Presence::Absent),
    ] {
        assert_eq!(
            Package::check(&request(name)),
            Ok(expected.into()),
            "{name}"
        );
    }
    let version = |version: &str| {
        RequirementRequest::new(
            Requirement::new("package")
                .kwarg("name", "old")
                .kwarg("version", version),
        )
    };
    assert_eq!(Package::check(&version("1")), Ok(Presence::Present.into()));
    assert_eq!(Package::check(&version("2")), Ok(Presence::Absent.into()));
    assert!(changes(&host).is_empty());
}

#[test]
fn release_removes_exactly_the_added_packages() {
    let host = Environment::apt().install();
    let wanted = request("new");
    let fulfilled = Package::fulfil(&wanted).unwrap();
    assert_eq!(Package::check(&wanted), Ok(Presence::Present.into()));
    assert_eq!(fulfilled.undo.json(ADDED), Some(r#"["libalong","new"]"#));
    Package::release(&recorded(wanted.clone(), &fulfilled)).unwrap();
    assert_eq!(Package::check(&wanted), Ok(Presence::Absent.into()));
    // A second release changes nothing.
    Package::release(&recorded(wanted.clone(), &fulfilled)).unwrap();
    let expected = [
        "apt-get install --yes --no-install-recommends --no-remove -o new",
        "apt-get purge --yes -o libalong new",
    ];
    assert_eq!(changes(&host), expected);
}

#[test]
fn package_that_another_one_needs_is_not_removed() {
    let host = Environment::apt().install();
    Package::fulfil(&request("new")).unwrap();
    let added = FulfilledRequirement::new()
        .undo(MANAGER, "apt")
        .undo(ADDED, Value::json(r#"["libalong"]"#));
    let error = Package::release(&recorded(request("other"), &added)).unwrap_err();
    assert_eq!(
        error.message,
        "cannot remove libalong without new, which was installed since"
    );
    assert_eq!(changes(&host).len(), 1);
}

#[test]
fn missing_package_is_reported_in_the_managers_words() {
    let host = Environment::apt().install();
    let error = Package::fulfil(&request("unheard-of")).unwrap_err();
    let expected = "apt could not install unheard-of: E: Unable to locate package unheard-of";
    assert_eq!(error.message, expected);
    // The index is updated before the package counts as missing.
    assert_eq!(changes(&host).first().unwrap(), "apt-get update -o");
}

#[test]
fn outdated_index_is_updated() {
    let stale = Environment {
        stale: true,
        ..Environment::apt()
    };
    let host = stale.install();
    Package::fulfil(&request("new")).unwrap();
    assert_eq!(
        Package::check(&request("new")),
        Ok(Presence::Present.into())
    );
    assert_eq!(changes(&host).get(1).unwrap(), "apt-get update -o");
}

#[test]
fn only_a_failed_download_is_retried() {
    let broken = Environment {
        broken: true,
        ..Environment::apt()
    };
    let host = broken.install();
    let version = RequirementRequest::new(
        Requirement::new("package")
            .kwarg("name", "new")
            .kwarg("version", "3"),
    );
    for (request, name) in [(request("new"), "new"), (version, "new=3")] {
        let before = changes(&host).len();
        Package::fulfil(&request).unwrap_err();
        let install =
            format!("apt-get install --yes --no-install-recommends --no-remove -o {name}");
        let purge = "apt-get purge --yes -o libalong".to_owned();
        assert_eq!(changes(&host)[before..], [install, purge]);
    }
    drop(host);
    // apt's index is updated once; dnf updates its own by itself.
    let expected = [
        "apt-get install --yes --no-install-recommends --no-remove -o new",
        "apt-get update -o",
        "apt-get install --yes --no-install-recommends --no-remove -o new",
    ];
    for (program, expected) in [
        ("apt-get", &expected[..]),
        (
            "dnf",
            &["dnf install -y --setopt=install_weak_deps=False new"],
        ),
    ] {
        let stale = Environment {
            program,
            stale: true,
            ..Environment::apt()
        };
        let host = stale.install();
        let done = Package::fulfil(&request("new"));
        assert_eq!(done.is_ok(), program == "apt-get", "{done:?}");
        assert_eq!(changes(&host), expected);
    }
}

#[test]
fn name_may_have_an_architecture() {
    let foreign = Environment {
        dependency: "libalong:amd64",
        ..Environment::apt()
    };
    let host = foreign.install();
    assert_eq!(
        Package::check(&request("libc6:amd64")),
        Ok(Presence::Present.into())
    );
    assert_eq!(
        Package::check(&request("libc6:i386")),
        Ok(Presence::Absent.into())
    );
    // apt-cache lists names without an architecture.
    let fulfilled = Package::fulfil(&request("kno.wn:i386")).unwrap();
    assert_eq!(
        fulfilled.undo.json(ADDED),
        Some(r#"["kno.wn:i386","libalong:amd64"]"#)
    );
    Package::release(&recorded(request("kno.wn:i386"), &fulfilled)).unwrap();
    assert_eq!(
        changes(&host),
        [
            "apt-get install --yes --no-install-recommends --no-remove -o kno.wn:i386",
            "apt-get purge --yes -o kno.wn:i386 libalong:amd64",
        ]
    );
}

#[test]
fn package_with_another_version_stays_with_a_warning() {
    let host = Environment::apt().install();
    let newer = RequirementRequest::new(
        Requirement::new("package")
            .kwarg("name", "old")
            .kwarg("version", "1.5"),
    );
    let fulfilled = Package::fulfil(&newer).unwrap();
    assert_eq!(fulfilled.undo.json(CHANGED), Some(r#"{"old":"1"}"#));
    assert_eq!(fulfilled.undo.json(ADDED), Some(r#"["libalong"]"#));
    assert_eq!(fulfilled.undo.json(REMOVED), Some("{}"));
    let warning = "old had version 1 before, which is not restored";
    let log = host.log();
    assert!(log.iter().any(|(_, text)| text == warning), "{log:?}");
    Package::release(&recorded(newer.clone(), &fulfilled)).unwrap();
    assert_eq!(
        changes(&host).last().unwrap(),
        "apt-get purge --yes -o libalong"
    );
    assert_eq!(Package::check(&newer), Ok(Presence::Present.into()));
}

#[test]
fn failed_installation_is_undone() {
    let broken = Environment {
        broken: true,
        ..Environment::apt()
    };
    let host = broken.install();
    let error = Package::fulfil(&request("new")).unwrap_err();
    assert!(
        error.message.contains("dpkg returned an error code"),
        "{error}"
    );
    assert_eq!(
        changes(&host).last().unwrap(),
        "apt-get purge --yes -o libalong"
    );
}

#[test]
fn removed_package_is_restored_in_its_version() {
    let host = Environment::apt().install();
    let wanted = RequirementRequest::new(
        Requirement::new("package")
            .kwarg("name", "old")
            .kwarg("action", "remove"),
    );
    assert_eq!(Package::check(&wanted), Ok(Presence::Absent.into()));
    let fulfilled = Package::fulfil(&wanted).unwrap();
    assert_eq!(Package::check(&wanted), Ok(Presence::Present.into()));
    Package::release(&recorded(wanted.clone(), &fulfilled)).unwrap();
    assert!(changes(&host).last().unwrap().ends_with(" old=1"));
    assert_eq!(Package::check(&wanted), Ok(Presence::Absent.into()));
}

#[test]
fn unmet_preconditions_are_explained() {
    let user = Environment {
        user: "1000",
        ..Environment::apt()
    };
    let _host = user.install();
    let error = Package::check(&request("new")).unwrap_err();
    assert!(
        error
            .message
            .starts_with("apt needs root, or a sudo that does not ask"),
        "{error}"
    );
    let check = RequirementRequest::new(
        Requirement::new("package")
            .kwarg("name", "new")
            .kwarg("action", "check"),
    );
    let error = Package::check(&check).unwrap_err();
    assert_eq!(
        error.message,
        "new is not installed, and the action `check` does not install it"
    );
    let error = Package::check(&request("old")).map(|_| ());
    assert_eq!(error, Ok(()));
    drop(_host);
    let none = Environment {
        program: "pacman",
        ..Environment::apt()
    };
    let _host = none.install();
    let error = Package::check(&request("new")).unwrap_err();
    assert_eq!(
        error.message,
        "this environment has no supported package manager: apt, dnf, yum, zypper, apk"
    );
}

#[test]
fn invalid_arguments_are_named() {
    let _host = Environment::apt().install();
    let message = |requirement: Requirement| {
        Package::check(&RequirementRequest::new(requirement))
            .unwrap_err()
            .message
    };
    let package = || Requirement::new("package");
    assert!(message(package()).contains("it needs a `name`"));
    assert!(
        message(package().kwarg("name", "--purge"))
            .contains("\"--purge\" is not a valid package name")
    );
    assert!(
        message(package().kwarg("name", "a; rm")).contains("\"a;\" is not a valid package name")
    );
    assert!(
        message(package().kwarg("name", "a").kwarg("action", "upgrade"))
            .contains("install, check or remove")
    );
    assert!(
        message(package().kwarg("name", "a b").kwarg("version", "1"))
            .contains("one `version` and several names")
    );
    let setting = request("a").setting(MANAGER_SETTING.key(), "emerge");
    let error = Package::check(&setting).unwrap_err();
    assert!(
        error
            .message
            .starts_with("unknown package manager `emerge`"),
        "{error}"
    );
}

#[test]
fn release_without_a_record_changes_nothing() {
    let host = Environment::apt().install();
    assert_eq!(Package::release(&unrecorded(request("new"))), Ok(()));
    let error = Package::release(&unrecorded(request("old"))).unwrap_err();
    assert!(error.message.contains("see the log of apt"), "{error}");
    assert!(changes(&host).is_empty());
}

#[test]
fn lists_of_other_managers_are_parsed() {
    let dnf = Environment {
        program: "dnf",
        packages: Packages::from([
            ("python3.11.x86_64".into(), "3.11.2-1.fc38".into()),
            ("jq.x86_64".into(), "1.6-15.fc38".into()),
        ]),
        ..Environment::apt()
    };
    let host = dnf.install();
    assert_eq!(Package::check(&request("jq")), Ok(Presence::Present.into()));
    assert_eq!(
        Package::check(&request("python3.11")),
        Ok(Presence::Present.into())
    );
    assert_eq!(
        Package::check(&request("python3")),
        Ok(Presence::Absent.into())
    );
    drop(host);
    let apk = Environment {
        program: "apk",
        packages: Packages::from([("ca-certificates-bundle".into(), "20230506-r0".into())]),
        ..Environment::apt()
    };
    let host = apk.install();
    assert_eq!(
        Package::check(&request("ca-certificates-bundle")),
        Ok(Presence::Present.into())
    );
    assert_eq!(
        Package::check(&request("ca-certificates")),
        Ok(Presence::Absent.into())
    );
    let fulfilled = Package::fulfil(&RequirementRequest::new(
        Requirement::new("package")
            .kwarg("name", "jq")
            .kwarg("version", "1.6-r3"),
    ))
    .unwrap();
    Package::release(&recorded(request("jq"), &fulfilled)).unwrap();
    assert_eq!(changes(&host), ["apk add jq=1.6-r3", "apk del jq libalong"]);
}
