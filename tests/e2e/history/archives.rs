//! Owns `persea export` and `persea import`: a job is carried to another machine whole, and an
//! archive of somebody else does no harm.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::answer;
use crate::support::recipes::shell;
use crate::support::{Fixture, Job, assert_stderr};

/// A project with a job of two tests, of which one fails and leaves files, and its archive.
fn exported() -> (Fixture, PathBuf) {
    let project = Fixture::new();
    let script = "echo hello; ln -s /etc/passwd \"$AVOCADO_TEST_OUTPUTDIR/link\"; exit 1";
    project.recipe(
        "job.json",
        &[shell("leaves", script), shell("passes", "true")],
    );
    project.run(&["run", "job.json"]).code(1);
    let archive = project.project().join("job.tar.gz");
    let ran = project
        .run(&["export", "latest", "-o", "job.tar.gz"])
        .code(0);
    assert!(ran.stdout.starts_with("job.tar.gz: "), "{ran}");
    (project, archive)
}

/// Imports an archive into another results directory.
fn import(project: &Fixture, archive: &Path, options: &[&str]) -> crate::support::Ran {
    let archive = archive.to_str().unwrap();
    let args = ["import", archive, "--results-dir", "other"];
    project.run(&[&args, options].concat())
}

/// The names in the other results directory.
fn names(project: &Fixture) -> Vec<String> {
    let entries = std::fs::read_dir(project.project().join("other"));
    let names = entries
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).collect()
}

#[test]
fn imported_job_gives_the_same_reports_as_the_exported_one() {
    let (project, archive) = exported();
    assert_eq!(
        archive.metadata().unwrap().permissions().mode() & 0o7777,
        0o644
    );
    let job = project.job().0;
    let name = job.file_name().unwrap().to_str().unwrap();
    // Every tar reads it.
    let listed = Command::new("tar")
        .arg("-tzf")
        .arg(&archive)
        .output()
        .unwrap();
    assert!(listed.status.success());
    let listed = String::from_utf8(listed.stdout).unwrap();
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines[0], "persea-export.json");
    assert!(
        lines[1..]
            .iter()
            .all(|line| line.starts_with(&format!("{name}/"))),
        "{listed}"
    );
    assert!(
        lines.iter().any(|line| line.ends_with("/stdout")),
        "{listed}"
    );
    assert!(!listed.contains("by-status"), "{listed}");

    let ran = import(&project, &archive, &[]).code(0);
    let imported = project
        .project()
        .canonicalize()
        .unwrap()
        .join("other")
        .join(name);
    assert!(
        ran.stdout
            .starts_with(&format!("{}: job ", imported.display())),
        "{ran}"
    );
    assert_eq!(names(&project), [name]);
    let report = |job: &Path| {
        let args = ["report", job.to_str().unwrap(), "--format", "tap"];
        project.run(&args).code(0).stdout
    };
    assert_eq!(report(&imported), report(&job));
    let events = |job: PathBuf| Job(job).events();
    assert_eq!(events(imported.clone()), events(job.clone()));
    let shown = answer(&project, &["jobs", "show", name, "--results-dir", "other"]);
    assert_eq!(shown["imported"], true);
    let tests = shown["tests"].as_array().unwrap();
    let failed = tests.iter().find(|test| test["test"] == "leaves");
    assert_eq!(failed.unwrap()["status"], "FAIL");
    let args = ["diff", job.to_str().unwrap(), imported.to_str().unwrap()];
    let both = project.run(&args).code(0);
    let totals = "TESTS: 1 still failing, 1 unchanged\n";
    assert!(both.stdout.ends_with(totals), "{both}");
    let again = import(&project, &archive, &[]).code(4);
    assert_stderr(&again, &["is in ", "already", "help: `persea jobs show "]);
    // Without `-o`, the file is named after the job.
    project.run(&["export", "latest"]).code(0);
    assert!(project.project().join(format!("{name}.tar.gz")).is_file());
}

#[test]
fn journal_of_an_imported_job_decides_nothing_that_runs() {
    let (project, archive) = exported();
    import(&project, &archive, &[]).code(0);
    let latest = names(&project).remove(0);
    for args in [["--resume", &latest], ["--failed", &latest]] {
        let ran = project
            .run(&[&["run", "--results-dir", "other"], &args[..]].concat())
            .code(4);
        assert_stderr(&ran, &["the job was imported", "help: name the references"]);
    }
    let args = [
        "run",
        "--results-dir",
        "other",
        "job.json",
        "--failed",
        &latest,
    ];
    let ran = project.run(&args).code(1);
    assert!(ran.stdout.contains("(1/1) leaves: FAIL"), "{ran}");
}

