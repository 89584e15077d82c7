//! Tests of the build, with a cargo that answers from texts.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use persea_plugin_sdk::testing::{Answer, Host, Installed, Processes};

const METADATA: &str = r#"{"packages": [{"id": "p 1", "name": "a-b", "version": "1.2.3-rc.1+x",
    "authors": ["x", "y"], "description": "d", "manifest_path": "/w/a/Cargo.toml", "new": 1,
    "targets": [{"kind": ["lib"], "name": "a_b", "doctest": true}]}]}"#;

/// A message about a compiled target of package `p 1`.
fn artifact(kind: &str, name: &str, path: &str, is_test: bool) -> String {
    serde_json::json!({
        "reason": "compiler-artifact", "package_id": "p 1", "manifest_path": "/w/a/Cargo.toml",
        "target": {"kind": [kind], "name": name}, "profile": {"test": is_test},
        "executable": path,
    })
    .to_string()
}

/// A machine whose cargo prints these messages.
fn host(messages: &[String], metadata: &'static str) -> Installed {
    let messages = messages.join("\n");
    let answer = move |command: &Command| match (&*command.program, &*command.args[0]) {
        ("cargo", "test") => Answer::code(0).stdout(messages.clone()),
        ("cargo", "metadata") => Answer::code(0).stdout(metadata),
        ("rustc", _) => Answer::code(0).stdout("/rust\n/rust/target-lib\n"),
        ("printenv", _) => Answer::code(0).stdout("/mine\n"),
        _ => Answer::code(0),
    };
    Host::new().processes(Processes::new(answer)).install()
}

fn task() -> Task {
    Task::new("1-t", Runnable::new(crate::KIND).uri("cargo:a")).with("project-dir", "/w")
}

fn built() -> Result<Build, Error> {
    build(&task(), &parse("cargo:a?features=f&lib").unwrap())
}

#[test]
fn binaries_have_names_and_variables() {
    let script = r#"{"reason":"build-script-executed","package_id":"p 1","linked_paths":
        ["native=/w/target/debug/build/n", "/elsewhere"],"env":[["FROM","build"]],
        "out_dir":"/w/target/debug/build/out"}"#;
    let messages = [
        artifact("test", "it", "/w/target/debug/deps/it-1", true),
        artifact("lib", "a_b", "/w/target/debug/deps/a_b-1", true),
        artifact("bin", "tool", "/w/target/debug/tool", false),
        artifact("bin", "tool", "/w/target/debug/deps/tool-1", true),
        script.replace('\n', ""),
        "a line of a build script".to_owned(),
        r#"{"reason":"later-message","x":[]}"#.to_owned(),
    ];
    let host = host(&messages, METADATA);
    let build = built().unwrap();
    let ids: Vec<&str> = build
        .binaries
        .iter()
        .map(|binary| binary.id.as_str())
        .collect();
    assert_eq!(ids, ["a-b", "a-b::bin/tool", "a-b::it"]);
    let documented = ("a-b@1.2.3-rc.1+x".to_owned(), "a-b::doc/a_b".to_owned());
    assert_eq!(build.documented, [documented]);
    let value = |binary: usize, name: &str| {
        let env = build.binaries[binary].env.iter().rev();
        let mut found = env.filter(|(known, _)| known == name);
        found.next().map(|(_, value)| value.clone())
    };
    for (name, expected) in [
        ("CARGO", "/rust/bin/cargo"),
        ("CARGO_MANIFEST_DIR", "/w/a"),
        ("CARGO_PKG_AUTHORS", "x:y"),
        ("CARGO_PKG_VERSION", "1.2.3-rc.1+x"),
        ("CARGO_PKG_VERSION_PATCH", "3"),
        ("CARGO_PKG_VERSION_PRE", "rc.1"),
        ("CARGO_PKG_HOMEPAGE", ""),
        ("FROM", "build"),
        ("OUT_DIR", "/w/target/debug/build/out"),
        ("CARGO_BIN_EXE_tool", "/w/target/debug/tool"),
        (
            "LD_LIBRARY_PATH",
            "/w/target/debug/build/n:/w/target/debug:/w/target/debug/deps:/rust/target-lib:\
             /rust/lib:/mine",
        ),
    ] {
        assert_eq!(value(2, name).as_deref(), Some(expected), "{name}");
    }
    assert_eq!(
        value(0, "CARGO_BIN_EXE_tool"),
        None,
        "unit tests do not have it"
    );
    let commands = host.commands();
    let test = commands
        .iter()
        .find(|command| command.args[0] == "test")
        .unwrap();
    let expected = [
        "test",
        "--no-run",
        "--message-format=json-render-diagnostics",
        "--features=f",
        "--lib",
    ];
    assert_eq!(
        (&test.args[..], test.cwd.as_deref()),
        (&expected.map(String::from)[..], Some("/w/a"))
    );
}

