//! Owns files that are no plugins, or none for this host. Each is refused with its reason and with
//! help; the job runs without it, and its exit code has one bit more.

use crate::hostile::odd;
use crate::support::plugins::{GREET, components, core_module, install, lock};
use crate::support::{Fixture, assert_stderr, rest};

/// The file is not loaded: `run`, `inspect` and `list` report an error that contains these parts,
/// and other plugins work.
#[track_caller]
pub(super) fn assert_not_loaded(bytes: &[u8], expected: &[&str]) {
    let fixture = Fixture::new();
    fixture.file("plugins/bad.wasm", bytes);
    install(&fixture, "plugins", &["runner-greet"]);
    let ran = fixture
        .run(&["run", "--plugin-dir", "plugins", "/bin/true"])
        .code(2);
    let mut parts = vec!["warning: plugin not loaded: ", "plugins/bad.wasm "];
    parts.extend(expected);
    assert_stderr(&ran, &parts);
    assert_eq!(ran.stderr.lines().count(), 1, "{ran}");
    assert_eq!(fixture.job().status("/bin/true"), "PASS");
    let ran = fixture
        .run(&["plugin", "inspect", "plugins/bad.wasm"])
        .code(4);
    assert_stderr(&ran, expected);
    let ran = fixture
        .run(&["plugin", "list", "--plugin-dir", "plugins"])
        .code(2);
    assert!(ran.stdout.contains("plugins/runner-greet.wasm"), "{ran}");
}

#[test]
fn missing_plugin_directory_is_named_once_with_help() {
    let fixture = Fixture::new();
    let ran = fixture
        .run(&["run", "--plugin-dir", "nowhere", "/bin/true"])
        .code(4);
    assert_stderr(
        &ran,
        &[
            "cannot read the plugin directory nowhere: No such file",
            "`--plugin-dir` and the setting `plugins.dirs` name directories in which there are \
             *.wasm files",
        ],
    );
    assert_eq!(ran.stderr.matches("No such file").count(), 1);
}

#[test]
fn file_that_is_no_component_is_not_loaded() {
    assert_not_loaded(b"", &["is not a WebAssembly component: the file is empty"]);
    assert_not_loaded(
        b"\x7fELF and so on",
        &["is not a WebAssembly component: it does not begin as WebAssembly does"],
    );
}

#[test]
fn truncated_component_is_not_loaded() {
    let whole = &components()["runner-greet"];
    for length in [6, 9, whole.len() / 2, whole.len() - 1] {
        assert_not_loaded(
            &whole[..length],
            &["is not a WebAssembly component: it is broken or cut off: "],
        );
    }
}

#[test]
fn component_with_flipped_bits_never_breaks_the_host() {
    let whole = &components()["runner-greet"];
    let fixture = Fixture::new();
    for (number, at) in (0..whole.len()).step_by(whole.len() / 40).enumerate() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        fixture.file(&format!("plugins/{number:02}.wasm"), bytes);
    }
    let ran = fixture.run(&["plugin", "list", "--plugin-dir", "plugins"]);
    assert!(ran.stdout.contains("exec-test"), "{ran}");
    let refused = count_refused(&ran.stderr);
    let ran = ran.code(if refused == 0 { 0 } else { 2 });
    let loaded = ran.stdout.matches("plugins/").count();
    assert!(refused + loaded > 40, "{ran}");
}

/// The number of plugins that were not loaded, by the warnings.
fn count_refused(stderr: &str) -> usize {
    let lines = stderr.lines();
    lines
        .filter(|line| line.starts_with("warning: plugin not loaded: plugins/"))
        .count()
}

#[test]
fn suggested_pack_command_makes_a_core_module_usable() {
    let module = core_module();
    assert_not_loaded(
        &module,
        &[
            "is a core WebAssembly module, not a component",
            "`persea plugin pack plugins/bad.wasm -o PLUGIN.wasm`",
        ],
    );
    let fixture = Fixture::new();
    fixture.file("greet.wasm", module);
    std::fs::create_dir(fixture.project().join("plugins")).unwrap();
    fixture
        .run(&["plugin", "pack", "greet.wasm", "-o", "plugins/greet.wasm"])
        .code(0);
    lock(&fixture, "plugins/greet.wasm", &[]);
    fixture.file("r.json", GREET);
    fixture
        .run(&["run", "--plugin-dir", "plugins", "r.json"])
        .code(0);
    assert_eq!(fixture.job().artifact("World", "stdout"), "Hello, World!\n");
}

