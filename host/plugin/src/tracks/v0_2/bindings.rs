//! Owns the Rust types that are generated from `wit/0.2/types.wit`, the contract's data, and the
//! macro with which each power generates its own. `exports` has what the host calls in plugins.

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
                        crate::tracks::v0_2::bindings::data::persea::plugin::types,
                    $($resource: $with),*
                },
            });
        }
    };
}

pub(crate) use import_bindings;
