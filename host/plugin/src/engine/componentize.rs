//! Owns how a core module becomes a component. Does not know what the component is.

/// Makes a component of a core module: one that was built with the SDK for wasm32-unknown-unknown,
/// or one of another generator of bindings. A module that imports `wasi_snapshot_preview1`, as a C
/// library does, is adapted: its component imports WASI 0.2.
///
/// # Errors
/// Why the module cannot be a component.
pub fn componentize(module: &[u8]) -> Result<Vec<u8>, String> {
    use wasi_preview1_component_adapter_provider as preview1;

    // The encoder includes only what the module calls, and nothing where that is nothing.
    wit_component::ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|encoder| {
            encoder.adapter(
                preview1::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
                preview1::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
            )
        })
        .and_then(wit_component::ComponentEncoder::encode)
        .map_err(|error| format!("{error:#}"))
}
