//! Owns the scripts for `/bin/sh` that bring the helper to another host and run it. Does not know
//! how they get there.
//!
//! A login shell of any kind may have to pass a script on, so a script contains no single quote,
//! backslash, exclamation mark or newline: a pair of single quotes keeps it as it is.
//!
//! The marker is not part of a script as it is sent: a login shell may repeat what it runs.

use std::io;
use std::time::Duration;

/// The beginning of a marker.
const PREFIX: &str = "persea-";

/// A text that comes from nowhere else.
pub(crate) fn random() -> io::Result<String> {
    // The kernel makes a new one for each reading.
    let text = std::fs::read_to_string("/proc/sys/kernel/random/uuid")?;
    Ok(text.trim().to_owned())
}

/// The marker with this random part.
pub(super) fn marker(random: &str) -> String {
    format!("{PREFIX}{random}")
}

/// The script that receives the helper and keeps its directory. Its marked lines are `hello`, the
/// kernel and the architecture; then, after `length` bytes on its standard input, `ready` and the
/// directory. `fail` with a step and a reason ends it.
pub(super) fn keeper(random: &str, length: usize, lease: Duration) -> String {
    let lease = lease.as_millis();
    format!(
        "m={PREFIX}; m=${{m}}{random}; umask 077; \
         echo; echo \"$m hello $(uname -s) $(uname -m)\"; \
         fail() {{ echo \"$m fail $*\"; exit 1; }}; \
         d=$(mktemp -d \"${{TMPDIR:-/tmp}}/persea-XXXXXXXXXX\" 2>&1) || fail directory $d; \
         end() {{ rm -rf \"$d\"; }}; trap end EXIT; trap \"exit 1\" HUP INT TERM; \
         e=$(head -c {length} 2>&1 >\"$d/helper\") || fail write $e; \
         n=$(wc -c <\"$d/helper\"); test \"$n\" -eq {length} || fail write only $n bytes; \
         chmod 700 \"$d/helper\"; \
         e=$(\"$d/helper\" --version 2>&1) || fail execute $e; \
         trap - EXIT; echo \"$m ready $d\"; \
         exec \"$d/helper\" {} \"$d\" {lease}",
        persea_helper::KEEP_ARGUMENT
    )
}

/// The script that runs a helper which is in this directory, after a marked line.
pub(super) fn helper(random: &str, directory: &str) -> String {
    let guard = format!("{} 0 \"$d/helper\"", persea_helper::GUARD_ARGUMENT);
    run(random, directory, &guard)
}

/// The script that receives the project, after a marked line.
pub(super) fn project(random: &str, directory: &str, lease: Duration) -> String {
    let lease = lease.as_millis();
    let arguments = format!("{} {lease}", persea_helper::PROJECT_ARGUMENT);
    run(random, directory, &arguments)
}

fn run(random: &str, directory: &str, arguments: &str) -> String {
    format!(
        "m={PREFIX}; m=${{m}}{random}; d=\"{directory}\"; echo; echo \"$m\"; \
         exec \"$d/helper\" {arguments}"
    )
}

/// Whether the path of a directory can be part of a script for any shell.
pub(super) fn is_plain(directory: &str) -> bool {
    let is_special = |c: char| c.is_control() || "'\"\\!$`".contains(c);
    directory.starts_with('/') && !directory.contains(is_special)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_need_no_quoting_and_hide_their_marker() {
        let lease = Duration::from_secs(30);
        for script in [
            keeper("1234", 99, lease),
            helper("1234", "/tmp/persea-x"),
            project("1234", "/tmp/persea-x", lease),
        ] {
            assert!(!script.contains(['\'', '\\', '!', '\n']), "{script}");
            assert!(!script.contains(&marker("1234")), "{script}");
        }
    }

    #[test]
    fn directory_that_a_shell_would_read_otherwise_is_not_plain() {
        assert!(is_plain("/tmp/a directory/persea-1"));
        for path in [
            "", "tmp", "/a'b", "/a\"b", "/$HOME", "/a`b`", "/a\\b", "/a!b", "/a\nb",
        ] {
            assert!(!is_plain(path), "{path}");
        }
    }
}
