//! Owns what every subcommand works with: directories, configuration, locks, and the catalog of
//! plugins. Does not know what a subcommand does with them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::output::eprint_line;
use super::{BUILTINS, Common, Failure, exit};
use persea_config::{Config, SafeDirectories, UserDirs, settings};
use persea_job::CommandPlugins;
use persea_model::SpawnerKind;
use persea_plugin::{Catalog, Grants, LOCK_FILE, Lock, LockError, Locks, Sources};

/// What every subcommand works with.
pub(super) struct Context {
    /// The user's directories.
    pub(super) dirs: UserDirs,
    /// The cache directory; none if it cannot be created with a safe mode.
    pub(super) cache: Option<PathBuf>,
    /// The settings.
    pub(super) config: Config,
    /// The plugin directories that the command line names.
    plugin_dirs: Vec<PathBuf>,
    /// The powers that the command line grants.
    pub(super) grants: Grants,
    /// The grants of the command line, as they were typed.
    typed_grants: Vec<String>,
    /// Whether `-v` was given.
    pub(super) is_verbose: bool,
}

impl Context {
    /// Reads the configuration.
    pub(super) fn new(common: &Common) -> Result<Self, Failure> {
        let dirs = UserDirs::from_env();
        let config =
            Config::load(&dirs, &common.config, &common.assignments).map_err(Failure::of)?;
        let grants = Grants::parse(&common.grant);
        let grants =
            grants.map_err(|why| Failure::new(exit::FAIL, miette::miette!("--grant {why}")))?;
        Ok(Self {
            cache: persea_system::private::directory(&dirs.cache),
            dirs,
            config,
            plugin_dirs: common.plugin_dir.clone(),
            grants,
            typed_grants: common.grant.clone(),
            is_verbose: common.verbose > 0,
        })
    }

    /// The plugins of the command line, for the journal.
    pub(super) fn command_plugins(&self) -> CommandPlugins {
        let path = |path: &PathBuf| path.to_string_lossy().into_owned();
        CommandPlugins {
            dirs: self.plugin_dirs.iter().map(path).collect(),
            grants: self.typed_grants.clone(),
        }
    }

    /// Takes the plugins of the command line from that of the host whose job is resumed. What this
    /// host's own command line names stays, too.
    pub(super) fn add_command_plugins(&mut self, plugins: CommandPlugins) -> Result<(), Failure> {
        let CommandPlugins { dirs, grants } = plugins;
        for dir in dirs.into_iter().map(PathBuf::from) {
            if !self.plugin_dirs.contains(&dir) {
                self.plugin_dirs.push(dir);
            }
        }
        for grant in grants {
            if !self.typed_grants.contains(&grant) {
                self.typed_grants.push(grant);
            }
        }
        let grants = Grants::parse(&self.typed_grants);
        self.grants =
            grants.map_err(|why| Failure::new(exit::FAIL, miette::miette!("--grant {why}")))?;
        Ok(())
    }

    /// Warns about a project file of another user, and about settings that a project may not set,
    /// with the place where they can be set.
    pub(super) fn warn_about_project(&self) {
        if let Some(foreign) = self.config.foreign() {
            eprint_line(format_args!("warning: {foreign}"));
        }
        for refused in self.config.refused() {
            eprint_line(format_args!(
                "warning: {refused}; set it by `--set {}=…` or in {}",
                refused.name,
                self.dirs.config.join("config.toml").display()
            ));
        }
    }

    /// The user's lock, or the project's.
    pub(super) fn lock(&self, of_user: bool) -> Result<Lock, Failure> {
        let read = match of_user {
            true => Lock::read(&self.dirs.config.join(LOCK_FILE)),
            false => Lock::read_project(Path::new(LOCK_FILE), &self.safe_directories()),
        };
        read.map_err(Failure::of)
    }

    /// Reads the user's lock or the project's, changes it and writes it. Holds a file lock
    /// meanwhile, so that no other host's change is lost.
    pub(super) fn change_lock(
        &self,
        of_user: bool,
        change: impl FnOnce(&mut Lock) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let directory = match of_user {
            true => &*self.dirs.config,
            false => Path::new("."),
        };
        let lock = persea_system::directory_lock::lock(directory);
        let _lock = lock.map_err(|error| {
            let path = directory.join(LOCK_FILE);
            Failure::new(
                exit::FAIL,
                miette::miette!("cannot change {}: {error}", path.display()),
            )
        })?;
        let mut lock = self.lock(of_user)?;
        change(&mut lock)?;
        lock.write().map_err(Failure::of)
    }

