//! Owns the kernel settings that keep ordinary users from making sandboxes: user namespaces,
//! AppArmor. Does not know how a sandbox is made.

use std::path::Path;

/// A setting of the kernel that forbids user namespaces with one value, and who has it.
struct Wall {
    name: &'static str,
    forbids: &'static str,
    allows: &'static str,
    whose: &'static str,
}

const WALLS: [Wall; 3] = [
    Wall {
        name: "kernel.unprivileged_userns_clone",
        forbids: "0",
        allows: "1",
        whose: "older Debian",
    },
    Wall {
        name: "kernel.apparmor_restrict_unprivileged_userns",
        forbids: "1",
        allows: "0",
        whose: "Ubuntu's AppArmor",
    },
    Wall {
        name: "user.max_user_namespaces",
        forbids: "0",
        allows: "15000",
        whose: "a hardened machine or a container",
    },
];

/// Returns which setting forbids user namespaces on this machine, and what to type.
pub(super) fn hint() -> Option<String> {
    find(|name| {
        let path = Path::new("/proc/sys").join(name.replace('.', "/"));
        std::fs::read_to_string(path).ok()
    })
}

fn find(read: impl Fn(&str) -> Option<String>) -> Option<String> {
    let is_up = |wall: &&Wall| read(wall.name).is_some_and(|it| it.trim() == wall.forbids);
    let wall = WALLS.iter().find(is_up)?;
    let Wall {
        name,
        forbids,
        allows,
        whose,
    } = wall;
    Some(format!(
        "`{name}` is {forbids}, as {whose} has it, which forbids user namespaces: run as root, or \
         `sysctl -w {name}={allows}`"
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn hint_names_the_setting_that_forbids_namespaces_and_the_command() {
        assert_eq!(find(|_| None), None);
        let open = |name: &str| {
            Some(
                if name.contains("apparmor") {
                    "0\n"
                } else {
                    "1\n"
                }
                .into(),
            )
        };
        assert_eq!(find(open), None);
        for wall in &WALLS {
            let is_it = |name: &str| (name == wall.name).then(|| format!("{}\n", wall.forbids));
            let hint = find(is_it).unwrap();
            assert!(
                hint.contains(&format!("sysctl -w {}={}", wall.name, wall.allows)),
                "{hint}"
            );
        }
    }
}
