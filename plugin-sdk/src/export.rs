//! Owns the path from a plugin's type to the exports of its component, and the set-up that runs
//! before the plugin's own code.

use crate::bindings::plugin as raw;
use crate::bindings::types;
use crate::description::Description;
use std::convert::Infallible;
use std::marker::PhantomData;

/// Implemented by [`export!`](crate::export): links the generated traits to the plugin.
pub trait Exported {
    /// The version of the plugin's crate.
    const VERSION: &'static str;
    /// The names of the exported roles.
    const ROLES: &'static [&'static str];
    /// Calls `describe` of the plugin.
    fn describe() -> Description;
}

/// Implements the generated trait `plugin` for an exported plugin.
pub struct PluginAdapter<E>(PhantomData<E>, Infallible);

/// Implements the generated trait of a role for the type that has the role.
pub struct Adapter<P>(PhantomData<P>, Infallible);

impl<E: Exported> raw::Guest for PluginAdapter<E> {
    fn describe(_: types::DescribeRequest) -> types::Description {
        start();
        let mut description = E::describe();
        if let Some(mistake) = role_mistake(&description, E::ROLES) {
            refuse(&mistake);
        }
        if description.version.is_empty() {
            description.version = E::VERSION.to_owned();
        }
        description.into()
    }
}

/// What is wrong with the roles of a description, for a component that exports `exported`.
pub(crate) fn role_mistake(description: &Description, exported: &[&str]) -> Option<String> {
    let described = |name: &str| description.roles.iter().any(|role| role.name == name);
    if let Some(name) = exported.iter().find(|name| !described(name)) {
        return Some(format!(
            "`export!` has the role {name}, but the description has not"
        ));
    }
    let mut roles = description.roles.iter();
    let other = roles.find(|role| !exported.contains(&role.name.as_str()))?;
    Some(format!(
        "the description has the role {}, but `export!` has not",
        other.name
    ))
}