#[test]
fn pack_refuses_a_module_that_is_no_plugin() {
    let fixture = Fixture::new();
    fixture.file("empty.wasm", wat::parse_str("(module)").unwrap());
    let ran = fixture
        .run(&["plugin", "pack", "empty.wasm", "-o", "out.wasm"])
        .code(4);
    assert_stderr(&ran, &["empty.wasm ", "no plugin", "`persea:plugin/run`"]);
    assert!(!fixture.project().join("out.wasm").exists());
    fixture.file("text.wasm", "hello");
    let ran = fixture
        .run(&["plugin", "pack", "text.wasm", "-o", "out.wasm"])
        .code(4);
    assert_stderr(&ran, &["text.wasm"]);
    let ran = fixture
        .run(&["plugin", "pack", "none.wasm", "-o", "out.wasm"])
        .code(4);
    assert_stderr(&ran, &["cannot read none.wasm: No such file"]);
    fixture.file("done.wasm", &components()["runner-greet"]);
    let ran = fixture
        .run(&["plugin", "pack", "done.wasm", "-o", "out.wasm"])
        .code(4);
    assert_stderr(
        &ran,
        &[
            "done.wasm is already a component",
            "help: use the file as it is",
        ],
    );
}

#[test]
fn component_that_is_no_plugin_is_not_loaded() {
    let component = wat::parse_str("(component)").unwrap();
    assert_not_loaded(
        &component,
        &[
            "is a component, but no plugin: it exports nothing",
            "`persea:plugin/run`",
        ],
    );
}

/// A component with every occurrence of a text replaced by another of the same length.
pub(super) fn patched(name: &str, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = components()[name].clone();
    let mut count = 0;
    for at in 0..bytes.len() - from.len() {
        if bytes[at..].starts_with(from.as_bytes()) {
            bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
            count += 1;
        }
    }
    assert!(count > 0, "no {from} in {name}");
    bytes
}

#[test]
fn plugin_of_a_later_contract_is_refused_with_both_versions() {
    for later in ["@0.3.0", "@1.0.0", "@0.1.0"] {
        let needs = format!("{later}, and this host offers persea:plugin@0.2.0");
        assert_not_loaded(
            &patched("runner-greet", "@0.2.0", later),
            &[
                &needs,
                "build the plugin against persea-plugin-sdk 0.2.0, or use a host of the plugin's \
                 version",
            ],
        );
    }
}

#[test]
fn plugin_that_imports_outside_of_its_world_is_refused() {
    let resolver = wat::parse_str(
        r#"(component
            (import "persea:plugin/process@0.2.0" (instance))
            (instance (export "persea:plugin/plugin@0.2.0"))
            (instance (export "persea:plugin/resolve@0.2.0")))"#,
    );
    assert_not_loaded(
        &resolver.unwrap(),
        &[
            "asks for `persea:plugin/process@0.2.0`, which a resolver does not get: it can ask for \
             `log`, `pages`, `workspace`",
        ],
    );
    // A real runner that imports an interface of result formats.
    assert_not_loaded(
        &patched(
            "runner-greet",
            "persea:plugin/messages@0.2.0",
            "persea:plugin/vanished@0.2.0",
        ),
        &["asks for `persea:plugin/vanished@0.2.0`, which a runner does not get"],
    );
    // A real runner that imports an interface that the host does not have.
    assert_not_loaded(
        &patched(
            "runner-greet",
            "persea:plugin/messages@0.2.0",
            "malory:plugin/messages@0.2.0",
        ),
        &["asks for `malory:plugin/messages@0.2.0`, which a runner does not get"],
    );
}

#[test]
fn plugin_with_an_invalid_description_is_not_loaded() {
    // This one takes the whole time limit, so it is loaded only once.
    let fixture = Fixture::new();
    let file = fixture.file("loop.wasm", odd("loop"));
    let ran = fixture
        .run(&["plugin", "inspect", file.to_str().unwrap()])
        .code(4);
    assert_stderr(
        &ran,
        &[
            "loop.wasm has reached its limit on the time for one answer, 10 s: \
             `plugins.limits.describe` raises it",
        ],
    );
    assert_not_loaded(&odd("trap"), &["panicked at", "words fail me"]);
    assert_not_loaded(
        &odd("name"),
        &[
            "describes itself wrongly: its name is ",
            "at most 64 lower case letters, digits and hyphens",
        ],
    );
    assert_not_loaded(
        &odd("vers"),
        &["describes itself wrongly: its version is \"latest\", which is no version such as 1.2.3"],
    );
    assert_not_loaded(
        &odd("none"),
        &["describes itself wrongly: its role `runner` names no kinds, and the host chooses"],
    );
    assert_not_loaded(&odd("call"), &["refused: "]);
}

#[test]
fn kinds_with_control_characters_are_escaped() {
    let fixture = Fixture::new();
    fixture.file("plugins/odd.wasm", odd("kind"));
    for args in [
        &["plugin", "list", "--plugin-dir", "plugins"][..],
        &["plugin", "inspect", "plugins/odd.wasm"],
    ] {
        let ran = fixture.run(args);
        assert!(!ran.stdout.contains('\u{202e}'), "{ran}");
        assert!(
            !ran.stdout
                .lines()
                .any(|line| line.starts_with("runner  forged")),
            "{ran}"
        );
    }
}

