//! Owns trust in plugins: one is loaded if a lock binds it, its bytes are unchanged and a
//! configured key has signed it. `grants` owns what it may do then.

use crate::support::plugins::{components, lock, read_lock, with_unlocked};
use crate::support::{Fixture, assert_stderr, finish};

#[test]
fn concurrent_plugin_adds_all_reach_the_lock() {
    let fixture = Fixture::new();
    let names = ["runner-greet", "format-csv", "resolver-list"];
    for name in names {
        fixture.file(&format!("{name}.wasm"), &components()[name]);
    }
    let grants = ["--grant", "process=sandbox", "--grant", "workspace=."];
    let granted = |name: &str| match name {
        "runner-greet" => &grants[..2],
        "resolver-list" => &grants[2..],
        _ => &[],
    };
    for of_user in [&[][..], &["--user"]] {
        for round in 0..3 {
            let children: Vec<_> = names
                .iter()
                .map(|name| {
                    let file = format!("{name}.wasm");
                    let args = [&["plugin", "add", &file], of_user, granted(name)].concat();
                    fixture.persea(&args).spawn().unwrap()
                })
                .collect();
            for child in children {
                let ran = finish(child).code(0);
                assert!(ran.stdout.starts_with("locked "), "{ran}");
            }
            let locked = fixture.run(&["plugin", "list"]).code(0).stdout;
            let removed: Vec<_> = ["greet", "csv", "list"]
                .iter()
                .map(|name| {
                    assert!(
                        locked.contains(&format!(" {name} ")),
                        "{round}: no {name} in {locked}"
                    );
                    let args = [&["plugin", "remove", name], of_user].concat();
                    fixture.persea(&args).spawn().unwrap()
                })
                .collect();
            for child in removed {
                finish(child).code(0);
            }
            let lock = match of_user {
                [] => fixture.project().join("persea.lock"),
                _ => fixture.root().join("home/.config/persea/persea.lock"),
            };
            let text = std::fs::read_to_string(lock).unwrap();
            assert!(!text.contains("[[plugin]]"), "{text}");
        }
    }
}

#[test]
fn plugin_of_a_checkout_is_not_loaded_until_locked() {
    let fixture = with_unlocked(&["runner-greet", "format-csv"]);
    fixture.file("persea.toml", "plugins.dirs = [\"plugins\"]\n");
    let ran = fixture.run(&["run", "r.json"]).code(3);
    assert_stderr(
        &ran,
        &[
            "plugins/format-csv.wasm is a result-format that no lock binds, so it is not loaded: \
             `persea plugin add plugins/format-csv.wasm` locks it",
            "plugins/runner-greet.wasm is a runner that no lock binds, so it is not loaded: \
             `persea plugin add plugins/runner-greet.wasm --grant \
             process=sandbox,container,process` locks it",
        ],
    );
    assert!(
        fixture
            .job()
            .reason("World")
            .starts_with("no runner for kind `greet`")
    );
    let ran = fixture.run(&["plugin", "verify"]).code(0);
    assert!(
        ran.stdout
            .contains("open  plugins/runner-greet.wasm is a runner"),
        "{ran}"
    );

    fixture
        .run(&["plugin", "add", "plugins/format-csv.wasm"])
        .code(0);
    let add = [
        "plugin",
        "add",
        "plugins/runner-greet.wasm",
        "--grant",
        "process=process",
    ];
    fixture.run(&add).code(0);
    let ran = fixture.run(&["run", "r.json"]).code(0);
    assert_eq!(ran.stderr, "");
    assert_eq!(fixture.job().status("World"), "PASS");
    assert!(fixture.job().read("results.csv").contains("1-World"));
}

#[test]
fn locked_plugin_needs_no_plugin_directory() {
    let fixture = with_unlocked(&["runner-greet"]);
    lock(&fixture, "plugins/runner-greet.wasm", &[]);
    let ran = fixture.run(&["run", "r.json"]).code(0);
    assert_eq!(ran.stderr, "");
    let ran = fixture.run(&["plugin", "remove", "greet"]).code(0);
    assert_eq!(ran.stdout, "runner.greet is no longer in persea.lock\n");
    fixture.run(&["run", "r.json"]).code(1);
}

