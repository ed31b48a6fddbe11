//! The layout of the sources: which file may name which.
//!
//! In each folder, its files and folders import each other without a circle; the contract stands at
//! the bottom. What is read is the text: `use` items and paths that begin with `crate`, `super`,
//! `self` or a module that the file declares. Documentation and unit tests do not count.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the sources are, from the root of the tree.
const CRATES: [&str; 2] = ["crates/larder/src", "php-ext/src"];

/// What the contract may name beside itself.
const BELOW_THE_CONTRACT: [&str; 2] = ["clock", "error"];

#[test]
fn no_folder_has_an_import_circle() {
    let mut failures = String::new();
    for source in CRATES {
        let tree = Tree::read(source);
        for (folder, imports) in tree.imports() {
            let name = [source, &*folder.join("/")].join("/").trim_end_matches('/').to_owned();
            if let Some(circle) = circle(&imports) {
                let _ = writeln!(failures, "{name}:");
                for (from, to) in circle {
                    let _ = writeln!(failures, "    {from} -> {to}: {}", imports[&from][&to]);
                }
            }
        }
    }
    assert!(failures.is_empty(), "files or folders that import each other in a circle\n{failures}");
}

#[test]
fn the_contract_is_the_ground_floor() {
    let tree = Tree::read(CRATES[0]);
    let imports = &tree.imports()[&Vec::new()];
    let above: Vec<_> = imports["contract"]
        .iter()
        .filter(|(module, _)| !BELOW_THE_CONTRACT.contains(&module.as_str()))
        .collect();
    assert!(above.is_empty(), "the contract names what stands above it: {above:?}");
}

#[test]
fn circles_are_found() {
    let tree =
        |files: &[(&str, &str)]| Tree::of(files.iter().map(|&(path, text)| (path.into(), text.to_owned())));
    let circle_of = |files: &[(&str, &str)], folder: &[&str]| {
        let folder: Vec<String> = folder.iter().map(|&name| name.to_owned()).collect();
        tree(files).imports().get(&folder).and_then(circle).map(|circle| circle.len())
    };
    let between_folders = [
        ("lib.rs", "mod a; mod b;"),
        ("a/mod.rs", "mod x;"),
        ("a/x.rs", "use crate::b::{self, Y};"),
        ("b/mod.rs", "fn f() { crate::a::x() }"),
    ];
    assert_eq!(circle_of(&between_folders, &[]), Some(2));
    assert_eq!(circle_of(&between_folders, &["a"]), None);
    let through_the_parent = [
        ("lib.rs", "mod a;"),
        ("a/mod.rs", "mod x; mod y; pub use x::X; struct Own;"),
        ("a/x.rs", "use super::{Own, y};"),
        ("a/y.rs", "/// See [`X`](super::X).\nfn f() -> &'static str { \"super::X\" }"),
    ];
    assert_eq!(circle_of(&through_the_parent, &["a"]), Some(2), "x -> mod -> x");
    let only_in_tests = [
        ("a.rs", "use crate::b::B;"),
        ("b.rs", "struct B; #[cfg(test)] mod tests { use super::*; use crate::a::A; }"),
    ];
    assert_eq!(circle_of(&only_in_tests, &[]), None);
    let of_three =
        [("a.rs", "use super::b;"), ("b.rs", "use crate::{c::{d::E}};"), ("c.rs", "use crate::a as x;")];
    assert_eq!(circle_of(&of_three, &[]), Some(3));
}

/// For each file or folder of one folder what it imports of the others, and where.
type Imports = BTreeMap<String, BTreeMap<String, String>>;

/// The sources of a crate, by their modules.
struct Tree {
    /// Path and text of each file, by the path of its module.
    files: BTreeMap<Vec<String>, (PathBuf, String)>,
}

impl Tree {
    /// Reads what is below `source`.
    fn read(source: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(source);
        let mut folders = vec![root.clone()];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let text = fs::read_to_string(&path).unwrap();
                    files.push((path.strip_prefix(&root).unwrap().to_owned(), text));
                }
            }
        }
        Self::of(files)
    }

    fn of(files: impl IntoIterator<Item = (PathBuf, String)>) -> Self {
        let module = |path: &Path| {
            let mut module: Vec<String> =
                path.with_extension("").iter().map(|part| part.to_str().unwrap().into()).collect();
            module.pop_if(|last| matches!(last.as_str(), "mod" | "lib"));
            module
        };
        Self { files: files.into_iter().map(|(path, text)| (module(&path), (path, text))).collect() }
    }

    /// The imports within each folder.
    fn imports(&self) -> BTreeMap<Vec<String>, Imports> {
        let mut folders: BTreeMap<Vec<String>, Imports> = BTreeMap::new();
        for (module, (path, text)) in &self.files {
            for (line, named) in paths(text) {
                let Some(target) = self.module_of(module, &named) else { continue };
                let common = module.iter().zip(&target).take_while(|(one, other)| one == other).count();
                // What stands in a folder's own file is of the folder, which its children import
                // like each other.
                let node = |of: &[String]| of.get(common).cloned().unwrap_or_else(|| "mod".to_owned());
                let (from, to) = (node(module), node(&target));
                if from != to {
                    let imports = folders.entry(module[..common].to_vec()).or_default();
                    let place = format!("{}:{line} names {}", path.display(), named.join("::"));
                    imports.entry(from).or_default().entry(to).or_insert(place);
                }
            }
        }
        folders
    }

    /// The module that has what a file of `module` calls `named`; `None` if that is not of this
    /// crate.
    fn module_of(&self, module: &[String], named: &[String]) -> Option<Vec<String>> {
        let mut at = module.to_vec();
        let mut rest = named;
        match named.first()?.as_str() {
            "crate" => at.clear(),
            "self" | "super" => {}
            // A module that is declared here.
            first if self.files.contains_key(&[&at[..], &[first.to_owned()]].concat()) => {}
            _ => return None,
        }
        while let Some(first) =
            rest.first().filter(|first| matches!(first.as_str(), "crate" | "self" | "super"))
        {
            if first == "super" {
                at.pop();
            }
            rest = &rest[1..];
        }
        for part in rest {
            at.push(part.clone());
            if !self.files.contains_key(&at) {
                at.pop();
                break;
            }
        }
        Some(at)
    }
}

