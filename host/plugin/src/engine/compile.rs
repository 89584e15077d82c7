//! Compiling a component that nobody has vouched for: in a process of its own, whose time and memory the kernel limits.
//!
//! The compiler is this program, run again with a word that is not for people. It reads the component from its standard input and writes the
//! compiled code to its standard output; it needs and opens nothing else. It must not know what is compiled or where it is kept.

use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitCode, Stdio};
use std::sync::OnceLock;
use std::time::Instant;

use rustix::process::{Resource, Rlimit, setrlimit};

use crate::PluginError;
use crate::engine::compiler::Addresses;
use crate::engine::limits::{Limits, Reached, bytes};

/// The word that makes this program a compiler.
pub const WORD: &str = "compile-component";

/// This program as it runs, whatever there is by now under the name by which it was started.
const OWN: &str = "/proc/self/exe";

/// The most compiled code that is taken: 1 GiB. A Python guest has 40 MiB.
const CODE: u64 = 1 << 30;

/// What takes no second on one processor: 512 KiB.
const SMALL: usize = 512 << 10;

/// Memory in which there's room for some threads: 1 GiB.
const LARGE: u64 = 1 << 30;

/// Why there is no compiled code.
#[derive(Debug)]
pub(crate) enum CompileError {
    /// The component is not valid.
    Wrong(wasmtime::Error),
    /// The compiler has said so.
    Said(String),
    /// It takes more than it may.
    Limit(Reached),
    /// Somebody or something else has ended the process, by this signal.
    Killed(i32),
    /// The process cannot be had.
    Process(std::io::Error),
}

impl CompileError {
    /// The error of this plugin.
    pub(crate) fn of(self, plugin: &str) -> PluginError {
        let plugin = plugin.to_owned();
        let message = match self {
            Self::Limit(reached) => {
                let reached = Box::new(reached);
                return PluginError::Limit { plugin, reached };
            }
            Self::Wrong(error) => format!("{error:#}"),
            Self::Said(text) => text,
            Self::Killed(signal) => format!(
                "the process that compiles it was ended by signal {signal}; the system sends signal 9 where memory runs out"
            ),
            Self::Process(error) => format!("the process that compiles it cannot be used: {error}"),
        };
        PluginError::Load { plugin, message }
    }
}

/// Compiles in a process of its own, and waits for it.
pub(crate) fn apart(
    component: &[u8],
    limits: &Limits,
    addresses: Addresses,
) -> Result<Vec<u8>, CompileError> {
    let begun = Instant::now();
    let seconds = limits.compile.as_secs_f64().ceil().max(1.0);
    let mut child = Command::new(OWN)
        .arg(WORD)
        .arg(format!("{seconds}"))
        .arg(limits.compile_memory.to_string())
        .arg(addresses.word())
        .env_clear()
        // Otherwise the allocator takes a gibibyte of addresses before it's asked for anything (in KiB).
        .env("MIMALLOC_ARENA_RESERVE", "16384")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(CompileError::Process)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    // It reads all before it writes anything but a short complaint, so that one after the other is enough.
    if let Some(mut stdin) = stdin {
        let _ = stdin.write_all(component);
    }
    let mut code = Vec::new();
    let read = match stdout {
        Some(stdout) => stdout.take(CODE + 1).read_to_end(&mut code),
        None => Ok(0),
    };
    let mut said = String::new();
    if let Some(stderr) = stderr {
        let _ = stderr.take(4096).read_to_string(&mut said);
    }
    if code.len() as u64 > CODE {
        let _ = child.kill();
    }
    let status = child.wait().map_err(CompileError::Process)?;
    read.map_err(CompileError::Process)?;
    if status.success() && code.len() as u64 <= CODE {
        return Ok(code);
    }
    // The kernel sends SIGKILL a second after SIGXCPU, to who ignores that. So much processor time takes its time.
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let processors = u32::try_from(processors).unwrap_or(u32::MAX);
    let is_used_up = begun.elapsed().saturating_mul(processors) >= limits.compile;
    Err(match status.signal() {
        Some(signal) if signal == signals::XCPU || signal == signals::KILL && is_used_up => {
            let value = format!("{} s", limits.compile.as_secs_f64());
            CompileError::Limit(limits.reached("the time to compile it", value, "compile"))
        }
        // Rust ends so when there's no memory to be had, and the kernel when there's none for a stack.
        Some(signal) if signals::OF_MEMORY.contains(&signal) => {
            let value = bytes(limits.compile_memory);
            CompileError::Limit(limits.reached(
                "the memory to compile it",
                value,
                "compile_memory_mb",
            ))
        }
        Some(signal) => CompileError::Killed(signal),
        None => CompileError::Said(said.trim().to_owned()),
    })
}

