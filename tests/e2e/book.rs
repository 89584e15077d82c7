//! Owns the truth of the book and the README: every command that begins with `persea` prints the
//! output shown, TOML and JSON parse, files are shown as they are, and every path, function, test
//! and setting that a page names exists.
//!
//! In the output of a command, a line `...` matches any lines, and `[..]` any text within a line.
//! The comment `<!-- in: DIR -->` sets the directory of the commands after it,
//! `<!-- file: PATH -->` the file that the next block shows. With `PERSEA_BOOK=update` in the
//! environment, such blocks are rewritten from their files.

use std::path::{Path, PathBuf};
use std::process::Command;

use persea_config::SETTINGS;
use persea_guest_build::Target;
use serde_json::Value;

use crate::support::Fixture;
use crate::support::engine::Engine;
use crate::support::plugins::{build, target_dir};
use crate::support::slurm::Cluster;

mod console;
mod events;
use console::{matches, shell};

/// The examples that pages of the book build and use.
const HELLO: &str = "docs/examples/runner-hello";
const PAIRWISE: &str = "docs/examples/varianter-pairwise";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path))
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The pages at the root of the repository and all pages of the book, by their paths.
fn pages() -> Vec<(String, String)> {
    let root = [
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "SECURITY.md",
    ];
    let mut paths = root.map(str::to_owned).to_vec();
    for folder in ["docs", "docs/design"] {
        for entry in std::fs::read_dir(repository().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".md") {
                paths.push(format!("{folder}/{name}"));
            }
        }
    }
    paths.sort();
    paths
        .into_iter()
        .map(|path| (path.clone(), read(&path)))
        .collect()
}

/// A fenced block of a page.
struct Block<'a> {
    language: &'a str,
    text: String,
    /// The number of its first line in the page.
    line: usize,
    /// The file that it shows.
    file: Option<&'a str>,
    /// The directory of its commands.
    directory: &'a str,
}

/// The argument of a comment such as `<!-- in: DIR -->`.
fn comment<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.strip_prefix("<!-- ")?
        .strip_prefix(name)?
        .strip_prefix(": ")?
        .strip_suffix(" -->")
}

fn blocks(page: &str) -> Vec<Block<'_>> {
    let (mut found, mut file, mut directory) = (Vec::new(), None, "");
    let mut lines = page.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        file = comment(line, "file").or(file);
        directory = comment(line, "in").unwrap_or(directory);
        if let Some(language) = line.strip_prefix("```") {
            let inside = lines
                .by_ref()
                .map(|(_, line)| line)
                .take_while(|line| *line != "```");
            let text = inside.flat_map(|line| [line, "\n"]).collect();
            found.push(Block {
                language,
                text,
                line: number + 2,
                file: file.take(),
                directory,
            });
        }
    }
    found
}

/// The inline code of a page.
fn code(page: &str) -> impl Iterator<Item = &str> {
    let mut in_block = false;
    let lines = page.lines().filter(move |line| {
        in_block ^= line.starts_with("```");
        !in_block
    });
    lines.flat_map(|line| line.split('`').skip(1).step_by(2))
}

#[test]
fn book_shows_the_current_text_of_files() {
    let update = std::env::var("PERSEA_BOOK").is_ok_and(|value| value == "update");
    let mut shown = 0;
    for (path, page) in pages() {
        let mut new = page.clone();
        for block in blocks(&page) {
            if let Some(file) = block.file {
                shown += 1;
                let expected = read(file);
                if update {
                    let fence = |text: &str| {
                        format!("<!-- file: {file} -->\n```{}\n{text}```\n", block.language)
                    };
                    new = new.replace(&fence(&block.text), &fence(&expected));
                } else {
                    let line = block.line;
                    assert_eq!(
                        block.text, expected,
                        "{path}:{line} is not {file}; PERSEA_BOOK=update makes it so"
                    );
                }
            }
        }
        if new != page {
            std::fs::write(repository().join(path), new).unwrap();
        }
    }
    assert!(shown > 5, "only {shown} files are shown");
}

#[test]
fn toml_and_json_in_the_book_parse() {
    for (path, page) in pages() {
        for block in blocks(&page) {
            let Block { text, line, .. } = &block;
            let broken = match block.language {
                "toml" => toml::from_str::<toml::Table>(text)
                    .err()
                    .map(|e| e.to_string()),
                "json" => serde_json::from_str::<Value>(text)
                    .err()
                    .map(|e| e.to_string()),
                "jsonl" => text
                    .lines()
                    .find_map(|line| serde_json::from_str::<Value>(line).err())
                    .map(|e| e.to_string()),
                _ => None,
            };
            assert!(broken.is_none(), "{path}:{line}: {broken:?}");
        }
    }
}

