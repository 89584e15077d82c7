//! Owns the seccomp filter of sandboxes: the system calls that their processes cannot make, as a
//! program for the kernel's classic BPF machine. Does not know about bubblewrap, which loads it.
//!
//! Sources: seccomp(2), `linux/seccomp.h`, and the kernel's tables of system calls up to 6.18. The
//! list follows the default profile of container engines (moby/profiles, containers/common);
//! docs/security.md gives the differences with their reasons. The crates for this (seccompiler 0.5)
//! know neither the numbers of the x32 ABI nor 32-bit programs, which tests may be.

/// The size of `struct sock_filter`.
const INSTRUCTION: usize = 8;

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
const EAFNOSUPPORT: u32 = 97;

/// `SECCOMP_RET_*`.
const ALLOW: u32 = 0x7fff_0000;
const KILL_PROCESS: u32 = 0x8000_0000;
const ERRNO: u32 = 0x0005_0000;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// BPF instructions: load a word, jump if equal, greater, or any bit is set, jump, return.
const LOAD: u16 = 0x20;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const JUMP_ANY_BIT: u16 = 0x45;
const JUMP: u16 = 0x05;
const RETURN: u16 = 0x06;

/// The largest number in any table (`file_setattr`, Linux 6.17). Later system calls fail with
/// ENOSYS until somebody has reviewed them, so programs fall back as on an older kernel. The
/// numbers of the x32 ABI, which begin at 2³⁰, are above it too.
const LAST_NUMBER: u32 = 469;

/// `CLONE_NEWNS`, `NEWCGROUP`, `NEWUTS`, `NEWIPC`, `NEWUSER`, `NEWPID`, `NEWNET`.
const NEW_NAMESPACES: u32 = 0x7e02_0000;
/// `CLONE_NEWTIME`; in clone(2) the bit belongs to the exit signal.
const NEW_TIME: u32 = 0x80;

/// `AF_UNIX`, `AF_INET`, `AF_INET6`, `AF_NETLINK`, `AF_PACKET`: the families that a network
/// namespace confines. `AF_VSOCK`, for one, reaches the hypervisor from any namespace.
const FAMILIES: [u32; 5] = [1, 2, 10, 16, 17];

/// `TIOCSTI` and `TIOCLINUX`, which inject input into a terminal.
const TERMINAL_INPUT: [u32; 2] = [0x5412, 0x541c];

const KEYCTL_JOIN_SESSION_KEYRING: u32 = 1;

/// The number of a system call that a table does not have.
const NONE: u32 = u32::MAX;

