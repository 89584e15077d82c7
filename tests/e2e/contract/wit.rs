//! Owns the rules that keep the contract alive: its shape, its words, and that each version still
//! serves the plugins of every released version of its track. Reads WIT alone; runs nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use wit_parser::{
    Function, FunctionKind, InterfaceId, PackageId, Resolve, Stability, Type, TypeDef, TypeDefKind,
    WorldItem,
};

use super::words::KEYWORDS;

/// The WIT that the host implements.
pub fn current() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit/0.2")
}

/// The directories of the released versions of `current`'s track, the oldest first.
pub fn released() -> Vec<PathBuf> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/contract");
    let entries = std::fs::read_dir(corpus).unwrap();
    let mut found: Vec<(semver::Version, PathBuf)> = entries
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            let version = path.file_name()?.to_str()?.parse().ok()?;
            Some((version, path.join("wit")))
        })
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no version was released");
    found.into_iter().map(|(_, path)| path).collect()
}

pub fn parse(directory: &Path) -> (Resolve, PackageId) {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(directory).unwrap();
    (resolve, package)
}

/// The interfaces of a package with their names.
pub fn interfaces(resolve: &Resolve, package: PackageId) -> Vec<(&str, InterfaceId)> {
    let all = resolve.packages[package].interfaces.iter();
    all.map(|(name, id)| (name.as_str(), *id)).collect()
}

/// The interfaces that worlds of a package export.
pub fn exported(resolve: &Resolve, package: PackageId) -> BTreeSet<InterfaceId> {
    let worlds = resolve.packages[package].worlds.values();
    let exports = worlds.flat_map(|world| resolve.worlds[*world].exports.values());
    exports
        .map(|item| match item {
            WorldItem::Interface { id, .. } => *id,
            other => panic!("a world exports something that is no interface: {other:?}"),
        })
        .collect()
}

/// Follows `use` and `type` to the definition of a named type; none for a primitive type.
fn definition(resolve: &Resolve, ty: Type) -> Option<&TypeDef> {
    let Type::Id(id) = ty else { return None };
    let definition = &resolve.types[id];
    match definition.kind {
        TypeDefKind::Type(other @ Type::Id(_)) => self::definition(resolve, other),
        _ => Some(definition),
    }
}

/// Whether a type is a record whose last field is `more: attributes`.
fn ends_in_more(resolve: &Resolve, ty: Type) -> bool {
    let Some(TypeDefKind::Record(record)) = definition(resolve, ty).map(|found| &found.kind) else {
        return false;
    };
    let last = record.fields.last();
    last.is_some_and(|field| {
        let kind = definition(resolve, field.ty).map(|found| found.name.as_deref());
        field.name == "more" && kind == Some(Some("attributes"))
    })
}

/// The success and error types of a function that returns a `result`.
fn result(resolve: &Resolve, function: &Function) -> Option<(Option<Type>, Option<Type>)> {
    match &definition(resolve, function.result?)?.kind {
        TypeDefKind::Result(result) => Some((result.ok, result.err)),
        _ => None,
    }
}

fn is_error(resolve: &Resolve, ty: Option<Type>) -> bool {
    let name = ty.and_then(|ty| definition(resolve, ty)?.name.as_deref());
    name == Some("error")
}

/// A binary that exports a function cannot be given another parameter, and wasmtime refuses a
/// component that lacks a function of an exported interface. So whatever may grow is in `more`.
#[test]
fn exported_functions_take_and_return_one_record_that_ends_in_more() {
    let (resolve, package) = parse(&current());
    let mut count = 0;
    for id in exported(&resolve, package) {
        for (name, function) in &resolve.interfaces[id].functions {
            count += 1;
            let [parameter] = function.params.as_slice() else {
                panic!("{name} takes {} parameters", function.params.len());
            };
            assert!(
                ends_in_more(&resolve, parameter.ty),
                "{name}: its parameter"
            );
            let answer = match result(&resolve, function) {
                Some((answer, error)) => {
                    assert!(is_error(&resolve, error), "{name}: its error");
                    answer
                }
                None => function.result,
            };
            let answer = answer.unwrap_or_else(|| panic!("{name} returns nothing"));
            assert!(ends_in_more(&resolve, answer), "{name}: its answer");
        }
    }
    assert!(count > 15, "{count} functions");
}

