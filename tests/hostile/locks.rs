//! Owns hostile locks: entries whose source is a file of the user, a pipe, a device or a server.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::hostile::assert_printable;
use crate::support::{Fixture, Ran};

/// The content of a file of the user, short enough to be guessed from its digest.
const SECRET: &str = "pin 4711";

/// Writes a project's lock with one entry, a runner that has this source.
fn lock(fixture: &Fixture, source: &str) {
    let sha256 = "0".repeat(64);
    let text = format!(
        "version = 1\n[[plugin]]\nname = 'greet'\nversion = '1.0.0'\ncontract = '0.2.0'\n\
         source = '{source}'\nsha256 = '{sha256}'\nroles.runner = ['greet']\n"
    );
    fixture.file("persea.lock", text);
}

/// The output shows neither the secret nor its digest.
#[track_caller]
fn assert_secret_is_kept(ran: &Ran) {
    let digest = Sha256::digest(SECRET);
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    for text in [&ran.stdout, &ran.stderr] {
        assert!(!text.contains("4711") && !text.contains(&digest), "{ran}");
    }
    assert_printable(ran);
}

/// A listener on this machine, at which a connection can be seen without waiting.
fn server() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let source = format!("oci://{}/x:1", listener.local_addr().unwrap());
    (listener, source)
}

#[test]
fn source_of_a_lock_entry_is_neither_followed_nor_shown() {
    let fixture = Fixture::new();
    let secret = fixture.root().join("secret.wasm");
    std::fs::write(&secret, SECRET).unwrap();
    fixture.pipe("pipe.wasm");
    let _socket = UnixListener::bind(fixture.project().join("socket.wasm")).unwrap();
    let (listener, registry) = server();
    let absolute = secret.display().to_string();
    let no_component = "it does not begin as WebAssembly does";
    for (source, why) in [
        ("../secret.wasm", no_component),
        (&*absolute, no_component),
        ("pipe.wasm", "it is not an ordinary file"),
        ("socket.wasm", "it is not an ordinary file"),
        ("/dev/zero", "it is not an ordinary file"),
        ("/proc/self/environ", no_component),
        ("..", "it is not an ordinary file"),
        ("none.wasm", "No such file or directory"),
        (&registry, "is not on this machine"),
    ] {
        lock(&fixture, source);
        // The job itself passes; that a locked plugin is missing makes it 2.
        for args in [
            &["run", "/bin/true"][..],
            &["list", "/bin/true"],
            &["plugin", "list"],
            &["plugin", "verify"],
        ] {
            let ran = fixture.run(args).code(2);
            let text = match args {
                ["plugin", "verify"] => &ran.stdout,
                _ => &ran.stderr,
            };
            let lines: Vec<&str> = text.lines().filter(|it| it.contains("`source`")).collect();
            assert!(
                lines.len() == 1 && lines[0].contains(why),
                "{source}: {ran}"
            );
            assert!(ran.took < Duration::from_secs(20), "{source}: {ran}");
            assert_secret_is_kept(&ran);
        }
        assert_eq!(fixture.job().status("/bin/true"), "PASS");
    }
    let connected = listener.accept().map(|_| ());
    assert_eq!(connected.unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn update_follows_the_source_and_shows_nothing_of_it() {
    let fixture = Fixture::new();
    std::fs::write(fixture.root().join("secret.wasm"), SECRET).unwrap();
    fixture.pipe("pipe.wasm");
    for (source, why) in [
        ("../secret.wasm", "it does not begin as WebAssembly does"),
        ("pipe.wasm", "it is not an ordinary file"),
    ] {
        lock(&fixture, source);
        let ran = fixture.run(&["plugin", "update", "greet"]).code(4);
        assert!(ran.stderr.contains(why), "{ran}");
        assert_secret_is_kept(&ran);
    }
    // Only this command and `install` ask a registry.
    for command in [&["plugin", "update", "greet"][..], &["plugin", "install"]] {
        let (listener, registry) = server();
        lock(&fixture, &registry);
        let child = fixture.persea(command).spawn().unwrap();
        listener.set_nonblocking(false).unwrap();
        drop(listener.accept().unwrap());
        // Nobody listens for a second try.
        drop(listener);
        let ran = crate::support::finish(child).code(4);
        assert!(ran.stderr.contains("cannot get 127.0.0.1:"), "{ran}");
    }
}
