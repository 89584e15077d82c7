//! Components, as anybody may have made them: what a binary says of itself is within the contract, or it is refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use persea::plugin::{Manifest, World};

fuzz_target!(|bytes: &[u8]| {
    match Manifest::read("p.wasm", bytes) {
        Ok(manifest) => {
            assert!(World::ALL.contains(&manifest.world));
            assert_eq!((manifest.contract.major, manifest.contract.minor), (0, 1));
            assert!(!manifest.batches || manifest.world == World::Runner);
            // Who starts processes is told by the world's name, as nobody else can ask for it.
            let may = matches!(manifest.world, World::Runner | World::RequirementResolver);
            assert!(may || !manifest.starts_processes());
        }
        Err(error) => assert!(error.to_string().contains("p.wasm"), "{error}"),
    }
});