    /// The project's lock. If it belongs to another user: an empty one, with a warning.
    fn project_lock(&self) -> Result<Lock, Failure> {
        let path = Path::new(LOCK_FILE);
        match Lock::read_project(path, &self.safe_directories()) {
            Err(LockError::Foreign(foreign)) => {
                eprint_line(format_args!("warning: {foreign}"));
                Ok(Lock::empty(path))
            }
            read => read.map_err(Failure::of),
        }
    }

    /// The rule for which project files are used.
    pub(super) fn safe_directories(&self) -> SafeDirectories {
        SafeDirectories::new(&self.config, &self.dirs)
    }

    /// The places where the host looks for plugins.
    pub(super) fn sources(&self) -> Result<Sources, Failure> {
        Ok(Sources {
            built_in: BUILTINS,
            named: self.plugin_dirs.clone(),
            dirs: self
                .config
                .get(settings::PLUGINS_DIRS)
                .into_iter()
                .map(PathBuf::from)
                .collect(),
            user_dir: Some(self.dirs.data.join("plugins")),
            locks: Locks::new(self.project_lock()?, self.lock(true)?),
            grants: self.grants.clone(),
            store: Some(self.store()),
            cache: self.cache.clone(),
        })
    }

    /// The directory of plugins from registries.
    pub(super) fn store(&self) -> PathBuf {
        self.dirs.data.join("store")
    }

    /// A catalog that has loaded no plugin yet.
    pub(super) fn empty_catalog(&self) -> Result<Catalog, Failure> {
        self.empty_catalog_from(self.sources()?)
    }

    /// A catalog that has loaded no plugin yet, with its own places to look for them.
    pub(super) fn empty_catalog_from(&self, sources: Sources) -> Result<Catalog, Failure> {
        let root = std::env::current_dir().map_err(|error| {
            let message = "cannot find the working directory, to which references are relative";
            Failure::new(exit::FAIL, miette::miette!("{message}: {error}"))
        })?;
        let instances = persea_job::instances(&self.config);
        Catalog::bare(sources, &self.config, instances, &root).map_err(Failure::of)
    }

    /// Loads the plugins, with a warning for each that cannot be loaded and for each unknown
    /// setting.
    pub(super) async fn catalog(&self) -> Result<Arc<Catalog>, Failure> {
        self.check_process_grants()?;
        let mut catalog = self.empty_catalog()?;
        catalog.load().await.map_err(Failure::of)?;
        for failure in catalog.failures() {
            eprint_line(format_args!("warning: plugin not loaded: {failure}"));
        }
        // An unknown setting may belong to a requirement resolver. These are loaded on demand.
        let unknown = |catalog: &Catalog| {
            let (declared, tables) = (catalog.settings(), catalog.table_settings());
            let unknown = self.config.unknown(&declared, &tables);
            let named = unknown.map(|(name, origin)| (name.to_owned(), origin.clone()));
            named.collect::<Vec<_>>()
        };
        if !unknown(&catalog).is_empty() {
            catalog.load_requirement_resolvers().await;
        }
        catalog.check_settings(&self.config).map_err(Failure::of)?;
        for (name, origin) in unknown(&catalog) {
            eprint_line(format_args!(
                "warning: unknown setting `{name}` from {origin}; `persea config` shows all \
                 settings"
            ));
        }
        let catalog = Arc::new(catalog);
        // The catalog lives as long as the process. Freeing it piece by piece at the end would only
        // take time.
        std::mem::forget(Arc::clone(&catalog));
        Ok(catalog)
    }

    /// Refuses `--grant process=…` for a spawner without isolation: plugins that no lock binds run
    /// with these grants, and nobody has vouched for them.
    fn check_process_grants(&self) -> Result<(), Failure> {
        let isolates = |name: &str| SpawnerKind::parse(name).is_some_and(SpawnerKind::is_isolating);
        let mut granted = self.grants.spawners().into_iter();
        let Some(spawner) = granted.find(|name| !isolates(name)) else {
            return Ok(());
        };
        let error = miette::miette!(
            help = "lock the plugin to grant it this spawner: `persea plugin add FILE --grant \
                    process=…`",
            "`--grant process={spawner}`: a plugin that no lock binds may only use spawners that \
             isolate: {}",
            SpawnerKind::isolating().join(", ")
        );
        Err(Failure::new(exit::FAIL, error))
    }
}
