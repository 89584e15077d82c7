//! Owns the Rust types of the contract's data (`wit/0.2/types.wit`), and the macros with which each
//! power and each world generates its own bindings. Does not know about any power or world.

pub(crate) mod data {
    wasmtime::component::bindgen!({
        path: "../../wit/0.2",
        inline: "
            package persea:host;
            world data { import persea:plugin/types@0.2.0; }
        ",
        world: "persea:host/data",
        imports: { default: trappable },
    });
}

pub(crate) use data::persea::plugin::types;

/// Generates the module `bindings` for one interface that plugins import. The world in `$inline` is
/// called `imports`, and imports `types` too. `$with` names the host's types of resources.
macro_rules! import_bindings {
    ($inline:literal, { $($imports:tt)* } $(, $resource:literal: $with:path)*) => {
        pub(crate) mod bindings {
            wasmtime::component::bindgen!({
                path: "../../wit/0.2",
                inline: $inline,
                world: "persea:host/imports",
                imports: { $($imports)* },
                with: {
                    "persea:plugin/types@0.2.0":
                        crate::contract::bindings::data::persea::plugin::types,
                    $($resource: $with),*
                },
            });
        }
    };
}

/// Generates a module with what the host calls in the plugins of one world. The world in `$inline`
/// has exports only: a linker provides what a component imports, see `powers`.
macro_rules! export_bindings {
    ($module:ident, $world:literal, $inline:literal $(, $interface:literal: $path:path)*) => {
        pub(crate) mod $module {
            wasmtime::component::bindgen!({
                path: "../../wit/0.2",
                inline: $inline,
                world: $world,
                exports: { default: async },
                with: {
                    "persea:plugin/types@0.2.0":
                        crate::contract::bindings::data::persea::plugin::types,
                    $($interface: $path),*
                },
            });
        }
    };
}

pub(crate) use {export_bindings, import_bindings};