#[expect(clippy::panic, reason = "a bug in the plugin, which the host reports")]
fn refuse(mistake: &str) -> ! {
    panic!("{mistake}")
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

/// Exports a type as the plugin of this crate, with its roles. A crate exports one plugin.
///
/// ```
/// # use persea_plugin_sdk::prelude::*;
/// # struct Mine;
/// # impl Plugin for Mine {
/// #     fn describe() -> Description {
/// #         let roles = Description::new("mine", "does nothing").role(Role::runner(["mine"]));
/// #         roles.role(Role::resolver(["mine"]))
/// #     }
/// # }
/// # impl Runner for Mine {
/// #     fn run(_: Task) -> Result<Outcome, Error> { Ok(Outcome::pass()) }
/// # }
/// # struct Reader;
/// # impl Resolver for Reader {
/// #     fn resolve(_: &ResolveRequest) -> Result<Resolution, Error> {
/// #         Ok(Resolution::not_found("no"))
/// #     }
/// # }
/// export!(Mine: runner, resolver = Reader);
/// ```
///
/// The type before the colon implements [`Plugin`](crate::Plugin), and the trait of each role that
/// follows, unless the role names another type:
///
/// | Role | Trait |
/// |---|---|
/// | `runner` | [`Runner`](crate::Runner) |
/// | `program_runner` | [`ProgramRunner`](crate::ProgramRunner) |
/// | `batch_runner` | [`BatchRunner`](crate::BatchRunner); the plugin also needs `runner` |
/// | `lister` | [`Lister`](crate::Lister) |
/// | `resolver` | [`Resolver`](crate::Resolver) |
/// | `varianter` | [`Varianter`](crate::Varianter) |
/// | `requirement_resolver` | [`RequirementResolver`](crate::RequirementResolver) |
/// | `result_format` | [`ResultFormat`](crate::ResultFormat) |
/// | `scheduler` | [`Scheduler`](crate::Scheduler) |
///
/// Built for WebAssembly, the crate exports the interfaces of these roles, and imports only the
/// powers that its code uses. Built natively it exports nothing, so that the crate's unit tests
/// link, and has a unit test that checks the plugin's [description](crate::Plugin::describe).
#[macro_export]
macro_rules! export {
    ($plugin:ty: $($role:ident $(= $type:ty)?),+ $(,)?) => {
        const _: () = {
            #[cfg(target_family = "wasm")]
            struct PerseaExported;

            #[cfg(target_family = "wasm")]
            impl $crate::__private::Exported for PerseaExported {
                const VERSION: &'static str = env!("CARGO_PKG_VERSION");
                const ROLES: &'static [&'static str] = &[$($crate::__export!(name $role)),+];
                fn describe() -> $crate::Description {
                    <$plugin as $crate::Plugin>::describe()
                }
            }

            #[cfg(target_family = "wasm")]
            type PerseaPlugin = $crate::__private::PluginAdapter<PerseaExported>;
            #[cfg(target_family = "wasm")]
            $crate::__private::plugin::export!(
                PerseaPlugin with_types_in $crate::__private::plugin
            );
        };
        $($crate::__export!(role $role, $plugin $(, $type)?);)+

        #[cfg(all(test, not(target_family = "wasm")))]
        mod persea_plugin_description {
            #[allow(unused_imports, reason = "not every plugin's type is a path")]
            use super::*;

            #[test]
            fn agrees_with_the_exported_roles() {
                let description = <$plugin as $crate::Plugin>::describe();
                let roles = [$($crate::__export!(name $role)),+];
                $crate::testing::check_description(&description, &roles);
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    (name runner) => { "runner" };
    (name program_runner) => { "program-runner" };
    (name batch_runner) => { "batch-runner" };
    (name lister) => { "lister" };
    (name resolver) => { "resolver" };
    (name varianter) => { "varianter" };
    (name requirement_resolver) => { "requirement-resolver" };
    (name result_format) => { "result-format" };
    (name scheduler) => { "scheduler" };
    (name $other:ident) => {
        compile_error!(concat!("there is no role `", stringify!($other), "`"))
    };
    (role $role:ident, $plugin:ty, $type:ty) => { $crate::__export!(role $role, $type); };
    (role runner, $type:ty) => { $crate::__export!(adapter runner, Runner, $type); };
    (role program_runner, $type:ty) => {
        $crate::__export!(adapter program_runner, ProgramRunner, $type);
    };
    (role batch_runner, $type:ty) => {
        $crate::__export!(adapter batch_runner, BatchRunner, $type);
    };
    (role lister, $type:ty) => { $crate::__export!(adapter lister, Lister, $type); };
    (role resolver, $type:ty) => { $crate::__export!(adapter resolver, Resolver, $type); };
    (role varianter, $type:ty) => { $crate::__export!(adapter varianter, Varianter, $type); };
    (role requirement_resolver, $type:ty) => {
        $crate::__export!(adapter requirement_resolver, RequirementResolver, $type);
    };
    (role result_format, $type:ty) => {
        $crate::__export!(adapter result_format, ResultFormat, $type);
    };
    (role scheduler, $type:ty) => { $crate::__export!(adapter scheduler, Scheduler, $type); };
    (role $other:ident, $type:ty) => {};
    (adapter $module:ident, $trait:ident, $type:ty) => {
        const _: () = {
            // Checks in native builds too that the type implements the trait.
            const fn implements_the_trait_of_its_role<T: $crate::$trait>() {}
            implements_the_trait_of_its_role::<$type>();

            #[cfg(target_family = "wasm")]
            type PerseaAdapter = $crate::__private::Adapter<$type>;
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
    use crate::Role;

    struct Example;

    impl Exported for Example {
        const VERSION: &'static str = "1.2.3";
        const ROLES: &'static [&'static str] = &["runner"];
        fn describe() -> Description {
            Description::new("example", "an example").role(Role::runner(["a", "b"]))
        }
    }

    struct Versioned;

    impl Exported for Versioned {
        const VERSION: &'static str = "1.2.3";
        const ROLES: &'static [&'static str] = &["runner"];
        fn describe() -> Description {
            Example::describe().version("4.0.0")
        }
    }

    fn version<E: Exported>() -> String {
        let request = types::DescribeRequest {
            contract: "0.2.0".to_owned(),
            more: Vec::new(),
        };
        <PluginAdapter<E> as raw::Guest>::describe(request).version
    }

    #[test]
    fn plugin_version_defaults_to_the_version_of_its_crate() {
        assert_eq!(version::<Example>(), "1.2.3");
        assert_eq!(version::<Versioned>(), "4.0.0");
    }

    #[test]
    fn described_and_exported_roles_must_agree() {
        let description = Example::describe();
        assert_eq!(role_mistake(&description, &["runner"]), None);
        assert_eq!(
            role_mistake(&description, &["runner", "lister"]).as_deref(),
            Some("`export!` has the role lister, but the description has not")
        );
        assert_eq!(
            role_mistake(&description, &[]).as_deref(),
            Some("the description has the role runner, but `export!` has not")
        );
    }
}
