//! Owns the inspection of process trees through /proc, and signals to their processes. Does not
//! know about requests and does not reap: only a parent knows what an exit means.
//!
//! The kernel reuses a process number once the parent has reaped the process. So [`signal`] opens a
//! pidfd first, and then checks that the process is still the one that was found.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A process, as /proc described it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// The process number.
    pub pid: Pid,
    /// The process number of the parent, at the time of reading.
    pub parent: i32,
    /// The state: `R`, `S`, `D`, `T` (stopped), `t` (traced), `Z` (zombie), ….
    pub state: char,
    /// The start time, in ticks since boot. Together with the process number it identifies a
    /// process.
    pub start_time: u64,
}

impl Process {
    /// Whether the process has not ended.
    pub fn is_alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X' | 'x')
    }

    /// Whether the process is stopped, by a signal or by a debugger.
    pub fn is_stopped(&self) -> bool {
        matches!(self.state, 'T' | 't')
    }

    /// Whether both descriptions are of one process, whatever its state.
    pub fn is_same(&self, other: &Process) -> bool {
        (self.pid, self.start_time) == (other.pid, other.start_time)
    }
}

/// Reads the description of a process. None if there is no such process, or no /proc.
pub fn read_process(pid: Pid) -> Option<Process> {
    parse_stat(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(stat: &[u8]) -> Option<Process> {
    // "pid (name) state ppid …": the name may contain brackets, so the fields begin after the last
    // one.
    let text = String::from_utf8_lossy(stat);
    let (head, fields) = text.rsplit_once(')')?;
    let pid = Pid::from_raw(head.split('(').next()?.trim().parse().ok()?)?;
    let mut fields = fields.split_ascii_whitespace();
    Some(Process {
        pid,
        state: fields.next()?.chars().next()?,
        parent: fields.next()?.parse().ok()?,
        start_time: fields.nth(17)?.parse().ok()?,
    })
}

/// Returns the children of a process, those of all its threads. It may miss children that start or
/// end in the meantime.
pub fn children(of: Pid) -> Vec<Pid> {
    match listed_children(of) {
        Ok(pids) => pids,
        Err(_) => every_process()
            .into_iter()
            .filter(|p| p.parent == of.as_raw_nonzero().get())
            .map(|p| p.pid)
            .collect(),
    }
}

/// Reads the children from the file that a kernel with CONFIG_PROC_CHILDREN has. An error if there
/// is no such file.
fn listed_children(of: Pid) -> io::Result<Vec<Pid>> {
    let mut found = Vec::new();
    let Ok(threads) = fs::read_dir(format!("/proc/{of}/task")) else {
        // The process has ended. Without any /proc nothing could be found in another way either.
        return Ok(found);
    };
    for thread in threads.flatten() {
        match fs::read_to_string(thread.path().join("children")) {
            Ok(list) => found.extend(
                list.split_ascii_whitespace()
                    .filter_map(|pid| Pid::from_raw(pid.parse().ok()?)),
            ),
            // Either the thread has ended or the kernel has no such files; the thread's directory
            // tells which.
            Err(e) if e.kind() == io::ErrorKind::NotFound && thread.path().exists() => {
                return Err(e);
            }
            Err(_) => {}
        }
    }
    Ok(found)
}

fn every_process() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
        .filter_map(read_process)
        .collect()
}

/// Returns every process below `root`, including zombies, parents before their children.
pub fn descendants(root: Pid) -> Vec<Process> {
    let mut scanned: Option<HashMap<i32, Vec<Process>>> = None;
    let mut seen = HashSet::from([root]);
    let mut found: Vec<Process> = Vec::new();
    let mut next = Some(root);
    let mut visited = 0;
    while let Some(parent) = next {
        let below = match (&scanned, listed_children(parent)) {
            (None, Ok(pids)) => pids.into_iter().filter_map(read_process).collect(),
            _ => scanned
                .get_or_insert_with(by_parent)
                .remove(&parent.as_raw_nonzero().get())
                .unwrap_or_default(),
        };
        found.extend(below.into_iter().filter(|p| seen.insert(p.pid)));
        next = found.get(visited).map(|p| p.pid);
        visited += 1;
    }
    found
}

fn by_parent() -> HashMap<i32, Vec<Process>> {
    let mut map: HashMap<i32, Vec<Process>> = HashMap::new();
    for process in every_process() {
        map.entry(process.parent).or_default().push(process);
    }
    map
}

/// Sends a signal to a process, unless its number belongs to another process by now. Returns
/// whether it was sent.
pub fn signal(process: &Process, signal: Signal) -> bool {
    let Ok(fd) = pidfd_open(process.pid, PidfdFlags::empty()) else {
        return false;
    };
    // The descriptor refers to one process for ever. If the number belongs to the wanted process
    // now, it did so when the descriptor was opened.
    read_process(process.pid).is_some_and(|now| now.is_same(process))
        && pidfd_send_signal(fd, signal).is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn process_name_may_contain_brackets_and_blanks() {
        let line = b"42 (a) b (c)) S 7 42 42 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 12345 1 1";
        let process = parse_stat(line).unwrap();
        assert_eq!(process.pid.as_raw_nonzero().get(), 42);
        assert_eq!(process.parent, 7);
        assert_eq!(process.state, 'S');
        assert_eq!(process.start_time, 12345);
        assert!(parse_stat(b"").is_none());
        assert!(parse_stat(b"42 (a").is_none());
    }

    #[test]
    fn scan_of_proc_and_list_of_children_agree() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let pid = Pid::from_child(&child);
        let own = rustix::process::getpid();
        assert!(children(own).contains(&pid));
        assert!(descendants(own).iter().any(|p| p.pid == pid));
        let scanned = by_parent();
        assert!(
            scanned[&own.as_raw_nonzero().get()]
                .iter()
                .any(|p| p.pid == pid)
        );
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
