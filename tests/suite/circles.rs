//! No file of the program uses one that uses it, however long the way.
//!
//! A `use` of what another file only passes on is a use of the file that defines it. So a `mod.rs` that
//! re-exports its files is in no circle with them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::tidy::rust_files;

/// A path of names from the root of the crate.
type Names = Vec<String>;

/// What a file contains.
#[derive(Debug, Default)]
struct File {
    code: String,
    defined: BTreeSet<String>,
    imports: Vec<Import>,
}

/// One name that a `use` brings.
#[derive(Debug)]
struct Import {
    name: String,
    of: Names,
    passed_on: bool,
}

/// The files of the program, by module.
struct Files(BTreeMap<Names, File>);

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The code without comments and texts.
fn bare(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['"', '/']) {
        let (before, behind) = rest.split_at(at);
        code.push_str(before);
        let hashes = code.len() - code.trim_end_matches('#').len();
        let is_raw = hashes > 0 && code.trim_end_matches('#').ends_with('r');
        rest = if let Some(comment) = behind.strip_prefix("//") {
            comment.find('\n').map_or("", |end| comment.split_at(end).1)
        } else if behind.starts_with('/') || before.ends_with('\'') && behind.starts_with("\"'") {
            behind.split_at(1).1
        } else if is_raw {
            behind.split_at(1).1.split_once(&format!("\"{}", "#".repeat(hashes))).map_or("", |(_, rest)| rest)
        } else {
            after_text(behind.split_at(1).1)
        };
    }
    code + rest
}

/// What stands behind a text whose first quote is gone.
fn after_text(text: &str) -> &str {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' if !escaped => return text.split_at(at + 1).1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    ""
}

/// The code without tests, comments and texts.
fn code_of(text: &str) -> String {
    let text = bare(text.split("#[cfg(test)]\nmod ").next().unwrap_or_default());
    let mut code = String::new();
    let mut for_tests = false;
    for line in text.lines() {
        if !for_tests && line.trim() != "#[cfg(test)]" {
            code.push_str(line);
            code.push('\n');
        }
        for_tests = line.trim() == "#[cfg(test)]";
    }
    let mut pieces = code.split("pub(in ");
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        plain.push_str("pub ");
        plain.push_str(piece.split_once(')').map_or("", |(_, rest)| rest));
    }
    plain
}

/// The paths of a `use` with lists in braces, one by one.
fn paths_of(text: &str, into: &mut Vec<String>) {
    let Some((before, list)) = text.split_once('{') else {
        into.push(text.trim().to_owned());
        return;
    };
    let list = list.rsplit_once('}').map_or(list, |(list, _)| list);
    let (mut depth, mut one) = (0, String::new());
    for c in list.chars().chain([',']) {
        match c {
            ',' if depth == 0 => {
                if !one.trim().is_empty() {
                    paths_of(&format!("{}{}", before.trim(), one.trim()), into);
                }
                one.clear();
            }
            _ => {
                depth += i32::from(c == '{') - i32::from(c == '}');
                one.push(c);
            }
        }
    }
}

