//! Owns the list of hosts with their slots, and which slot is on which host. Does not know how a
//! host is reached.

use std::sync::Arc;

use crate::SpawnError;

/// The most slots of one host.
const MAX_SLOTS: usize = 1024;

/// The number of slots that share one connection. A server allows ten sessions for a connection by
/// default (MaxSessions in sshd_config(5)), one of which keeps the helper's directory.
const SLOTS_OF_A_LINK: usize = 9;

/// A host and the number of its slots.
#[derive(Debug, PartialEq, Eq)]
struct Host {
    name: Arc<str>,
    slots: usize,
}

/// The hosts of a job.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Hosts {
    all: Vec<Host>,
    /// For each slot in turn, its host and how many earlier slots that host has.
    order: Vec<(usize, usize)>,
}

impl Hosts {
    /// Reads elements of the form `HOST` or `HOST=SLOTS`.
    ///
    /// # Errors
    /// One of them has another form, or a host comes twice.
    pub(super) fn parse(texts: &[String]) -> Result<Self, SpawnError> {
        let mut all: Vec<Host> = Vec::new();
        for text in texts {
            let host = parse_host(text).map_err(|why| {
                SpawnError::Invalid(format!(
                    "`{text}` in `spawner.ssh.hosts` (`--hosts`): {why}"
                ))
            })?;
            if all.iter().any(|other| other.name == host.name) {
                return Err(SpawnError::Invalid(format!(
                    "`spawner.ssh.hosts` (`--hosts`) names the host {0} twice: for more tests at \
                     once on it, write `{0}=2`",
                    host.name
                )));
            }
            all.push(host);
        }
        let order = interleave(&all);
        Ok(Self { all, order })
    }

    /// The number of all slots.
    pub(super) fn slots(&self) -> usize {
        self.order.len()
    }

    /// The host of a slot with its name, and the number of the connection to it. Slots beyond those
    /// of the hosts begin again with the first one. None where there is no host.
    pub(super) fn place(&self, slot: usize) -> Option<(usize, &Arc<str>, usize)> {
        let round = slot.checked_div(self.order.len())?;
        let (host, rank) = *self.order.get(slot % self.order.len())?;
        let Host { name, slots } = self.all.get(host)?;
        Some((host, name, (round * slots + rank) / SLOTS_OF_A_LINK))
    }
}

fn parse_host(text: &str) -> Result<Host, String> {
    let (name, slots) = match text.rsplit_once('=') {
        None => (text, 1),
        Some((name, slots)) => {
            let number = slots.parse().ok();
            let number = number.filter(|number| (1..=MAX_SLOTS).contains(number));
            let number = number.ok_or_else(|| {
                format!("expected a number of slots from 1 to {MAX_SLOTS} after `=`")
            })?;
            (name, number)
        }
    };
    if name.is_empty() {
        return Err("the name of the host is missing".to_owned());
    }
    // `ssh` would take it for an option.
    if name.starts_with('-') {
        return Err("the name of a host does not begin with `-`".to_owned());
    }
    if name.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("the name of a host has no white space".to_owned());
    }
    Ok(Host {
        name: name.into(),
        slots,
    })
}

/// Mixes the slots of the hosts, so that any number of first slots is spread over the hosts by
/// their numbers of slots.
fn interleave(hosts: &[Host]) -> Vec<(usize, usize)> {
    let all = hosts.iter().enumerate();
    let slots =
        all.flat_map(|(host, Host { slots, .. })| (0..*slots).map(move |rank| (host, rank)));
    let mut slots: Vec<(usize, usize)> = slots.collect();
    // A host's slots are at the middles of equal parts of the whole: at (2 rank + 1) / (2 slots).
    let of = |host: usize| hosts.get(host).map_or(1, |host| host.slots);
    slots.sort_by(|(a, rank_a), (b, rank_b)| {
        let (left, right) = ((2 * rank_a + 1) * of(*b), (2 * rank_b + 1) * of(*a));
        left.cmp(&right).then(a.cmp(b))
    });
    slots
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn hosts(texts: &[&str]) -> Hosts {
        let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
        Hosts::parse(&texts).unwrap()
    }

    fn names(hosts: &Hosts, slots: usize) -> Vec<&str> {
        let name = |slot| &**hosts.place(slot).unwrap().1;
        (0..slots).map(name).collect()
    }

    #[test]
    fn slots_are_spread_by_the_numbers_of_the_hosts() {
        let hosts = hosts(&["a=4", "b=2", "user@c"]);
        assert_eq!(hosts.slots(), 7);
        let all = names(&hosts, 7);
        let count = |name| all.iter().filter(|it| **it == name).count();
        assert_eq!((count("a"), count("b"), count("user@c")), (4, 2, 1));
        let mut first = names(&hosts, 4);
        first.dedup();
        assert_eq!(first, ["a", "b", "a", "user@c"]);
    }

    #[test]
    fn slots_beyond_those_of_the_hosts_begin_again() {
        let hosts = hosts(&["a", "b"]);
        assert_eq!(names(&hosts, 5), ["a", "b", "a", "b", "a"]);
        assert_eq!(Hosts::default().place(0), None);
    }

    #[test]
    fn connection_serves_nine_slots() {
        let hosts = hosts(&["a=10"]);
        let link = |slot| hosts.place(slot).unwrap().2;
        assert_eq!((link(0), link(8), link(9)), (0, 0, 1));
        // Slots of requirements come after those of tasks.
        assert_eq!((link(10), link(17), link(18)), (1, 1, 2));
    }

    #[test]
    fn invalid_hosts_are_refused() {
        for text in [
            "",
            "=2",
            "a=",
            "a=0",
            "a=x",
            "a=2000",
            "-oProxyCommand=x",
            "a b",
        ] {
            assert!(Hosts::parse(&[text.to_owned()]).is_err(), "{text}");
        }
        assert!(Hosts::parse(&["a".to_owned(), "a=2".to_owned()]).is_err());
    }
}
