//! Owns the world `resolver`: its trait, its data, and the adapter to the generated code.

use crate::attributes::Attributes;
use crate::bindings::resolver as raw;
use crate::error::Error;
use crate::export::{Adapter, Exported, start};
use crate::model::{Description, Runnable};

/// Turns references into runnables. A resolver reads the project's files and starts nothing.
///
/// Powers: [`log`](crate::log), [`workspace`](crate::workspace).
///
/// ```
/// use persea_plugin_sdk::prelude::*;
/// use persea_plugin_sdk::workspace;
///
/// struct Lua;
///
/// impl Resolver for Lua {
///     fn describe() -> Description {
///         Description::new("lua", "finds Lua scripts").kinds(["exec-test"]).with("order", 40)
///     }
///
///     fn resolve(reference: &str, _: &Attributes) -> Result<Resolution, Error> {
///         if !reference.ends_with(".lua") {
///             return Ok(Resolution::NotFound("the name does not end in .lua".into()));
///         }
///         Ok(match workspace::stat(reference)?.size {
///             0 => Resolution::Corrupt(format!("{reference} is empty")),
///             _ => {
///                 let script = Runnable::new("exec-test").uri("lua").args([reference]);
///                 Resolution::Found(vec![script])
///             }
///         })
///     }
/// }
///
/// export!(resolver: Lua);
/// # use persea_plugin_sdk::testing::{Files, Host};
/// # let _host = Host::new().files(Files::new().file("a.lua", "x").file("b.lua", "")).install();
/// # let corrupt = Resolution::Corrupt("b.lua is empty".into());
/// # assert_eq!(Lua::resolve("b.lua", &Attributes::new()), Ok(corrupt));
/// # assert!(matches!(Lua::resolve("a.lua", &Attributes::new()), Ok(Resolution::Found(_))));
/// ```
///
/// The host understands in [`Description::more`] `order` (integer; default 50), the resolver's
/// priority. The host asks resolvers from the highest order to the lowest, and by name within one
/// order, unless the setting `plugins.resolver.order` says otherwise. Avocado's HIGH is 70, NORMAL
/// 50, LOW 30, VERY_LOW 1 and LAST_RESORT 0.
pub trait Resolver {
    /// Describes the plugin. The host calls this in an instance of its own when it loads the
    /// plugin. It must be pure and quick (10 s by default), and may use no power but
    /// [`log`](crate::log).
    fn describe() -> Description;

    /// Resolves one reference: a text that the user typed, or the path of a file that the host
    /// found in a directory. `settings` has the settings that the plugin's description asks for.
    /// The host may ask one instance about many references, one after the other.
    ///
    /// A message that the resolver [logs](crate::log) at level `Warn` or `Error` during the call is
    /// a warning about the reference: it may have tests that were not found. The host counts such
    /// references, writes each warning to the journal and to reports, and refuses to run the job
    /// when `run.strict` is set.
    ///
    /// # Errors
    /// An error counts as [`Resolution::NotFound`], and is shown. After a panic, a limit or a
    /// time-out (30 s by default) the reference ends with ERROR, and the host asks no other
    /// resolver.
    fn resolve(reference: &str, settings: &Attributes) -> Result<Resolution, Error>;
}

/// A resolver's answer about one reference.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolution {
    /// This resolver handles the reference, which stands for these runnables, in order. An empty
    /// list is a valid answer: there is nothing to run.
    Found(Vec<Runnable>),
    /// This resolver does not handle the reference; the text says why. The host asks the next
    /// resolver, and shows the text only if no resolver handles the reference.
    NotFound(String),
    /// This resolver handles the reference, but what it names is broken; the text says what is
    /// wrong, and where. The host asks no other resolver.
    Corrupt(String),
}

impl<E: Exported> raw::Guest for Adapter<E>
where
    E::Plugin: Resolver,
{
    fn resolve(
        reference: String,
        settings: raw::Attributes,
    ) -> Result<raw::Resolution, raw::Error> {
        start();
        Ok(
            match E::Plugin::resolve(&reference, &Attributes(settings))? {
                Resolution::Found(runnables) => {
                    raw::Resolution::Found(runnables.into_iter().map(Into::into).collect())
                }
                Resolution::NotFound(why) => raw::Resolution::NotFound(why),
                Resolution::Corrupt(why) => raw::Resolution::Corrupt(why),
            },
        )
    }
}
