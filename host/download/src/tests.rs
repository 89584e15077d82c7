//! Tests downloads from local servers and files.
#![allow(clippy::unwrap_used)]
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;

use super::*;

/// FIPS 180-4's example: "abc".
const ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// Starts a server that answers one connection with these bytes and, with `keep`, leaves it open.
/// Returns its URL.
fn serve(answer: &'static [u8], keep: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/a/file", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
        stream.write_all(answer).unwrap();
        if keep {
            // Until the client gives up.
            let _ = lines.next();
        }
    });
    url
}

/// Returns settings that allow all hosts and all files.
fn config() -> Config {
    let mut config = Config::default();
    config.set_option(settings::FETCH_HOSTS, serde_json::json!(["*"]));
    config.set_option(settings::FETCH_FILES, true);
    config
}

struct Fixture {
    dir: tempfile::TempDir,
    config: Config,
}

impl Fixture {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            config: config(),
        }
    }

    fn set(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.config.set_raw(name, value);
        self
    }

    fn fetch(&self, locations: &[&str], checksum: Option<&str>) -> Result<String, DownloadError> {
        self.ask(&Source {
            locations: locations.iter().map(ToString::to_string).collect(),
            checksum: checksum.map(|text| text.parse().unwrap()),
            ..Source::default()
        })
    }

    fn ask(&self, source: &Source) -> Result<String, DownloadError> {
        self.ask_only_from(source, None)
    }

    fn ask_only_from(
        &self,
        source: &Source,
        hosts: Option<&[&str]>,
    ) -> Result<String, DownloadError> {
        let cache = self.dir.path().join("cache");
        let project = self.dir.path().join("project");
        std::fs::create_dir_all(&project).unwrap();
        std::fs::write(project.join("here"), "abc").unwrap();
        let mut downloads = Downloads::new(&self.config, Some(&cache), &project);
        if let Some(hosts) = hosts {
            let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
            downloads = downloads.only_from(&hosts);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let mut download = runtime.block_on(downloads.fetch(source))?;
        let mut text = String::new();
        download.file.read_to_string(&mut text).unwrap();
        assert_eq!(download.size, text.len() as u64);
        let from = if download.location.is_some() {
            "new"
        } else {
            "cached"
        };
        Ok(format!("{from} {text}"))
    }
}

