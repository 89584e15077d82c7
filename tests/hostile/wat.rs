//! Owns runners written in WebAssembly's text format, for what no compiler would emit: a valid
//! runner, of which each test changes a part.

use std::path::{Path, PathBuf};

use wit_component::StringEncoding;

/// The parts of a runner in the text format. The default is a valid runner, whose tasks pass.
pub struct Runner {
    /// Imported functions.
    pub imports: &'static str,
    /// The limits of the memory in pages of 64 KiB.
    pub memory: &'static str,
    /// The body that returns the address of the description.
    pub describe: &'static str,
    /// The body that returns the address of a task's result.
    pub run: &'static str,
    /// The body that allocates memory. Parameters: old address, old size, alignment, new size.
    pub realloc: &'static str,
    /// More functions, tables, data.
    pub more: String,
}

/// The address of the description.
pub const DESCRIPTION: u32 = 128;

/// An address with room for a test's own data.
pub const ROOM: u32 = 1024;

/// A bump allocator.
const REALLOC: &str = r#"
    (local $place i32)
    (local.set $place (i32.and
        (i32.add (global.get $next) (i32.sub (local.get 2) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get 2))))
    (global.set $next (i32.add (local.get $place) (local.get 3)))
    (block $enough
        (br_if $enough (i32.lt_u (global.get $next) (i32.mul (memory.size) (i32.const 65536))))
        (br_if $enough (i32.ne (i32.const -1) (memory.grow
            (i32.add (i32.const 1) (i32.div_u (local.get 3) (i32.const 65536))))))
        unreachable)
    (local.get $place)
"#;

impl Default for Runner {
    fn default() -> Self {
        Self {
            imports: "",
            memory: "2",
            describe: "(i32.const 128)",
            run: "(i32.const 256)",
            realloc: REALLOC,
            more: String::new(),
        }
    }
}

/// The bytes of numbers in memory, as a string of the text format.
pub fn words(numbers: &[u32]) -> String {
    let bytes = numbers.iter().flat_map(|number| number.to_le_bytes());
    bytes.map(|byte| format!("\\{byte:02x}")).collect()
}

impl Runner {
    /// A valid runner with more functions, tables or data.
    pub fn with(more: impl Into<String>) -> Self {
        let more = more.into();
        Self {
            more,
            ..Self::default()
        }
    }

    /// The core module.
    pub fn text(&self) -> String {
        // An address and a length each: name, version, summary, roles, settings, more.
        let description = words(&[64, 3, 67, 5, 72, 4, 176, 1, 0, 0, 0, 0]);
        // The same of the only role: name, kinds, more. Then its only kind.
        let roles = words(&[76, 6, 208, 1, 0, 0]);
        format!(
            r#"(module
  {imports}
  (memory (export "memory") {memory})
  (global $next (mut i32) (i32.const 8192))
  (data (i32.const 64) "wat1.0.0odd runner")
  (data (i32.const {DESCRIPTION}) "{description}")
  (data (i32.const 176) "{roles}")
  (data (i32.const 208) "{kinds}")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {realloc})
  (func (export "persea:plugin/plugin@0.2.0#describe") (param i32 i32 i32 i32) (result i32)
    {describe})
  (func (export "persea:plugin/run@0.2.0#run") (param i32) (result i32) {run})
  {more}
)"#,
            imports = self.imports,
            memory = self.memory,
            kinds = words(&[64, 3]),
            realloc = self.realloc,
            describe = self.describe,
            run = self.run,
            more = self.more,
        )
    }

    /// The component.
    pub fn component(&self) -> Vec<u8> {
        component(&self.text())
    }
}

/// A component of the world `runner`, made of a core module.
pub fn component(text: &str) -> Vec<u8> {
    component_of(&contract(), "runner", text)
}

/// The directory of the contract.
pub fn contract() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit/0.2")
}

/// A component of a world of the package in a directory, made of a core module.
pub fn component_of(wit: &Path, world: &str, text: &str) -> Vec<u8> {
    let mut module = wat::parse_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut resolve = wit_parser::Resolve::default();
    let (package, _) = resolve.push_dir(wit).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    wit_component::embed_component_metadata(
        &mut module,
        &resolve,
        world,
        StringEncoding::UTF8,
        false,
    )
    .unwrap();
    wit_component::ComponentEncoder::default()
        .validate(false)
        .module(&module)
        .and_then(wit_component::ComponentEncoder::encode)
        .unwrap()
}
