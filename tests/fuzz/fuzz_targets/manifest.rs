//! Owns manifests of untrusted components: what a binary declares is within the contract, or the
//! binary is refused.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use persea_plugin::{Manifest, World};

/// The component of a seed, which is in the text format so that people can read it.
fn component(seed: &[u8]) -> Option<Vec<u8>> {
    let text = Some(seed).filter(|seed| seed.starts_with(b"("))?;
    Some(wat::parse_bytes(text).ok()?.into_owned())
}

// Mutates the component of a seed and not its text, in which most mutations are syntax errors.
fuzz_mutator!(
    |data: &mut [u8], size: usize, max_size: usize, _seed: u32| {
        let component = component(&data[..size]).filter(|bytes| bytes.len() <= max_size);
        let size = component.map_or(size, |bytes| {
            data[..bytes.len()].copy_from_slice(&bytes);
            bytes.len()
        });
        fuzzer_mutate(data, size, max_size)
    }
);

fuzz_target!(|data: &[u8]| {
    let component = component(data);
    let bytes = component.as_deref().unwrap_or(data);
    match Manifest::read("p.wasm", bytes) {
        Ok(manifest) => {
            let worlds = manifest.worlds();
            assert!(
                !worlds.is_empty(),
                "a component without a role is no plugin"
            );
            assert_eq!((manifest.contract.major, manifest.contract.minor), (0, 2));
            // Only these worlds can import `process`.
            let may = [World::Runner, World::Lister, World::RequirementResolver];
            let may = worlds.iter().any(|world| may.contains(world));
            assert!(may || !manifest.starts_processes());
        }
        Err(error) => assert!(error.to_string().contains("p.wasm"), "{error}"),
    }
});