fn fails(result: Result<String, DownloadError>, code: &str, words: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";

#[test]
fn cached_download_is_used_offline() {
    let fixture = Fixture::new();
    let url = serve(OK, false);
    assert_eq!(fixture.fetch(&[&url], Some(ABC)).unwrap(), "new abc");
    let fixture = fixture.set("fetch.offline", true);
    assert_eq!(fixture.fetch(&[&url], Some(ABC)).unwrap(), "cached abc");
    let sha1 = "sha1:a9993e364706816aba3e25717850c26c9cd0d89d";
    fails(
        fixture.fetch(&[&url], Some(sha1)),
        "offline",
        "not in the cache",
    );
}

#[test]
fn damaged_file_of_the_cache_is_downloaded_again() {
    let fixture = Fixture::new();
    let digits = ABC.trim_start_matches("sha256:");
    for expected in ["new abc", "cached abc"] {
        assert_eq!(fixture.fetch(&["here"], Some(ABC)).unwrap(), expected);
    }
    std::fs::write(
        fixture.dir.path().join("cache/downloads").join(digits),
        "abd",
    )
    .unwrap();
    for expected in ["new abc", "cached abc"] {
        assert_eq!(fixture.fetch(&["here"], Some(ABC)).unwrap(), expected);
    }
}

/// Returns a source that accepts a cached file, with or without a checksum.
fn source(locations: &[&str], checksum: Option<&str>) -> Source {
    Source {
        locations: locations.iter().map(ToString::to_string).collect(),
        checksum: checksum.map(|text| text.parse().unwrap()),
        max_age: Some(Duration::from_secs(600)),
        ..Source::default()
    }
}

#[test]
fn cached_download_needs_the_grant_of_its_location() {
    let fixture = Fixture::new().set("fetch.unverified", true);
    let outer = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(outer.path(), "abc").unwrap();
    let outer = format!("file://{}", outer.path().display());
    for checksum in [Some(ABC), None] {
        for (location, grant) in [
            (&*serve(OK, false), "127.0.0.1"),
            (&outer, "file"),
            ("here", "."),
        ] {
            let wanted = source(&[location], checksum);
            assert_eq!(fixture.ask(&wanted).unwrap(), "new abc");
            let granted = fixture.ask_only_from(&wanted, Some(&[grant]));
            assert_eq!(granted.unwrap(), "cached abc", "{location}");
            let others = ["example.org", "127.0.0.1", "file", "."];
            let others: Vec<&str> = others.into_iter().filter(|it| *it != grant).collect();
            let refused = fixture.ask_only_from(&wanted, Some(&others));
            fails(refused, "not-permitted", "grant");
        }
    }
}

#[test]
fn cached_download_is_not_found_by_its_checksum_at_another_location() {
    let fixture = Fixture::new()
        .set("fetch.unverified", true)
        .set("fetch.offline", true);
    assert_eq!(fixture.fetch(&["here"], Some(ABC)).unwrap(), "new abc");
    let other = "http://example.org/x";
    for checksum in [Some(ABC), None] {
        for locations in [&[other][..], &["here", other], &[other, "here"]] {
            let wanted = source(locations, checksum);
            let asked = fixture.ask_only_from(&wanted, Some(&["example.org"]));
            let words = asked.unwrap_err().to_string();
            assert!(words.contains("not in the cache of downloads"), "{words}");
        }
    }
}

#[test]
fn cached_download_needs_the_grant_of_the_redirection_target() {
    let fixture = Fixture::new();
    let target = serve(OK, false).replace("127.0.0.1", "localhost");
    let answer = format!("HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n");
    let url = serve(answer.leak().as_bytes(), false);
    let wanted = source(&[&url], Some(ABC));
    assert_eq!(fixture.ask(&wanted).unwrap(), "new abc");
    let both = fixture.ask_only_from(&wanted, Some(&["127.0.0.1", "localhost"]));
    assert_eq!(both.unwrap(), "cached abc");
    // The server is gone, so only the cache could serve the file.
    let first = fixture.ask_only_from(&wanted, Some(&["127.0.0.1"]));
    fails(first, "io", "cannot download");
}

#[test]
fn project_file_is_cached_for_its_own_project() {
    let fixture = Fixture::new().set("fetch.unverified", true);
    let cache = fixture.dir.path().join("cache");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    for (project, expected) in [("one", "abc"), ("two", "abd"), ("one", "abc")] {
        let project = fixture.dir.path().join(project);
        std::fs::create_dir_all(&project).unwrap();
        std::fs::write(project.join("file"), expected).unwrap();
        let downloads = Downloads::new(&fixture.config, Some(&cache), &project);
        let fetched = runtime.block_on(downloads.fetch(&source(&["file"], None)));
        let mut text = String::new();
        fetched.unwrap().file.read_to_string(&mut text).unwrap();
        assert_eq!(text, expected);
    }
}

#[test]
fn files_of_the_machine_are_not_fetched_for_sandboxes_unless_allowed() {
    let outer = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(outer.path(), "abc").unwrap();
    let outer = format!("file://{}", outer.path().display());
    let fixture = |spawner: &str, files: serde_json::Value| {
        let fixture = Fixture::new()
            .set("run.spawner", spawner)
            .set("fetch.files", files);
        fixture.fetch(&[&outer], Some(ABC))
    };
    assert_eq!(
        fixture("process", serde_json::Value::Null).unwrap(),
        "new abc"
    );
    assert_eq!(fixture("sandbox", true.into()).unwrap(), "new abc");
    let refused = fixture("sandbox", serde_json::Value::Null);
    fails(refused, "not-permitted", "`fetch.files = true`");
}

#[test]
fn download_without_checksum_is_refused_unless_allowed() {
    let fixture = Fixture::new();
    let url = serve(OK, false);
    fails(
        fixture.fetch(&[&url], None),
        "not-permitted",
        "fetch.unverified=true",
    );
    let fixture = fixture.set("fetch.unverified", true);
    assert_eq!(fixture.fetch(&[&url], None).unwrap(), "new abc");
    // Without checksum or age, the cached file is not used, as the location may have changed.
    fails(fixture.fetch(&[&url], None), "io", "cannot download");
    let source = Source {
        locations: vec![url],
        max_age: Some(Duration::from_secs(600)),
        ..Source::default()
    };
    assert_eq!(fixture.ask(&source).unwrap(), "cached abc");
}

#[test]
fn wrong_checksum_is_refused_and_the_next_location_is_tried() {
    let fixture = Fixture::new();
    let wrong = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabd", false);
    fails(
        fixture.fetch(&[&wrong], Some(ABC)),
        "checksum",
        "has the wrong checksum: sha256:",
    );
    let (missing, wrong) = (
        serve(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", false),
        serve(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabd", false),
    );
    let all = fixture.fetch(&[&missing, &wrong], Some(ABC));
    fails(all, "checksum", "the server answered 404; ");
    let missing = serve(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", false);
    let found = fixture.fetch(&[&missing, &serve(OK, false)], Some(ABC));
    assert_eq!(found.unwrap(), "new abc");
}

#[test]
fn stalling_server_is_a_timeout() {
    let fixture = Fixture::new().set("fetch.stall", 0.2);
    let url = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na", true);
    fails(
        fixture.fetch(&[&url], Some(ABC)),
        "timeout",
        "no data for 0.2 s",
    );
}

#[test]
fn download_over_the_limit_is_refused() {
    let fixture = Fixture::new();
    let announced = serve(
        b"HTTP/1.1 200 OK\r\nContent-Length: 3000000000\r\n\r\n",
        true,
    );
    // Does not announce the size.
    let silent = serve(b"HTTP/1.1 200 OK\r\n\r\nabcabcabc", false);
    for (url, words) in [
        (announced, "has 3000000000 bytes"),
        (silent, "over the limit of 8"),
    ] {
        let source = Source {
            locations: vec![url],
            checksum: Some(ABC.parse().unwrap()),
            max_bytes: Some(8),
            ..Source::default()
        };
        fails(fixture.ask(&source), "too-large", words);
    }
    let cut = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", false);
    fails(fixture.fetch(&[&cut], Some(ABC)), "io", "cannot download");
}

#[test]
fn plugin_downloads_only_what_it_is_granted() {
    let abc = |location: &str| Source {
        locations: vec![location.to_owned()],
        checksum: Some(ABC.parse().unwrap()),
        ..Source::default()
    };
    // A new fixture for each call, so that nothing comes from the cache.
    let only =
        |location: &str, hosts: &[&str]| Fixture::new().ask_only_from(&abc(location), Some(hosts));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "abc").unwrap();
    let file = format!("file://{}", file.path().display());
    for (location, host) in [
        (serve(OK, false), "127.0.0.1"),
        (file, "file"),
        ("here".to_owned(), "."),
    ] {
        let all = ["127.0.0.1", "file", "."];
        let others: Vec<&str> = all.into_iter().filter(|other| *other != host).collect();
        fails(only(&location, &others), "not-permitted", "grant");
        assert!(only(&location, &[host]).is_ok(), "{location}");
    }
    let elsewhere = serve(
        b"HTTP/1.1 302 Found\r\nLocation: http://localhost:1/\r\nContent-Length: 0\r\n\r\n",
        false,
    );
    fails(
        only(&elsewhere, &["127.0.0.1"]),
        "io",
        "`localhost`, which is not in the plugin's grant `fetch`",
    );
    // The settings apply too.
    let fixture = Fixture::new().set("fetch.hosts", serde_json::json!(["example.org"]));
    let other = fixture.ask_only_from(&abc("http://127.0.0.1:1/x"), Some(&["127.0.0.1"]));
    fails(other, "not-permitted", "the setting `fetch.hosts`");
}

#[test]
fn only_listed_hosts_are_allowed_even_after_a_redirection() {
    let fixture = Fixture::new().set(
        "fetch.hosts",
        serde_json::json!(["127.0.0.1", "*.example.org"]),
    );
    let elsewhere = serve(
        b"HTTP/1.1 302 Found\r\nLocation: http://localhost:1/\r\nContent-Length: 0\r\n\r\n",
        false,
    );
    fails(
        fixture.fetch(&[&elsewhere], Some(ABC)),
        "io",
        "`localhost`, which is not in the setting `fetch.hosts`",
    );
    let other = fixture.fetch(&["http://localhost:1/x"], Some(ABC));
    fails(other, "not-permitted", "`localhost` is not an allowed host");
    assert_eq!(
        fixture.fetch(&[&serve(OK, false)], Some(ABC)).unwrap(),
        "new abc"
    );
    let hosts = ["*.example.org".to_owned()];
    assert!(is_listed(&hosts, "a.example.org") && is_listed(&hosts, "a.b.example.org"));
    assert!(!is_listed(&hosts, "example.org") && !is_listed(&hosts, "badexample.org"));
}

#[test]
fn file_is_read_by_url_or_by_path_in_the_project() {
    let fixture = Fixture::new();
    std::fs::create_dir(fixture.dir.path().join("project")).unwrap();
    let path = fixture.dir.path().join("project/abc.txt");
    std::fs::write(&path, "abc").unwrap();
    let url = format!("file://{}", path.display());
    let sha1 = "sha1:a9993e364706816aba3e25717850c26c9cd0d89d";
    assert_eq!(fixture.fetch(&["abc.txt"], Some(ABC)).unwrap(), "new abc");
    assert_eq!(fixture.fetch(&[&url], Some(sha1)).unwrap(), "new abc");
    let sha512 = "sha512:\
                  ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                  2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
    fails(
        fixture.fetch(&["../project/abc.txt"], Some(sha512)),
        "io",
        "cannot read",
    );
    fails(
        fixture.fetch(&["nothing"], Some(sha512)),
        "not-found",
        "cannot read",
    );
    fails(
        fixture.fetch(&["."], Some(sha512)),
        "io",
        "not an ordinary file",
    );
    fails(
        fixture.fetch(&["ftp://a/b"], Some(sha512)),
        "invalid",
        "`ftp` is not supported",
    );
    // Opening a pipe does not block.
    let pipe = fixture.dir.path().join("project/pipe");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, fifo, mode, 0).unwrap();
    for location in ["pipe".to_owned(), format!("file://{}", pipe.display())] {
        let refused = fixture.fetch(&[&location], Some(sha512));
        fails(refused, "io", "not an ordinary file");
    }
    let fixture = fixture.set("fetch.files", false);
    fails(
        fixture.fetch(&[&url], Some(sha512)),
        "not-permitted",
        "fetch.files",
    );
}
