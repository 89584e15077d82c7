#![allow(clippy::unwrap_used)]
use super::*;
use persea_plugin_sdk::testing::{Host, Installed};
use persea_requirement_tool::testing::{real_processes, recorded, run_with_input, unrecorded};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

const URL: &str = "https://example.org/a/disk%201.img?x=/y#z";

/// The SHA-256 of `abc`.
const ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn asset(name: &str) -> Requirement {
    Requirement::new("asset").kwarg("name", name)
}

fn request(root: &Path, requirement: Requirement) -> RequirementRequest {
    let root = root.to_str().unwrap();
    RequirementRequest::new(requirement)
        .with("project-dir", root)
        .with("job-temp-dir", format!("{root}/job"))
}

/// A host that can download [`URL`], and runs commands as real processes.
fn host(root: &Path, bytes: &[u8]) -> Installed {
    Host::new()
        .processes(real_processes(root))
        .download(URL, bytes)
        .install()
}

fn fulfil(
    root: &Path,
    requirement: &Requirement,
    bytes: &[u8],
) -> Result<FulfilledRequirement, String> {
    let host = host(root, bytes);
    let fulfilled =
        Asset::fulfil(&request(root, requirement.clone())).map_err(|error| error.message);
    assert!(
        run_with_input(&host, root)
            .unwrap()
            .iter()
            .all(|code| *code == Some(0))
    );
    fulfilled
}

fn release(
    root: &Path,
    requirement: &Requirement,
    fulfilled: &FulfilledRequirement,
) -> Result<(), String> {
    let _host = host(root, b"");
    let request = recorded(request(root, requirement.clone()), fulfilled);
    Asset::release(&request).map_err(|error| error.message)
}

/// Releases a requirement whose fulfilment the host could not record.
fn release_unrecorded(root: &Path, requirement: &Requirement) -> Result<(), String> {
    let _host = host(root, b"");
    let request = unrecorded(request(root, requirement.clone()));
    Asset::release(&request).map_err(|error| error.message)
}

/// Returns the download that a requirement asks the host for.
fn source(requirement: Requirement) -> Result<persea_plugin_sdk::fetch::Source, String> {
    let request = request(Path::new("/root"), requirement);
    AssetSpec::read(&request)
        .map(|spec| spec.source)
        .map_err(|error| error.message)
}

#[test]
fn asset_is_created_and_removed() {
    let root = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..(2 << 20) + 7_u32)
        .map(|number| (number % 251) as u8)
        .collect();
    let requirement = asset(URL).kwarg("executable", true);
    let checked = Asset::check(&request(root.path(), requirement.clone()));
    assert_eq!(checked, Ok(Presence::Absent.into()));
    let fulfilled = fulfil(root.path(), &requirement, &bytes).unwrap();
    let file = root.path().join("job/assets/disk%201.img");
    assert!(fs::read(&file).unwrap() == bytes);
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o755);
    let path = file.to_str().unwrap();
    let env = format!(r#"{{"PERSEA_ASSET_DISK_201_IMG":"{path}"}}"#);
    assert_eq!(fulfilled.more.json("env"), Some(env.as_str()));
    assert_eq!(fulfilled.undo.text("path"), Some(path));
    // A change by a test does not prevent the removal.
    fs::write(&file, "").unwrap();
    assert_eq!(release(root.path(), &requirement, &fulfilled), Ok(()));
    assert!(!root.path().join("job").exists());
    assert_eq!(release(root.path(), &requirement, &fulfilled), Ok(()));
}

#[test]
fn existing_file_is_kept() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("a"), "abc").unwrap();
    let requirement = asset(URL)
        .kwarg("path", "a")
        .kwarg("checksum", ABC.to_uppercase().replace("SHA", "sha"));
    let host = host(root.path(), b"abc");
    let fulfilled = Asset::fulfil(&request(root.path(), requirement.clone())).unwrap();
    assert!(
        host.fetched().is_empty(),
        "an existing file with the right checksum needs no download"
    );
    drop(host);
    assert_eq!(fulfilled.undo.boolean("made"), Some(false));
    assert!(fulfilled.more.json("env").unwrap().ends_with("/a\"}"));
    assert_eq!(release(root.path(), &requirement, &fulfilled), Ok(()));
    assert!(root.path().join("a").exists());

    let message = fulfil(
        root.path(),
        &requirement.clone().kwarg("executable", true),
        b"abc",
    );
    assert!(
        message
            .unwrap_err()
            .contains("the file there is not executable")
    );
    fs::write(root.path().join("a"), "abd").unwrap();
    let message = fulfil(root.path(), &requirement, b"abc").unwrap_err();
    assert!(message.ends_with("a different file is there; remove it, or give another `path`"));
    let requirement = asset(URL)
        .kwarg("path", "a")
        .kwarg("asset_hash", "0".repeat(40));
    assert!(
        fulfil(root.path(), &requirement, b"abc")
            .unwrap_err()
            .contains("a different file is there")
    );
    fs::create_dir(root.path().join("d")).unwrap();
    let message = fulfil(root.path(), &asset(URL).kwarg("path", "d"), b"").unwrap_err();
    assert!(message.contains("not a regular file"));
}

