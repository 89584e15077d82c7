//! A simulated environment with a package manager.

use persea_plugin_sdk::process::Command;
use persea_plugin_sdk::testing::{Answer, Host, Installed, Processes};

use crate::Packages;

/// A simulated environment with a package manager.
pub(super) struct Environment {
    pub(super) program: &'static str,
    pub(super) packages: Packages,
    /// Package that every installation adds, as a dependency.
    pub(super) dependency: &'static str,
    pub(super) user: &'static str,
    /// Installations fail after they have added the dependency.
    pub(super) broken: bool,
    /// Installations fail until the index is updated.
    pub(super) stale: bool,
}

impl Environment {
    pub(super) fn apt() -> Self {
        Self {
            program: "apt-get",
            packages: Packages::from([
                ("libc6:amd64".into(), "2.36".into()),
                ("old".into(), "1".into()),
            ]),
            dependency: "libalong",
            user: "0",
            broken: false,
            stale: false,
        }
    }

    pub(super) fn install(mut self) -> Installed {
        Host::new()
            .processes(Processes::new(move |command| self.answer(command)))
            .install()
    }

    fn answer(&mut self, command: &Command) -> Answer {
        let args: Vec<&str> = command.args.iter().map(String::as_str).collect();
        match (command.program.as_str(), &*args) {
            ("/bin/sh", [_, _, _, name]) => match *name == self.program {
                true => Answer::code(0).stdout(format!("/usr/bin/{name}\n")),
                false => Answer::code(1),
            },
            ("id", _) => Answer::code(0).stdout(self.user),
            ("sudo", ["-n", "true"]) => Answer::code(1),
            ("dpkg-query", _) => {
                let line =
                    |(name, version): (&String, &String)| format!("{name}\t{version}\tinstalled\n");
                let lines: String = self.packages.iter().map(line).collect();
                Answer::code(0).stdout(lines + "gone\t1\tconfig-files\n")
            }
            ("rpm", _) | ("apk", ["info", ..]) => {
                let rpm = command.program == "rpm";
                let line = |(name, version): (&String, &String)| match rpm {
                    true => format!("{name}\t{version}\n"),
                    false => format!("{name}-{version}\n"),
                };
                Answer::code(0).stdout(self.packages.iter().map(line).collect::<String>())
            }
            ("apt-cache", ["pkgnames", _, name]) => {
                let known = if *name == "kno.wn" { "kno.wn\n" } else { "" };
                Answer::code(0).stdout(format!("{name}-too\n{known}"))
            }
            ("apt-cache", [_, "unheard-of"]) => Answer::code(0),
            ("apt-cache", _) => Answer::code(0).stdout("it:\n  Candidate: 2\n"),
            ("apt-get", ["--simulate", _, names @ ..]) => {
                // apt prints names without the native architecture.
                let plain = |name: &&str| name.trim_end_matches(":amd64").to_owned();
                let mut plan: String = names
                    .iter()
                    .map(|name| format!("Purg {} [1]\n", plain(name)))
                    .collect();
                if names.contains(&"libalong") && self.packages.contains_key("new") {
                    plan += "Remv new [2]\n";
                }
                Answer::code(0).stdout(plan)
            }
            ("env", [_, _, _, "update", ..]) => {
                self.stale = false;
                Answer::code(0)
            }
            ("env", [_, _, _, "install", ..]) if self.stale => Answer::code(100).stderr(
                "E: Unable to fetch some archives, maybe run apt-get update or try with \
                     --fix-missing?\n",
            ),
            ("env", [_, _, _, "install" | "add", rest @ ..]) => {
                let name = rest.last().unwrap();
                let (name, version) = name.split_once('=').unwrap_or((name, "2"));
                if name == "no-such" || name == "unheard-of" {
                    return Answer::code(100)
                        .stderr(format!("E: Unable to locate package {name}\n"));
                }
                self.packages.insert(self.dependency.into(), "2-r1".into());
                if self.broken {
                    return Answer::code(100)
                        .stderr("E: Sub-process /usr/bin/dpkg returned an error code (1)\n");
                }
                self.packages.insert(name.into(), version.into());
                Answer::code(0)
            }
            ("env", [_, _, _, "purge" | "remove" | "del", names @ ..]) => {
                self.packages
                    .retain(|name, _| !names.contains(&name.as_str()));
                Answer::code(0)
            }
            other => panic!("unexpected: {other:?}"),
        }
    }
}
