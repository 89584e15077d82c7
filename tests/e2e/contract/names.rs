//! Owns canonical names of interfaces: `persea:plugin/run@0.2`, with the rest of the version beside
//! the name, which later tools write in place of `persea:plugin/run@0.2.0`.

use serde_json::json;

use crate::hostile::wat::Runner;
use crate::support::Fixture;
use crate::support::plugins::lock;

/// The sections of a component with the names of imports and of exports.
const NAMES: [u8; 2] = [10, 11];

/// Reads a number in LEB128, and returns it with what follows.
fn leb128(bytes: &[u8]) -> (usize, &[u8]) {
    let end = bytes.iter().position(|byte| byte & 0x80 == 0).unwrap();
    let digits = bytes[..=end].iter().rev();
    let number = digits.fold(0, |number, byte| number << 7 | usize::from(byte & 0x7f));
    (number, &bytes[end + 1..])
}

fn push_leb128(bytes: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Gives the contract's names in a section their canonical form, with this rest of the version.
fn canonical_section(section: &[u8], rest: &str) -> Vec<u8> {
    let full = b"@0.2.0";
    let mut canonical = Vec::new();
    let mut at = 0;
    while at < section.len() {
        let length = usize::from(*section.get(at + 1).unwrap_or(&0));
        let name = section.get(at + 2..at + 2 + length).unwrap_or_default();
        if section[at] == 0 && name.starts_with(b"persea:plugin/") && name.ends_with(full) {
            let name = &name[..length - 2];
            canonical.extend([2, name.len() as u8]);
            canonical.extend(name);
            // One option: the rest of the version.
            canonical.extend([1, 1, rest.len() as u8]);
            canonical.extend(rest.bytes());
            at += 2 + length;
        } else {
            canonical.push(section[at]);
            at += 1;
        }
    }
    canonical
}

/// Gives the contract's names in a component their canonical form, with this rest of the version.
fn canonical(component: &[u8], rest: &str) -> Vec<u8> {
    let (header, mut left) = component.split_at(8);
    let mut canonical = header.to_vec();
    while let Some((number, after)) = left.split_first() {
        let (length, after) = leb128(after);
        let (section, after) = after.split_at(length);
        let section = match NAMES.contains(number) {
            true => canonical_section(section, rest),
            false => section.to_vec(),
        };
        canonical.push(*number);
        push_leb128(&mut canonical, section.len());
        canonical.extend(section);
        left = after;
    }
    canonical
}

#[test]
fn component_with_canonical_names_is_linked_and_runs() {
    let runner = Runner {
        imports: r#"(import "persea:plugin/log@0.2.0" "log" (func (param i32 i32 i32)))"#,
        ..Runner::default()
    };
    let component = runner.component();
    for (rest, version) in [(".0", "0.2.0"), (".3", "0.2.3")] {
        let fixture = Fixture::new();
        let bytes = canonical(&component, rest);
        assert!(bytes.len() > component.len(), "the names have changed");
        fixture.file("plugins/wat.wasm", bytes);
        lock(&fixture, "plugins/wat.wasm", &[]);
        let inspected = fixture
            .run(&["plugin", "inspect", "plugins/wat.wasm"])
            .code(0);
        assert!(inspected.stdout.contains(version), "{inspected}");
        fixture.recipe("job.json", &[json!({"kind": "wat", "uri": "x"})]);
        let ran = fixture
            .run(&["run", "--plugin-dir", "plugins", "job.json"])
            .code(0);
        assert_eq!(fixture.job().status("x"), "PASS", "{ran}");
    }
}