#[test]
fn invalid_plugin_paths_are_errors() {
    let fixture = Fixture::new();
    let ran = fixture
        .run(&["run", "--plugin-dir", "nowhere", "/bin/true"])
        .code(4);
    assert_stderr(&ran, &["nowhere", "No such file or directory"]);
    fixture.assert_no_job();
    // A directory whose name ends with .wasm is skipped with a warning.
    std::fs::create_dir_all(fixture.project().join("plugins/x.wasm")).unwrap();
    let ran = fixture
        .run(&["plugin", "list", "--plugin-dir", "plugins"])
        .code(2);
    assert_stderr(
        &ran,
        &["plugins/x.wasm is not a WebAssembly component: it is not an ordinary file"],
    );
    let ran = fixture
        .run(&["plugin", "inspect", "nothing-of-this-name"])
        .code(4);
    assert_stderr(
        &ran,
        &[
            "no plugin is named `nothing-of-this-name`",
            "persea plugin list",
        ],
    );
}

#[test]
fn mutated_components_never_break_the_host() {
    let whole = &components()["format-csv"];
    let fixture = Fixture::new();
    // An xorshift generator with a fixed seed, so that a failure can be reproduced.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state).unwrap() % below
    };
    for number in 0..2_000 {
        let mut bytes = whole.clone();
        for _ in 0..=random(3) {
            let at = random(bytes.len());
            match random(4) {
                0 => bytes[at] ^= 1 << random(8),
                1 => bytes[at] = u8::try_from(random(256)).unwrap(),
                2 => {
                    let from = random(whole.len());
                    let piece = &whole[from..(from + random(64)).min(whole.len())];
                    drop(bytes.splice(at..at, piece.iter().copied()));
                }
                _ => drop(bytes.drain(at..(at + random(64)).min(bytes.len()))),
            }
        }
        fixture.file(&format!("plugins/{number:04}.wasm"), bytes);
    }
    // Short limits, because some mutations loop or take long to compile.
    let args = [
        "plugin",
        "list",
        "--plugin-dir",
        "plugins",
        "--set",
        "plugins.limits.describe=0.2",
        "--set",
        "plugins.limits.compile=2",
    ];
    let mut command = fixture.persea(&args);
    command.env("XDG_CACHE_HOME", fixture.root().join("own-cache"));
    // Without `finish`, which would end the host after a minute.
    let mut child = command.spawn().unwrap();
    let mut stderr = String::new();
    let mut stdout = String::new();
    std::thread::scope(|scope| {
        let out = child.stdout.take().unwrap();
        scope.spawn(|| stdout = rest(&mut { out }));
        stderr = rest(&mut child.stderr.take().unwrap());
    });
    let code = child.wait().unwrap().code();
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stdout.contains("exec-test"), "{stdout}");
    let refused = count_refused(&stderr);
    let loaded = stdout
        .lines()
        .filter(|line| line.contains("plugins/"))
        .count();
    assert_eq!(refused + loaded, 2_000, "{stderr}");
    // Some mutations get as far as the compiler.
    assert!(
        refused > 1_000 && stderr.contains("cannot be loaded: "),
        "{refused}"
    );
}

#[test]
fn component_of_500_megabytes_is_not_read() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["runner-greet"]);
    let file = std::fs::File::create(fixture.project().join("plugins/huge.wasm")).unwrap();
    file.set_len(500 << 20).unwrap();
    let ran = fixture
        .run(&["run", "--plugin-dir", "plugins", "/bin/true"])
        .code(2);
    assert_stderr(
        &ran,
        &[
            "plugins/huge.wasm has reached its limit on the component's size, 128 MiB: \
             `plugins.limits.component_mb` raises it",
        ],
    );
    assert_eq!(fixture.job().status("/bin/true"), "PASS");
    assert!(ran.took.as_secs() < 10, "{ran}");
}

#[test]
fn pipe_or_device_in_place_of_a_plugin_is_not_read() {
    let fixture = Fixture::new();
    std::fs::create_dir(fixture.project().join("plugins")).unwrap();
    fixture.pipe("plugins/pipe.wasm");
    std::os::unix::fs::symlink("/dev/zero", fixture.project().join("plugins/zero.wasm")).unwrap();
    let ran = fixture
        .run(&["run", "--plugin-dir", "plugins", "/bin/true"])
        .code(2);
    assert_eq!(
        ran.stderr.matches("it is not an ordinary file").count(),
        2,
        "{ran}"
    );
    assert_eq!(fixture.job().status("/bin/true"), "PASS");
}
