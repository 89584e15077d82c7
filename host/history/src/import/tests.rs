#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
use std::os::unix::fs::{MetadataExt as _, symlink};

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;
use crate::export::export;

const ID: &str = "0123456789012345678901234567890123456789";

const JOB: &str = "job-2026-01-01T00.00-0123456";

const LIMITS: ImportLimits = ImportLimits {
    bytes: 1 << 20,
    members: 100,
};

/// A member of an archive that somebody made: its kind, name and content.
type Made<'a> = (EntryType, &'a [u8], &'a [u8]);

fn manifest(files: u64, directories: u64, bytes: u64) -> String {
    let manifest = Manifest {
        format: ARCHIVE_FORMAT,
        job: JOB.to_owned(),
        id: ID.to_owned(),
        directories,
        files,
        bytes,
    };
    serde_json::to_string(&manifest).unwrap()
}

/// A tar stream of these members, whatever their names. Long names have a member of their own.
fn tar(members: &[Made<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for (kind, name, content) in members {
        if name.len() > 100 {
            push(&mut out, EntryType::GNULongName, b"././@LongLink", name);
        }
        push(&mut out, *kind, name, content);
    }
    out.extend([0; 1024]);
    out
}

fn push(out: &mut Vec<u8>, kind: EntryType, name: &[u8], content: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(content.len() as u64);
    header.set_mode(0o6777);
    header.set_mtime(1_000_000);
    let bytes = header.as_old_mut();
    let length = name.len().min(100);
    bytes.name[..length].copy_from_slice(&name[..length]);
    if matches!(kind, EntryType::Symlink | EntryType::Link) {
        header.set_link_name("/etc/passwd").unwrap();
    }
    header.set_cksum();
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(content);
    out.resize(out.len().next_multiple_of(512), 0);
}

/// A tar stream with a manifest of these counts before the members.
fn with_manifest((files, directories, bytes): (u64, u64, u64), members: &[Made<'_>]) -> Vec<u8> {
    let manifest = manifest(files, directories, bytes);
    let first = (EntryType::Regular, MANIFEST.as_bytes(), manifest.as_bytes());
    tar(&[&[first], members].concat())
}

fn named(name: &str) -> String {
    format!("{JOB}/{name}")
}

/// The error of a stream, which leaves nothing beside the directory.
#[track_caller]
fn refusal(tar: &[u8], limits: ImportLimits) -> String {
    let root = tempfile::tempdir().unwrap();
    let into = root.path().join("a/b/into");
    std::fs::create_dir_all(&into).unwrap();
    let error = unpack(tar, &into, limits).unwrap_err();
    let beside: Vec<_> = walk(root.path())
        .into_iter()
        .filter(|path| !path.starts_with(&into) && !into.starts_with(path))
        .collect();
    assert!(beside.is_empty(), "{beside:?}");
    error.to_string()
}

fn walk(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![root.to_path_buf()];
    let mut at = 0;
    while let Some(path) = found.get(at).cloned() {
        at += 1;
        if std::fs::symlink_metadata(&path).unwrap().is_dir() {
            let entries = std::fs::read_dir(path).unwrap();
            found.extend(entries.map(|entry| entry.unwrap().path()));
        }
    }
    found
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let (long, deep) = ("x".repeat(300), format!("{JOB}{}", "/d".repeat(3000)));
    for (name, expected) in [
        ("/etc/cron.d/x".to_owned(), "is an absolute path"),
        ("../x".to_owned(), "leads out of the job's directory"),
        (named("../x"), "leads out of the job's directory"),
        (named("a/../../../x"), "leads out of the job's directory"),
        (named(".."), "leads out of the job's directory"),
        ("./x".to_owned(), "leads out of the job's directory"),
        (
            "job-other/x".to_owned(),
            "is not in the directory of the job",
        ),
        ("x".to_owned(), "is not in the directory of the job"),
        (JOB.to_owned(), "is that of the job's directory itself"),
        (String::new(), "is not in the directory of the job"),
        (named("none/x"), "is in no directory of the archive"),
        (named(&long), "is longer than any file name"),
        (deep, "is longer than any path"),
    ] {
        let members = [(EntryType::Regular, name.as_bytes(), &b"x"[..])];
        let error = refusal(&with_manifest((1, 0, 1), &members), LIMITS);
        assert!(error.contains(expected), "{name:?}: {error}");
    }
    let twice = (EntryType::Regular, named("x"));
    let twice = [(twice.0, twice.1.as_bytes(), &b"x"[..]); 2];
    let error = refusal(&with_manifest((2, 0, 2), &twice), LIMITS);
    assert!(error.contains("comes twice"), "{error}");
}

#[test]
fn only_files_and_directories_are_taken() {
    for (kind, expected) in [
        (EntryType::Symlink, "a symbolic link"),
        (EntryType::Link, "a hard link"),
        (EntryType::Char, "a device"),
        (EntryType::Block, "a device"),
        (EntryType::Fifo, "a named pipe"),
        (EntryType::GNUSparse, "a sparse file"),
        (EntryType::XHeader, "something unknown"),
        (EntryType::GNULongLink, "something unknown"),
        (EntryType::Continuous, "something unknown"),
    ] {
        let name = named("x");
        let members = [(kind, name.as_bytes(), &b""[..])];
        let error = refusal(&with_manifest((1, 0, 0), &members), LIMITS);
        assert!(error.contains(expected), "{kind:?}: {error}");
    }
}

#[test]
fn archive_over_a_limit_is_refused() {
    let name = named("x");
    let large = vec![0; 2 << 20];
    let members = [(EntryType::Regular, name.as_bytes(), &large[..])];
    let bomb = with_manifest((1, 0, 2 << 20), &members);
    let error = refusal(&bomb, LIMITS);
    assert_eq!(error, "the archive has more than 1 MiB, unpacked");
    let names: Vec<String> = (0..200).map(|at| named(&at.to_string())).collect();
    let members = names
        .iter()
        .map(|name| (EntryType::Regular, name.as_bytes(), &b""[..]));
    let many = with_manifest((200, 0, 0), &members.collect::<Vec<_>>());
    let error = refusal(&many, LIMITS);
    assert_eq!(error, "the archive has more than 100 files and directories");
}

#[test]
fn archive_that_is_not_whole_is_refused() {
    let (one, two) = (named("one"), named("two"));
    let members = [
        (EntryType::Regular, one.as_bytes(), &b"1"[..]),
        (EntryType::Regular, two.as_bytes(), &[b'2'; 700]),
    ];
    let whole = with_manifest((2, 0, 701), &members);
    let into = tempfile::tempdir().unwrap();
    unpack(&whole[..], into.path(), LIMITS).unwrap();
    let mut refused = 0;
    // Without the zeros at the end nothing is missing.
    for length in 0..whole.len() - 1024 - 324 {
        let error = refusal(&whole[..length], LIMITS);
        let expected = [
            "damaged or not whole",
            "the archive should have 2 files",
            "not an archive of `persea export`",
        ];
        assert!(
            expected.iter().any(|it| error.contains(it)),
            "{length}: {error}"
        );
        refused += 1;
    }
    assert!(refused > 2000, "{refused}");
    let error = refusal(&with_manifest((2, 0, 1), &members[..1]), LIMITS);
    let expected = "the archive should have 2 files, 0 directories and 1 bytes, and has 1 files, \
                    0 directories and 1 bytes";
    assert_eq!(error, expected);
}

#[test]
fn archive_of_something_else_is_refused() {
    let other = (EntryType::Regular, &b"README"[..], &b"hello"[..]);
    let error = refusal(&tar(&[other]), LIMITS);
    assert!(
        error.contains("first member is not `persea-export.json`"),
        "{error}"
    );
    let error = refusal(&tar(&[]), LIMITS);
    assert!(error.ends_with("it is empty"), "{error}");
    for (manifest, expected) in [
        ("x", "expected value"),
        (
            r#"{"format": 2, "new": true}"#,
            "has the format 2, and this version of Persea reads the format 1",
        ),
        (r#"{"format": 1}"#, "missing field"),
        (
            r#"{"format": 1, "job": "job-../x", "id": "", "directories": 0, "files": 0,
                "bytes": 0}"#,
            "is not that of a job's directory",
        ),
        (
            r#"{"format": 1, "job": "latest", "id": "", "directories": 0, "files": 0,
                "bytes": 0}"#,
            "is not that of a job's directory",
        ),
    ] {
        let first = (EntryType::Regular, MANIFEST.as_bytes(), manifest.as_bytes());
        let error = refusal(&tar(&[first]), LIMITS);
        assert!(error.contains(expected), "{manifest}: {error}");
    }
}

/// A results directory with a job, of which a test has left odd files.
fn job() -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let job = root.path().join("results").join(JOB);
    let test = job
        .join("test-results")
        .join(format!("1-{}", "ä".repeat(120)));
    std::fs::create_dir_all(&test).unwrap();
    std::fs::create_dir_all(job.join("test-results/by-status/FAIL")).unwrap();
    std::fs::create_dir_all(job.join(".running/x")).unwrap();
    std::fs::write(job.join("id"), format!("{ID}\n")).unwrap();
    let started = serde_json::json!({
        "event": "job-started", "time": 1, "data": {
            "job-id": ID, "job-dir": "/j", "name": JOB, "project-dir": "/project", "total": 1,
            "persea-version": "0", "references": [], "settings": {},
        },
    });
    std::fs::write(job.join(FILE_NAME), format!("{started}\n")).unwrap();
    std::fs::write(test.join("stdout"), vec![b'x'; 100_000]).unwrap();
    let bytes = std::ffi::OsStr::from_bytes(b"\xff\x1b[2J\n");
    std::fs::write(test.join(bytes), "odd").unwrap();
    std::fs::write(test.join("set-id"), "").unwrap();
    let set_id = std::fs::Permissions::from_mode(0o6755);
    std::fs::set_permissions(test.join("set-id"), set_id).unwrap();
    symlink("/etc/passwd", test.join("link")).unwrap();
    let pipe = test.join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
    symlink("../../x", job.join("test-results/by-status/FAIL/x")).unwrap();
    (root, job)
}

