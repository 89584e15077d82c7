//! Owns `persea export`.

use std::io::BufWriter;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;

use super::output::{eprint_line, print_line};
use super::past::ResultsDir;
use super::{Context, Failure, exit};
use persea_history::{ExportError, Exported};
use persea_system::private::READABLE_FILE;

/// The number of files that cannot be read and that are named.
const NAMED: usize = 5;

#[derive(Debug, Args)]
pub(super) struct Export {
    /// The job: its directory, `latest`, or the beginning of its id or of its directory's name
    job: String,
    /// Write this file, in place of one that exists [default: the name of the job's directory, with
    /// `.tar.gz`, in the working directory]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    results: ResultsDir,
}

impl Export {
    pub(super) fn run(self, context: &Context) -> Result<u8, Failure> {
        let directory = self.results.find(&self.job, context)?;
        let output = self.output.unwrap_or_else(|| {
            let mut name = directory.file_name().unwrap_or_default().to_owned();
            name.push(".tar.gz");
            PathBuf::from(name)
        });
        let exported = write(&directory, &output)?;
        for (path, why) in exported.unreadable.iter().take(NAMED) {
            let path = directory.join(path);
            eprint_line(format_args!("error: left out {}: {why}", path.display()));
        }
        let more = exported.unreadable.len().saturating_sub(NAMED);
        if more > 0 {
            eprint_line(format_args!("error: left out {more} more files"));
        }
        if exported.left_out > 0 {
            eprint_line(format_args!(
                "note: left out links, pipes, sockets and devices: {}",
                exported.left_out
            ));
        }
        print_line(format_args!(
            "{}: {} files, {} bytes before compression",
            output.display(),
            exported.files,
            exported.bytes
        ));
        match exported.unreadable.as_slice() {
            [] => Ok(exit::OK),
            _ => Ok(exit::JOB_FAIL),
        }
    }
}

/// Writes the archive beside its place first: an archive that is not whole is never there.
fn write(directory: &Path, output: &Path) -> Result<Exported, Failure> {
    let failed = |error: std::io::Error| {
        let message = format!("cannot write {}: {error}", output.display());
        Failure::new(exit::FAIL, miette::miette!("{message}"))
    };
    let parent = output.parent().filter(|it| !it.as_os_str().is_empty());
    let mut file = tempfile::Builder::new()
        .prefix(".persea-export-")
        .permissions(std::fs::Permissions::from_mode(READABLE_FILE))
        .tempfile_in(parent.unwrap_or(Path::new(".")))
        .map_err(failed)?;
    let exported = persea_history::export(directory, BufWriter::new(file.as_file_mut()));
    let exported = exported.map_err(|error| match error {
        ExportError::Running { .. } => {
            let help = "wait for its end: its files still change";
            Failure::new(exit::FAIL, miette::miette!(help = help, "{error}"))
        }
        ExportError::Write(error) => failed(error),
        error => Failure::of(error),
    })?;
    let persisted = file.persist(output);
    persisted.map_err(|error| failed(error.error))?;
    Ok(exported)
}
