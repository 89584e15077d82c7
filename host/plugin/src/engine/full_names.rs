//! Owns the change of canonical names of interfaces (`a:b/c@0.2`, with the rest of the version
//! beside the name) into full ones (`a:b/c@0.2.1`) in a component's binary. wasmtime 48 refuses
//! canonical names: its validator wants a whole version, and has the option that reads the rest
//! switched off. Does not know what the names mean to the host.

use std::borrow::Cow;

use wasmparser::{BinaryReader, ComponentExport, ComponentExternName, ComponentImport};

use crate::contract::interface_name::InterfaceName;

/// The length of the header of a component's binary.
const HEADER: usize = 8;

/// The numbers of the sections with the names of imports and of exports.
const IMPORTS: u8 = 10;
const EXPORTS: u8 = 11;

/// Returns the full name of an import or an export.
pub(crate) fn full_name(name: &ComponentExternName<'_>) -> String {
    let full = name.full_name();
    match InterfaceName::parse(&full).and_then(|name| Some((name.interface, name.version?))) {
        // A canonical version of the contract without its rest stands for the first one.
        Some((interface, version)) => InterfaceName::full(interface, &version),
        None => full.into_owned(),
    }
}

/// Returns a component whose outermost imports and exports have full names. What cannot be read is
/// left as it is: the compiler says what is wrong with it.
pub(crate) fn with_full_names(component: &[u8]) -> Cow<'_, [u8]> {
    match rewrite(component) {
        Ok(Some(rewritten)) => Cow::Owned(rewritten),
        Ok(None) | Err(_) => Cow::Borrowed(component),
    }
}

/// Returns the rewritten component; none where all names are full already.
fn rewrite(component: &[u8]) -> wasmparser::Result<Option<Vec<u8>>> {
    let mut reader = BinaryReader::new(component, 0);
    let mut rewritten = reader.read_bytes(HEADER)?.to_vec();
    let mut is_changed = false;
    while !reader.eof() {
        let number = reader.read_u8()?;
        let length = reader.read_var_u32()?;
        let content = reader.read_bytes(length as usize)?;
        let section = match number {
            IMPORTS => section(content, |item| {
                item.read::<ComponentImport<'_>>().map(|import| import.name)
            })?,
            EXPORTS => section(content, |item| {
                item.read::<ComponentExport<'_>>().map(|export| export.name)
            })?,
            _ => None,
        };
        is_changed |= section.is_some();
        let section = section.map_or(Cow::Borrowed(content), Cow::Owned);
        rewritten.push(number);
        push_length(&mut rewritten, section.len());
        rewritten.extend_from_slice(&section);
    }
    Ok(is_changed.then_some(rewritten))
}

/// Returns a section of imports or exports with full names; none where they are full already.
/// `read` reads an item and returns its name.
fn section<'a>(
    content: &'a [u8],
    read: impl Fn(&mut BinaryReader<'a>) -> wasmparser::Result<ComponentExternName<'a>>,
) -> wasmparser::Result<Option<Vec<u8>>> {
    let mut reader = BinaryReader::new(content, 0);
    let count = reader.read_var_u32()?;
    let mut section = Vec::with_capacity(content.len());
    push_length(&mut section, count as usize);
    let mut is_changed = false;
    for _ in 0..count {
        let mut item = reader.clone();
        let name = read(&mut reader)?;
        let length = item.bytes_remaining() - reader.bytes_remaining();
        let full = full_name(&name);
        // `implements` gives the version another meaning.
        if full == name.name || name.implements.is_some() {
            section.extend_from_slice(item.read_bytes(length)?);
            continue;
        }
        is_changed = true;
        let before = item.bytes_remaining();
        item.read::<ComponentExternName<'_>>()?;
        let of_name = before - item.bytes_remaining();
        section.push(0);
        push_length(&mut section, full.len());
        section.extend_from_slice(full.as_bytes());
        section.extend_from_slice(item.read_bytes(length - of_name)?);
    }
    Ok(is_changed.then_some(section))
}

