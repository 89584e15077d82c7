//! Owns plugins from an OCI registry. Each test starts a registry of its own on the loopback
//! device: the program of Debian's package docker-registry.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use oci_client::Reference;
use oci_client::client::{Client, ClientConfig, ClientProtocol, Config, ImageLayer};
use oci_client::secrets::RegistryAuth;

use crate::support::plugins::{GREET, components};
use crate::support::{Fixture, assert_stderr};

/// A running registry, killed when it is dropped.
struct Registry {
    process: Child,
    address: String,
    _storage: tempfile::TempDir,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Registry {
    fn start() -> Self {
        let storage = tempfile::tempdir().unwrap();
        let config = storage.path().join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n\
             http: {{addr: '127.0.0.1:0'}}\n",
            storage.path().join("data").display()
        );
        std::fs::write(&config, text).unwrap();
        let mut process = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker-registry, of Debian's package of that name");
        // The registry logs the port that the kernel chose.
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().expect("it listens").unwrap();
            if let Some((_, rest)) = line.split_once("listening on ") {
                let end = rest.find(|c: char| c != '.' && c != ':' && !c.is_ascii_digit());
                break rest[..end.unwrap_or(rest.len())].to_owned();
            }
        };
        // Reads the rest of the log, so that the registry never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            process,
            address,
            _storage: storage,
        }
    }

    /// Pushes an artifact with layers of these media types, and returns its reference.
    fn push(&self, name: &str, layers: &[(&str, &[u8])]) -> String {
        let reference = format!("{}/{name}", self.address);
        let image: Reference = reference.parse().unwrap();
        let layer =
            |&(kind, bytes): &(&str, &[u8])| ImageLayer::new(bytes.to_vec(), kind.to_owned(), None);
        let layers: Vec<ImageLayer> = layers.iter().map(layer).collect();
        let config = Config::new(
            &b"{}"[..],
            "application/vnd.wasm.config.v0+json".to_owned(),
            None,
        );
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::new(ClientConfig {
            protocol: ClientProtocol::Http,
            ..ClientConfig::default()
        });
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let pushed = client.push(&image, &layers, config, &RegistryAuth::Anonymous, None);
        runtime.block_on(pushed).unwrap();
        reference
    }
}

/// The number of components in the user's store of downloads.
fn count_stored(fixture: &Fixture) -> usize {
    let store = fixture.root().join("home/.local/share/persea/store");
    std::fs::read_dir(store).map_or(0, Iterator::count)
}

#[test]
fn registry_plugin_is_locked_run_updated_and_reinstalled() {
    let registry = Registry::start();
    let wasm = "application/wasm";
    let reference = registry.push("team/greet:1", &[(wasm, &components()["runner-modest"])]);
    let fixture = Fixture::new();
    fixture.file("r.json", GREET);
    let ran = fixture.run(&["plugin", "add", &reference]).code(0);
    assert!(
        ran.stdout.contains(&format!("oci://{reference}@sha256:")),
        "{ran}"
    );
    fixture.run(&["run", "r.json"]).code(0);
    assert_eq!(fixture.job().test("World")["whiteboard"], "World");
    fixture.run(&["plugin", "verify"]).code(0);

    // The tag moves; the lock does not.
    registry.push("team/greet:1", &[(wasm, &components()["runner-greet"])]);
    fixture.run(&["run", "r.json"]).code(0);
    assert_eq!(fixture.job().test("World")["whiteboard"], "World");
    let ran = fixture.run(&["plugin", "update", "greet"]).code(4);
    assert_stderr(
        &ran,
        &["`persea plugin update runner.greet --grant process=sandbox,container,process`"],
    );
    let grant = ["plugin", "update", "greet", "--grant", "process=process"];
    fixture.run(&grant).code(0);
    fixture.run(&["run", "r.json"]).code(0);
    assert_eq!(fixture.job().test("World")["whiteboard"], "Hello, World!");

    // On a machine that has only the project and its lock, `install` downloads the locked digest,
    // although the tag points to another.
    registry.push("team/greet:1", &[(wasm, &components()["runner-modest"])]);
    std::fs::remove_dir_all(fixture.root().join("home")).unwrap();
    let ran = fixture.run(&["run", "r.json"]).code(3);
    assert_stderr(
        &ran,
        &["is not on this machine: `persea plugin install` gets it from"],
    );
    let ran = fixture.run(&["plugin", "verify"]).code(2);
    assert!(
        ran.stdout.starts_with("WRONG runner.greet 0.3.0: "),
        "{ran}"
    );
    let ran = fixture.run(&["plugin", "install"]).code(0);
    assert!(
        ran.stdout
            .starts_with("downloaded runner.greet 0.3.0 from 127.0.0.1:"),
        "{ran}"
    );
    assert_eq!(count_stored(&fixture), 1);
    fixture.run(&["run", "r.json"]).code(0);
    assert_eq!(fixture.job().test("World")["whiteboard"], "Hello, World!");
    // A stored component is not downloaded again, so no registry is needed.
    drop(registry);
    let ran = fixture.run(&["plugin", "install"]).code(0);
    assert_eq!(ran.stdout, "");
}

#[test]
fn signature_is_read_from_the_registry() {
    let keys = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    let bytes = &components()["format-csv"][..];
    let signature = minisign::sign(Some(&keys.pk), &keys.sk, bytes, None, None).unwrap();
    let signature = signature.into_string();
    let registry = Registry::start();
    let layers = [
        ("application/vnd.persea.minisign", signature.as_bytes()),
        ("application/wasm", bytes),
    ];
    let signed = registry.push("team/csv:signed", &layers);
    let plain = registry.push("team/csv:plain", &layers[1..]);
    let fixture = Fixture::new();
    fixture.file(
        "persea.toml",
        format!("plugins.keys = [\"{}\"]\n", keys.pk.to_base64()),
    );
    assert_stderr(
        &fixture.run(&["plugin", "add", &plain]).code(4),
        &["is not signed"],
    );
    assert_eq!(count_stored(&fixture), 0);
    let ran = fixture.run(&["plugin", "add", &signed]).code(0);
    assert!(ran.stdout.contains("  signed   yes\n"), "{ran}");
    fixture.run(&["run", "/bin/true"]).code(0);
    assert!(fixture.job().0.join("results.csv").exists());
}

#[test]
fn invalid_registry_answers_are_errors() {
    let registry = Registry::start();
    let fixture = Fixture::new();
    let add = |reference: &str, part: &str| {
        let ran = fixture.run(&["plugin", "add", reference]).code(4);
        assert_stderr(&ran, &[part]);
    };
    add(
        &format!("{}/team/none:1", registry.address),
        "cannot get 127.0.0.1:",
    );
    let two = registry.push("team/two:1", &[("text/plain", b"a"), ("text/html", b"b")]);
    add(
        &two,
        "is no plugin: it has 0 layers of type application/wasm",
    );
    let text = registry.push("team/text:1", &[("application/wasm", b"no wasm at all")]);
    add(&text, "is not a WebAssembly component");
    let big = vec![0_u8; 3 << 20];
    let big = registry.push("team/big:1", &[("application/wasm", &big)]);
    let small = [
        "plugin",
        "add",
        &big,
        "--set",
        "plugins.limits.component_mb=2",
    ];
    assert_stderr(
        &fixture.run(&small).code(4),
        &["`plugins.limits.component_mb`"],
    );
    add("ghcr.io/UPPER/case:1", "is no reference of a registry");
    assert_eq!(count_stored(&fixture), 0);
    assert!(!Path::new(&fixture.project().join("persea.lock")).exists());
}
