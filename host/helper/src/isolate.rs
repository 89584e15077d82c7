//! Owns what the helper gives up for good before it starts a process in a sandbox. Does not know about namespaces and filters,
//! which are there before the helper is.

use landlock::{Ruleset, RulesetAttr, RulesetError, Scope};
use nix::errno::Errno;
use nix::libc;
use persea_helper::protocol::Isolation;

/// Gives up what is asked for. An error says what stays.
pub(crate) fn isolate(isolation: Isolation) -> Result<(), String> {
    if isolation.session_keyring {
        leave_session_keyring().map_err(|e| {
            format!("the session keyring of whoever started persea can't be left: {e}")
        })?;
    }
    if isolation.abstract_sockets {
        scope_abstract_sockets()
            .map_err(|e| format!("abstract sockets of the machine can't be kept out: {e}"))?;
    }
    Ok(())
}

/// Joins a new session keyring without a name.
fn leave_session_keyring() -> nix::Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;
    let no_name: *const libc::c_char = std::ptr::null();
    // SAFETY: the call reads no memory, as it is given no name, and changes nothing but the credentials of this process.
    #[allow(unsafe_code)]
    let joined = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, no_name) };
    match Errno::result(joined) {
        // The kernel has no keyrings, or a filter around the host keeps everybody from them.
        Ok(_) | Err(Errno::ENOSYS | Errno::EPERM) => Ok(()),
        Err(e) => Err(e),
    }
}

/// Lets this process and those that it starts reach no abstract Unix socket but their own. Where the kernel can't, nothing changes.
fn scope_abstract_sockets() -> Result<(), RulesetError> {
    Ruleset::default()
        .scope(Scope::AbstractUnixSocket)?
        .create()?
        .restrict_self()
        .map(drop)
}