/// The targets of links within the book, without anchors.
fn links(page: &str) -> impl Iterator<Item = &str> {
    let targets = page
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    targets
        .filter(|target| !target.contains("://"))
        .map(|target| target.split('#').next().unwrap())
}

#[test]
fn links_in_the_book_resolve_and_reach_every_page() {
    let summary = read("docs/SUMMARY.md");
    for (path, page) in pages() {
        let from = repository().join(&path);
        for link in links(&page).filter(|link| !link.is_empty()) {
            assert!(
                from.parent().unwrap().join(link).exists(),
                "{path} links to {link}"
            );
        }
        let name = path
            .strip_prefix("docs/")
            .filter(|name| *name != "SUMMARY.md");
        assert!(
            name.is_none_or(|name| links(&summary).any(|link| link == name)),
            "{path} is not in SUMMARY.md"
        );
    }
}

#[test]
fn files_functions_and_tests_named_in_the_book_exist() {
    let top = [
        "host/",
        "plugins/",
        "plugin-sdk/",
        "tests/",
        "wit/",
        "docs/",
        ".ci/",
    ];
    let (mut functions, mut tests) = (0, 0);
    for (path, page) in pages() {
        for word in code(&page) {
            if top.iter().any(|top| word.starts_with(top)) && !word.contains([' ', '*', '<']) {
                assert!(repository().join(word).exists(), "{path} names `{word}`");
            }
            // `endings::timeout_kills_the_whole_process_tree`
            if let Some((module, test)) = word.rsplit_once("::")
                && let Some(file) = file_of(module)
            {
                tests += 1;
                let source = read(&file);
                assert!(
                    source.contains(&format!("#[test]\nfn {test}() {{")),
                    "{path} names the test `{word}`"
                );
            }
        }
        // `execute` in `host/src/job/executor.rs`
        for (before, after) in page
            .match_indices("` in `host/")
            .map(|(at, _)| page.split_at(at))
        {
            functions += 1;
            let name = before.rsplit('`').next().unwrap();
            let file = after
                .trim_start_matches("` in `")
                .split('`')
                .next()
                .unwrap();
            let function = format!("fn {}", name.rsplit("::").next().unwrap());
            let source = read(file);
            let is_there = ["(", "<"]
                .iter()
                .any(|end| source.contains(&format!("{function}{end}")));
            assert!(is_there, "{path}: there is no {function} in {file}");
        }
    }
    assert!(functions > 10, "only {functions} functions are named");
    assert!(tests > 150, "only {tests} tests are named");
}

#[test]
fn book_documents_every_setting() {
    let page = read("docs/settings.md");
    for setting in SETTINGS {
        let default = match setting.default() {
            Value::Null => String::new(),
            default => format!("`{default}`"),
        };
        let row = format!("| `{}` | {default} |", setting.name).replace("|  |", "| |");
        let found = page.lines().find(|line| line.starts_with(&row));
        let found =
            found.unwrap_or_else(|| panic!("docs/settings.md has no row that begins: {row}"));
        let who = format!("| {} | {} |", setting.project.words(), setting.about());
        assert!(found.ends_with(&who), "{found}");
    }
    let ran = Fixture::new().run(&["plugin", "list", "--json"]).code(0);
    let mut settings = 0;
    for line in ran.stdout.lines() {
        let plugin: Value = serde_json::from_str(line).unwrap();
        for setting in plugin["settings"].as_array().unwrap() {
            settings += 1;
            let setting = setting["key"].as_str().unwrap();
            assert!(
                page.contains(&format!("| `{setting}` |")),
                "docs/settings.md lacks {setting}"
            );
        }
    }
    assert!(settings >= 8, "plugins have {settings} settings");
}

/// A project with the examples at the paths that the pages name.
fn with_examples() -> Fixture {
    let fixture = Fixture::new();
    let from = repository().join("docs/examples");
    let to = fixture.project().join("docs/examples");
    let visible = |entry: &walkdir::DirEntry| entry.file_name() != "target";
    for entry in walkdir::WalkDir::new(&from)
        .into_iter()
        .filter_entry(visible)
    {
        let entry = entry.unwrap();
        let copy = to.join(entry.path().strip_prefix(&from).unwrap());
        if entry.file_type().is_dir() {
            std::fs::create_dir_all(copy).unwrap();
        } else {
            std::fs::copy(entry.path(), copy).unwrap();
        }
    }
    fixture
}

