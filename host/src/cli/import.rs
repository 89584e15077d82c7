//! Owns `persea import`.

use std::path::PathBuf;

use clap::Args;

use super::output::print_line;
use super::past::ResultsDir;
use super::{Context, Failure, exit};
use persea_history::{ImportError, ImportLimits};

/// The most files and directories of an archive. A test that leaves something has about three.
const MOST_MEMBERS: u64 = 4_000_000;

#[derive(Debug, Args)]
pub(super) struct Import {
    /// The archive that `persea export` has written
    file: PathBuf,
    /// Refuse an archive that has more than this, unpacked, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 4096)]
    max_mb: u64,
    #[command(flatten)]
    results: ResultsDir,
}

impl Import {
    pub(super) fn run(self, context: &Context) -> Result<u8, Failure> {
        let root = self.results.root(context);
        let limits = ImportLimits {
            bytes: self.max_mb.saturating_mul(1 << 20),
            members: MOST_MEMBERS,
        };
        let imported = persea_history::import(&self.file, &root, limits);
        let imported = imported.map_err(|error| self.failure(&error))?;
        print_line(format_args!(
            "{}: job {}, {} files, {} bytes",
            imported.directory.display(),
            imported.id,
            imported.files,
            imported.bytes
        ));
        Ok(exit::OK)
    }

    fn failure(&self, error: &ImportError) -> Failure {
        let text = format!("{}: {error}", self.file.display());
        let help = match error {
            ImportError::Large { .. } => {
                "if you trust the archive, allow more: `--max-mb MIB`".to_owned()
            }
            ImportError::Exists { path, .. } => {
                format!("`persea jobs show {}` shows it", path.display())
            }
            ImportError::Format(_) => "import it with a later version of Persea".to_owned(),
            ImportError::Damaged(_) | ImportError::Incomplete { .. } => {
                "copy the archive once more, or export the job again".to_owned()
            }
            _ => return Failure::new(exit::FAIL, miette::miette!("{text}")),
        };
        Failure::new(exit::FAIL, miette::miette!(help = help, "{text}"))
    }
}
