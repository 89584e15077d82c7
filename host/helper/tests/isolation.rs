//! What processes of the helper lose access to.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use common::{Helper, start};
use persea_helper::protocol::{Hello, Isolation, Output, Start, Stream};

/// Runs a Python script in a helper with this isolation. Returns what the script prints.
fn python(isolation: Isolation, script: &str) -> String {
    let mut helper = Helper::silent();
    helper.greet_with(&Hello {
        isolation,
        ..Hello::default()
    });
    let (child, _) = helper.start(Start {
        stdout: Output::Pipe,
        ..start("python3", &["-c", script])
    });
    let printed = helper.read_all(child, Stream::Stdout);
    helper.exit(child);
    helper.finish();
    String::from_utf8(printed).unwrap().trim().to_owned()
}

#[test]
fn session_keyring_is_new_only_with_isolation() {
    let new = Isolation {
        session_keyring: true,
        ..Isolation::default()
    };
    // KEYCTL_GET_KEYRING_ID of KEY_SPEC_SESSION_KEYRING, on x86-64 and elsewhere.
    let id = "import ctypes, platform; number = 250 if platform.machine() == 'x86_64' else 219
print(ctypes.CDLL(None).syscall(number, 0, -3, 0))";
    let plain = || python(Isolation::default(), id);
    let (own, isolated) = (plain(), python(new, id));
    assert_eq!(own, plain());
    assert_ne!(own, isolated);
    assert!(isolated.parse::<i32>().unwrap() > 0, "{isolated}");
}

#[test]
fn abstract_sockets_of_other_processes_answer_only_without_isolation() {
    let name = format!("persea-isolation-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _service = UnixListener::bind_addr(&address).unwrap();
    let scoped = Isolation {
        abstract_sockets: true,
        ..Isolation::default()
    };
    let script = format!(
        "import socket
try: socket.socket(socket.AF_UNIX).connect('\\0{name}'); print('answers')
except PermissionError: print('held')"
    );
    assert_eq!(python(Isolation::default(), &script), "answers");
    assert_eq!(python(scoped, &script), "held");
}
