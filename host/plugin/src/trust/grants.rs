//! What the user lets a plugin do: powers with their parameters, as a lock file or the command line gives them.
//!
//! A plugin may do what its component imports and what it's granted, whichever is less. Owns which powers have to be granted, how a
//! grant is written, compared and said in words. Knows nothing of files or of how a power is held to its grant.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use crate::trust::manifest::Manifest;
use persea_model::SpawnerKind;

/// What stands behind a directory that may be changed.
const WRITE: &str = ":write";

/// A power that is only there where it's granted. What a plugin can do without is log, report on its own task, write its own
/// report and keep a few files of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Power {
    /// Processes in the task's environment; in which spawners.
    Process,
    /// Of the processes, which programs; where this is not granted, any.
    Programs,
    /// Files of the project, to be read; which directories.
    Workspace,
    /// Downloads by the host; from which hosts.
    Fetch,
    /// Variables of the host's environment, for the plugin and for its processes; which names.
    Environment,
    /// Directories through WASI; which paths, with `:write` after those that it may change.
    Directories,
}

impl Power {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Process,
        Self::Programs,
        Self::Workspace,
        Self::Fetch,
        Self::Environment,
        Self::Directories,
    ];

    /// Its name in lock files and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Programs => "programs",
            Self::Workspace => "workspace",
            Self::Fetch => "fetch",
            Self::Environment => "environment",
            Self::Directories => "directories",
        }
    }

    /// What a grant says that names nothing: the least that is of use.
    const fn least(self) -> Option<&'static str> {
        match self {
            Self::Process => Some("sandbox"),
            Self::Workspace => Some("."),
            _ => None,
        }
    }

    /// What has to be named in a grant, for messages.
    const fn parameter(self) -> &'static str {
        match self {
            Self::Process => "SPAWNER",
            Self::Programs => "PROGRAM",
            Self::Workspace => "DIR",
            Self::Fetch => "HOST",
            Self::Environment => "VARIABLE",
            Self::Directories => "DIR[:write]",
        }
    }

    /// Whether a grant can name this; it would grant nothing otherwise, or another thing than it says.
    fn check(self, what: &str) -> Result<(), String> {
        let wrong = |why: &str| Err(format!("`{}={what}`: {why}", self.name()));
        if what.is_empty() || what.contains(char::is_control) {
            return wrong("that is no name");
        }
        let host = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        match self {
            Self::Process if what != "*" && SpawnerKind::parse(what).is_none() => wrong(&format!(
                "there are the spawners {}",
                SpawnerKind::ALL
                    .map(|kind| format!("`{kind}`"))
                    .join(" and ")
            )),
            Self::Workspace if what == "*" || !is_below(Path::new(what)) => {
                wrong("that is no directory of the project, as `tests`, or `.` for all of it")
            }
            Self::Fetch
                if !is_bracketed(what)
                    && !what.strip_prefix('*').unwrap_or(what).chars().all(host) =>
            {
                wrong("that is no host's name, as `example.org` or `*.example.org`")
            }
            Self::Environment if what.contains('=') || what.contains('*') && what != "*" => {
                wrong("that is no variable's name, and `*` alone is any")
            }
            Self::Directories if what == WRITE => wrong("that is no directory"),
            _ => Ok(()),
        }
    }

    /// The grant that is proposed to who has to write one: `fetch=HOST`. Processes are proposed for the spawners that isolate and for the
    /// one that is configured, so that the command works as it stands.
    pub fn proposal(self, spawner: &str) -> String {
        let what = match self {
            Self::Process if SpawnerKind::isolating().contains(&spawner) => spawner.to_owned(),
            Self::Process => [&SpawnerKind::isolating()[..], &[spawner]]
                .concat()
                .join(","),
            _ => self.least().unwrap_or(self.parameter()).to_owned(),
        };
        format!("{}={what}", self.name())
    }
}

/// What a plugin is granted: for each power, what it may reach with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Grants(BTreeMap<Power, Vec<String>>);

impl Grants {
    /// What the host's own plugins have.
    pub(crate) fn all() -> Self {
        let any = || vec!["*".to_owned()];
        Self(BTreeMap::from([
            (Power::Process, any()),
            (Power::Workspace, vec![".".to_owned()]),
            (Power::Fetch, any()),
            (Power::Environment, any()),
        ]))
    }