fn exported_as(job: &Path, to: &Path) -> crate::Exported {
    export(job, File::create(to).unwrap()).unwrap()
}

#[test]
fn imported_job_has_the_files_of_the_exported_one_with_safe_modes() {
    let (root, job) = job();
    let archive = root.path().join("job.tar.gz");
    let exported = exported_as(&job, &archive);
    assert_eq!((exported.files, exported.left_out), (5, 2));
    assert!(exported.unreadable.is_empty());
    let other = root.path().join("other");
    let imported = import(&archive, &other, LIMITS).unwrap();
    assert_eq!(
        (imported.files, imported.bytes),
        (exported.files, exported.bytes)
    );
    assert_eq!(imported.directory, other.canonicalize().unwrap().join(JOB));
    assert!(is_imported(&imported.directory) && !is_imported(&job));
    let mut compared = 0;
    for path in walk(&imported.directory) {
        let meta = std::fs::symlink_metadata(&path).unwrap();
        assert_eq!(meta.mode() & 0o7022, 0, "{}", path.display());
        let inside = path.strip_prefix(&imported.directory).unwrap();
        if meta.is_file() && inside != Path::new(IMPORTED) {
            let before = std::fs::read(job.join(inside)).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), before);
            let modified = job.join(inside).metadata().unwrap().mtime();
            assert_eq!(meta.mtime(), modified, "{}", path.display());
            compared += 1;
        }
    }
    assert_eq!(compared, 5);
    // An imported job can be carried on.
    let again = root.path().join("again.tar.gz");
    let third = root.path().join("third");
    assert_eq!(exported_as(&imported.directory, &again).files, 5);
    assert!(is_imported(
        &import(&again, &third, LIMITS).unwrap().directory
    ));
    let carried = std::fs::read_to_string(third.join(JOB).join(IMPORTED));
    assert_eq!(carried.unwrap(), "again.tar.gz\n");
    // Nothing else is in the results directory.
    assert_eq!(std::fs::read_dir(&other).unwrap().count(), 1);
}

