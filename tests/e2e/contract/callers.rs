//! Owns the check that the sources of the corpus call everything that a plugin can call, in each
//! language. Reads sources; `corpus` runs what was made of them.

use std::path::{Path, PathBuf};

use wit_parser::FunctionKind;

use super::wit::{exported, interfaces, parse, released};

/// A function that plugins import, in the words of the contract.
struct Imported {
    interface: String,
    /// The resource that has it.
    resource: Option<String>,
    name: String,
}

fn imported(wit: &Path) -> Vec<Imported> {
    let (resolve, package) = parse(wit);
    let exported = exported(&resolve, package);
    let mut all = Vec::new();
    for (interface, id) in interfaces(&resolve, package) {
        if exported.contains(&id) {
            continue;
        }
        for function in resolve.interfaces[id].functions.values() {
            let resource = match &function.kind {
                FunctionKind::Method(resource) => resolve.types[*resource].name.clone(),
                FunctionKind::Freestanding => None,
                other => panic!("{}: {other:?}", function.name),
            };
            all.push(Imported {
                interface: interface.to_owned(),
                resource,
                name: function.item_name().to_owned(),
            });
        }
    }
    all
}

fn snake(name: &str) -> String {
    name.replace('-', "_")
}

fn camel(name: &str) -> String {
    let mut words = name.split('-');
    let first = words.next().unwrap().to_owned();
    words.fold(first, |name, word| {
        format!("{name}{}{}", word[..1].to_uppercase(), &word[1..])
    })
}

/// All sources of a folder, one after the other.
fn sources(folder: &Path) -> String {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let texts = files.iter().map(std::fs::read_to_string);
    texts.map(Result::unwrap).collect()
}

/// Returns how a function is called in a source.
type Call = fn(&Imported, &str) -> String;

fn call_in_c(imported: &Imported, _: &str) -> String {
    let (interface, name) = (snake(&imported.interface), snake(&imported.name));
    match &imported.resource {
        Some(resource) => format!(
            "persea_plugin_{interface}_method_{}_{name}(",
            snake(resource)
        ),
        None => format!("persea_plugin_{interface}_{name}("),
    }
}

fn call_in_python(imported: &Imported, _: &str) -> String {
    let name = snake(&imported.name);
    match &imported.resource {
        Some(_) => format!(".{name}("),
        None => format!("{}.{name}(", snake(&imported.interface)),
    }
}

fn call_in_javascript(imported: &Imported, source: &str) -> String {
    let name = camel(&imported.name);
    if imported.resource.is_some() {
        return format!(".{name}(");
    }
    // The source has its own name for each interface: `import * as log from "persea:plugin/log…`.
    let interface = format!(" from \"persea:plugin/{}@", imported.interface);
    let mut lines = source.lines().filter(|line| line.contains(&interface));
    let import = lines.next().unwrap_or_default();
    let alias = import.split(' ').nth(3).unwrap_or_default();
    format!("{alias}.{name}(")
}

#[test]
fn corpus_calls_every_imported_function_in_each_language() {
    for wit in released() {
        let guests = wit.with_file_name("guests");
        let languages: [(&str, Call); 3] = [
            ("c", call_in_c),
            ("python", call_in_python),
            ("javascript", call_in_javascript),
        ];
        let all = imported(&wit);
        assert!(all.len() > 30, "{} functions", all.len());
        for (language, call) in languages {
            let source = sources(&guests.join(language));
            for imported in &all {
                let call = call(imported, &source);
                assert!(source.contains(&call), "{language} lacks {call}");
            }
        }
    }
}
