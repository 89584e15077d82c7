//! What can go wrong with a plugin: a file that is none, one that does not fit this host, a call that failed. Each says which plugin, and the way out.

use std::path::PathBuf;

use crate::engine::limits::Reached;

/// A plugin that cannot be loaded or that failed.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// A plugin's file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A directory with plugins cannot be read.
    #[error(
        "cannot read the plugin directory {}: {source}; `--plugin-dir` and the setting `plugins.dirs` name directories in which there are *.wasm files",
        path.display()
    )]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is no WebAssembly at all.
    #[error("{plugin} is not a WebAssembly component: {found}")]
    NotComponent {
        /// The plugin's file.
        plugin: String,
        /// What it is instead.
        found: String,
    },
    /// The file is a core module.
    #[error(
        "{plugin} is a core WebAssembly module, not a component: make one of it with `persea plugin pack {plugin} -o PLUGIN.wasm`, or build for wasm32-wasip2"
    )]
    CoreModule {
        /// The plugin's file.
        plugin: String,
    },
    /// The component exports none of the interfaces that make a plugin.
    #[error(
        "{plugin} is a component, but no plugin: it exports {exports}, and a plugin exports `persea:plugin/plugin` and one of `persea:plugin/resolve`, `persea:plugin/run`, `persea:plugin/fulfil`, `persea:plugin/format`, `persea:plugin/schedule` or `persea:plugin/vary`"
    )]
    NoWorld {
        /// The plugin's file.
        plugin: String,
        /// What it exports.
        exports: String,
    },
    /// The component was built for another version of the contract.
    #[error(
        "{plugin} needs {needs}, and this host offers persea:plugin@{offers}: build the plugin against persea-plugin-sdk {offers}, or use a host of the plugin's version"
    )]
    Version {
        /// The plugin's file.
        plugin: String,
        /// The interface with its version.
        needs: String,
        /// The host's version of the contract.
        offers: &'static str,
    },
    /// The component asks for a power that its world does not have, or that no world has.
    #[error("{plugin} asks for `{power}`, which a {world} does not get: {offered}")]
    Power {
        /// The plugin's file.
        plugin: String,
        /// The interface that it imports.
        power: String,
        /// Its world.
        world: &'static str,
        /// What it could ask for.
        offered: String,
    },
    /// The component is broken, or of a shape that does not fit the world that its names claim.
    #[error("{plugin} cannot be loaded: {message}")]
    Load {
        /// The plugin's file.
        plugin: String,
        /// What is wrong.
        message: String,
    },
    /// The plugin says something impossible of itself.
    #[error("{plugin} describes itself wrongly: {message}")]
    Description {
        /// The plugin's file.
        plugin: String,
        /// What is wrong.
        message: String,
    },
    /// The plugin trapped: a bug of its own, or a limit.
    #[error("{plugin} failed: {message}")]
    Trap {
        /// The plugin.
        plugin: String,
        /// Its panic, its limit, or the trap with the functions in which it happened.
        message: String,
    },
    /// The plugin has reached one of its limits.
    #[error("{plugin} has reached {reached}")]
    Limit {
        /// The plugin.
        plugin: String,
        /// The limit, its value and the way out.
        reached: Box<Reached>,
    },
    /// The plugin has died too often to be asked again in this job.
    #[error("{plugin} is not asked again in this job: it has reached {reached}")]
    Poisoned {
        /// The plugin.
        plugin: String,
        /// How often it may, and the way out.
        reached: Box<Reached>,
    },
    /// The plugin answered with an error.
    #[error("{plugin}: {message} ({code})")]
    Answer {
        /// The plugin.
        plugin: String,
        /// The error's code.
        code: String,
        /// The error's message.
        message: String,
    },
    /// No lock binds the plugin, and nobody named it for this run.
    #[error("{plugin} is a {world} that no lock binds, so it is not loaded: `{add}` locks it")]
    NotLocked {
        /// The plugin's file.
        plugin: String,
        /// Its world.
        world: &'static str,
        /// What to type.
        add: String,
    },
    /// The plugin's file is another than the one that was locked.
    #[error(
        "{plugin} has changed since it was locked: `persea plugin update {name}` shows what is different, and locks it as it is now"
    )]
    Changed {
        /// The plugin's file.
        plugin: String,
        /// The name in the lock.
        name: String,
    },
    /// The plugin says other things of itself than when it was locked.
    #[error(
        "{plugin} says of itself what its lock does not have: {message}; `persea plugin update {name}` shows what is different"
    )]
    NotAsLocked {
        /// The plugin's file.
        plugin: String,
        /// The name in the lock.
        name: String,
        /// What it says.
        message: String,
    },
    /// The plugin asks for powers that it's not granted.
    #[error("{plugin} asks to {asks}, and is not granted that: `{line}`")]
    Ungranted {
        /// The plugin's file.
        plugin: String,
        /// What it asks for, in words.
        asks: String,
        /// What to type.
        line: String,
    },
    /// A result format that no lock binds has the name of a built-in one.
    #[error("{plugin} has the name of a result format that is built in, and takes its place only when a lock binds it: `persea plugin add {}`", path.display())]
    Displaces {
        /// The plugin.
        plugin: String,
        /// Its file.
        path: PathBuf,
    },
    /// A project's lock grants a directory that is not in the project, or that may be changed.
    #[error("{plugin}: {} grants it the directory `{directory}`, and a project can grant its plugins only to read its own directories. If you want that, grant the same in your own lock: `persea plugin add --user {plugin} --grant directories=...`", lock.display())]
    Overreach {
        /// The plugin's file, or where it comes from.
        plugin: String,
        /// The project's lock.
        lock: PathBuf,
        /// What it grants, as it stands there.
        directory: String,
    },
    /// The plugin comes from a registry and is not on this machine.
    #[error("{plugin} is not there: `persea plugin install` gets it from {registry}")]
    Absent {
        /// The plugin's file.
        plugin: String,
        /// Where it comes from.
        registry: String,
    },
    /// The plugin is not signed as the configuration wants it.
    #[error("{plugin} {message}")]
    Signature {
        /// The plugin's file.
        plugin: String,
        /// What is wrong, and the way out.
        message: String,
    },
    /// The engine cannot be made.
    #[error("cannot start the WebAssembly engine: {message}")]
    Engine {
        /// What the engine said.
        message: String,
    },
}
