//! Owns the rows about one task that stands for much: a test with many cases, and one that a lister
//! replaces by many tests.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use persea_guest_build::{Guest, Target, Toolchain};

use super::{Bench, Sample, per_task};

/// Longer than between two steps of the clock with which file systems mark changes: the list of a
/// program that was changed less long ago is not kept.
const SETTLED: Duration = Duration::from_millis(100);

impl Bench {
    /// A test with this many cases, and one with a tenth: the host's memory should not differ much.
    pub(super) fn cases(&self, count: usize) {
        let name = format!("cases: {count}");
        if !self.wanted(&name) {
            return;
        }
        let recipe = |count: usize| {
            let test = format!("points-{count}.t");
            let points = format!("#!/bin/sh\necho 1..{count}\nseq -f 'ok %.0f - point' {count}\n");
            self.executable(&test, &points);
            let recipe = format!("points-{count}.json");
            let text = format!(r#"[{{"kind":"tap","uri":"{test}"}}]"#);
            std::fs::write(self.path(&recipe), text).unwrap();
            recipe
        };
        let (many, few) = (recipe(count), recipe(count / 10));
        let _ = self.persea(&["run", "/bin/true"]);
        let medians = self.compare(&mut [
            (&name, &mut || self.persea(&["run", &many])),
            ("cases: a tenth of them", &mut || {
                self.persea(&["run", &few])
            }),
        ]);
        per_task(&medians[..1], count);
    }

    /// The second listing of a program that names this many tests, and the listing of one test.
    pub(super) fn listing(&self, count: usize) {
        let name = format!("listing: {count}");
        if !self.wanted(&name) {
            return;
        }
        let project = self.path("listing");
        std::fs::create_dir_all(project.join("plugins")).unwrap();
        std::fs::write(project.join("plugins/suite-script.wasm"), lister()).unwrap();
        let names = format!("#!/bin/sh\nseq -f 't%.0f' {count}\n");
        self.executable("listing/suite.sh", &names);
        let suite = r#"[{"kind":"script-suite","uri":"./suite.sh"}]"#;
        std::fs::write(project.join("suite.json"), suite).unwrap();
        std::fs::write(project.join("one.json"), r#"[{"kind":"noop"}]"#).unwrap();
        let persea = |args: &[&str]| self.persea_in(&project, args);
        let plugin = "plugins/suite-script.wasm";
        persea(&["plugin", "add", plugin, "--grant", "process=process"]);
        std::thread::sleep(SETTLED);
        let list = |recipe: &str| -> Sample {
            persea(&["list", "--plugin-dir", "plugins", "--run-listers", recipe])
        };
        let _ = list("suite.json");
        let medians = self.compare(&mut [
            (&format!("{name}, again"), &mut || list("suite.json")),
            ("listing: one test", &mut || list("one.json")),
        ]);
        let more = medians[0] - medians[1];
        println!("    {more:.1} ms more than one test");
    }

    fn executable(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }
}

/// The component of the test plugin `suite-script`, which asks a script for its tests.
fn lister() -> Vec<u8> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/plugins/suite-script");
    let built = Toolchain::find(Target::Unknown).unwrap().build(&Guest {
        manifest: &sources.join("Cargo.toml"),
        packages: &[],
        profile: "release",
        target_dir: &Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests"),
        overrides: &[],
    });
    built.unwrap().remove(0).component
}
