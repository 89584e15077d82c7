//! Owns the isolation steps that the helper applies to itself before it starts a process in a
//! sandbox. Does not know about namespaces and filters, which the host sets up before it starts the
//! helper.

use landlock::{Ruleset, RulesetAttr, RulesetError, Scope};
use nix::errno::Errno;
use nix::libc;
use persea_helper::protocol::Isolation;

/// Applies the requested isolation. An error names what stays accessible.
pub(crate) fn isolate(isolation: Isolation) -> Result<(), String> {
    if isolation.session_keyring {
        leave_session_keyring().map_err(|e| {
            format!("cannot leave the session keyring of the user who started persea: {e}")
        })?;
    }
    if isolation.abstract_sockets {
        scope_abstract_sockets()
            .map_err(|e| format!("cannot hide the abstract sockets of the machine: {e}"))?;
    }
    Ok(())
}

/// Joins a new, anonymous session keyring.
fn leave_session_keyring() -> nix::Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;
    let no_name: *const libc::c_char = std::ptr::null();
    // SAFETY: without a name the call reads no memory, and it changes only the credentials of this
    // process.
    #[allow(unsafe_code)]
    let joined = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, no_name) };
    match Errno::result(joined) {
        // The kernel has no keyrings, or a seccomp filter around the host refuses access to them.
        Ok(_) | Err(Errno::ENOSYS | Errno::EPERM) => Ok(()),
        Err(e) => Err(e),
    }
}

/// Restricts this process and its children to their own abstract Unix sockets. Has no effect if the
/// kernel does not support it.
fn scope_abstract_sockets() -> Result<(), RulesetError> {
    Ruleset::default()
        .scope(Scope::AbstractUnixSocket)?
        .create()?
        .restrict_self()
        .map(drop)
}
