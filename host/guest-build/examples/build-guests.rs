//! Builds all plugins of a workspace and writes their components into a directory.
//!
//! Usage: build-guests MANIFEST DIRECTORY [PACKAGE...]; without packages, all that are a `cdylib`.

use std::error::Error;
use std::path::{Path, PathBuf};

use persea_guest_build::{Guest, Target, Toolchain};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(manifest), Some(directory)) = (arguments.next(), arguments.next()) else {
        return Err("usage: build-guests MANIFEST DIRECTORY PACKAGE...".into());
    };
    let packages: Vec<String> = arguments.collect();
    let packages: Vec<&str> = packages.iter().map(String::as_str).collect();
    let directory = PathBuf::from(directory);
    std::fs::create_dir_all(&directory)?;
    let built = Toolchain::find(Target::Unknown)?.build(&Guest {
        manifest: Path::new(&manifest),
        packages: &packages,
        profile: "release",
        target_dir: &directory.join("target"),
        overrides: &[],
    })?;
    for guest in built {
        let file = directory.join(format!("{}.wasm", guest.name));
        std::fs::write(file, guest.component)?;
    }
    Ok(())
}
