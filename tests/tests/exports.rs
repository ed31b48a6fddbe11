//! What the crate exports is listed in `tests/exports.txt`; a name comes or goes on purpose, not by
//! the way.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The faces, and the files that say what each exports.
const FACES: [(&str, &str); 3] =
    [("larder", "lib.rs"), ("larder::contract", "contract/mod.rs"), ("larder::engine", "engine/mod.rs")];
/// For this project's own tests, and hidden.
const HIDDEN: &str = "larder::testing";

#[test]
fn exports_are_those_of_the_list() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = tests.parent().unwrap().join("crates/larder/src");
    let exported: BTreeSet<String> = FACES
        .iter()
        .flat_map(|(face, file)| exports(face, &fs::read_to_string(sources.join(file)).unwrap()))
        .filter(|path| path != HIDDEN && !FACES.iter().any(|(face, _)| path == face))
        .collect();
    let listed = fs::read_to_string(tests.join("exports.txt")).unwrap();
    let listed: BTreeSet<String> = listed.lines().map(str::to_owned).collect();
    let (more, fewer): (Vec<_>, Vec<_>) =
        (exported.difference(&listed).collect(), listed.difference(&exported).collect());
    assert!(
        more.is_empty() && fewer.is_empty(),
        "tests/exports.txt does not list {more:#?} and lists {fewer:#?}, which is not exported"
    );
}

/// The paths of what the text of a module exports.
fn exports(module: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(item) = line.strip_prefix("pub ") else { continue };
        let (kind, rest) = item.split_once(' ').unwrap();
        if kind == "use" {
            let mut list = rest.to_owned();
            while !list.ends_with(';') {
                list.push_str(lines.next().unwrap());
            }
            found.extend(names(&list).map(|name| format!("{module}::{name}")));
            continue;
        }
        let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
        let path = format!("{module}::{name}");
        if kind == "mod" && line.ends_with('{') {
            let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "}").collect();
            let body: Vec<&str> = body.iter().map(|line| line.strip_prefix("    ").unwrap_or(line)).collect();
            // A module of small things is one line.
            let inner = exports("", &body.join("\n")).join(", ").replace("::", "");
            found.push(format!("{path}::{{{inner}}}"));
            continue;
        }
        found.push(path);
    }
    found
}

/// What a `use` calls things.
fn names(list: &str) -> impl Iterator<Item = String> {
    let list = list.trim_end_matches(';');
    let inner = list.split_once('{').map_or(list, |(_, inner)| inner.trim_end_matches('}'));
    let name =
        |path: &str| path.rsplit("::").next().unwrap().rsplit(" as ").next().unwrap().trim().to_owned();
    inner.split(',').map(str::trim).filter(|path| !path.is_empty()).map(name).collect::<Vec<_>>().into_iter()
}

#[test]
fn all_ways_to_export_are_read() {
    let text = "mod a;\npub mod b;\npub(crate) use a::No;\npub use a::{One, two as Two};\npub use c::Three;\n\
                pub use d::{\n    Four, Five,\n};\npub trait Six<T> {\n    fn no();\n}\npub mod e {\n    pub use f::Seven;\n}\n";
    let expected = ["m::b", "m::One", "m::Two", "m::Three", "m::Four", "m::Five", "m::Six", "m::e::{Seven}"];
    assert_eq!(exports("m", text), expected);
}
