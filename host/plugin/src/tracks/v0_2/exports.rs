//! Owns the generated bindings of what the host calls in plugins, a module for each world, and one
//! for what all worlds export.

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
                        crate::tracks::v0_2::bindings::data::persea::plugin::types,
                    $($interface: $path),*
                },
            });
        }
    };
}

export_bindings!(
    described,
    "persea:host/described",
    "package persea:host;
    world described { export persea:plugin/plugin@0.2.0; }"
);

export_bindings!(
    resolver,
    "persea:host/resolver",
    "package persea:host;
    world resolver { export persea:plugin/resolve@0.2.0; }"
);

export_bindings!(
    varianter,
    "persea:host/varianter",
    "package persea:host;
    world varianter { export persea:plugin/vary@0.2.0; }"
);

export_bindings!(
    scheduler,
    "persea:host/scheduler",
    "package persea:host;
    world scheduler { export persea:plugin/schedule@0.2.0; }"
);

export_bindings!(
    runner,
    "persea:host/runner",
    "package persea:host;
    world runner { export persea:plugin/run@0.2.0; }"
);

export_bindings!(
    batch_runner,
    "persea:host/batch-runner",
    "package persea:host;
    world batch-runner { export persea:plugin/run-batch@0.2.0; }"
);

export_bindings!(
    lister,
    "persea:host/lister",
    "package persea:host;
    world lister { export persea:plugin/list-tests@0.2.0; }"
);

export_bindings!(
    program_runner,
    "persea:host/program-runner",
    "package persea:host;
    world program-runner { export persea:plugin/run-program@0.2.0; }",
    "persea:plugin/process@0.2.0":
        crate::tracks::v0_2::powers::process::bindings::persea::plugin::process
);

export_bindings!(
    requirement_resolver,
    "persea:host/requirement-resolver",
    "package persea:host;
    world requirement-resolver { export persea:plugin/fulfil@0.2.0; }"
);

export_bindings!(
    result_format,
    "persea:host/result-format",
    "package persea:host;
    world result-format { export persea:plugin/format@0.2.0; }"
);
