//! Runners written as text, for what no compiler would emit. Owns the frame around a case: a sound runner, of which each case changes a part.

use std::path::Path;

use wit_component::StringEncoding;

/// The parts of a runner, as functions' bodies in the text format. As it is by default it's sound: its tasks pass.
pub struct Runner {
    /// Imported functions.
    pub imports: &'static str,
    /// Pages of memory, and whatever else may stand there.
    pub memory: &'static str,
    /// Returns the address of a description.
    pub describe: &'static str,
    /// Returns the address of how a task ended.
    pub run: &'static str,
    /// Makes room: old address, old size, alignment, new size.
    pub realloc: &'static str,
    /// More functions, tables, data.
    pub more: String,
}

/// Where the description lies.
pub const DESCRIPTION: u32 = 128;

/// Where there's room for a case's own data.
pub const ROOM: u32 = 1024;

/// Makes room behind what is there already.
const REALLOC: &str = r#"
    (local $place i32)
    (local.set $place (i32.and
        (i32.add (global.get $next) (i32.sub (local.get 2) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get 2))))
    (global.set $next (i32.add (local.get $place) (local.get 3)))
    (block $enough
        (br_if $enough (i32.lt_u (global.get $next) (i32.mul (memory.size) (i32.const 65536))))
        (br_if $enough (i32.ne (i32.const -1) (memory.grow (i32.add (i32.const 1) (i32.div_u (local.get 3) (i32.const 65536))))))
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

/// Numbers as they lie in memory.
pub fn words(numbers: &[u32]) -> String {
    let bytes = numbers.iter().flat_map(|number| number.to_le_bytes());
    bytes.map(|byte| format!("\\{byte:02x}")).collect()
}

impl Runner {
    /// A sound one that has this beside what it needs.
    pub fn with(more: impl Into<String>) -> Self {
        let more = more.into();
        Self {
            more,
            ..Self::default()
        }
    }

    /// The core module.
    pub fn text(&self) -> String {
        // Name, version, summary, kinds, settings, more: an address and a length each.
        let description = words(&[64, 3, 67, 5, 72, 4, 176, 1, 0, 0, 0, 0]);
        format!(
            r#"(module
  {imports}
  (memory (export "memory") {memory})
  (global $next (mut i32) (i32.const 8192))
  (data (i32.const 64) "wat1.0.0odd ")
  (data (i32.const {DESCRIPTION}) "{description}")
  (data (i32.const 176) "{kinds}")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {realloc})
  (func (export "persea:plugin/plugin@0.1.0#describe") (result i32) {describe})
  (func (export "persea:plugin/run@0.1.0#run") (param i32) (result i32) {run})
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

/// A component of world runner made of a core module.
pub fn component(text: &str) -> Vec<u8> {
    let mut module = wat::parse_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut resolve = wit_parser::Resolve::default();
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
    let (package, _) = resolve.push_dir(wit).unwrap();
    let world = resolve.select_world(&[package], Some("runner")).unwrap();
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
