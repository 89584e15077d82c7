//! The book and the README say what is true: every command in them that begins with `persea` is run and its output
//! compared, every piece of TOML and JSON is read, every file that a page shows is that file, every path, function, test
//! and setting that a page names is there.
//!
//! In what a command shows, a line `...` stands for any lines, and `[..]` for any text within a line. The comment
//! `<!-- in: DIR -->` says where the commands after it are run, `<!-- file: PATH -->` which file the next block shows.
//! With `PERSEA_BOOK=update` in the environment such blocks are made what the files are.

use std::path::{Path, PathBuf};
use std::process::Command;

use persea_config::KNOWN;
use persea_guest_build::{Guest, Target, Toolchain};
use serde_json::Value;

use crate::support::Sandbox;

mod console;
mod events;
use console::{matches, shell};

/// The examples whose pages build and use them.
const HELLO: &str = "docs/examples/runner-hello";
const PAIRWISE: &str = "docs/examples/varianter-pairwise";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path))
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The README and all pages, by their paths in the repository.
fn pages() -> Vec<(String, String)> {
    let mut paths = vec!["README.md".to_owned()];
    for entry in std::fs::read_dir(repository().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".md") {
            paths.push(format!("docs/{name}"));
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
    /// The number of its first line.
    line: usize,
    file: Option<&'a str>,
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

/// The words of a text that are set as code.
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

/// The target of each link in a page, without those to other sites.
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
    for known in KNOWN {
        let default = if known.default == "null" {
            ""
        } else {
            &format!("`{}`", known.default)
        };
        let row = format!("| `{}` | {default} |", known.name).replace("|  |", "| |");
        let found = page.lines().find(|line| line.starts_with(&row));
        let found =
            found.unwrap_or_else(|| panic!("docs/settings.md has no row that begins: {row}"));
        let who = format!("| {} | {} |", known.project.words(), known.about);
        assert!(found.ends_with(&who), "{found}");
    }
    let ran = Sandbox::new().run(&["plugin", "list", "--json"]).code(0);
    let mut settings = 0;
    for line in ran.stdout.lines() {
        let plugin: Value = serde_json::from_str(line).unwrap();
        for setting in plugin["settings"].as_array().unwrap() {
            settings += 1;
            let setting = setting.as_str().unwrap();
            assert!(
                page.contains(&format!("| `{setting}` |")),
                "docs/settings.md lacks {setting}"
            );
        }
    }
    assert!(settings >= 8, "plugins have {settings} settings");
}

/// A sandbox with the examples, where the pages have them.
fn with_examples() -> Sandbox {
    let sandbox = Sandbox::new();
    let from = repository().join("docs/examples");
    let to = sandbox.project().join("docs/examples");
    let visible = |entry: &walkdir::DirEntry| entry.file_name() != "target";
    for entry in walkdir::WalkDir::new(&from)
        .into_iter()
        .filter_entry(visible)
    {
        let entry = entry.unwrap();
        let place = to.join(entry.path().strip_prefix(&from).unwrap());
        if entry.file_type().is_dir() {
            std::fs::create_dir_all(place).unwrap();
        } else {
            std::fs::copy(entry.path(), place).unwrap();
        }
    }
    sandbox
}

/// Builds an example: its core module, and where an author's cargo leaves that.
fn module(example: &str) -> (Vec<u8>, String) {
    // That of the other guests, which have the standard library built there already.
    let target_dir = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("guests")
        .join(Target::Unknown.triple());
    let toolchain = Toolchain::find(Target::Unknown).unwrap_or_else(|error| panic!("{error}"));
    let built = toolchain.build(&Guest {
        manifest: &repository().join(example).join("Cargo.toml"),
        packages: &[],
        profile: "release",
        target_dir: &target_dir,
    });
    built.unwrap_or_else(|error| panic!("{error}"));
    let name = Path::new(example).file_name().unwrap().to_str().unwrap();
    let made = format!(
        "{}/release/{}.wasm",
        Target::Unknown.triple(),
        name.replace('-', "_")
    );
    let module = std::fs::read(target_dir.join(&made)).unwrap();
    (module, format!("{example}/target/{made}"))
}

#[test]
fn commands_in_the_book_print_what_it_shows() {
    let modules = [HELLO, PAIRWISE].map(module);
    let mut commands = 0;
    let mut wrong = Vec::new();
    for (path, page) in pages() {
        let sandbox = with_examples();
        for (module, place) in &modules {
            sandbox.file(place, module);
        }
        let mut before = 0;
        for block in blocks(&page) {
            if block.language != "console" || !block.text.starts_with("$ persea ") {
                continue;
            }
            for step in format!("\n{}", block.text).split("\n$ ").skip(1) {
                let (command, expected) = step.split_once('\n').unwrap_or((step, ""));
                let (code, shown) = shell(&sandbox, block.directory, before, command);
                let line = block.line;
                if let Err(why) = matches(expected, &shown) {
                    wrong.push(format!(
                        "{path}:{line}: `{command}` {why}; it printed\n{shown}"
                    ));
                }
                let told = is_followed_by_its_code(&block, command);
                if code != 0 && !told {
                    wrong.push(format!(
                        "{path}:{line}: `{command}` ended with {code}\n{shown}"
                    ));
                }
                before = code;
                commands += 1;
            }
        }
    }
    assert!(commands > 10, "only {commands} commands are shown");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A command whose exit code is not 0 is followed by one that shows it.
fn is_followed_by_its_code(block: &Block<'_>, command: &str) -> bool {
    let mut commands = block
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("$ "));
    commands.find(|line| *line == command);
    commands.next() == Some("echo $?")
}

/// Runs cargo for a crate of the book as its reader would: nothing of the outer cargo's reaches it.
fn cargo(example: &str, args: &[&str]) {
    let mut cargo = Command::new(env!("CARGO"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let own = ["CARGO_HOME", "CARGO_MAKEFLAGS"].contains(&name.as_str());
        if !own
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

/// The file of a module of these tests: `endings`, `hostile::runners`.
fn file_of(module: &str) -> Option<String> {
    let path = module.replace("::", "/");
    let file = match path.starts_with("hostile/") {
        true => format!("tests/{path}.rs"),
        false => format!("tests/e2e/{path}.rs"),
    };
    repository().join(&file).is_file().then_some(file)
}

/// A row that shows a promise names a test, so that none can be made without one.
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