/// How the filter treats a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// Fails with this error.
    Fail(u32),
    /// Fails with EPERM if the argument with this index has one of these bits.
    FailWithBits(u32, u32),
    /// Fails with EPERM if the argument with this index has one of these values. The kernel uses
    /// only 32 bits of it.
    FailWith(u32, &'static [u32]),
    /// Fails with EAFNOSUPPORT unless the first argument is one of these.
    OnlyFamilies(&'static [u32]),
    /// Fails with EPERM, except for joining a new session keyring without a name: the process loses
    /// its old keyring, and gains nothing.
    OnlyNewSession,
}

/// A system call with its numbers on x86-64, in the generic table (aarch64, riscv64), and on i386.
struct Call(
    #[cfg_attr(not(test), expect(dead_code, reason = "for tests"))] &'static str,
    [u32; 3],
    Rule,
);

const fn denied(name: &'static str, x86_64: u32, generic: u32, i386: u32) -> Call {
    Call(name, [x86_64, generic, i386], Rule::Fail(EPERM))
}

/// System calls that are newer than 2018 have the same number in all tables.
const fn denied_new(name: &'static str, number: u32) -> Call {
    denied(name, number, number, number)
}

const CALLS: [Call; 62] = [
    denied("_sysctl", 156, NONE, 149),
    denied("acct", 163, 89, 51),
    denied("add_key", 248, 217, 286),
    denied("bdflush", NONE, NONE, 134),
    denied("bpf", 321, 280, 357),
    denied("clock_settime", 227, 112, 264),
    denied("clock_settime64", NONE, NONE, 404),
    denied("create_module", 174, NONE, 127),
    denied("delete_module", 176, 106, 129),
    denied("fanotify_init", 300, 262, 338),
    denied("finit_module", 313, 273, 350),
    denied_new("fsconfig", 431),
    denied_new("fsmount", 432),
    denied_new("fsopen", 430),
    denied_new("fspick", 433),
    denied("get_kernel_syms", 177, NONE, 130),
    denied("init_module", 175, 105, 128),
    denied_new("io_uring_enter", 426),
    denied_new("io_uring_register", 427),
    denied_new("io_uring_setup", 425),
    denied("ioperm", 173, NONE, 101),
    denied("iopl", 172, NONE, 110),
    denied("kcmp", 312, 272, 349),
    denied("kexec_file_load", 320, 294, NONE),
    denied("kexec_load", 246, 104, 283),
    denied("lookup_dcookie", 212, 18, 253),
    denied("mount", 165, 40, 21),
    denied_new("mount_setattr", 442),
    denied_new("move_mount", 429),
    denied("nfsservctl", 180, 42, 169),
    denied("open_by_handle_at", 304, 265, 342),
    denied_new("open_tree", 428),
    denied_new("open_tree_attr", 467),
    denied("perf_event_open", 298, 241, 336),
    denied_new("pidfd_getfd", 438),
    denied("pivot_root", 155, 41, 217),
    denied("query_module", 178, NONE, 167),
    denied("quotactl", 179, 60, 131),
    denied_new("quotactl_fd", 443),
    denied("reboot", 169, 142, 88),
    denied("request_key", 249, 218, 287),
    denied("setns", 308, 268, 346),
    denied("settimeofday", 164, 170, 79),
    denied("stime", NONE, NONE, 25),
    denied("swapoff", 168, 225, 115),
    denied("swapon", 167, 224, 87),
    denied("sysfs", 139, NONE, 135),
    denied("syslog", 103, 116, 103),
    denied("umount", NONE, NONE, 22),
    denied("umount2", 166, 39, 52),
    denied("uselib", 134, NONE, 86),
    denied("userfaultfd", 323, 282, 374),
    denied("ustat", 136, NONE, 62),
    denied("vhangup", 153, 58, 111),
    denied("vm86", NONE, NONE, 166),
    denied("vm86old", NONE, NONE, 113),
    Call(
        "clone",
        [56, 220, 120],
        Rule::FailWithBits(0, NEW_NAMESPACES),
    ),
    // The flags are in memory, which a filter cannot read. The C libraries and Go fall back to
    // clone.
    Call("clone3", [435, 435, 435], Rule::Fail(ENOSYS)),
    Call("ioctl", [16, 29, 54], Rule::FailWith(1, &TERMINAL_INPUT)),
    Call("keyctl", [250, 219, 288], Rule::OnlyNewSession),
    Call("socket", [41, 198, 359], Rule::OnlyFamilies(&FAMILIES)),
    Call(
        "unshare",
        [272, 97, 310],
        Rule::FailWithBits(0, NEW_NAMESPACES | NEW_TIME),
    ),
];

/// The arguments are in memory, as for clone3. The C libraries have used socket(2) and its siblings
/// since 2016.
const SOCKETCALL: Call = Call("socketcall", [NONE, NONE, 102], Rule::Fail(ENOSYS));

/// A table of system calls: the kernel's constant for the architecture (`AUDIT_ARCH_*`), and the
/// column in [`CALLS`].
struct Table {
    architecture: u32,
    column: usize,
}

/// The tables of the architectures that this machine executes. The filter kills programs of any
/// other.
#[cfg(target_arch = "x86_64")]
const TABLES: &[Table] = &[
    Table {
        architecture: 0xc000_003e,
        column: 0,
    },
    Table {
        architecture: 0x4000_0003,
        column: 2,
    },
];
#[cfg(target_arch = "aarch64")]
const TABLES: &[Table] = &[Table {
    architecture: 0xc000_00b7,
    column: 1,
}];
#[cfg(target_arch = "riscv64")]
const TABLES: &[Table] = &[Table {
    architecture: 0xc000_00f3,
    column: 1,
}];
#[cfg(not(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_arch = "riscv64"
)))]
const TABLES: &[Table] = &[];

/// Returns the filter as an array of `struct sock_filter`; none on an architecture without a table.
pub(crate) fn filter() -> Option<Vec<u8>> {
    let mut program = Program::default();
    program.add(LOAD, 0, 0, ARCHITECTURE);
    for table in TABLES {
        let mut section = Program::default();
        section.add(LOAD, 0, 0, NUMBER);
        section.add(JUMP_GREATER, 0, 1, LAST_NUMBER);
        section.fail(ENOSYS);
        for Call(_, numbers, rule) in CALLS.iter().chain([&SOCKETCALL]) {
            match numbers.get(table.column) {
                Some(&number) if number != NONE => section.rule(number, *rule),
                _ => {}
            }
        }
        section.add(RETURN, 0, 0, ALLOW);
        // A conditional jump has 8 bits for its distance.
        program.add(JUMP_EQUAL, 1, 0, table.architecture);
        program.add(JUMP, 0, 0, section.length());
        program.0.append(&mut section.0);
    }
    program.add(RETURN, 0, 0, KILL_PROCESS);
    (!TABLES.is_empty()).then_some(program.0)
}

