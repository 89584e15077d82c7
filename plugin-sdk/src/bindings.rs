//! Owns the code that wit-bindgen generates from `wit/`: one set of Rust types for all worlds, a
//! function for each import, and a trait and a macro for each exported interface. Has no behaviour,
//! and is used by this crate only.
//!
//! Each exported interface has a world of its own here, so that a guest can export `plugin` and any
//! selection of the others. wit-component merges the worlds that a module names, and drops unused
//! imports.
#![allow(missing_docs, clippy::all, clippy::restriction, unreachable_pub)]

/// All interfaces that plugins can import; no exports.
mod imports {
    wit_bindgen::generate!({
        path: "wit",
        inline: "
            package persea:sdk;
            world imports {
                import persea:plugin/types@0.2.0;
                import persea:plugin/log@0.2.0;
                import persea:plugin/workspace@0.2.0;
                import persea:plugin/process@0.2.0;
                import persea:plugin/messages@0.2.0;
                import persea:plugin/artifacts@0.2.0;
                import persea:plugin/artifact-list@0.2.0;
                import persea:plugin/cases@0.2.0;
                import persea:plugin/poll@0.2.0;
                import persea:plugin/monotonic-clock@0.2.0;
                import persea:plugin/pages@0.2.0;
                import persea:plugin/batch@0.2.0;
                import persea:plugin/report-output@0.2.0;
                import persea:plugin/fetch@0.2.0;
                import persea:plugin/cache@0.2.0;
            }
        ",
        world: "persea:sdk/imports",
        additional_derives: [PartialEq],
        generate_unused_types: true,
        generate_all,
    });
}

#[cfg(target_family = "wasm")]
pub use imports::persea::plugin::{
    artifact_list, artifacts, batch, cache, fetch, messages, monotonic_clock, pages, report_output,
};
pub use imports::persea::plugin::{cases, log, poll, process, types, workspace};

macro_rules! exports {
    (
        $module:ident, $interface:ident, $inline:literal, $world:literal
        $(, $from:literal: $path:ident)*
    ) => {
        pub mod $module {
            wit_bindgen::generate!({
                path: "wit",
                inline: $inline,
                world: $world,
                with: {
                    "persea:plugin/types@0.2.0": crate::bindings::types,
                    $($from: crate::bindings::$path),*
                },
                generate_all,
                pub_export_macro: true,
            });
            pub use exports::persea::plugin::$interface::*;
        }
    };
}

exports!(
    plugin,
    plugin,
    "package persea:sdk; world export-plugin { export persea:plugin/plugin@0.2.0; }",
    "persea:sdk/export-plugin"
);
exports!(
    runner,
    run,
    "package persea:sdk; world export-run { export persea:plugin/run@0.2.0; }",
    "persea:sdk/export-run"
);
exports!(
    batch_runner,
    run_batch,
    "package persea:sdk; world export-run-batch { export persea:plugin/run-batch@0.2.0; }",
    "persea:sdk/export-run-batch"
);
exports!(
    program_runner,
    run_program,
    "package persea:sdk; world export-run-program { export persea:plugin/run-program@0.2.0; }",
    "persea:sdk/export-run-program",
    "persea:plugin/process@0.2.0": process
);
exports!(
    lister,
    list_tests,
    "package persea:sdk; world export-list-tests { export persea:plugin/list-tests@0.2.0; }",
    "persea:sdk/export-list-tests"
);
exports!(
    resolver,
    resolve,
    "package persea:sdk; world export-resolve { export persea:plugin/resolve@0.2.0; }",
    "persea:sdk/export-resolve"
);
exports!(
    result_format,
    format,
    "package persea:sdk; world export-format { export persea:plugin/format@0.2.0; }",
    "persea:sdk/export-format"
);
exports!(
    scheduler,
    schedule,
    "package persea:sdk; world export-schedule { export persea:plugin/schedule@0.2.0; }",
    "persea:sdk/export-schedule"
);
exports!(
    varianter,
    vary,
    "package persea:sdk; world export-vary { export persea:plugin/vary@0.2.0; }",
    "persea:sdk/export-vary"
);
exports!(
    requirement_resolver,
    fulfil,
    "package persea:sdk; world export-fulfil { export persea:plugin/fulfil@0.2.0; }",
    "persea:sdk/export-fulfil"
);