impl Files {
    fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut paths = Vec::new();
        rust_files(&root, &mut paths);
        let mut files = BTreeMap::new();
        for path in paths {
            let inside = path.strip_prefix(&root).unwrap().with_extension("");
            let mut module: Names = inside.iter().map(|name| name.to_str().unwrap().to_owned()).collect();
            match module.last().unwrap().as_str() {
                "tests" | "main" => continue,
                "mod" | "lib" => _ = module.pop(),
                _ => {}
            }
            let code = code_of(&fs::read_to_string(&path).unwrap());
            files.insert(module, File { code, ..File::default() });
        }
        let mut files = Self(files);
        let modules: Vec<Names> = files.0.keys().cloned().collect();
        for module in modules {
            let (code, imports) = files.imports(&module);
            let defined = defined_in(&code);
            files.0.insert(module, File { code, defined, imports });
        }
        files
    }

    /// The code of a file without its imports, and these.
    fn imports(&self, module: &Names) -> (String, Vec<Import>) {
        let (mut code, mut imports) = (String::new(), Vec::new());
        let mut rest = self.0[module].code.as_str();
        while let Some((before, behind)) = rest.split_once("use ") {
            code.push_str(before);
            let passed_on = before.trim_end().ends_with("pub") || before.trim_end().ends_with(')');
            if !(passed_on || before.is_empty() || before.ends_with('\n') || before.ends_with("    ")) {
                code.push_str("use ");
                rest = behind;
                continue;
            }
            let (text, after) = behind.split_once(';').unwrap_or((behind, ""));
            let mut paths = Vec::new();
            paths_of(&text.split_whitespace().collect::<Vec<_>>().join(" "), &mut paths);
            for path in paths {
                let (path, name) = path.split_once(" as ").unwrap_or((&path, ""));
                let path = path.trim_end_matches("::self");
                let name = if name.is_empty() { path.rsplit("::").next().unwrap_or_default() } else { name };
                let name = name.to_owned();
                imports.extend(self.absolute(module, path).map(|of| Import { name, of, passed_on }));
            }
            rest = after;
        }
        code.push_str(rest);
        (code, imports)
    }

    /// The path from the root, if it begins with a module of this crate.
    fn absolute(&self, module: &Names, path: &str) -> Option<Names> {
        let mut names = path.split("::").map(|name| name.trim().to_owned()).peekable();
        let mut base = match names.peek()?.as_str() {
            "crate" => Names::new(),
            "self" | "super" => module.clone(),
            child => {
                let inside = [module.as_slice(), &[child.to_owned()]].concat();
                return self.0.contains_key(&inside).then(|| [module.clone(), names.collect()].concat());
            }
        };
        while let Some(first) = names.next_if(|name| ["crate", "self", "super"].contains(&name.as_str())) {
            if first == "super" {
                base.pop();
            }
        }
        base.extend(names);
        Some(base)
    }

    /// The file that defines what a path means.
    fn definer(&self, path: &[String], steps: usize) -> Names {
        let longest = (0..=path.len()).rev().find(|len| self.0.contains_key(&path[..*len])).unwrap();
        let (module, rest) = path.split_at(longest);
        let file = &self.0[module];
        let Some(name) = rest.first().filter(|name| steps > 0 && !file.defined.contains(*name)) else {
            return module.to_vec();
        };
        let found = file.imports.iter().find(|import| import.name == *name);
        match found {
            Some(import) => self.definer(&[import.of.as_slice(), &rest[1..]].concat(), steps - 1),
            None => module.to_vec(),
        }
    }

    /// The files whose definitions a file uses.
    fn used_by(&self, module: &Names) -> BTreeSet<Names> {
        let file = &self.0[module];
        let mut paths: Vec<Names> = Vec::new();
        for import in file.imports.iter().filter(|import| !import.passed_on) {
            // What is used of a module follows below.
            if !self.0.contains_key(&import.of) {
                paths.push(import.of.clone());
            }
        }
        for path in file.code.split(|c| !is_name(c) && c != ':').filter(|path| path.contains("::")) {
            let path = path.trim_matches(':');
            let (first, rest) = path.split_once("::").unwrap_or((path, ""));
            match file.imports.iter().find(|import| import.name == first) {
                Some(import) => {
                    let rest = rest.split("::").filter(|name| !name.is_empty()).map(str::to_owned);
                    paths.push(import.of.iter().cloned().chain(rest).collect());
                }
                None => paths.extend(self.absolute(module, path)),
            }
        }
        let mut used: BTreeSet<Names> = paths.iter().map(|path| self.definer(path, 8)).collect();
        used.remove(module);
        used
    }
}

/// The names of the items in a file.
fn defined_in(code: &str) -> BTreeSet<String> {
    const KINDS: [&str; 7] = ["fn", "struct", "enum", "trait", "type", "const", "static"];
    let mut words = code.split(|c| !is_name(c)).filter(|word| !word.is_empty());
    let mut defined = BTreeSet::new();
    while let Some(word) = words.next() {
        if KINDS.contains(&word) {
            defined.extend(words.clone().next().map(str::to_owned));
        }
    }
    defined
}

/// Leaves only what is in circles, or between them.
pub(crate) fn circles<T: Ord + Clone>(mut uses: BTreeMap<T, BTreeSet<T>>) -> BTreeMap<T, BTreeSet<T>> {
    loop {
        let before = uses.len();
        let left: BTreeSet<T> = uses.keys().cloned().collect();
        uses.values_mut().for_each(|used| used.retain(|other| left.contains(other)));
        let used: BTreeSet<T> = uses.values().flatten().cloned().collect();
        uses.retain(|module, others| !others.is_empty() && used.contains(module));
        if uses.len() == before {
            return uses;
        }
    }
}

#[test]
fn no_file_uses_one_that_uses_it() {
    let files = Files::read();
    let uses: BTreeMap<Names, BTreeSet<Names>> =
        files.0.keys().map(|module| (module.clone(), files.used_by(module))).collect();
    let of = |path: &str| path.split('/').map(str::to_owned).collect::<Names>();
    // So that the test notices if it no longer finds what files use.
    assert!(uses[&of("delivery/schedule/scheduler")].contains(&of("delivery/schedule/due")));
    assert!(uses[&of("cli/status/collector")].contains(&of("admin_client")));
    assert!(uses.values().map(BTreeSet::len).sum::<usize>() > 2_000);
    let found = circles(uses);
    let lines = found.iter().map(|(module, others)| {
        let others: Vec<String> = others.iter().map(|other| other.join("/")).collect();
        format!("{} uses {}", module.join("/"), others.join(", "))
    });
    assert!(
        found.is_empty(),
        "these files use each other, in a circle:\n{}",
        lines.collect::<Vec<_>>().join("\n")
    );
}