    /// Reads grants as they are written on the command line: `process`, `process=sandbox,process`, `fetch=*.example.org`.
    pub fn parse<S: AsRef<str>>(texts: &[S]) -> Result<Self, String> {
        let mut grants = Self::default();
        for text in texts {
            let text = text.as_ref();
            let (name, values) = match text.split_once('=') {
                Some((name, values)) => (name, Some(values)),
                None => (text, None),
            };
            let power = Power::ALL.into_iter().find(|power| power.name() == name);
            let power = power.ok_or_else(|| {
                let names: Vec<String> = Power::ALL
                    .iter()
                    .map(|p| format!("`{}`", p.name()))
                    .collect();
                format!("`{name}` cannot be granted: there are {}", names.join(", "))
            })?;
            let values: Vec<String> = match values {
                Some(values) => values
                    .split(',')
                    .map(|value| value.trim().to_owned())
                    .collect(),
                None => power.least().map(str::to_owned).into_iter().collect(),
            };
            if values.is_empty() || values.iter().any(String::is_empty) {
                return Err(format!(
                    "`{text}` names nothing: write it as `{}={}`",
                    power.name(),
                    power.parameter()
                ));
            }
            let all = grants.0.entry(power).or_default();
            all.extend(values);
            all.sort();
            all.dedup();
        }
        grants.check()?;
        Ok(grants)
    }

    /// What is wrong with what they name, if something is.
    pub(crate) fn check(&self) -> Result<(), String> {
        for (power, values) in &self.0 {
            if values.is_empty() {
                let (name, parameter) = (power.name(), power.parameter());
                return Err(format!("`{name}` names nothing: it takes {parameter}"));
            }
            values.iter().try_for_each(|value| power.check(value))?;
        }
        Ok(())
    }

    /// Whether there's nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is granted of one power; nothing where it isn't.
    pub fn of(&self, power: Power) -> &[String] {
        self.0.get(&power).map_or(&[], Vec::as_slice)
    }

    /// The spawners in which what a plugin starts may be, or others start at its word. Where none is granted that is what isolates: such
    /// processes need nobody's trust.
    pub fn spawners(&self) -> Vec<&str> {
        match self.of(Power::Process) {
            [] => SpawnerKind::isolating(),
            granted => granted.iter().map(String::as_str).collect(),
        }
    }

    /// The same, with these in place of what is granted of one power; as options of a command: ` --grant process=sandbox,process`.
    pub(crate) fn options_with(&self, power: Power, values: &[&str]) -> String {
        let mut all = self.clone();
        let values = values.iter().map(|value| (*value).to_owned());
        all.0.insert(power, values.collect());
        let options = all.0.iter();
        options
            .map(|(power, values)| format!(" --grant {}={}", power.name(), values.join(",")))
            .collect()
    }

    /// Whether the power is granted for this spawner, program or variable; `*` is any.
    pub fn allows(&self, power: Power, what: &str) -> bool {
        self.of(power)
            .iter()
            .any(|listed| listed == "*" || listed == what)
    }

    /// The granted directories, and whether each may be changed.
    pub(crate) fn directories(&self) -> impl Iterator<Item = (&Path, bool)> {
        let listed = self.of(Power::Directories).iter();
        listed.map(|listed| match listed.strip_suffix(WRITE) {
            Some(path) => (Path::new(path), true),
            None => (Path::new(listed), false),
        })
    }

    /// The first granted directory that a project cannot grant to its own plugins, because it would reach out of the project: one that
    /// is elsewhere, or that may be changed.
    pub fn beyond_project(&self) -> Option<&str> {
        let within = |(path, write): (&Path, bool)| !write && is_below(path);
        let place = self
            .directories()
            .position(|directory| !within(directory))?;
        self.of(Power::Directories).get(place).map(String::as_str)
    }

    /// Which programs its processes may be; none for any.
    pub fn programs(&self) -> Option<&[String]> {
        self.0.get(&Power::Programs).map(Vec::as_slice)
    }

    /// Puts other grants over these, power by power.
    pub fn replace(&mut self, other: &Self) {
        for (power, values) in &other.0 {
            self.0.insert(*power, values.clone());
        }
    }

    /// What a component asks for and these do not grant.
    pub fn missing(&self, manifest: &Manifest) -> Vec<Power> {
        let asked = asked(manifest);
        asked
            .into_iter()
            .filter(|power| self.of(*power).is_empty())
            .collect()
    }

    /// Takes away what a component has no use for, and says which powers that were.
    pub fn retain(&mut self, manifest: &Manifest) -> Vec<Power> {
        let useless = |power: &Power| !manifest.can_use(*power);
        let gone: Vec<Power> = self.0.keys().copied().filter(useless).collect();
        self.0.retain(|power, _| !gone.contains(power));
        gone
    }
}

/// An address of IPv6, as in a URL.
fn is_bracketed(host: &str) -> bool {
    let inner = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    inner.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok())
}

/// Whether a path by its words is in the working directory.
pub(crate) fn is_below(path: &Path) -> bool {
    let inner = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    path.components().all(inner)
}

/// The powers that a component asks for and that have to be granted.
fn asked(manifest: &Manifest) -> Vec<Power> {
    let has = |power: &Power| manifest.powers.iter().any(|asked| asked == power.name());
    Power::ALL.into_iter().filter(has).collect()
}

