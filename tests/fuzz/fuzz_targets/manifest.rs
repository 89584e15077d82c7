//! Components, as anybody may have made them: what a binary says of itself is within the contract, or it is refused.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use persea_plugin::{Manifest, World};

/// The component of a seed: those are texts, so that people can read them.
fn component(seed: &[u8]) -> Option<Vec<u8>> {
    let text = Some(seed).filter(|seed| seed.starts_with(b"("))?;
    Some(wat::parse_bytes(text).ok()?.into_owned())
}

// Not the text is mutated, but what it stands for.
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
            assert!(World::ALL.contains(&manifest.world));
            assert_eq!((manifest.contract.major, manifest.contract.minor), (0, 1));
            let is_runner = manifest.world == World::Runner;
            assert!(is_runner || !(manifest.batches || manifest.programs));
            assert!(!(manifest.batches && manifest.programs));
            // Who starts processes is told by the world's name, as nobody else can ask for it.
            let may = matches!(manifest.world, World::Runner | World::RequirementResolver);
            assert!(may || !manifest.starts_processes());
        }
        Err(error) => assert!(error.to_string().contains("p.wasm"), "{error}"),
    }
});
