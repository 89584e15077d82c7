//! Owns the identity of processes and machines across the end of this process: what another one
//! can find again. Does not know what a process is for.

use rustix::process::getpid;

/// The kernel's id of the last start of this machine; empty if unknown.
pub fn boot_id() -> String {
    kernel("random/boot_id")
}

/// The name of this machine; empty if unknown.
pub fn machine_name() -> String {
    kernel("hostname")
}

/// The process number of this process.
pub fn own_number() -> u32 {
    getpid().as_raw_nonzero().get().unsigned_abs()
}

/// The number of the user of this process.
pub fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// When a process started, in ticks of the kernel since the machine's start. None for a process
/// that does not exist. With the number it identifies a process until the machine's next start.
pub fn start_of(process: u32) -> Option<u64> {
    // See proc_pid_stat(5). The name, in parentheses, may have spaces and parentheses in it.
    let text = std::fs::read(format!("/proc/{process}/stat")).ok()?;
    let after_name = text.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(text.get(after_name..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace().skip(1);
    // A zombie has ended, and only waits for its parent.
    let state = fields.next().filter(|state| *state != "Z" && *state != "X");
    state.and_then(|_| fields.nth(18)?.parse().ok())
}

/// The time since the start of this machine, also while it was suspended.
pub fn uptime() -> std::time::Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    std::time::Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or_default())
}

fn kernel(name: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/sys/kernel/{name}"));
    text.unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn process_has_a_start_as_long_as_it_exists() {
        let start = start_of(own_number()).unwrap();
        assert!(start > 0);
        assert_eq!(start_of(own_number()), Some(start));
        assert_eq!(start_of(u32::MAX), None);
    }

    #[test]
    fn machine_has_a_name_and_has_been_started() {
        assert!(!boot_id().is_empty() && !machine_name().is_empty());
        assert!(uptime() > std::time::Duration::ZERO);
    }
}