/// Calls a function once this number of bytes has been written.
struct After<F> {
    bytes: usize,
    then: Option<F>,
}

impl<F: FnOnce()> std::io::Write for After<F> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.bytes = self.bytes.saturating_sub(buffer.len());
        if self.bytes == 0
            && let Some(then) = self.then.take()
        {
            then();
        }
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes a file of the job that cannot be compressed, and returns its path. Its name comes last.
fn large_file(job: &Path) -> PathBuf {
    let mut random = fastrand::Rng::with_seed(1);
    let bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..))
        .take(1 << 20)
        .collect();
    let path = job.join("test-results/z");
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn file_that_shrinks_while_it_is_exported_is_an_error() {
    let (_root, job) = job();
    let file = large_file(&job);
    let shrink = || {
        File::options()
            .write(true)
            .open(&file)
            .unwrap()
            .set_len(10)
            .unwrap()
    };
    let mut out = After {
        bytes: 300 << 10,
        then: Some(shrink),
    };
    let error = export(&job, &mut out).unwrap_err();
    assert!(out.then.is_none());
    let expected = format!(
        "cannot read {}: its size has changed meanwhile",
        file.display()
    );
    assert_eq!(error.to_string(), expected);
}

#[test]
fn job_cannot_be_resumed_while_it_is_exported() {
    let (_root, job) = job();
    large_file(&job);
    let resume = || {
        let error = persea_journal::Journal::take_over(&job)
            .map(drop)
            .unwrap_err();
        assert!(
            matches!(error, persea_journal::JournalError::Busy { .. }),
            "{error}"
        );
        // Another export reads the job as well.
        export(&job, io::sink()).unwrap();
    };
    let mut out = After {
        bytes: 300 << 10,
        then: Some(resume),
    };
    export(&job, &mut out).unwrap();
    assert!(out.then.is_none());
    let host = persea_journal::Journal::take_over(&job).unwrap();
    let error = export(&job, io::sink()).unwrap_err();
    assert!(
        matches!(error, crate::ExportError::Running { .. }),
        "{error}"
    );
    drop(host);
    export(&job, io::sink()).unwrap();
}