impl fmt::Display for Grants {
    /// As on the command line, a power after the other.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nothing");
        }
        for (index, (power, values)) in self.0.iter().enumerate() {
            let gap = if index == 0 { "" } else { " " };
            write!(f, "{gap}{}={}", power.name(), values.join(","))?;
        }
        Ok(())
    }
}

/// What an interface of the contract lets a plugin do, in words.
pub fn in_words(interface: &str) -> &'static str {
    match interface {
        "log" => "write messages to the log",
        "workspace" => "read files of the project",
        "process" => "start processes where its task runs",
        "status" => "tell how its task goes, and leave files in the task's directory",
        "batch" => "take one task of the job after the other",
        "output" => "write its own report",
        "fetch" => "have files downloaded by the host",
        "cache" => "keep some files of its own from job to job",
        _ => "a power that this host does not know",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn grants(texts: &[&str]) -> Grants {
        Grants::parse(texts).unwrap()
    }

    fn asking(powers: &[&str]) -> Manifest {
        Manifest {
            world: crate::World::RequirementResolver,
            contract: semver::Version::new(0, 1, 0),
            powers: powers.iter().map(|&power| power.to_owned()).collect(),
            wasi: false,
            batches: false,
            programs: false,
        }
    }

    #[test]
    fn a_grant_names_what_it_is_for_or_is_the_least() {
        assert_eq!(grants(&["process"]).of(Power::Process), ["sandbox"]);
        let several = grants(&["fetch=b.example.org, a.example.org", "workspace"]);
        assert_eq!(
            several.to_string(),
            "workspace=. fetch=a.example.org,b.example.org"
        );
        assert_eq!(
            Grants::parse(&["fetch"]).unwrap_err(),
            "`fetch` names nothing: write it as `fetch=HOST`"
        );
        assert!(Grants::parse(&["fetch=a,,b"]).is_err());
        assert!(
            Grants::parse(&["root"])
                .unwrap_err()
                .contains("`root` cannot be granted: there are `process`, ")
        );
    }

    #[test]
    fn a_star_is_any() {
        let grants = grants(&["process", "environment=*"]);
        assert!(grants.allows(Power::Process, "sandbox"));
        assert!(!grants.allows(Power::Process, "process"));
        assert!(grants.allows(Power::Environment, "HOME"));
        assert!(!grants.allows(Power::Fetch, "example.org"));
    }

    #[test]
    fn what_would_grant_nothing_is_refused() {
        let wrong = |text: &str| Grants::parse(&[text]).unwrap_err();
        assert_eq!(
            wrong("process=nonsense"),
            "`process=nonsense`: there are the spawners `process` and `sandbox`"
        );
        for (text, words) in [
            ("workspace=../x", "no directory of the project"),
            ("workspace=/etc", "no directory of the project"),
            ("workspace=*", "no directory of the project"),
            ("environment=A=B", "no variable's name"),
            ("environment=A*", "no variable's name"),
            ("fetch=https://example.org", "no host's name"),
            ("fetch=example.org:80", "no host's name"),
            ("fetch=[nonsense]", "no host's name"),
            ("programs=a\nb", "no name"),
            ("directories=:write", "no directory"),
        ] {
            assert!(wrong(text).contains(words), "{text}: {}", wrong(text));
        }
        for right in [
            "process=*",
            "workspace=a/./b",
            "environment=*",
            "fetch=*,*.example.org,10.0.0.1,[::1],file,.",
            "directories=/a b:write",
        ] {
            Grants::parse(&[right]).unwrap();
        }
        let empty: Grants = serde_json::from_str(r#"{"process": []}"#).unwrap();
        assert_eq!(
            empty.check().unwrap_err(),
            "`process` names nothing: it takes SPAWNER"
        );
    }

    #[test]
    fn a_project_grants_its_own_directories_to_be_read() {
        let within = grants(&["directories=in,./a/b,.", "fetch=*"]);
        assert_eq!(within.beyond_project(), None);
        for beyond in ["in:write", "/etc", "../x", "in/../../x", "/:write"] {
            let grants = grants(&["directories=in", &format!("directories={beyond}")]);
            assert_eq!(grants.beyond_project(), Some(beyond));
        }
    }

    #[test]
    fn what_is_asked_for_has_to_be_granted_and_no_more_can_be() {
        let asks = asking(&["log", "process", "fetch", "cache"]);
        assert_eq!(
            Grants::default().missing(&asks),
            [Power::Process, Power::Fetch]
        );
        let mut more = grants(&["process", "programs=git", "workspace", "directories=x"]);
        assert_eq!(more.missing(&asks), [Power::Fetch]);
        assert_eq!(more.retain(&asks), [Power::Workspace, Power::Directories]);
        assert_eq!(more, grants(&["process", "programs=git"]));
        assert!(Grants::all().missing(&asks).is_empty());
    }
}
