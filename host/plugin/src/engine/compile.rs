//! Owns the compiler process: a component that is not part of the host is compiled in a process of
//! its own, whose time and memory the kernel limits. Does not know about plugins or the cache.
//!
//! The process is this program, started with [`WORD`] as its first argument. It reads the component
//! from its standard input, writes the code to its standard output, and opens no files.

use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitCode, Stdio};
use std::sync::OnceLock;
use std::time::Instant;

use rustix::process::{Resource, Rlimit, setrlimit};

use crate::engine::limits::{Limit, Limits};
use crate::engine::settings::{AddressSpace, engine_for_compiling};
use crate::error::PluginError;
use crate::error::reached::ReachedLimit;

/// The first argument that makes this program a compiler process.
pub const WORD: &str = "compile-component";

/// This program as it runs, even if its file has been replaced since.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// The most compiled code that the host accepts: 1 GiB. A Python guest has 40 MiB.
const MOST_CODE: u64 = 1 << 30;

/// The largest component that one thread compiles in less than a second: 512 KiB.
const SMALL_COMPONENT: usize = 512 << 10;

/// The least memory in which several threads with their stacks fit: 1 GiB.
const MEMORY_FOR_THREADS: u64 = 1 << 30;

/// Why a component was not compiled.
#[derive(Debug)]
pub(crate) enum CompileError {
    /// The component is invalid.
    Invalid(wasmtime::Error),
    /// The compiler process has reported this.
    Reported(String),
    /// The compiler has reached a limit.
    Limit(ReachedLimit),
    /// A signal that is not due to a limit has ended the compiler process.
    Killed(i32),
    /// The compiler process cannot be started or read.
    Process(std::io::Error),
}

impl CompileError {
    /// Reports this as the failure of a plugin.
    pub(crate) fn of_plugin(self, plugin: &str) -> PluginError {
        let plugin = plugin.to_owned();
        let message = match self {
            Self::Limit(reached) => {
                let reached = Box::new(reached);
                return PluginError::Limit { plugin, reached };
            }
            Self::Invalid(error) => format!("{error:#}"),
            Self::Reported(text) => text,
            Self::Killed(signal) => format!(
                "signal {signal} ended the process that compiles it; the system sends signal 9 \
                 where memory runs out"
            ),
            Self::Process(error) => {
                format!("the process that compiles it cannot be used: {error}")
            }
        };
        PluginError::Load { plugin, message }
    }
}

/// Compiles a component in a process of its own, and blocks until that has ended.
pub(crate) fn in_own_process(
    component: &[u8],
    limits: &Limits,
    addresses: AddressSpace,
) -> Result<Vec<u8>, CompileError> {
    let begun = Instant::now();
    let seconds = limits.compile_time.as_secs_f64().ceil().max(1.0);
    let mut child = Command::new(THIS_PROGRAM)
        .arg(WORD)
        .arg(format!("{seconds}"))
        .arg(limits.compile_memory.to_string())
        .arg(addresses.word())
        .env_clear()
        // In KiB. By default the allocator reserves 1 GiB of addresses at its start.
        .env("MIMALLOC_ARENA_RESERVE", "16384")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(CompileError::Process)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    // The process reads everything before it writes more than a short error, so that writing first
    // and reading afterwards cannot block.
    if let Some(mut stdin) = stdin {
        let _ = stdin.write_all(component);
    }
    let mut code = Vec::new();
    let read = match stdout {
        Some(stdout) => stdout.take(MOST_CODE + 1).read_to_end(&mut code),
        None => Ok(0),
    };
    let mut errors = String::new();
    if let Some(stderr) = stderr {
        let _ = stderr.take(4096).read_to_string(&mut errors);
    }
    if code.len() as u64 > MOST_CODE {
        let _ = child.kill();
    }
    let status = child.wait().map_err(CompileError::Process)?;
    read.map_err(CompileError::Process)?;
    if status.success() && code.len() as u64 <= MOST_CODE {
        return Ok(code);
    }
    // The kernel sends SIGKILL one second of processor time after an ignored SIGXCPU. A SIGKILL is
    // only due to the limit if that much processor time can have passed.
    let processors = persea_system::threads::processors();
    let processors = u32::try_from(processors).unwrap_or(u32::MAX);
    let is_used_up = begun.elapsed().saturating_mul(processors) >= limits.compile_time;
    Err(match status.signal() {
        Some(signal) if signal == signals::XCPU || signal == signals::KILL && is_used_up => {
            CompileError::Limit(limits.reached(Limit::CompileTime))
        }
        // Rust aborts where it gets no memory; the kernel sends the others where a stack gets none.
        Some(signal) if signals::OUT_OF_MEMORY.contains(&signal) => {
            CompileError::Limit(limits.reached(Limit::CompileMemory))
        }
        Some(signal) => CompileError::Killed(signal),
        None => CompileError::Reported(errors.trim().to_owned()),
    })
}

/// The numbers of the signals that end a process at a limit.
mod signals {
    use rustix::process::Signal;

    pub(super) const KILL: i32 = Signal::KILL.as_raw();
    pub(super) const XCPU: i32 = Signal::XCPU.as_raw();
    pub(super) const OUT_OF_MEMORY: [i32; 3] = [
        Signal::ABORT.as_raw(),
        Signal::SEGV.as_raw(),
        Signal::BUS.as_raw(),
    ];
}

/// Whether the compiler may use several threads. Its thread pool panics where the system refuses
/// threads, so the pool is started here first.
pub(crate) fn has_threads() -> bool {
    static HAS_THREADS: OnceLock<bool> = OnceLock::new();
    *HAS_THREADS.get_or_init(|| {
        match rayon::ThreadPoolBuilder::new()
            .stack_size(persea_system::threads::STACK)
            .build_global()
        {
            Ok(()) => true,
            // An error without a source means that the pool exists already.
            Err(error) => std::error::Error::source(&error).is_none(),
        }
    })
}

/// Runs the compiler process. Arguments: seconds of processor time, bytes of address space, and the
/// word of the address space for which it compiles.
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
    let addresses = args.get(2).and_then(|word| AddressSpace::of_word(word));
    let (Some(seconds), Some(memory), Some(addresses)) = (number(0), number(1), addresses) else {
        return Err(format!("`{WORD}` is only for this program itself"));
    };
    // The process ends with its host.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    let limits = [
        // The hard limit is a second later, so that SIGXCPU, which has no other cause, comes first.
        (Resource::Cpu, seconds, seconds.saturating_add(1)),
        (Resource::As, memory, memory),
        (Resource::Core, 0, 0),
        (Resource::Fsize, 0, 0),
    ];
    for (resource, soft, hard) in limits {
        lower(resource, soft, hard).map_err(|error| {
            format!("the limits of the compiler process cannot be set: {error}")
        })?;
    }
    let mut component = Vec::new();
    std::io::stdin()
        .lock()
        .read_to_end(&mut component)
        .map_err(|error| error.to_string())?;
    // The stacks of threads may not fit, and a small component compiles as fast on one thread.
    let parallel =
        component.len() > SMALL_COMPONENT && memory >= MEMORY_FOR_THREADS && has_threads();
    let engine = engine_for_compiling(parallel, addresses).map_err(|error| format!("{error:#}"))?;
    let code = engine
        .precompile_component(&component)
        .map_err(|error| format!("{error:#}"))?;
    std::io::stdout()
        .lock()
        .write_all(&code)
        .map_err(|error| error.to_string())
}

/// Lowers a limit of this process. A limit that is lower already stays.
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
