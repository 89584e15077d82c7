//! Owns what can go wrong with a plugin: a file that is none, one that does not fit this host, a
//! call that has failed. Each error names the plugin, and what to type or change.

use std::path::PathBuf;

pub(crate) mod reached;

pub use reached::ReachedLimit;

/// Why a plugin cannot be loaded, or has failed.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// A plugin's file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file that an entry of a lock names cannot be read, or is not WebAssembly. A project's
    /// lock may name any file, and the user has to see where the name comes from.
    #[error("`source` of the lock's entry {name}: {error}")]
    Source {
        /// The entry's name.
        name: String,
        /// What is wrong with the file.
        error: Box<PluginError>,
    },
    /// A directory with plugins cannot be read.
    #[error(
        "cannot read the plugin directory {}: {source}; `--plugin-dir` and the setting \
         `plugins.dirs` name directories in which there are *.wasm files",
        path.display()
    )]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file is not WebAssembly.
    #[error("{plugin} is not a WebAssembly component: {found}")]
    NotComponent {
        /// The plugin's file.
        plugin: String,
        /// What the file is instead.
        found: String,
    },
    /// The file is a core module.
    #[error(
        "{plugin} is a core WebAssembly module, not a component: make one of it with `persea \
         plugin pack {plugin} -o PLUGIN.wasm`, or build for wasm32-wasip2"
    )]
    CoreModule {
        /// The plugin's file.
        plugin: String,
    },
    /// The component exports none of the interfaces that make a plugin.
    #[error(
        "{plugin} is a component, but no plugin: it exports {exports}, and a plugin exports \
         `persea:plugin/plugin` and at least one of `persea:plugin/resolve`, `persea:plugin/vary`, \
         `persea:plugin/run`, `persea:plugin/run-program`, `persea:plugin/list-tests`, \
         `persea:plugin/fulfil`, `persea:plugin/schedule` or `persea:plugin/format`"
    )]
    NoWorld {
        /// The plugin's file.
        plugin: String,
        /// What the component exports.
        exports: String,
    },
    /// The component was built for another version of the contract.
    #[error(
        "{plugin} needs {needs}, and this host offers persea:plugin@{offers}: build the plugin \
         against persea-plugin-sdk {offers}, or use a host of the plugin's version"
    )]
    Version {
        /// The plugin's file.
        plugin: String,
        /// The interface with its version.
        needs: String,
        /// The host's version of the contract.
        offers: &'static str,
    },
    /// The component imports an interface that a later version of the contract added.
    #[error(
        "{plugin} needs `{interface}`, which hosts have since {since}, and this host offers \
         persea:plugin@{offers}: use a newer persea"
    )]
    Since {
        /// The plugin's file.
        plugin: String,
        /// The interface.
        interface: String,
        /// The version that added the interface.
        since: Box<str>,
        /// The host's version of the contract.
        offers: Box<str>,
    },
    /// The component imports an interface that this host does not know, from a later version of the
    /// contract.
    #[error(
        "{plugin} needs `{interface}`, which this host does not have: the plugin was built for \
         persea:plugin@{built_for}, and this host offers persea:plugin@{offers}: use a newer persea"
    )]
    Interface {
        /// The plugin's file.
        plugin: String,
        /// The interface.
        interface: String,
        /// The version of the contract for which the plugin was built.
        built_for: Box<str>,
        /// The host's version of the contract.
        offers: Box<str>,
    },
    /// The component imports a function that a later version of the contract has added to an
    /// interface.
    #[error(
        "{plugin} needs the function `{function}` of `{interface}`, which this host does not have: \
         the plugin was built for persea:plugin@{built_for}, and this host offers \
         persea:plugin@{offers}: use a newer persea"
    )]
    Function {
        /// The plugin's file.
        plugin: String,
        /// The function.
        function: Box<str>,
        /// The interface with its version.
        interface: Box<str>,
        /// The version of the contract for which the plugin was built.
        built_for: Box<str>,
        /// The host's version of the contract.
        offers: Box<str>,
    },
    /// The plugin says that it relies on a later version of the contract.
    #[error(
        "{plugin} needs a host with persea:plugin@{needs}, and this one offers \
         persea:plugin@{offers}: use a newer persea"
    )]
    Contract {
        /// The plugin's file.
        plugin: String,
        /// The version that the plugin needs.
        needs: String,
        /// The host's version of the contract.
        offers: String,
    },
    /// The component was built for a version of WASI that this host does not have.
    #[error(
        "{plugin} asks for `{import}`, and this host has WASI 0.2: build the plugin for the target \
         wasm32-wasip2"
    )]
    WasiVersion {
        /// The plugin's file.
        plugin: String,
        /// The interface with its version.
        import: String,
    },
    /// The component imports a power that its world does not offer, or that no world offers.
    #[error("{plugin} asks for `{power}`, which {world} does not get: {offered}")]
    Power {
        /// The plugin's file.
        plugin: String,
        /// The interface that the component imports.
        power: String,
        /// What the component is, with articles: `a resolver`.
        world: Box<str>,
        /// What the component could import.
        offered: String,
    },
    /// The component is broken, or its functions do not fit the interfaces that it names.
    #[error("{plugin} cannot be loaded: {message}")]
    Load {
        /// The plugin's file.
        plugin: String,
        /// What is wrong.
        message: String,
    },
    /// The interface of a role has other functions than the contract says.
    #[error("{plugin} does not fit its role `{role}`: {message}")]
    Role {
        /// The plugin's file.
        plugin: String,
        /// The role.
        role: &'static str,
        /// What is wrong.
        message: String,
    },
    /// The plugin's description is invalid.
    #[error("{plugin} describes itself wrongly: {message}")]
    Description {
        /// The plugin's file.
        plugin: String,
        /// What is wrong.
        message: String,
    },
    /// The plugin has trapped, by a bug of its own.
    #[error("{plugin} failed: {message}")]
    Trap {
        /// The plugin.
        plugin: String,
        /// The panic, or the trap with the functions in which it happened.
        message: String,
    },
    /// The plugin has reached one of its limits.
    #[error("{plugin} has reached {reached}")]
    Limit {
        /// The plugin.
        plugin: String,
        /// The limit, its value and how to raise it.
        reached: Box<ReachedLimit>,
    },
    /// The plugin has trapped or reached limits too often to be called again in this job.
    #[error("{plugin} is not asked again in this job: it has reached {reached}")]
    Poisoned {
        /// The plugin.
        plugin: String,
        /// The limit on that, and how to raise it.
        reached: Box<ReachedLimit>,
    },
    /// The plugin has answered an error.
    #[error("{plugin}: {message} ({code})")]
    Answer {
        /// The plugin.
        plugin: String,
        /// The error's code.
        code: String,
        /// The error's message.
        message: String,
        /// Whether the plugin blames the environment, so that another attempt may succeed.
        is_infrastructure: bool,
    },
    /// No lock binds the plugin, and the user has not named its directory for this run.
    #[error("{plugin} is {world} that no lock binds, so it is not loaded: `{command}` locks it")]
    NotLocked {
        /// The plugin's file.
        plugin: String,
        /// What the component is, with articles: `a resolver`.
        world: String,
        /// What to type.
        command: String,
    },
    /// The plugin's file has other bytes than the one that was locked.
    #[error(
        "{plugin} has changed since it was locked: `persea plugin update {name}` shows what is \
         different, and locks it as it is now"
    )]
    Changed {
        /// The plugin's file.
        plugin: String,
        /// The name in the lock.
        name: String,
    },
    /// The plugin describes itself in another way than its lock entry.
    #[error(
        "{plugin} does not match its lock entry: {message}; `persea plugin update {name}` shows \
         what is different"
    )]
    NotAsLocked {
        /// The plugin's file.
        plugin: String,
        /// The name in the lock.
        name: String,
        /// What is different.
        message: String,
    },
    /// The plugin imports powers that it is not granted.
    #[error("{plugin} asks to {asks}, and is not granted that: `{command}`")]
    Ungranted {
        /// The plugin's file.
        plugin: String,
        /// What the powers let a plugin do.
        asks: String,
        /// What to type.
        command: String,
    },
    /// A result format that no lock binds has the name of a built-in one.
    #[error(
        "{plugin} has the name of a result format that is built in, and takes its place only when \
         a lock binds it: `persea plugin add {}`",
        path.display()
    )]
    Displaces {
        /// The plugin.
        plugin: String,
        /// The plugin's file.
        path: PathBuf,
    },
    /// A project's lock grants a directory out of the project, or one that the plugin may change.
    #[error(
        "{plugin}: {} grants it the directory `{directory}`, and a project can grant its plugins \
         only to read its own directories. If you want that, grant the same in your own lock: \
         `persea plugin add --user {plugin} --grant directories=...`",
        lock.display()
    )]
    Overreach {
        /// The plugin's file, or its source in the lock.
        plugin: String,
        /// The project's lock.
        lock: PathBuf,
        /// The directory, as the lock has it.
        directory: String,
    },
    /// The plugin is from a registry and not on this machine.
    #[error(
        "{plugin} is not on this machine: `persea plugin install` gets it from the `source` of its \
         lock entry, {registry}"
    )]
    Absent {
        /// The plugin's file.
        plugin: String,
        /// The plugin's reference in the registry.
        registry: String,
    },
    /// The plugin is not signed as the configuration wants it.
    #[error("{plugin} {message}")]
    Signature {
        /// The plugin's file.
        plugin: String,
        /// What is wrong, and what to do.
        message: String,
    },
    /// The engine cannot be made.
    #[error("cannot start the WebAssembly engine: {message}")]
    Engine {
        /// The engine's error.
        message: String,
    },
}

impl PluginError {
    /// The engine refuses a plugin's component.
    pub(crate) fn cannot_load(plugin: &str, error: &wasmtime::Error) -> Self {
        Self::Load {
            plugin: plugin.to_owned(),
            message: format!("{error:#}"),
        }
    }

    /// Names the lock entry by which the host came to a file, if the file is of no use. Other
    /// errors are those of a plugin.
    pub(crate) fn in_source_of(self, entry: Option<&str>) -> Self {
        match (entry, self) {
            (Some(name), error @ (Self::Read { .. } | Self::NotComponent { .. })) => Self::Source {
                name: name.to_owned(),
                error: Box::new(error),
            },
            (_, error) => error,
        }
    }

    /// The host has panicked while it loaded a plugin.
    pub(crate) fn loading_panicked(plugin: &str) -> Self {
        Self::Load {
            plugin: plugin.to_owned(),
            message: "the host failed while it loaded it; this is a bug".to_owned(),
        }
    }
}