/// A sequence of BPF instructions.
#[derive(Default)]
struct Program(Vec<u8>);

impl Program {
    fn add(&mut self, code: u16, if_true: u8, if_false: u8, value: u32) {
        self.0.extend(code.to_ne_bytes());
        self.0.extend([if_true, if_false]);
        self.0.extend(value.to_ne_bytes());
    }

    fn fail(&mut self, errno: u32) {
        self.add(RETURN, 0, 0, ERRNO | errno);
    }

    fn length(&self) -> u32 {
        u32::try_from(self.0.len() / INSTRUCTION).unwrap_or(u32::MAX)
    }

    /// Loads the lower (0) or upper (1) half of an argument. All architectures are little endian.
    fn load_argument(&mut self, index: u32, upper: u32) {
        self.add(LOAD, 0, 0, ARGUMENTS + 8 * index + 4 * upper);
    }

    fn rule(&mut self, number: u32, rule: Rule) {
        let mut body = Program::default();
        match rule {
            Rule::Fail(errno) => body.fail(errno),
            Rule::FailWithBits(index, bits) => {
                body.load_argument(index, 0);
                body.add(JUMP_ANY_BIT, 0, 1, bits);
                body.fail(EPERM);
                body.add(RETURN, 0, 0, ALLOW);
            }
            Rule::FailWith(index, values) => {
                body.load_argument(index, 0);
                for value in values {
                    body.add(JUMP_EQUAL, 0, 1, *value);
                    body.fail(EPERM);
                }
                body.add(RETURN, 0, 0, ALLOW);
            }
            Rule::OnlyFamilies(families) => {
                body.load_argument(0, 0);
                for family in families {
                    body.add(JUMP_EQUAL, 0, 1, *family);
                    body.add(RETURN, 0, 0, ALLOW);
                }
                body.fail(EAFNOSUPPORT);
            }
            Rule::OnlyNewSession => {
                body.load_argument(0, 0);
                body.add(JUMP_EQUAL, 0, 5, KEYCTL_JOIN_SESSION_KEYRING);
                body.load_argument(1, 0);
                body.add(JUMP_EQUAL, 0, 3, 0);
                body.load_argument(1, 1);
                body.add(JUMP_EQUAL, 0, 1, 0);
                body.add(RETURN, 0, 0, ALLOW);
                body.fail(EPERM);
            }
        }
        // Fits: the longest rule has two instructions for each of a few values.
        let skip = u8::try_from(body.length()).unwrap_or(u8::MAX);
        self.add(JUMP_EQUAL, 0, skip, number);
        self.0.append(&mut body.0);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_filtered_call_is_documented() {
        let docs = include_str!("../../../../docs/security.md");
        for Call(name, ..) in CALLS.iter().chain([&SOCKETCALL]) {
            assert!(docs.contains(&format!("`{name}`")), "{name}");
        }
    }

    /// The names in parts of the program that tries the calls: `TRY(name)`, `TRY_WITH(name, …)`.
    fn tried<'a>(parts: &[&'a str]) -> BTreeSet<&'a str> {
        let calls = parts.iter().flat_map(|part| part.split("TRY").skip(1));
        let names = calls.filter_map(|call| call.split_once('(')?.1.split([')', ',']).next());
        names.collect()
    }

    #[test]
    fn every_filtered_call_is_tried_by_the_adversary() {
        let program = include_str!("../../../../tests/hostile/sandbox/calls.c");
        let (_, main) = program.split_once("int main(void)").unwrap();
        let (all, rest) = main.split_once("#if defined __x86_64__").unwrap();
        let (on_x86, rest) = rest.split_once("#ifdef I386").unwrap();
        let (on_i386, not_on_i386) = rest.split_once("#else").unwrap();
        let filtered = |column: usize| -> BTreeSet<&str> {
            let calls = CALLS.iter().chain([&SOCKETCALL]);
            let calls = calls.filter(|Call(_, numbers, _)| numbers[column] != NONE);
            calls.map(|Call(name, ..)| *name).collect()
        };
        assert_eq!(tried(&[all, on_x86, not_on_i386]), filtered(0));
        assert_eq!(tried(&[all, not_on_i386]), filtered(1));
        assert_eq!(tried(&[all, on_x86, on_i386]), filtered(2));
    }

    #[test]
    fn filter_fits_the_kernels_limit_and_ends_with_a_return() {
        let Some(filter) = filter() else { return };
        assert_eq!(filter.len() % INSTRUCTION, 0);
        // BPF_MAXINSNS.
        assert!(filter.len() / INSTRUCTION < 4096);
        let last = filter.last_chunk::<INSTRUCTION>();
        assert_eq!(
            last.map(|it| u16::from_ne_bytes([it[0], it[1]])),
            Some(RETURN)
        );
    }
}
