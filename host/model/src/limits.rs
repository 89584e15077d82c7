//! Owns what the processes of a test may use: plain data, and how people read it. Does not know how
//! a limit is enforced.

use std::fmt;

/// What the processes of one test may use, all together. None of a field means no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// The memory, in bytes.
    pub memory: Option<u64>,
    /// The number of processes and threads at the same time.
    pub processes: Option<u64>,
    /// The processors, in thousandths of one.
    pub cpus: Option<u64>,
    /// The bytes in files that the test writes.
    pub disk: Option<u64>,
}

/// What a limit is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The memory.
    Memory,
    /// The number of processes and threads.
    Processes,
    /// The processors.
    Cpus,
    /// What is written.
    Disk,
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Memory, Self::Processes, Self::Cpus, Self::Disk];

    /// All names, for a message that lists them.
    pub const NAMES: &str = "`memory`, `processes`, `cpus` and `disk`";

    /// The name, as settings and recipes have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Processes => "processes",
            Self::Cpus => "cpus",
            Self::Disk => "disk",
        }
    }

    /// The limit with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|limit| limit.name() == name)
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Limits {
    /// The value of a limit; none for no limit.
    pub const fn get(&self, limit: Limit) -> Option<u64> {
        match limit {
            Limit::Memory => self.memory,
            Limit::Processes => self.processes,
            Limit::Cpus => self.cpus,
            Limit::Disk => self.disk,
        }
    }

    /// The place of a limit's value.
    pub const fn get_mut(&mut self, limit: Limit) -> &mut Option<u64> {
        match limit {
            Limit::Memory => &mut self.memory,
            Limit::Processes => &mut self.processes,
            Limit::Cpus => &mut self.cpus,
            Limit::Disk => &mut self.disk,
        }
    }

    /// The limits that are set.
    pub fn set(&self) -> impl Iterator<Item = Limit> + use<> {
        let limits = *self;
        let all = Limit::ALL.into_iter();
        all.filter(move |limit| limits.get(*limit).is_some())
    }

    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Writes a number of bytes in the largest unit in which it is whole: `2 GiB`.
pub fn written_size(bytes: u64) -> String {
    let units = [
        (1 << 40, "TiB"),
        (1 << 30, "GiB"),
        (1 << 20, "MiB"),
        (1 << 10, "KiB"),
    ];
    let unit = units
        .into_iter()
        .find(|(size, _)| bytes > 0 && bytes.is_multiple_of(*size));
    match unit {
        Some((size, name)) => format!("{} {name}", bytes / size),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_is_written_in_the_largest_whole_unit() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1000, "1000 bytes"),
            (1024, "1 KiB"),
            (64 << 20, "64 MiB"),
            (2 << 30, "2 GiB"),
            ((2 << 30) + 1024, "2097153 KiB"),
            (3 << 40, "3 TiB"),
        ] {
            assert_eq!(written_size(bytes), text);
        }
    }

    #[test]
    fn limits_have_a_value_for_each_name() {
        let mut limits = Limits::default();
        assert!(limits.is_empty());
        for limit in Limit::ALL {
            assert_eq!(Limit::parse(limit.name()), Some(limit));
            *limits.get_mut(limit) = Some(1);
            assert_eq!(limits.get(limit), Some(1), "{limit}");
        }
        assert!(limits.set().eq(Limit::ALL));
        let names = Limit::ALL.map(|limit| format!("`{limit}`"));
        let [others @ .., last] = &names;
        assert_eq!(format!("{} and {last}", others.join(", ")), Limit::NAMES);
    }
}