#[test]
fn unrecorded_attempt_is_undone_where_that_is_safe() {
    let root = tempfile::tempdir().unwrap();
    fulfil(root.path(), &asset(URL), b"abc").unwrap();
    assert_eq!(release_unrecorded(root.path(), &asset(URL)), Ok(()));
    assert!(!root.path().join("job/assets").exists());

    let requirement = asset(URL).kwarg("path", "a");
    fs::write(root.path().join(".a.persea-new"), "ab").unwrap();
    assert_eq!(release_unrecorded(root.path(), &requirement), Ok(()));
    assert!(!root.path().join(".a.persea-new").exists());
    fs::write(root.path().join("a"), "abc").unwrap();
    let message = release_unrecorded(root.path(), &requirement).unwrap_err();
    let expected = "/a may have been created for the requirement; remove it if nothing needs it";
    assert!(message.ends_with(expected), "{message}");
    assert!(root.path().join("a").exists());
}

#[test]
fn error_of_a_download_is_reported() {
    let root = tempfile::tempdir().unwrap();
    let message = fulfil(root.path(), &asset("https://example.org/none"), b"").unwrap_err();
    assert_eq!(message, "none of https://example.org/none has it");
    assert!(!root.path().join("job").exists());
}

#[test]
fn locations_are_tried_in_order() {
    let locations = |requirement| source(requirement).unwrap().locations;
    assert_eq!(locations(asset(URL)), [URL]);
    assert_eq!(locations(asset("data/a.bin")), ["data/a.bin"]);
    assert_eq!(locations(asset("/x/a #1?%")), ["file:///x/a %231%3F%25"]);
    let list = r#"["https://a/dir/", "http://b/other", "/mnt/", "here/"]"#;
    let requirement = asset("a.img").kwarg("locations", Value::json(list));
    let expected = [
        "https://a/dir/a.img",
        "http://b/other",
        "file:///mnt/a.img",
        "here/a.img",
    ];
    assert_eq!(locations(requirement), expected);
    assert_eq!(
        locations(asset(URL).kwarg("locations", "ftp://b/x")),
        [URL, "ftp://b/x"]
    );
}

#[test]
fn avocados_hashes_and_ages_are_accepted() {
    let checksum = |digits: usize| {
        let requirement = asset("a").kwarg("asset_hash", "A".repeat(digits));
        source(requirement).unwrap().checksum.unwrap()
    };
    assert_eq!(checksum(40), format!("sha1:{}", "a".repeat(40)));
    assert!(checksum(64).starts_with("sha256:a") && checksum(128).starts_with("sha512:a"));
    assert_eq!(
        source(asset("a").kwarg("algorithm", "md5"))
            .unwrap()
            .checksum,
        None
    );
    let age = |expire: Value| {
        source(asset("a").kwarg("expire", expire)).map(|source| source.more.duration("max-age"))
    };
    let seconds = |seconds| Ok(Some(std::time::Duration::from_secs(seconds)));
    assert_eq!(age(90.into()), seconds(90));
    assert_eq!(age("90".into()), seconds(90));
    assert_eq!(age("10D".into()), seconds(864_000));
    assert_eq!(age("2h".into()), seconds(7200));
    assert_eq!(age(Value::Null), Ok(None));
    for wrong in [
        Value::from("d"),
        "-1".into(),
        "1w".into(),
        1.5.into(),
        "99999999999999999d".into(),
    ] {
        assert!(
            age(wrong)
                .unwrap_err()
                .contains("`expire` must be seconds, or a text such as 30s")
        );
    }
}

#[test]
fn invalid_arguments_are_explained() {
    let md5 = "0".repeat(32);
    let sha1 = "0".repeat(40);
    let wrong = [
        (Requirement::new("asset"), "it needs a `name`: a URL"),
        (
            asset("https://example.org"),
            "does not end in the name of a file",
        ),
        (
            asset("https://example.org/a/?b/c"),
            "does not end in the name of a file",
        ),
        (asset("a/.."), "does not end in the name of a file"),
        (asset("a").kwarg("url", "b"), "unknown argument `url`"),
        (
            asset("a").kwarg("locations", 1),
            "`locations` must be a list of texts",
        ),
        (
            asset("a").kwarg("asset_hash", md5.as_str()),
            "`asset_hash` must be the hexadecimal",
        ),
        (
            asset("a")
                .kwarg("asset_hash", sha1.as_str())
                .kwarg("algorithm", "md5"),
            "its `algorithm` is md5, but its `asset_hash` has the length of a sha1",
        ),
        (
            asset("a")
                .kwarg("asset_hash", sha1.as_str())
                .kwarg("checksum", ABC),
            "give only one of them",
        ),
        (
            asset("a").kwarg("env", "A B"),
            "`env` must be the name of an environment variable",
        ),
        (
            asset("a").kwarg("executable", 1),
            "`executable` must be true or false",
        ),
    ];
    for (requirement, expected) in wrong {
        let request = request(Path::new("/root"), requirement);
        let message = Asset::check(&request).unwrap_err().message;
        assert!(
            message.contains(expected),
            "{message:?} has no {expected:?}"
        );
    }
    let message = Asset::check(&RequirementRequest::new(asset("a")))
        .unwrap_err()
        .message;
    assert!(message.ends_with("it needs a `path` in this environment"));
}