/// Appends a length in LEB128, as WebAssembly has it.
fn push_length(bytes: &mut Vec<u8>, mut length: usize) {
    loop {
        let low = (length & 0x7f) as u8;
        length >>= 7;
        if length == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use wasmtime::component::{Component, Linker};
    use wasmtime::{Engine, Store};

    use super::*;

    /// A component that imports an interface of the contract and exports another one, by names of
    /// this version, as a tool writes it.
    fn component(version: &str) -> Vec<u8> {
        let text = format!(
            r#"(component
                (import "persea:plugin/log@{version}" (instance $log
                    (export "log" (func (param "message" string)))))
                (import "other:package/name@1.2.3" (instance))
                (instance $run)
                (export "persea:plugin/run@{version}" (instance $run)))"#
        );
        wat::parse_str(text).unwrap()
    }

    /// The same component with the rest of the version beside canonical names.
    fn with_suffix(rest: &str) -> Vec<u8> {
        let mut bytes = component("0.2");
        for interface in ["log", "run"] {
            let name = format!("persea:plugin/{interface}@0.2");
            let place = bytes
                .windows(name.len())
                .position(|it| it == name.as_bytes());
            let place = place.unwrap();
            // Before the name are a byte for its form and its length.
            let start = bytes.get_mut(place - 2).unwrap();
            *start = 2;
            let mut option = vec![1, 1, u8::try_from(rest.len()).unwrap()];
            option.extend_from_slice(rest.as_bytes());
            let end = place + name.len();
            bytes.splice(end..end, option.iter().copied());
            // The section's length is before its number of items.
            let mut at = HEADER;
            loop {
                let length = usize::from(*bytes.get(at + 1).unwrap());
                if at + 2 + length >= place {
                    let length = bytes.get_mut(at + 1).unwrap();
                    *length += u8::try_from(option.len()).unwrap();
                    break;
                }
                at += 2 + length;
            }
        }
        bytes
    }

    #[test]
    fn canonical_names_become_full_ones_that_wasmtime_links() {
        let engine = Engine::default();
        let link = |bytes: &[u8]| -> wasmtime::Result<bool> {
            let component = Component::new(&engine, bytes)?;
            let mut linker = Linker::<()>::new(&engine);
            let mut log = linker.instance("persea:plugin/log@0.2.3")?;
            log.func_wrap("log", |_, (_,): (String,)| Ok(()))?;
            linker.instance("other:package/name@1.2.3")?;
            linker.instantiate(Store::new(&engine, ()), &component)?;
            let export = component.get_export_index(None, "persea:plugin/run@0.2.0");
            Ok(export.is_some())
        };
        // wasmtime itself links full names only.
        assert!(link(&component("0.2.0")).unwrap());
        let refused = link(&component("0.2")).unwrap_err();
        assert!(
            format!("{refused:#}").contains("invalid interface version"),
            "{refused:#}"
        );
        assert!(link(&with_suffix(".1")).is_err());
        for canonical in [component("0.2"), with_suffix(".0"), with_suffix(".1")] {
            assert!(link(&with_full_names(&canonical)).unwrap());
        }
    }

    #[test]
    fn full_names_have_the_rest_of_the_version() {
        assert_eq!(*with_full_names(&component("0.2")), component("0.2.0"));
        assert_eq!(*with_full_names(&with_suffix(".17")), component("0.2.17"));
        let full = component("0.2.1");
        assert!(matches!(with_full_names(&full), Cow::Borrowed(_)));
    }

    #[test]
    fn broken_component_is_left_as_it_is() {
        let whole = with_suffix(".1");
        for length in 0..whole.len() {
            let cut = whole.get(..length).unwrap();
            assert!(with_full_names(cut).len() < whole.len() + 8, "{length}");
        }
        let mut wrong = component("0.2");
        let last = wrong.last_mut().unwrap();
        *last ^= 0xff;
        with_full_names(&wrong);
    }
}
