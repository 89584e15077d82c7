//! The package managers: how each lists, installs and removes. It must not know what that is for.
//!
//! After their manuals: apt-get(8), dpkg-query(1), dnf(8), zypper(8), rpm(8), apk(8). None is given a chance to ask, and none may
//! remove what it was not told to.

use persea_plugin_sdk::Error;
use persea_plugin_sdk::process::Command;
use persea_requirement_tool::{act, ask, ask_surely, find, program, told};

use crate::Packages;

/// Whoever else holds dpkg's lock is waited for: 10 minutes.
const LOCK: &str = "DPkg::Lock::Timeout=600";

/// Apt's last words when a package can't be had where the index says that it is.
const NOT_FETCHED: &str = "Unable to fetch some archives";

/// A package manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manager {
    Apt,
    Dnf,
    Yum,
    Zypper,
    Apk,
}

impl Manager {
    const ALL: [Self; 5] = [Self::Apt, Self::Dnf, Self::Yum, Self::Zypper, Self::Apk];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Apt => "apt",
            Self::Dnf => "dnf",
            Self::Yum => "yum",
            Self::Zypper => "zypper",
            Self::Apk => "apk",
        }
    }

    const fn program(self) -> &'static str {
        match self {
            Self::Apt => "apt-get",
            other => other.name(),
        }
    }

    pub(crate) fn named(name: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|manager| manager.name() == name);
        found.ok_or_else(|| {
            let message = format!(
                "no package manager `{name}` is known; there are {}",
                names()
            );
            Error::new("invalid", message)
        })
    }

    /// The one that the environment has.
    pub(crate) fn found() -> Result<Self, Error> {
        for manager in Self::ALL {
            if find(manager.program())?.is_some() {
                return Ok(manager);
            }
        }
        let message = format!(
            "this environment has no package manager that is known: {}",
            names()
        );
        Err(Error::new("not-found", message))
    }

    /// Whether packages can be installed at all: by root, or by a sudo that does not ask.
    pub(crate) fn may_change(self) -> Result<(), Error> {
        if is_root()? || ask(program("sudo", ["-n", "true"])).is_ok_and(|answer| answer.is_yes()) {
            return Ok(());
        }
        let message = format!(
            "{} needs root, or a sudo that does not ask; run the job as one who has that, or install the package beforehand",
            self.name()
        );
        Err(Error::new("not-permitted", message))
    }

    /// All packages that are installed.
    pub(crate) fn installed(self) -> Result<Packages, Error> {
        match self {
            Self::Apt => of_dpkg("installed"),
            Self::Dnf | Self::Yum | Self::Zypper => {
                let format = "%{NAME}.%{ARCH}\\t%{VERSION}-%{RELEASE}\\n";
                let list = ask_surely(program("rpm", ["-qa", "--qf", format]))?;
                Ok(list
                    .lines()
                    .filter_map(|line| line.split_once('\t'))
                    .map(owned)
                    .collect())
            }
            Self::Apk => {
                let list = ask_surely(program("apk", ["info", "-v"]))?;
                // `name-1.2.3-r0`; neither a version nor a release has a hyphen.
                let split = |line: &str| {
                    let release = line.rfind('-')?;
                    let version = line.get(..release)?.rfind('-')?;
                    Some((
                        line.get(..version)?.to_owned(),
                        line.get(version + 1..)?.to_owned(),
                    ))
                };
                Ok(list.lines().filter_map(split).collect())
            }
        }
    }

    /// All packages that were removed and whose configuration has stayed.
    pub(crate) fn configured(self) -> Result<Packages, Error> {
        match self {
            Self::Apt => of_dpkg("config-files"),
            // Configuration that stays belongs to no package there.
            Self::Dnf | Self::Yum | Self::Zypper | Self::Apk => Ok(Packages::new()),
        }
    }

    /// By which name a package is in the list, which may have the architecture in it.
    pub(crate) fn key<'a>(self, name: &str, packages: &'a Packages) -> Option<&'a str> {
        if let Some((key, _)) = packages.get_key_value(name) {
            return Some(key);
        }
        let separator = match self {
            Self::Apt => ':',
            Self::Dnf | Self::Yum | Self::Zypper => '.',
            Self::Apk => return None,
        };
        let begins = format!("{name}{separator}");
        let all = packages.range(begins.clone()..);
        let mut same = all
            .map(|(key, _)| key.as_str())
            .take_while(|key| key.starts_with(&begins));
        // A version may have dots, an architecture has none.
        same.find(|key| {
            key.rsplit_once(separator)
                .is_some_and(|(own, _)| own == name)
        })
    }

    /// Installs packages; one version only where there is one package.
    pub(crate) fn install(self, names: &[String], version: Option<&str>) -> Result<(), Error> {
        let separator = match self {
            Self::Dnf | Self::Yum => "-",
            Self::Apt | Self::Zypper | Self::Apk => "=",
        };
        let with_version = |name: &String| match version {
            Some(version) => format!("{name}{separator}{version}"),
            None => name.clone(),
        };
        let wanted: Vec<String> = names.iter().map(with_version).collect();
        let fixed: &[&str] = match self {
            Self::Apt => {
                self.refresh(names)?;
                &[
                    "install",
                    "--yes",
                    "--no-install-recommends",
                    "--no-remove",
                    "-o",
                    LOCK,
                ]
            }
            Self::Dnf => &["install", "-y", "--setopt=install_weak_deps=False"],
            Self::Yum => &["install", "-y"],
            Self::Zypper => &["--non-interactive", "install", "--no-recommends"],
            Self::Apk => &["add"],
        };
        let install = || self.act("install", self.command(fixed, &wanted)?, &wanted);
        match install() {
            // An old index names packages that its server has no more.
            Err(error) if self == Self::Apt && error.message.contains(NOT_FETCHED) => {
                act(self.command(&["update", "-o", LOCK], &[])?)?;
                install()
            }
            installed => installed,
        }
    }

    /// Gets the index of packages where it does not know all of them.
    fn refresh(self, names: &[String]) -> Result<(), Error> {
        let unknown = |name: &String| -> Result<bool, Error> {
            let policy = ask_surely(program("apt-cache", ["policy", name.as_str()]))?;
            Ok(policy.trim().is_empty())
        };
        for name in names {
            if unknown(name)? {
                act(self.command(&["update", "-o", LOCK], &[])?)?;
                break;
            }
        }
        // Where no package has a name with a dot, apt takes it for an expression, and apt-get installs all whose names fit.
        for name in names.iter().filter(|name| name.contains('.')) {
            let name = plain(name);
            let all = ask_surely(program("apt-cache", ["pkgnames", "--all-names", name]))?;
            if !all.lines().any(|line| line == name) {
                let message = format!("apt has no package {name}");
                return Err(Error::new("not-found", message));
            }
        }
        Ok(())
    }

    /// Removes these packages and no others; what others need is not removed. With `configuration` that stays.
    pub(crate) fn remove(self, names: &[String], configuration: bool) -> Result<(), Error> {
        match self {
            Self::Apt => {
                let simulated = ["--simulate", "purge"];
                let plan = ask_surely(program("apt-get", simulated).args(names.iter().cloned()))?;
                let also: Vec<&str> = plan
                    .lines()
                    .filter_map(|line| line.strip_prefix("Purg ").or(line.strip_prefix("Remv ")))
                    .filter_map(|rest| rest.split_whitespace().next())
                    .filter(|name| !names.iter().any(|own| own == name || plain(own) == *name))
                    .collect();
                if !also.is_empty() {
                    let message = format!(
                        "{} can't be removed without {}, which somebody needs",
                        names.join(", "),
                        also.join(", ")
                    );
                    return Err(Error::new("failed", message));
                }
                let how = if configuration { "remove" } else { "purge" };
                let command = self.command(&[how, "--yes", "-o", LOCK], names)?;
                self.act("remove", command, names)
            }
            // It refuses what others need, and removes nothing else.
            Self::Dnf | Self::Yum | Self::Zypper => {
                self.act("remove", privileged("rpm", &["-e"], names)?, names)
            }
            Self::Apk => self.act("remove", self.command(&["del"], names)?, names),
        }
    }

    /// A failure is told by what was wanted; the command is long and nobody has typed it.
    fn act(self, what: &str, command: Command, names: &[String]) -> Result<(), Error> {
        let wanted = format!("{} could not {what} {}", self.name(), names.join(", "));
        act(command).map_err(|error| told(error, &wanted))
    }

    fn command(self, fixed: &[&str], names: &[String]) -> Result<Command, Error> {
        privileged(self.program(), fixed, names)
    }
}