/// The numbers of the signals that end a process which has reached a limit.
mod signals {
    use rustix::process::Signal;

    pub(crate) const KILL: i32 = Signal::KILL.as_raw();
    pub(crate) const XCPU: i32 = Signal::XCPU.as_raw();
    pub(crate) const OF_MEMORY: [i32; 3] = [
        Signal::ABORT.as_raw(),
        Signal::SEGV.as_raw(),
        Signal::BUS.as_raw(),
    ];
}

/// Whether the compiler may use more than one thread. Its library panics where it gets none, unless it was asked before.
pub(crate) fn has_threads() -> bool {
    static HAS_THREADS: OnceLock<bool> = OnceLock::new();
    *HAS_THREADS.get_or_init(|| {
        match rayon::ThreadPoolBuilder::new()
            .stack_size(persea_system::threads::STACK)
            .build_global()
        {
            Ok(()) => true,
            // Without a cause the pool is there already.
            Err(error) => std::error::Error::source(&error).is_none(),
        }
    })
}

/// Is the compiler: with the seconds and the bytes that it may use, and the addresses that the code may count on.
pub fn main(args: &[String]) -> ExitCode {
    match compile(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn compile(args: &[String]) -> Result<(), String> {
    let number = |index: usize| args.get(index).and_then(|text| text.parse::<u64>().ok());
    let addresses = args.get(2).and_then(|word| Addresses::of_word(word));
    let (Some(seconds), Some(memory), Some(addresses)) = (number(0), number(1), addresses) else {
        return Err(format!("`{WORD}` is for this program itself"));
    };
    // It ends with the host that asked.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    let limits = [
        // A second more, so that the signal that can be told from others comes first.
        (Resource::Cpu, seconds, seconds.saturating_add(1)),
        (Resource::As, memory, memory),
        (Resource::Core, 0, 0),
        (Resource::Fsize, 0, 0),
    ];
    for (resource, soft, hard) in limits {
        lower(resource, soft, hard)
            .map_err(|error| format!("its limits cannot be set: {error}"))?;
    }
    let mut component = Vec::new();
    std::io::stdin()
        .lock()
        .read_to_end(&mut component)
        .map_err(|error| error.to_string())?;
    // Threads have stacks, for which there may be no room; and a small component is compiled as soon without.
    let parallel = component.len() > SMALL && memory >= LARGE && has_threads();
    let engine = crate::engine::compiler::only_compiling(parallel, addresses)
        .map_err(|error| format!("{error:#}"))?;
    let code = engine
        .precompile_component(&component)
        .map_err(|error| format!("{error:#}"))?;
    std::io::stdout()
        .lock()
        .write_all(&code)
        .map_err(|error| error.to_string())
}

/// Sets a limit where it is not lower already.
fn lower(resource: Resource, soft: u64, hard: u64) -> rustix::io::Result<()> {
    let now = rustix::process::getrlimit(resource);
    let least = |wanted: u64, now: Option<u64>| Some(now.map_or(wanted, |now| now.min(wanted)));
    let hard = least(hard, now.maximum);
    let soft = least(soft, hard).and_then(|soft| least(soft, now.current));
    setrlimit(
        resource,
        Rlimit {
            current: soft,
            maximum: hard,
        },
    )
}