/// Builds an example. Returns its core module, and the path where an author's cargo leaves it.
fn module(example: &str) -> (Vec<u8>, String) {
    build(Target::Unknown, &[(&format!("../../{example}"), &[])]);
    let name = Path::new(example).file_name().unwrap().to_str().unwrap();
    let path = format!(
        "{}/release/{}.wasm",
        Target::Unknown.triple(),
        name.replace('-', "_")
    );
    let module = std::fs::read(target_dir().join(&path)).unwrap();
    (module, format!("{example}/target/{path}"))
}

#[test]
fn commands_in_the_book_print_what_it_shows() {
    let modules = [HELLO, PAIRWISE].map(module);
    let (engine, cluster) = (Engine::shared(), Cluster::shared());
    let mut commands = 0;
    let mut wrong = Vec::new();
    for (path, page) in pages() {
        let fixture = with_examples();
        for (module, path) in &modules {
            fixture.file(path, module);
        }
        let mut last_code = 0;
        for block in blocks(&page) {
            if block.language != "console" || !block.text.starts_with("$ persea ") {
                continue;
            }
            for step in format!("\n{}", block.text).split("\n$ ").skip(1) {
                let (command, expected) = step.split_once('\n').unwrap_or((step, ""));
                let (code, output) = shell(
                    &fixture,
                    (&engine, &cluster),
                    (block.directory, last_code, command),
                );
                let line = block.line;
                if let Err(difference) = matches(expected, &output) {
                    wrong.push(format!(
                        "{path}:{line}: `{command}` {difference}; it printed\n{output}"
                    ));
                }
                if code != 0 && !is_followed_by_its_code(&block, command) {
                    wrong.push(format!(
                        "{path}:{line}: `{command}` ended with {code}\n{output}"
                    ));
                }
                last_code = code;
                commands += 1;
            }
        }
    }
    assert!(commands > 10, "only {commands} commands are shown");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The next command shows the exit code of this one, as it must where that is not 0.
fn is_followed_by_its_code(block: &Block<'_>, command: &str) -> bool {
    let mut commands = block
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("$ "));
    commands.find(|line| *line == command);
    commands.next() == Some("echo $?")
}

/// Runs cargo for a crate of the book as a reader would, without the variables of the outer cargo.
fn cargo(example: &str, args: &[&str]) {
    let mut cargo = Command::new(env!("CARGO"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let is_users = ["CARGO_HOME", "CARGO_MAKEFLAGS"].contains(&name.as_str());
        if !is_users
            && ["CARGO", "RUSTC", "RUSTDOC", "RUSTFLAGS"]
                .iter()
                .any(|prefix| name.starts_with(prefix))
        {
            cargo.env_remove(name);
        }
    }
    let ran = cargo
        .args(args)
        .current_dir(repository().join(example))
        .output()
        .unwrap();
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
}

#[test]
fn example_plugins_of_the_book_pass_their_tests() {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("book");
    let target = target.to_str().unwrap();
    for example in [HELLO, PAIRWISE] {
        cargo(example, &["test", "--locked", "--target-dir", target]);
    }
}

/// The file of a test module, such as `endings` or `hostile::runners`, if it has one.
fn file_of(module: &str) -> Option<String> {
    let path = module.replace("::", "/");
    let file = match path.starts_with("hostile/") {
        true => format!("tests/{path}.rs"),
        false => format!("tests/e2e/{path}.rs"),
    };
    repository().join(&file).is_file().then_some(file)
}

/// Each row of the tables in docs/security.md names a test or a function that shows its promise.
#[test]
fn promises_in_the_book_name_their_tests() {
    let page = read("docs/security.md");
    let mut rows = 0;
    for table in page
        .split("| Case | What is promised | Shown by |\n")
        .skip(1)
    {
        let lines = table.lines().skip(1);
        for row in lines.take_while(|line| line.starts_with('|')) {
            let shown = row.split('|').rev().nth(1).unwrap_or_default();
            let named = code(shown).next().unwrap_or_default();
            let is_test = named
                .rsplit_once("::")
                .is_some_and(|(module, _)| file_of(module).is_some());
            assert!(is_test || shown.contains("` in `host/"), "no test: {row}");
            rows += 1;
        }
    }
    assert!(rows > 100, "only {rows} cases");
}