/// An archive that a Python script makes of the exported one. `members` changes the list of pairs
/// of a member and its bytes.
fn changed(project: &Fixture, archive: &Path, members: &str) -> PathBuf {
    let script = format!(
        "import io, sys, tarfile
old = tarfile.open(sys.argv[1])
members = [(it, old.extractfile(it).read() if it.isfile() else b'') for it in old]
job = members[1][0].name.split('/')[0]
def file(name, data=b'x', **more):
    it = tarfile.TarInfo(name)
    it.size = len(data)
    for key, value in more.items(): setattr(it, key, value)
    return it, data
{members}
new = tarfile.open(sys.argv[2], 'w:gz', format=tarfile.GNU_FORMAT)
for it, data in members: new.addfile(it, io.BytesIO(data))
new.close()"
    );
    let to = project.project().join("changed.tar.gz");
    let ran = Command::new("python3")
        .args(["-c", &script])
        .args([archive, &to])
        .output()
        .unwrap();
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    to
}

#[test]
fn hostile_archive_is_refused_and_leaves_nothing() {
    let (project, archive) = exported();
    let before = project.root().join("before");
    std::fs::write(&before, "kept").unwrap();
    let absolute = format!("members.append(file({:?}))", before.to_str().unwrap());
    let outside = project.root().display();
    let link = format!(
        "members += [file(job + '/l', b'', type=tarfile.SYMTYPE, linkname='{outside}'), \
         file(job + '/l/x')]"
    );
    for (members, expected) in [
        (&*absolute, "which is an absolute path"),
        (
            "members.append(file(job + '/../../x'))",
            "leads out of the job's directory",
        ),
        (
            "members.append(file('../x'))",
            "leads out of the job's directory",
        ),
        (
            "members.append(file('job-other/x'))",
            "is not in the directory of the job",
        ),
        (&link, "has a symbolic link with the name"),
        (
            "members.append(file(job + '/l', b'', type=tarfile.LNKTYPE, linkname='/etc/passwd'))",
            "has a hard link with the name",
        ),
        (
            "members.append(file(job + '/d', b'', type=tarfile.CHRTYPE))",
            "has a device with",
        ),
        (
            "members.append(file(job + '/d', b'', type=tarfile.FIFOTYPE))",
            "has a named pipe with",
        ),
        ("members.append(file(job + '/id', b'0'))", "comes twice"),
        (
            "members.append(file(job + '/\\x1b[2J'))",
            "the archive should have",
        ),
        ("members.pop()", "the archive should have"),
        ("del members[0]", "not an archive of `persea export`"),
        ("members = []", "not an archive of `persea export`"),
    ] {
        let changed = changed(&project, &archive, members);
        let ran = import(&project, &changed, &[]).code(4);
        assert_stderr(&ran, &[expected]);
        assert!(!ran.stderr.contains('\u{1b}'), "{ran}");
        assert_eq!(names(&project), [""; 0], "{members}");
    }
    assert_eq!(std::fs::read_to_string(&before).unwrap(), "kept");
    assert!(!project.root().join("x").exists());
    // Nothing was wrong with the way that the archives were made.
    let same = changed(&project, &archive, "");
    let half = std::fs::read(&same).unwrap();
    let half = project.file("half.tar.gz", &half[..half.len() / 2]);
    let ran = import(&project, &half, &[]).code(4);
    assert_stderr(
        &ran,
        &["damaged or not whole", "help: copy the archive once more"],
    );
    let bomb = "members.append(file(job + '/bomb', bytes(3 << 20)))";
    let bomb = changed(&project, &archive, bomb);
    assert!(bomb.metadata().unwrap().len() < 1 << 20);
    let ran = import(&project, &bomb, &["--max-mb", "2"]).code(4);
    assert_stderr(&ran, &["more than 2 MiB, unpacked", "`--max-mb MIB`"]);
    assert_eq!(names(&project), [""; 0]);
    let same = changed(&project, &archive, "");
    import(&project, &same, &[]).code(0);
}