/// A shortest circle, as the imports that it is made of.
fn circle(imports: &Imports) -> Option<Vec<(String, String)>> {
    let back_to = |start: &String| {
        let mut came_from: BTreeMap<&String, &String> = BTreeMap::new();
        let mut layer = vec![start];
        while !layer.is_empty() {
            let mut next = Vec::new();
            for from in layer {
                for to in imports.get(from).into_iter().flat_map(BTreeMap::keys) {
                    if came_from.contains_key(to) {
                        continue;
                    }
                    came_from.insert(to, from);
                    next.push(to);
                }
            }
            if came_from.contains_key(start) {
                let mut circle = Vec::new();
                let mut to = start;
                while circle.is_empty() || to != start {
                    let from = came_from[to];
                    circle.push((from.clone(), to.clone()));
                    to = from;
                }
                circle.reverse();
                return Some(circle);
            }
            layer = next;
        }
        None
    };
    imports.keys().filter_map(back_to).min_by_key(Vec::len)
}

/// Each path in `text` that may lead to a module of the crate, with its line.
fn paths(text: &str) -> Vec<(usize, Vec<String>)> {
    let tokens = without_tests(&tokens(text));
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let before = at.checked_sub(1).map(|before| tokens[before].1.as_str());
        // `pub(in crate::x)` imports nothing.
        let visibility = before == Some("in") && at >= 3 && tokens[at - 3].1 == "pub";
        let begins = tokens[at].1 == "use"
            || (is_name(&tokens[at].1)
                && tokens.get(at + 1).is_some_and(|next| next.1 == "::")
                && !visibility
                && !matches!(before, Some("::" | ".")));
        if begins {
            let line = tokens[at].0;
            at += usize::from(tokens[at].1 == "use");
            let mut named = BTreeSet::new();
            at = tree(&tokens, at, &[], &mut named);
            found.extend(named.into_iter().map(|path| (line, path)));
        } else {
            at += 1;
        }
    }
    found
}

/// Reads one path, or a tree of them as in `use`, that begins at `at`. Where it ends.
fn tree(
    tokens: &[(usize, String)],
    mut at: usize,
    before: &[String],
    found: &mut BTreeSet<Vec<String>>,
) -> usize {
    let mut path = before.to_vec();
    let text = |at: usize| tokens.get(at).map_or("", |token| token.1.as_str());
    loop {
        if text(at) == "{" {
            at += 1;
            while !matches!(text(at), "}" | "") {
                at = tree(tokens, at, &path, found);
                at += usize::from(text(at) == ",");
            }
            return at + 1;
        }
        if !is_name(text(at)) {
            // `*`, or the arguments of a type.
            found.insert(path);
            return at + usize::from(text(at) == "*");
        }
        path.push(text(at).to_owned());
        at += 1;
        if text(at) == "as" {
            at += 2;
        }
        if text(at) != "::" {
            found.insert(path);
            return at;
        }
        at += 1;
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Without what is compiled for unit tests only.
fn without_tests(tokens: &[(usize, String)]) -> Vec<(usize, String)> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let attribute: String = tokens[at..].iter().take(7).map(|token| token.1.as_str()).collect();
        if attribute != "#[cfg(test)]" {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        // The item ends with its body, or at once.
        let mut depth = 0;
        loop {
            match tokens.get(at).map(|token| token.1.as_str()) {
                None => break,
                Some("{") => depth += 1,
                Some("}") => depth -= 1,
                Some(_) => {}
            }
            let last = matches!(tokens[at].1.as_str(), "}" | ";") && depth == 0;
            at += 1;
            if last {
                break;
            }
        }
    }
    kept
}

/// The names and signs of a text, each with its line. Comments, strings and numbers are left out.
fn tokens(text: &str) -> Vec<(usize, String)> {
    let mut tokens = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while let Some(first) = rest.chars().next() {
        let end = |of: &str| rest.find(of).map_or(rest.len(), |at| at + of.len());
        let name = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let length = if rest.starts_with("//") {
            end("\n")
        } else if rest.starts_with("/*") {
            end("*/")
        } else if rest.starts_with("r\"") || rest.starts_with("br\"") {
            2 + rest[2..].find('"').unwrap_or(0) + 1
        } else if rest.starts_with("r#\"") || rest.starts_with("br#\"") {
            end("\"#")
        } else if first == '"' {
            string_end(rest)
        } else if first == '\'' {
            character_end(rest)
        } else if name > 0 {
            if is_name(rest) {
                tokens.push((line, rest[..name].to_owned()));
            }
            name
        } else {
            let sign = if rest.starts_with("::") { 2 } else { first.len_utf8() };
            if !first.is_whitespace() {
                tokens.push((line, rest[..sign].to_owned()));
            }
            sign
        };
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    tokens
}

/// Where the string ends that `text` begins with.
fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Where the character, or the name of a lifetime, ends that `text` begins with.
fn character_end(text: &str) -> usize {
    let mut characters = text.char_indices().skip(1);
    match (characters.next(), characters.next()) {
        (Some((_, '\\')), Some((escaped, _))) => {
            text[escaped + 1..].find('\'').map_or(text.len(), |at| escaped + at + 2)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}