/// A plugin that gets `not-permitted` goes on; one whose import cannot say so would have to trap.
/// A message to the log and a clock harm nobody, and a handle was granted when it was made.
#[test]
fn every_imported_function_can_be_refused() {
    const FREE: [&str; 7] = [
        "log",
        "panicked",
        "now",
        "deadline",
        "[method]child.id",
        "[method]download.info",
        "[method]pollable.ready",
    ];
    let (resolve, package) = parse(&current());
    let exported = exported(&resolve, package);
    for (interface, id) in interfaces(&resolve, package) {
        if exported.contains(&id) {
            continue;
        }
        for (name, function) in &resolve.interfaces[id].functions {
            let refused = result(&resolve, function).is_some_and(|it| is_error(&resolve, it.1));
            assert_eq!(
                refused,
                !FREE.contains(&name.as_str()),
                "{interface}.{name}: whether it can be refused"
            );
        }
    }
}

/// What a WIT item says about the version that brought it.
fn is_dated(stability: &Stability) -> bool {
    matches!(stability, Stability::Stable { .. })
}

#[test]
fn every_item_says_since_which_version_it_is_there() {
    let (resolve, package) = parse(&current());
    let mut undated = Vec::new();
    for (name, id) in interfaces(&resolve, package) {
        let interface = &resolve.interfaces[id];
        if !is_dated(&interface.stability) {
            undated.push(name.to_owned());
        }
        for (ty, id) in &interface.types {
            // A `use` is no item of its own.
            let is_use = matches!(resolve.types[*id].kind, TypeDefKind::Type(Type::Id(other))
                if resolve.types[other].owner != resolve.types[*id].owner
                    && resolve.types[other].name.is_some());
            if !is_use && !is_dated(&resolve.types[*id].stability) {
                undated.push(format!("{name}.{ty}"));
            }
        }
        for (function, item) in &interface.functions {
            if !is_dated(&item.stability) {
                undated.push(format!("{name}.{function}"));
            }
        }
    }
    for (name, id) in &resolve.packages[package].worlds {
        let world = &resolve.worlds[*id];
        if !is_dated(&world.stability) {
            undated.push(format!("world {name}"));
        }
        for (key, item) in world.imports.iter().chain(&world.exports) {
            let is_types = matches!(item, WorldItem::Interface { id, .. }
                if resolve.interfaces[*id].functions.is_empty());
            if !is_types && !is_dated(item.stability(&resolve)) {
                let item = resolve.name_world_key(key);
                undated.push(format!("world {name}: {item}"));
            }
        }
    }
    assert!(undated.is_empty(), "without @since: {undated:?}");
}

/// The spellings that generators give a name of WIT.
struct Spelling {
    snake: String,
    camel: String,
    pascal: String,
}

impl Spelling {
    fn of(name: &str) -> Self {
        let pascal: String = name
            .split('-')
            .map(|word| {
                let (first, rest) = word.split_at(1);
                first.to_uppercase() + rest
            })
            .collect();
        Self {
            snake: name.replace('-', "_"),
            camel: pascal[..1].to_lowercase() + &pascal[1..],
            pascal,
        }
    }
}

/// Languages and the keywords that spellings of a name hit.
fn clashes(spellings: &[&str]) -> Vec<String> {
    let hits = KEYWORDS.iter().flat_map(|(language, keywords)| {
        let keywords = keywords.split_ascii_whitespace();
        let hits = keywords.filter(|keyword| spellings.contains(keyword));
        hits.map(move |keyword| format!("{language}: {keyword}"))
    });
    hits.collect()
}

