//! Owns the path from a plugin's type to the exports of its component, and the set-up that runs
//! before the plugin's own code.

use crate::bindings::plugin as raw;
use crate::bindings::types;
use crate::model::Description;
use std::convert::Infallible;
use std::marker::PhantomData;

/// Implemented by [`export!`](crate::export): links the adapter to the plugin.
pub trait Exported {
    /// The plugin's type.
    type Plugin;
    /// The version of the plugin's crate.
    const VERSION: &'static str;
    /// Calls `describe` of the plugin's trait.
    fn describe() -> Description;
}

/// Implements the generated traits for an exported plugin.
pub struct Adapter<E>(PhantomData<E>, Infallible);

impl<E: Exported> raw::Guest for Adapter<E> {
    fn describe() -> types::Description {
        start();
        let mut description = E::describe();
        if description.version.is_empty() {
            description.version = E::VERSION.to_owned();
        }
        description.into()
    }
}

/// Sets up a fresh instance, once: connects the logging crates to the host's log, and reports the
/// message and location of a panic to the host before the instance traps.
pub(crate) fn start() {
    use std::sync::atomic::{AtomicBool, Ordering};
    static STARTED: AtomicBool = AtomicBool::new(false);
    if STARTED.swap(true, Ordering::Relaxed) {
        return;
    }
    #[cfg(target_family = "wasm")]
    std::panic::set_hook(Box::new(|panic| {
        let message = panic
            .payload_as_str()
            .unwrap_or("a panic whose payload is not a text");
        let location = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        crate::backend::panicked(message, &location);
    }));
    crate::facade::install();
}

/// Exports a type as the plugin of this crate. A crate exports one plugin.
///
/// ```
/// # use persea_plugin_sdk::prelude::*;
/// # struct Mine;
/// # impl Runner for Mine {
/// #     fn describe() -> Description { Description::new("mine", "does nothing").kinds(["mine"]) }
/// #     fn run(_: Task) -> Result<Outcome, Error> { Ok(Outcome::pass()) }
/// # }
/// export!(runner: Mine);
/// ```
///
/// The word before the colon is the kind of plugin, and the type must implement its trait:
///
/// | Word | Trait |
/// |---|---|
/// | `runner` | [`Runner`](crate::Runner) |
/// | `program_runner` | [`ProgramRunner`](crate::ProgramRunner) |
/// | `batch_runner` | [`BatchRunner`](crate::BatchRunner) and [`Runner`](crate::Runner) |
/// | `resolver` | [`Resolver`](crate::Resolver) |
/// | `varianter` | [`Varianter`](crate::Varianter) |
/// | `requirement_resolver` | [`RequirementResolver`](crate::RequirementResolver) |
/// | `result_format` | [`ResultFormat`](crate::ResultFormat) |
/// | `scheduler` | [`Scheduler`](crate::Scheduler) |
///
/// Built for WebAssembly, the crate exports the interfaces of that kind, and imports only the
/// powers that its code uses. Built natively it exports nothing, so that the crate's unit tests
/// link.
#[macro_export]
macro_rules! export {
    (runner: $plugin:ty) => {
        $crate::__export!(runner, Runner, $plugin);
    };
    (program_runner: $plugin:ty) => {
        $crate::__export!(program_runner, ProgramRunner, $plugin);
    };
    (batch_runner: $plugin:ty) => {
        $crate::__export!(runner, Runner, $plugin);
        const _: () = {
            const _: fn(&mut $crate::Batch) -> Result<(), $crate::Error> =
                <$plugin as $crate::BatchRunner>::run_batch;
            #[cfg(target_family = "wasm")]
            struct PerseaBatches;
            #[cfg(target_family = "wasm")]
            impl $crate::__private::Batches for PerseaBatches {
                type Plugin = $plugin;
            }
            #[cfg(target_family = "wasm")]
            type PerseaAdapter = $crate::__private::BatchAdapter<PerseaBatches>;
            #[cfg(target_family = "wasm")]
            $crate::__private::batch_runner::export!(
                PerseaAdapter with_types_in $crate::__private::batch_runner
            );
        };
    };
    (resolver: $plugin:ty) => {
        $crate::__export!(resolver, Resolver, $plugin);
    };
    (varianter: $plugin:ty) => {
        $crate::__export!(varianter, Varianter, $plugin);
    };
    (result_format: $plugin:ty) => {
        $crate::__export!(result_format, ResultFormat, $plugin);
    };
    (scheduler: $plugin:ty) => {
        $crate::__export!(scheduler, Scheduler, $plugin);
    };
    (requirement_resolver: $plugin:ty) => {
        $crate::__export!(requirement_resolver, RequirementResolver, $plugin);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($module:ident, $trait:ident, $plugin:ty) => {
        const _: () = {
            // Checks in native builds too that the type implements the trait.
            const _: fn() -> $crate::Description = <$plugin as $crate::$trait>::describe;

            #[cfg(target_family = "wasm")]
            struct PerseaExported;

            #[cfg(target_family = "wasm")]
            impl $crate::__private::Exported for PerseaExported {
                type Plugin = $plugin;
                const VERSION: &'static str = env!("CARGO_PKG_VERSION");
                fn describe() -> $crate::Description {
                    <$plugin as $crate::$trait>::describe()
                }
            }

            #[cfg(target_family = "wasm")]
            type PerseaAdapter = $crate::__private::Adapter<PerseaExported>;
            #[cfg(target_family = "wasm")]
            $crate::__private::plugin::export!(
                PerseaAdapter with_types_in $crate::__private::plugin
            );
            #[cfg(target_family = "wasm")]
            $crate::__private::$module::export!(
                PerseaAdapter with_types_in $crate::__private::$module
            );
        };
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Example;

    impl Exported for Example {
        type Plugin = ();
        const VERSION: &'static str = "1.2.3";
        fn describe() -> Description {
            Description::new("example", "an example").kinds(["a", "b"])
        }
    }

    struct Versioned;

    impl Exported for Versioned {
        type Plugin = ();
        const VERSION: &'static str = "1.2.3";
        fn describe() -> Description {
            Example::describe().version("4.0.0")
        }
    }

    #[test]
    fn plugin_version_defaults_to_the_version_of_its_crate() {
        assert_eq!(
            <Adapter<Example> as raw::Guest>::describe().version,
            "1.2.3"
        );
        assert_eq!(
            <Adapter<Versioned> as raw::Guest>::describe().version,
            "4.0.0"
        );
    }
}
