//! Owns the reading of a component's binary: the names of its imports and exports. Compiles and
//! runs nothing. The format is the component model's binary, read with wasmparser.

use wasmparser::{Chunk, Encoding, Parser, Payload};

use crate::engine::full_names::full_name;
use crate::error::PluginError;

/// The full names of what a component imports and exports.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) imports: Vec<String>,
    pub(crate) exports: Vec<String>,
}

/// Reads the full names of what the outermost component imports and exports.
pub(crate) fn names(plugin: &str, bytes: &[u8]) -> Result<Names, PluginError> {
    let wrong = |found: String| PluginError::NotComponent {
        plugin: plugin.to_owned(),
        found,
    };
    let broken = |error: &wasmparser::BinaryReaderError| {
        wrong(if bytes.is_empty() {
            "the file is empty".to_owned()
        } else if !bytes.starts_with(b"\0asm") {
            "it does not begin as WebAssembly does".to_owned()
        } else {
            format!(
                "it is broken or cut off: {} (at byte {})",
                error.message(),
                error.offset()
            )
        })
    };
    let cut_off = || {
        let end = bytes.len();
        wrong(format!(
            "it is broken or cut off: it ends within a part of it (at byte {end})"
        ))
    };
    let mut names = Names::default();
    let mut parser = Parser::new(0);
    let mut rest = bytes;
    loop {
        let chunk = parser.parse(rest, true).map_err(|error| broken(&error))?;
        let Chunk::Parsed { consumed, payload } = chunk else {
            return Err(cut_off());
        };
        rest = rest.get(consumed..).ok_or_else(cut_off)?;
        match payload {
            Payload::Version {
                encoding: Encoding::Module,
                ..
            } => {
                return Err(PluginError::CoreModule {
                    plugin: plugin.to_owned(),
                });
            }
            // The compiler checks what is inside.
            Payload::ModuleSection {
                unchecked_range, ..
            }
            | Payload::ComponentSection {
                unchecked_range, ..
            } => {
                let length = unchecked_range.end.saturating_sub(unchecked_range.start);
                let within = usize::try_from(length).ok();
                rest = within
                    .and_then(|length| rest.get(length..))
                    .ok_or_else(cut_off)?;
            }
            Payload::End(_) => return Ok(names),
            Payload::ComponentImportSection(section) => {
                for import in section {
                    let import = import.map_err(|error| broken(&error))?;
                    names.imports.push(full_name(&import.name));
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    let export = export.map_err(|error| broken(&error))?;
                    names.exports.push(full_name(&export.name));
                }
            }
            _ => {}
        }
    }
}