#[test]
fn file_that_cannot_be_looked_at_is_named_as_unreadable() {
    let (root, job) = job();
    let name = "x".repeat(200);
    std::fs::write(job.join(&name), "").unwrap();
    let whole = export(&job, io::sink()).unwrap();
    // A spelling of the directory that is so long that the kernel takes no path of the file.
    let results = root.path().join("results");
    let length = 4096 - name.len() - JOB.len() - 2;
    let dots = "/.".repeat((length - results.as_os_str().len()).div_ceil(2));
    let job = PathBuf::from(format!("{}{dots}/{JOB}", results.display()));
    std::fs::remove_dir_all(job.join("test-results")).unwrap();
    let exported = export(&job, io::sink()).unwrap();
    assert!(exported.files < whole.files);
    let unreadable: Vec<&Path> = exported.unreadable.iter().map(|it| &*it.0).collect();
    assert_eq!(unreadable, [Path::new(&name)]);
}

#[test]
fn job_that_is_there_is_not_imported_again() {
    let (root, job) = job();
    let archive = root.path().join("job.tar.gz");
    exported_as(&job, &archive);
    let results = job.parent().unwrap();
    let before = walk(results).len();
    let error = import(&archive, results, LIMITS).unwrap_err();
    assert!(matches!(&error, ImportError::Exists { .. }), "{error}");
    // The same job under another name, and another job with its name.
    std::fs::rename(&job, results.join("job-renamed")).unwrap();
    let error = import(&archive, results, LIMITS).unwrap_err();
    assert!(error.to_string().contains("job-renamed already"), "{error}");
    std::fs::write(results.join("job-renamed/id"), "another").unwrap();
    std::fs::create_dir(&job).unwrap();
    let error = import(&archive, results, LIMITS).unwrap_err();
    assert!(matches!(&error, ImportError::Exists { .. }), "{error}");
    assert_eq!(walk(results).len(), before + 1);
}

