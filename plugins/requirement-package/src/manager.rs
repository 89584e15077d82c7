//! Owns the commands of the package managers: listing, installing and removing packages.
//! Does not know about requirements.
//!
//! Sources: apt-get(8), dpkg-query(1), dnf(8), zypper(8), rpm(8), apk(8). No command may prompt,
//! and none may remove a package that is not named.

use persea_plugin_sdk::Error;
use persea_plugin_sdk::process::Command;
use persea_requirement_tool::{execute, find_program, for_purpose, program, query, query_ok};

use crate::Packages;

/// Option of apt-get: wait up to 10 minutes for another process that holds dpkg's lock.
const LOCK: &str = "DPkg::Lock::Timeout=600";

/// Beginning of apt's error where a package is not at the URL that the index names.
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

    pub(crate) fn from_name(name: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|manager| manager.name() == name);
        found.ok_or_else(|| {
            let message = format!(
                "unknown package manager `{name}`; supported are {}",
                names()
            );
            Error::new("invalid", message)
        })
    }

    /// Returns the first supported manager that the environment has.
    pub(crate) fn detect() -> Result<Self, Error> {
        for manager in Self::ALL {
            if find_program(manager.program())?.is_some() {
                return Ok(manager);
            }
        }
        let message = format!(
            "this environment has no supported package manager: {}",
            names()
        );
        Err(Error::new("not-found", message))
    }

    /// Checks that packages can be installed: by root, or by a sudo that does not prompt.
    pub(crate) fn check_privileges(self) -> Result<(), Error> {
        if is_root()?
            || query(program("sudo", ["-n", "true"])).is_ok_and(|answer| answer.succeeded())
        {
            return Ok(());
        }
        let message = format!(
            "{} needs root, or a sudo that does not ask for a password; run the job as such a \
             user, or install the package beforehand",
            self.name()
        );
        Err(Error::new("not-permitted", message))
    }

    /// Returns all installed packages with their versions.
    pub(crate) fn installed(self) -> Result<Packages, Error> {
        match self {
            Self::Apt => dpkg_packages("installed"),
            Self::Dnf | Self::Yum | Self::Zypper => {
                let format = "%{NAME}.%{ARCH}\\t%{VERSION}-%{RELEASE}\\n";
                let list = query_ok(program("rpm", ["-qa", "--qf", format]))?;
                Ok(list
                    .lines()
                    .filter_map(|line| line.split_once('\t'))
                    .map(owned)
                    .collect())
            }
            Self::Apk => {
                let list = query_ok(program("apk", ["info", "-v"]))?;
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

    /// Returns all packages that were removed without their configuration files.
    pub(crate) fn removed_with_configuration(self) -> Result<Packages, Error> {
        match self {
            Self::Apt => dpkg_packages("config-files"),
            // These managers do not track the configuration of removed packages.
            Self::Dnf | Self::Yum | Self::Zypper | Self::Apk => Ok(Packages::new()),
        }
    }

    /// Returns the name under which a package is in the list: the name itself, or the name with an
    /// architecture.
    pub(crate) fn listed_name<'a>(self, name: &str, packages: &'a Packages) -> Option<&'a str> {
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
        // `python3` must not match `python3.11.x86_64`: an architecture has no separator in it.
        same.find(|key| {
            key.rsplit_once(separator)
                .is_some_and(|(own, _)| own == name)
        })
    }

    /// Installs packages. A version is allowed only with a single package.
    pub(crate) fn install(self, names: &[String], version: Option<&str>) -> Result<(), Error> {
        let separator = match self {
            Self::Dnf | Self::Yum => "-",
            Self::Apt | Self::Zypper | Self::Apk => "=",
        };
        let with_version = |name: &String| match version {
            Some(version) => format!("{name}{separator}{version}"),
            None => name.clone(),
        };
        let packages: Vec<String> = names.iter().map(with_version).collect();
        let fixed: &[&str] = match self {
            Self::Apt => {
                self.update_index_for(names)?;
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
        let install = || self.execute("install", self.command(fixed, &packages)?, &packages);
        match install() {
            // An outdated index names packages that the server has replaced.
            Err(error) if self == Self::Apt && error.message.contains(NOT_FETCHED) => {
                execute(self.command(&["update", "-o", LOCK], &[])?)?;
                install()
            }
            installed => installed,
        }
    }

    /// Updates apt's index where it lacks one of the packages.
    fn update_index_for(self, names: &[String]) -> Result<(), Error> {
        let unknown = |name: &String| -> Result<bool, Error> {
            let policy = query_ok(program("apt-cache", ["policy", name.as_str()]))?;
            Ok(policy.trim().is_empty())
        };
        for name in names {
            if unknown(name)? {
                execute(self.command(&["update", "-o", LOCK], &[])?)?;
                break;
            }
        }
        // apt-get takes a name with a dot for a regular expression if no package has that name,
        // and installs every package that matches.
        for name in names.iter().filter(|name| name.contains('.')) {
            let name = without_architecture(name);
            let all = query_ok(program("apt-cache", ["pkgnames", "--all-names", name]))?;
            if !all.lines().any(|line| line == name) {
                let message = format!("apt has no package {name}");
                return Err(Error::new("not-found", message));
            }
        }
        Ok(())
    }

    /// Removes these packages and no others. A package that another one needs is an error. With
    /// `keep_configuration`, apt keeps the configuration files.
    pub(crate) fn remove(self, names: &[String], keep_configuration: bool) -> Result<(), Error> {
        match self {
            Self::Apt => {
                let simulated = ["--simulate", "purge"];
                let plan = query_ok(program("apt-get", simulated).args(names.iter().cloned()))?;
                let also: Vec<&str> = plan
                    .lines()
                    .filter_map(|line| line.strip_prefix("Purg ").or(line.strip_prefix("Remv ")))
                    .filter_map(|rest| rest.split_whitespace().next())
                    .filter(|name| {
                        !names
                            .iter()
                            .any(|own| own == name || without_architecture(own) == *name)
                    })
                    .collect();
                if !also.is_empty() {
                    let message = format!(
                        "cannot remove {} without {}, which was installed since",
                        names.join(", "),
                        also.join(", ")
                    );
                    return Err(Error::new("failed", message));
                }
                let how = if keep_configuration {
                    "remove"
                } else {
                    "purge"
                };
                let command = self.command(&[how, "--yes", "-o", LOCK], names)?;
                self.execute("remove", command, names)
            }
            // rpm refuses to remove a package that another one needs.
            Self::Dnf | Self::Yum | Self::Zypper => {
                self.execute("remove", privileged("rpm", &["-e"], names)?, names)
            }
            Self::Apk => self.execute("remove", self.command(&["del"], names)?, names),
        }
    }

    /// Runs a command, and names the packages instead of the long command in its error.
    fn execute(self, what: &str, command: Command, names: &[String]) -> Result<(), Error> {
        let purpose = format!("{} could not {what} {}", self.name(), names.join(", "));
        execute(command).map_err(|error| for_purpose(error, &purpose))
    }

    fn command(self, fixed: &[&str], names: &[String]) -> Result<Command, Error> {
        privileged(self.program(), fixed, names)
    }
}

/// Returns dpkg's packages that have a status.
fn dpkg_packages(status: &str) -> Result<Packages, Error> {
    let format = "${binary:Package}\\t${Version}\\t${db:Status-Status}\\n";
    let list = query_ok(program("dpkg-query", ["--show", "--showformat", format]))?;
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

/// Removes the architecture from a name.
fn without_architecture(name: &str) -> &str {
    name.split_once(':').map_or(name, |(name, _)| name)
}

fn is_root() -> Result<bool, Error> {
    Ok(query_ok(program("id", ["-u"]))?.trim() == "0")
}

/// Builds a command that runs as root and does not prompt.
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
