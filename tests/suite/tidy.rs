//! What clippy cannot see: which room may know which, and that pure rooms do nothing but compute.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each room and the rooms it may know. `cli` wires everything together and may know all.
const MAY_KNOW: [(&str, &[&str]); 30] = [
    ("time", &[]),
    ("random", &[]),
    ("planted", &[]),
    ("sources", &[]),
    ("json", &[]),
    ("retry", &["random"]),
    ("once_a_minute", &[]),
    ("object", &["sources", "time"]),
    ("policy", &["object"]),
    ("receipt", &["object", "sources", "time"]),
    ("batch", &["object", "sources", "time"]),
    ("call", &["json", "random", "sources", "time"]),
    ("metrics", &["call"]),
    ("alarms", &["metrics", "once_a_minute", "time"]),
    ("tasks", &["alarms"]),
    ("store", &["object"]),
    (
        "spool",
        &[
            "batch",
            "call",
            "metrics",
            "object",
            "once_a_minute",
            "planted",
            "random",
            "receipt",
            "sources",
            "time",
        ],
    ),
    (
        "delivery",
        &[
            "alarms",
            "batch",
            "metrics",
            "object",
            "once_a_minute",
            "planted",
            "random",
            "retry",
            "sources",
            "spool",
            "store",
            "tasks",
            "time",
        ],
    ),
    ("hook", &["delivery", "object", "store"]),
    ("archive", &["object", "random", "receipt", "retry", "sources", "store", "time"]),
    ("connections", &[]),
    (
        "collector",
        &[
            "alarms",
            "call",
            "connections",
            "metrics",
            "once_a_minute",
            "planted",
            "random",
            "receipt",
            "sources",
            "spool",
            "tasks",
            "time",
        ],
    ),
    ("admin", &["connections", "metrics", "once_a_minute", "planted", "receipt", "sources"]),
    ("dev_s3", &["planted", "random", "tasks", "time"]),
    ("check", &["delivery", "object", "policy", "runtime", "sources", "spool", "store", "time"]),
    ("runtime", &["planted", "random", "tasks", "time"]),
    ("config", &["call", "object", "runtime", "sources", "store"]),
    ("lib", &[]),
    ("main", &[]),
    ("cli", &["*"]),
];

/// Rooms that neither wait, nor read or write anything, nor know the time or chance.
const PURE: [&str; 10] =
    ["json", "call", "object", "policy", "batch", "receipt", "retry", "once_a_minute", "sources", "time"];
/// What a pure room cannot name.
const IMPURE: [&str; 10] = [
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::env",
    "std::thread",
    "std::process",
    "tokio",
    "SystemTime",
    "Instant::now",
    "async fn",
];

fn rust_files(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// Room, file and the code of each source file, without comments and without its tests.
fn sources() -> Vec<(String, PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    let mut sources = Vec::new();
    for path in files {
        let inside = path.strip_prefix(&root).unwrap();
        let room = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
        if path.file_name().is_some_and(|name| name == "tests.rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let code: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        sources.push((room, path, code.join("\n")));
    }
    assert!(sources.len() > 50, "the source tree is not where it was");
    sources
}

fn rooms_named(code: &str) -> BTreeSet<String> {
    let room = |rest: &str| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    code.split("crate::").skip(1).map(room).collect()
}

#[test]
fn no_room_knows_one_above_or_beside_it() {
    for (room, path, code) in sources() {
        let (_, may_know) = MAY_KNOW
            .iter()
            .find(|(known, _)| *known == room)
            .unwrap_or_else(|| panic!("{}: say in this test which rooms `{room}` may know", path.display()));
        for named in rooms_named(&code) {
            let allowed = may_know.contains(&"*") || named == room || may_know.contains(&named.as_str());
            assert!(allowed, "{}: `{room}` may not know `{named}`", path.display());
        }
    }
}

#[test]
fn pure_rooms_only_compute() {
    for (room, path, code) in sources() {
        if PURE.contains(&room.as_str()) {
            let named: Vec<_> = IMPURE.iter().filter(|name| code.contains(*name)).collect();
            assert!(named.is_empty(), "{}: a pure room names {named:?}", path.display());
        }
    }
}