#[test]
fn damaged_archive_leaves_nothing() {
    let (root, job) = job();
    let archive = root.path().join("job.tar.gz");
    exported_as(&job, &archive);
    let whole = std::fs::read(&archive).unwrap();
    let other = root.path().join("other");
    let mut damaged = vec![whole.clone(), b"no archive".to_vec(), Vec::new()];
    damaged[0].push(b'x');
    for length in [10, whole.len() / 2, whole.len() - 8, whole.len() - 1] {
        damaged.push(whole[..length].to_vec());
    }
    let mut checksum = whole.clone();
    let at = whole.len() - 6;
    checksum[at] ^= 1;
    damaged.push(checksum);
    for bytes in damaged {
        std::fs::write(&archive, &bytes).unwrap();
        let error = import(&archive, &other, LIMITS).unwrap_err();
        let length = bytes.len();
        assert!(
            matches!(error, ImportError::Damaged(_)),
            "{length}: {error}"
        );
        assert_eq!(std::fs::read_dir(&other).unwrap().count(), 0);
    }
    // A bomb: a gigabyte in a megabyte.
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    let manifest = manifest(1, 0, 1 << 30);
    let mut tar = Vec::new();
    push(
        &mut tar,
        EntryType::Regular,
        MANIFEST.as_bytes(),
        manifest.as_bytes(),
    );
    let mut header = tar::Header::new_gnu();
    header.set_path(named("x")).unwrap();
    header.set_size(1 << 30);
    header.set_cksum();
    tar.extend_from_slice(header.as_bytes());
    bomb.write_all(&tar).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..64 {
        bomb.write_all(&zeros).unwrap();
    }
    std::fs::write(&archive, bomb.finish().unwrap()).unwrap();
    let error = import(&archive, &other, LIMITS).unwrap_err();
    assert!(matches!(error, ImportError::Large { .. }), "{error}");
    assert_eq!(std::fs::read_dir(&other).unwrap().count(), 0);
}

#[test]
fn archive_whose_parts_name_different_jobs_is_refused() {
    let (root, job) = job();
    let archive = root.path().join("job.tar.gz");
    let other = root.path().join("other");
    for (file, text) in [
        ("id", "0".repeat(40)),
        ("id", String::new()),
        (FILE_NAME, String::new()),
    ] {
        let before = std::fs::read(job.join(file)).unwrap();
        exported_as(&job, &archive);
        // The archive as somebody changed it by hand.
        let tar = GzDecoder::new(BufReader::new(File::open(&archive).unwrap()));
        let into = tempfile::tempdir().unwrap();
        let manifest = unpack_counted(tar, into.path(), LIMITS).unwrap();
        std::fs::write(into.path().join(file), text).unwrap();
        let error = check_job(into.path(), &manifest).unwrap_err();
        assert!(matches!(error, ImportError::NoJob(_)), "{error}");
        std::fs::write(job.join(file), before).unwrap();
    }
    assert!(!other.exists());
}

/// A name as an archive may have it: of parts that matter, with and without the job's name.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        4 => Just(JOB.as_bytes().to_vec()),
        2 => Just(b"..".to_vec()),
        1 => Just(b".".to_vec()),
        1 => Just(b"".to_vec()),
        2 => prop::collection::vec(any::<u8>(), 0..4),
        2 => "[a-c]".prop_map(String::into_bytes),
    ];
    prop::collection::vec(part, 1..5).prop_map(|parts| parts.join(&b'/'))
}

proptest! {
    /// Whatever the members are, nothing is written outside of the directory, and nothing in it but
    /// files and directories without dangerous modes.
    #[test]
    fn nothing_leaves_the_directory(
        members in prop::collection::vec(
            (prop::sample::select(&b"0000555512346LKxgS"[..]), name(), 0_usize..700),
            0..8,
        ),
    ) {
        let content = [b'x'; 700];
        let members: Vec<Made<'_>> = members
            .iter()
            .map(|(kind, name, size)| (EntryType::new(*kind), &name[..], &content[..*size]))
            .collect();
        let root = tempfile::tempdir().unwrap();
        let into = root.path().join("a/b/into");
        std::fs::create_dir_all(&into).unwrap();
        let _ = unpack(&with_manifest((0, 0, 0), &members)[..], &into, LIMITS);
        for path in walk(root.path()) {
            prop_assert!(path.starts_with(&into) || into.starts_with(&path));
            let meta = std::fs::symlink_metadata(&path).unwrap();
            prop_assert!(meta.is_file() || meta.is_dir());
            if path != into && path.starts_with(&into) {
                prop_assert_eq!(meta.mode() & 0o7022, 0);
            }
        }
    }

    /// Bytes that are no archive are an error or nothing, and never a panic.
    #[test]
    fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let into = tempfile::tempdir().unwrap();
        prop_assert!(unpack(&bytes[..], into.path(), LIMITS).is_err());
    }
}