#[test]
fn failed_build_has_the_compilers_message() {
    let answer = |command: &Command| match &*command.args[0] {
        "metadata" => Answer::code(0).stdout(METADATA),
        "test" => Answer::code(101).stderr("error[E1]: no\n --> a.rs:1:2\n"),
        _ => Answer::code(0),
    };
    let _host = Host::new().processes(Processes::new(answer)).install();
    let error = built().unwrap_err();
    let expected = "error[E1]: no (a.rs:1:2); `cargo test --no-run --manifest-path a/Cargo.toml \
                    --features=f --lib` shows all";
    assert_eq!(error.message, expected);
}

#[test]
fn missing_cargo_is_an_error_with_what_to_do() {
    let _host = Host::new()
        .processes(Processes::always(Answer::missing()))
        .install();
    let error = built().unwrap_err();
    assert_eq!(error.code, "not-found");
    for words in ["install Rust", "rustup.rs", "runner.rust-libtest.cargo"] {
        assert!(error.message.contains(words), "{}", error.message);
    }
}

#[test]
fn missing_rustc_costs_only_the_toolchains_directories() {
    let messages = artifact("lib", "a_b", "/t/debug/deps/a_b-1", true);
    let answer = move |command: &Command| match (&*command.program, &*command.args[0]) {
        ("cargo", "test") => Answer::code(0).stdout(messages.clone()),
        ("cargo", _) => Answer::code(0).stdout(METADATA),
        _ => Answer::missing(),
    };
    let _host = Host::new().processes(Processes::new(answer)).install();
    let build = built().unwrap();
    let path = (
        "LD_LIBRARY_PATH".to_owned(),
        "/t/debug:/t/debug/deps".to_owned(),
    );
    assert!(
        build.binaries[0].env.contains(&path),
        "{:?}",
        build.binaries[0].env
    );
}

#[test]
fn inherited_directory_of_the_compiler_is_not_prepended() {
    let messages = artifact("lib", "a_b", "/t/debug/deps/a_b-1", true);
    let answer = move |command: &Command| match (&*command.program, &*command.args[0]) {
        ("cargo", "test") => Answer::code(0).stdout(messages.clone()),
        ("cargo", _) => Answer::code(0).stdout(METADATA),
        ("rustc", _) => Answer::code(0).stdout("/rust\n/rust/target-lib\n"),
        ("printenv", _) => Answer::code(0).stdout("/outer:/rust/lib\n"),
        _ => Answer::code(0),
    };
    let _host = Host::new().processes(Processes::new(answer)).install();
    let build = built().unwrap();
    let path = (
        "LD_LIBRARY_PATH".to_owned(),
        "/t/debug:/t/debug/deps:/rust/target-lib:/outer:/rust/lib".to_owned(),
    );
    assert!(
        build.binaries[0].env.contains(&path),
        "{:?}",
        build.binaries[0].env
    );
}

#[test]
fn cargo_that_prints_something_else_is_an_error() {
    for (messages, metadata, words) in [
        (
            vec!["hello".to_owned()],
            METADATA,
            "printed no JSON messages; is it a cargo?",
        ),
        (
            vec!["{\"reason\": 1}".to_owned()],
            METADATA,
            "a message that cannot be read",
        ),
        (
            vec![],
            "hello",
            "`cargo metadata` printed no JSON of the known format",
        ),
    ] {
        let _host = host(&messages, metadata);
        let error = built().unwrap_err();
        assert!(error.message.contains(words), "{}", error.message);
    }
}