#[test]
fn changed_plugin_is_not_loaded_until_updated() {
    let fixture = with_unlocked(&["runner-greet"]);
    lock(&fixture, "plugins/runner-greet.wasm", &[]);
    let digest = |fixture: &Fixture| {
        read_lock(fixture)["plugin"][0]["sha256"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let before = digest(&fixture);
    // A custom section changes the digest and not what the component does.
    let mut bytes = components()["runner-greet"].clone();
    bytes.extend(b"\0\x02\x01x");
    fixture.file("plugins/runner-greet.wasm", &bytes);
    for args in [
        &["run", "r.json"][..],
        &["run", "--plugin-dir", "plugins", "r.json"],
    ] {
        let ran = fixture.run(args).code(3);
        assert_stderr(
            &ran,
            &[
                "plugins/runner-greet.wasm has changed since it was locked: `persea plugin update \
                 runner.greet` shows",
            ],
        );
    }
    let ran = fixture.run(&["plugin", "verify"]).code(2);
    assert!(
        ran.stdout
            .contains("WRONG runner.greet 0.3.0: plugins/runner-greet.wasm has the sha256 "),
        "{ran}"
    );
    let ran = fixture.run(&["plugin", "update", "greet"]).code(0);
    let after = digest(&fixture);
    assert_ne!(before, after);
    assert!(
        ran.stdout
            .contains(&format!("sha256   {before} -> {after}")),
        "{ran}"
    );
    fixture.run(&["run", "r.json"]).code(0);
    let ran = fixture.run(&["plugin", "verify"]).code(0);
    assert!(
        ran.stdout
            .starts_with("ok    runner.greet 0.3.0 plugins/runner-greet.wasm"),
        "{ran}"
    );
    let ran = fixture.run(&["plugin", "update", "greet"]).code(0);
    assert_eq!(ran.stdout, "runner.greet 0.3.0 is unchanged\n");
}

#[test]
fn plugin_that_declares_more_than_its_lock_is_not_loaded() {
    let fixture = with_unlocked(&["runner-greet"]);
    lock(&fixture, "plugins/runner-greet.wasm", &[]);
    let path = fixture.project().join("persea.lock");
    let text = std::fs::read_to_string(&path).unwrap();
    for (original, replacement, words) in [
        (
            "runner = [\"greet\"]",
            "runner = [\"wave\"]",
            "it names the kind `greet`",
        ),
        ("name = \"greet\"", "name = \"wave\"", "its name is `greet`"),
    ] {
        assert!(text.contains(original), "{text}");
        std::fs::write(&path, text.replace(original, replacement)).unwrap();
        let ran = fixture.run(&["run", "r.json"]).code(3);
        assert_stderr(
            &ran,
            &[
                "plugins/runner-greet.wasm does not match its lock entry",
                words,
            ],
        );
    }
}

#[test]
fn plugin_remove_changes_only_the_chosen_lock() {
    let fixture = with_unlocked(&["format-csv"]);
    let add = ["plugin", "add", "plugins/format-csv.wasm"];
    let remove = ["plugin", "remove", "csv"];
    let own = "home/.config/persea/persea.lock";
    let in_locks = || {
        let has = |path: std::path::PathBuf| {
            std::fs::read_to_string(path)
                .unwrap()
                .contains("[[plugin]]")
        };
        (
            has(fixture.project().join("persea.lock")),
            has(fixture.root().join(own)),
        )
    };
    for (option, left) in [(&["--user"][..], (true, false)), (&[], (false, true))] {
        fixture.run(&add).code(0);
        fixture.run(&[&add[..], &["--user"]].concat()).code(0);
        assert_eq!(in_locks(), (true, true));
        fixture.run(&[&remove[..], option].concat()).code(0);
        assert_eq!(in_locks(), left);
    }
}

#[test]
fn invalid_lock_is_an_error_with_its_line() {
    let fixture = Fixture::new();
    fixture.file("persea.lock", "version = 1\n[[plugin]]\nname = 3\n");
    assert_stderr(
        &fixture.run(&["run", "/bin/true"]).code(4),
        &["persea.lock:3:8: "],
    );
    fixture.file("persea.lock", "version = 7\n");
    assert_stderr(
        &fixture.run(&["list", "/bin/true"]).code(4),
        &[
            "persea.lock has version 7 of the format",
            "use a newer persea",
        ],
    );
}

#[test]
fn configured_keys_require_a_signature() {
    let keys = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    let other = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    let fixture = with_unlocked(&["format-csv"]);
    let bytes = &components()["format-csv"];
    let config = format!("plugins.keys = [\"{}\"]\n", keys.pk.to_base64());
    fixture.file("persea.toml", config);
    let add = ["plugin", "add", "plugins/format-csv.wasm"];
    assert_stderr(
        &fixture.run(&add).code(4),
        &["plugins/format-csv.wasm is not signed", ".minisig"],
    );
    let sign = |keys: &minisign::KeyPair| {
        let signature = minisign::sign(Some(&keys.pk), &keys.sk, &bytes[..], None, None).unwrap();
        fixture.file("plugins/format-csv.wasm.minisig", signature.into_string());
    };
    sign(&other);
    assert_stderr(
        &fixture.run(&add).code(4),
        &["is not signed with any of the keys"],
    );
    sign(&keys);
    fixture.run(&add).code(0);
    // The lock keeps the signature, so the file is no longer needed.
    std::fs::remove_file(fixture.project().join("plugins/format-csv.wasm.minisig")).unwrap();
    let ran = fixture.run(&["run", "/bin/true"]).code(0);
    assert_eq!(ran.stderr, "");
    assert!(fixture.job().0.join("results.csv").exists());
    fixture.run(&["plugin", "verify"]).code(0);
    // A lock is checked against the keys that are configured now.
    fixture.file(
        "persea.toml",
        format!("plugins.keys = [\"{}\"]\n", other.pk.to_base64()),
    );
    assert_stderr(
        &fixture.run(&["run", "/bin/true"]).code(2),
        &["is not signed with any of the keys"],
    );
    fixture.run(&["plugin", "verify"]).code(2);
    fixture.file("persea.toml", "plugins.keys = [\"nonsense\"]\n");
    assert_stderr(
        &fixture.run(&["run", "/bin/true"]).code(4),
        &["`nonsense` in the setting `plugins.keys` is no minisign public key"],
    );
}

#[test]
fn project_cannot_replace_the_keys_of_its_user() {
    let key = || {
        let keys = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
        format!("plugins.keys = [\"{}\"]\n", keys.pk.to_base64())
    };
    let fixture = with_unlocked(&["format-csv"]);
    fixture
        .run(&["plugin", "add", "plugins/format-csv.wasm"])
        .code(0);
    let config = fixture.project().join("../home/.config/persea/config.toml");
    std::fs::create_dir_all(config.parent().unwrap()).unwrap();
    std::fs::write(&config, key()).unwrap();
    for of_project in ["plugins.keys = []\n".to_owned(), key()] {
        fixture.file("persea.toml", of_project);
        let refused = fixture.run(&["run", "/bin/true"]).code(2);
        assert_stderr(&refused, &["plugins/format-csv.wasm is not signed"]);
    }
    // Without keys of the user, the project's keys apply.
    std::fs::remove_file(&config).unwrap();
    let refused = fixture.run(&["run", "/bin/true"]).code(2);
    assert_stderr(&refused, &["plugins/format-csv.wasm is not signed"]);
    fixture.file("persea.toml", "");
    fixture.run(&["run", "/bin/true"]).code(0);
}

#[test]
fn suggested_command_keeps_the_user_option() {
    let fixture = with_unlocked(&["runner-greet"]);
    let add = ["plugin", "add", "--user", "plugins/runner-greet.wasm"];
    assert_stderr(
        &fixture.run(&add).code(4),
        &[
            "`persea plugin add plugins/runner-greet.wasm --user --grant \
             process=sandbox,container,process`",
        ],
    );
}