/// A generator renames a keyword (`case_`, `%stream`, `r#type`), each in a way of its own, and
/// documentation then fits no language.
///
/// Types are tried in Pascal case alone: every generator writes them so, or with a suffix. Cases of
/// enums and variants are not tried: every generator puts the name of the type before them, or
/// writes them in Pascal or upper case.
#[test]
fn no_name_of_the_contract_is_a_keyword() {
    let (resolve, package) = parse(&current());
    let mut broken = Vec::new();
    let mut try_name = |what: &str, name: &str| {
        let Spelling {
            snake,
            camel,
            pascal,
        } = Spelling::of(name);
        let hits = clashes(&match what {
            "type" => vec![pascal.as_str()],
            _ => vec![snake.as_str(), camel.as_str(), pascal.as_str()],
        });
        if !hits.is_empty() {
            broken.push(format!("{what} {name} ({})", hits.join(", ")));
        }
    };
    for world in resolve.packages[package].worlds.keys() {
        try_name("world", world);
    }
    for (name, id) in interfaces(&resolve, package) {
        try_name("interface", name);
        let interface = &resolve.interfaces[id];
        for (name, id) in &interface.types {
            try_name("type", name);
            if let TypeDefKind::Record(record) = &resolve.types[*id].kind {
                for field in &record.fields {
                    try_name("field", &field.name);
                }
            }
        }
        for function in interface.functions.values() {
            let name = function.item_name();
            try_name("function", name);
            // The receiver of a method is called `self`, which generators replace by their own.
            let own = usize::from(matches!(function.kind, FunctionKind::Method(_)));
            for parameter in function.params.iter().skip(own) {
                try_name("parameter", &parameter.name);
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// The WIT files of a directory with their names, and with comments and empty lines left out.
fn code(directory: &Path) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let files = entries.map(|entry| {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines = text.lines().filter(|line| {
            let line = line.trim_start();
            !line.is_empty() && !line.starts_with("//")
        });
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, lines.flat_map(|line| [line, "\n"]).collect())
    });
    files.collect()
}

/// The version of a package.
fn version(files: &BTreeMap<String, String>) -> semver::Version {
    let first = files.values().next().unwrap().lines().next().unwrap();
    let version = first.strip_prefix("package persea:plugin@").unwrap();
    version.trim_end_matches(';').parse().unwrap()
}

/// Checks that plugins built for each world of `old` still work with `new`.
fn check_compatible(
    old: &BTreeMap<String, String>,
    new: &BTreeMap<String, String>,
) -> Result<(), String> {
    // The two need different versions to fit into one `Resolve`. The check ignores versions.
    let mut resolve = Resolve::default();
    let [old, new] = [(old, "0.2.0"), (new, "0.2.999")].map(|(files, number)| {
        let directory = tempfile::tempdir().unwrap();
        let line = format!("package persea:plugin@{};", version(files));
        for (name, text) in files {
            let text = text.replace(&line, &format!("package persea:plugin@{number};"));
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        resolve.push_dir(directory.path()).unwrap().0
    });
    for (name, old_world) in &resolve.packages[old].worlds {
        let new_world = resolve.packages[new].worlds.get(name);
        let new_world = new_world.ok_or_else(|| format!("there is no world {name}"))?;
        wit_component::semver_check(resolve.clone(), *old_world, *new_world)
            .map_err(|error| format!("world {name}: {error:#}"))?;
    }
    Ok(())
}

#[test]
fn plugins_of_every_released_version_fit_the_current_contract() {
    let now = code(&current());
    for directory in released() {
        let old = code(&directory);
        assert!(version(&old) <= version(&now), "{}", directory.display());
        check_compatible(&old, &now)
            .unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    }
}

/// A version that was released never changes, but its comments may be improved.
#[test]
fn released_version_is_frozen() {
    let now = code(&current());
    let last = code(released().last().unwrap());
    if version(&last) == version(&now) {
        assert_eq!(last, now, "give the package the next version");
    }
}

/// The classes of changes that docs/what-may-change.md lists.
#[test]
fn compatibility_check_tells_growth_from_breakage() {
    let old = code(&current());
    let changed = |file: &str, from: &str, to: &str| {
        let mut new = old.clone();
        let text = new.get_mut(file).unwrap();
        assert!(text.contains(from), "{from}");
        *text = text.replacen(from, to, 1);
        check_compatible(&old, &new)
    };
    let function = "@since(version = 0.2.0) extra: func();\n";
    let grown = |interface: &str| format!("interface {interface} {{\n{function}");
    for (what, file, from, to) in [
        (
            "a function of a power",
            "powers.wit",
            "interface cases {\n",
            grown("cases"),
        ),
        (
            "an import of a world",
            "worlds.wit",
            "world varianter {\n",
            "world varianter {\nimport cache;\n".to_owned(),
        ),
        (
            "a new world",
            "worlds.wit",
            "world varianter {\n",
            "world other { export plugin; }\n@since(version = 0.2.0)\nworld varianter {\n".into(),
        ),
    ] {
        changed(file, from, &to).unwrap_or_else(|error| panic!("{what}: {error}"));
    }
    for (what, file, from, to) in [
        (
            "a function of an export",
            "worlds.wit",
            "interface run {\n",
            grown("run"),
        ),
        (
            "a field",
            "types.wit",
            "record done {\n",
            "record done {\nextra: bool,\n".to_owned(),
        ),
        (
            "a case",
            "types.wit",
            "    interrupted,\n",
            "    interrupted, flaky,\n".into(),
        ),
        (
            "the name of a parameter",
            "worlds.wit",
            "resolve: func(request: request)",
            "resolve: func(asked: request)".into(),
        ),
        (
            "an export of a world",
            "worlds.wit",
            "world varianter {\n",
            "world varianter {\nexport resolve;\n".into(),
        ),
    ] {
        assert!(changed(file, from, &to).is_err(), "{what} breaks plugins");
    }
}
