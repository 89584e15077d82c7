//! Owns the imports that no host offers, such as `wasi:http`, which some generators add to every
//! component: they are linked to functions that trap. Does not know which imports those are.

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, ResourceType};

use crate::instance::state::InstanceState;

/// What leaves imports out that a plugin does not use, in the words of the generator that adds
/// them.
const HINT: &str = "a plugin made with componentize-js leaves it out with `disableFeatures: \
                    [\"http\", \"fetch-event\"]`";

/// Links these interfaces, as the component imports them, to functions that trap.
pub(crate) fn refuse_imports(
    linker: &mut Linker<InstanceState>,
    component: &Component,
    refused: &[String],
) -> wasmtime::Result<()> {
    let engine = component.engine().clone();
    let imports = component.component_type();
    let mut known = Vec::new();
    for (name, import) in imports.imports(&engine) {
        let ComponentItem::ComponentInstance(instance) = import.ty else {
            continue;
        };
        if !refused.iter().any(|refused| refused == name) {
            let resources = instance.exports(&engine);
            known.extend(resources.filter_map(|(_, export)| match export.ty {
                ComponentItem::Resource(resource) => Some(resource),
                _ => None,
            }));
            continue;
        }
        let mut interface = linker.instance(name)?;
        for (item, export) in instance.exports(&engine) {
            match export.ty {
                ComponentItem::ComponentFunc(_) => {
                    let message =
                        format!("it called `{name}#{item}`, which no host offers: {HINT}");
                    interface.func_new(item, move |_, _, _, _| {
                        Err(wasmtime::Error::msg(message.clone()))
                    })?;
                }
                // An interface may name a resource of another one, such as a stream of `wasi:io`.
                ComponentItem::Resource(resource) if known.contains(&resource) => {}
                ComponentItem::Resource(resource) => {
                    known.push(resource);
                    interface.resource(item, ResourceType::host::<()>(), |_, _| Ok(()))?;
                }
                ComponentItem::Type(_)
                | ComponentItem::CoreFunc(_)
                | ComponentItem::Module(_)
                | ComponentItem::Component(_)
                | ComponentItem::ComponentInstance(_) => {}
            }
        }
    }
    Ok(())
}