/// The packages that have this status.
fn of_dpkg(status: &str) -> Result<Packages, Error> {
    let format = "${binary:Package}\\t${Version}\\t${db:Status-Status}\\n";
    let list = ask_surely(program("dpkg-query", ["--show", "--showformat", format]))?;
    let lines = list.lines().filter_map(|line| line.rsplit_once('\t'));
    let lines = lines.filter(|(_, found)| *found == status);
    let packages = lines.filter_map(|(line, _)| line.split_once('\t'));
    Ok(packages.map(owned).collect())
}

fn names() -> String {
    Manager::ALL.map(Manager::name).join(", ")
}

fn owned((name, version): (&str, &str)) -> (String, String) {
    (name.to_owned(), version.to_owned())
}

/// A name without its architecture.
fn plain(name: &str) -> &str {
    name.split_once(':').map_or(name, |(name, _)| name)
}

fn is_root() -> Result<bool, Error> {
    Ok(ask_surely(program("id", ["-u"]))?.trim() == "0")
}

/// A command of root's that asks nothing.
fn privileged(name: &str, fixed: &[&str], names: &[String]) -> Result<Command, Error> {
    let quiet = ["DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8", name];
    let command = match is_root()? {
        true => program("env", quiet),
        false => program("sudo", ["-n", "env"]).args(quiet),
    };
    Ok(command
        .args(fixed.iter().copied())
        .args(names.iter().cloned()))
}
