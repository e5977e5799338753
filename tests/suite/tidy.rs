//! Rules that clippy cannot check: which rooms a room may use, and that pure rooms do nothing but compute.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::circles::circles;

/// Each room and the rooms that it may use. `node` connects rooms to a running process; `cli` may use every
/// one.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("time", &[]),
    ("words", &["time"]),
    ("reach", &["words"]),
    ("arn", &[]),
    ("lock", &[]),
    ("version", &[]),
    ("crc32c", &[]),
    ("random", &[]),
    ("admin_token", &[]),
    ("planted_bugs", &[]),
    ("boxed_future", &[]),
    ("process_group", &[]),
    ("disk", &["lock", "planted_bugs"]),
    ("sources", &["words"]),
    ("json", &[]),
    ("retry", &["random"]),
    ("once_a_minute", &[]),
    ("give_way", &["time"]),
    ("object", &["arn", "sources", "time", "words"]),
    ("policy", &["arn", "object"]),
    ("receipt", &["object", "sources", "time"]),
    ("batch", &["object", "sources", "time"]),
    ("call", &["json", "object", "random", "sources", "time", "words"]),
    ("convert", &["call", "json", "time", "words"]),
    ("metrics", &[]),
    ("alarms", &["lock", "metrics", "once_a_minute", "time"]),
    ("tasks", &["alarms", "retry"]),
    ("store", &["boxed_future", "disk", "lock", "object", "reach", "time", "words"]),
    ("queue", &["arn", "boxed_future", "lock", "object", "store", "time", "words"]),
    (
        "log",
        &[
            "batch", "boxed_future", "call", "crc32c", "object", "planted_bugs", "receipt", "sources",
            "time", "words",
        ],
    ),
    ("partition", &["batch", "crc32c", "json", "log", "object", "planted_bugs", "sources", "time", "words"]),
    (
        "kafka",
        &[
            "batch", "boxed_future", "disk", "lock", "log", "metrics", "object", "partition", "random",
            "receipt", "sources", "spool", "time",
        ],
    ),
    (
        "spool",
        &[
            "batch", "boxed_future", "call", "disk", "lock", "log", "metrics", "object", "once_a_minute",
            "planted_bugs", "random", "receipt", "sources", "time", "words",
        ],
    ),
    (
        "import",
        &[
            "alarms", "boxed_future", "call", "convert", "disk", "ingest", "json", "lock", "log", "metrics",
            "object", "planted_bugs", "queue", "random", "reach", "retry", "sources", "store", "tasks",
            "time", "words",
        ],
    ),
    (
        "destinations",
        &[
            "alarms", "archive", "arn", "boxed_future", "call", "crc32c", "disk", "give_way", "json", "lock",
            "log", "metrics", "object", "once_a_minute", "planted_bugs", "random", "reach", "retry",
            "sources", "store", "tasks", "time", "words",
        ],
    ),
    (
        "jobs",
        &[
            "arn", "boxed_future", "crc32c", "destinations", "disk", "import", "lock", "object",
            "once_a_minute", "process_group", "random", "retry", "store", "tasks", "time", "words",
        ],
    ),
    (
        "lambda",
        &[
            "boxed_future", "import", "lock", "log", "object", "random", "reach", "sources", "store", "time",
            "words",
        ],
    ),
    ("live", &["call", "json", "lock", "object", "sources", "time"]),
    (
        "ingest",
        &[
            "call", "live", "lock", "log", "metrics", "object", "random", "receipt", "sources", "time",
            "words",
        ],
    ),
    (
        "delivery",
        &[
            "alarms", "batch", "boxed_future", "disk", "give_way", "lock", "log", "metrics", "object",
            "once_a_minute", "planted_bugs", "random", "retry", "sources", "store", "tasks", "time", "words",
        ],
    ),
    (
        "deliveries",
        &["delivery", "disk", "lock", "object", "once_a_minute", "sources", "tasks", "time", "words"],
    ),
    (
        "hook",
        &[
            "alarms", "boxed_future", "delivery", "disk", "metrics", "object", "process_group", "random",
            "reach", "retry", "tasks", "time", "words",
        ],
    ),
    ("archive", &["object", "random", "receipt", "retry", "sources", "store", "time", "words"]),
    ("connections", &["lock"]),
    (
        "collector",
        &[
            "alarms", "call", "connections", "disk", "ingest", "live", "lock", "log", "metrics",
            "once_a_minute", "planted_bugs", "random", "receipt", "sources", "tasks", "time", "words",
        ],
    ),
    (
        "admin",
        &[
            "admin_token", "boxed_future", "connections", "destinations", "import", "live", "lock", "log",
            "metrics", "object", "once_a_minute", "planted_bugs", "random", "receipt", "sources", "time",
            "words",
        ],
    ),
    ("admin_client", &["admin", "boxed_future", "import", "live", "reach", "runtime", "time", "words"]),
    ("dev_s3", &["boxed_future", "disk", "lock", "once_a_minute", "planted_bugs", "random", "tasks", "time"]),
    (
        "check",
        &[
            "arn", "call", "destinations", "json", "lock", "log", "object", "partition", "policy", "queue",
            "random", "reach", "runtime", "sources", "spool", "store", "time", "words",
        ],
    ),
    ("runtime", &["lock", "planted_bugs", "random", "tasks", "time", "words"]),
    (
        "config",
        &[
            "admin_token", "arn", "call", "convert", "destinations", "hook", "import", "live", "object",
            "queue", "reach", "sources", "store", "time", "words",
        ],
    ),
    ("lib", &[]),
    ("main", &[]),
    (
        "node",
        &[
            "admin", "admin_client", "alarms", "archive", "arn", "batch", "boxed_future", "call", "check",
            "collector", "config", "deliveries", "delivery", "destinations", "dev_s3", "disk", "give_way",
            "hook", "import", "ingest", "jobs", "json", "kafka", "lambda", "live", "lock", "log", "metrics",
            "object", "partition", "planted_bugs", "policy", "queue", "random", "reach", "receipt", "retry",
            "runtime", "sources", "spool", "store", "tasks", "time", "version", "words",
        ],
    ),
    ("cli", &["*"]),
];

/// Rooms that never wait, read or write, and use neither time nor random numbers. Of `lambda` that is so for
/// the files beside `function`.
const PURE: &[&str] = &[
    "admin_token", "arn", "lambda", "boxed_future", "lock", "random", "json", "call", "convert", "object",
    "policy", "batch", "partition", "receipt", "retry", "once_a_minute", "sources", "time", "version",
    "words",
];
/// The most lines of `cli`, tests beside the code included. An engine never stands there: the test is whether
/// a running node could use it.
const CLI_LINES_MAX: usize = 10_000;
/// What a command does not use: it takes arguments in, and gives printed text and an exit code out.
const NOT_IN_CLI: &[&str] = &[
    "crate::store", "crate::spool", "crate::log", "crate::disk", "crate::delivery", "std::thread",
    "tokio::spawn", "spawn_blocking",
];
/// What some commands use nevertheless, and why. This list only gets shorter.
const STILL_IN_CLI: &[(&str, &str, &str)] = &[
    ("args.rs", "crate::store", "an argument has the form of a region"),
    ("man.rs", "crate::disk", "a manual page is not written through a link that stands under its name"),
];
/// Names that a pure room must not contain.
const IMPURE: &[&str] = &[
    "std::fs", "std::net::Tcp", "std::net::Udp", "std::env", "std::thread", "std::process", "tokio",
    "SystemTime", "Instant::now", "async fn",
];

pub(crate) fn rust_files(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// The room, file and code of each source file, without comments and tests.
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
    assert!(sources.len() > 50, "the source tree has moved");
    sources
}

fn rooms_named(code: &str) -> BTreeSet<String> {
    let room = |rest: &str| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    code.split("crate::").skip(1).map(room).collect()
}

#[test]
fn rooms_use_only_the_rooms_they_may() {
    for (room, path, code) in sources() {
        let (_, may_know) = MAY_KNOW.iter().find(|(known, _)| *known == room).unwrap_or_else(|| {
            panic!("{}: add the rooms that `{room}` may use to this test", path.display())
        });
        for named in rooms_named(&code) {
            let allowed = may_know.contains(&"*") || named == room || may_know.contains(&named.as_str());
            assert!(allowed, "{}: `{room}` may not use `{named}`", path.display());
        }
    }
}

/// A right that no room uses would let a cycle or a wrong dependency in unnoticed.
#[test]
fn rooms_use_all_the_rooms_they_may_and_form_no_circle() {
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (room, _, code) in sources() {
        let mut named = rooms_named(&code);
        named.remove(&room);
        uses.entry(room).or_default().extend(named);
    }
    let rights = MAY_KNOW.iter().flat_map(|(room, others)| others.iter().map(move |other| (*room, *other)));
    let unused: Vec<_> =
        rights.filter(|(room, other)| *other != "*" && !uses[*room].contains(*other)).collect();
    assert!(unused.is_empty(), "remove these rights from this test, because nothing uses them: {unused:?}");
    assert_no_circle(uses);
}

#[test]
fn pure_rooms_only_compute() {
    for (room, path, code) in sources() {
        let is_function = path.components().any(|part| part.as_os_str() == "function");
        if PURE.contains(&room.as_str()) && !is_function {
            let named: Vec<_> = IMPURE.iter().filter(|name| code.contains(*name)).collect();
            assert!(named.is_empty(), "{}: a pure room contains {named:?}", path.display());
        }
    }
}

#[test]
fn commands_only_read_arguments_and_print() {
    let mut found = Vec::new();
    for (room, path, code) in sources() {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let used = |what: &&&str| {
            let of_room =
                what.strip_prefix("crate::").is_some_and(|other| rooms_named(&code).contains(other));
            of_room || (!what.starts_with("crate::") && code.contains(**what))
        };
        if room == "cli" {
            found.extend(NOT_IN_CLI.iter().filter(used).map(|what| (name.clone(), (*what).to_owned())));
        }
    }
    found.sort();
    let known = STILL_IN_CLI.iter().map(|(file, what, _)| ((*file).to_owned(), (*what).to_owned()));
    assert_eq!(found, known.collect::<Vec<_>>(), "what `cli` uses, and what STILL_IN_CLI lists");
}

/// What writes the archive, or reads it, cannot delete.
#[test]
fn only_imports_of_buckets_change_what_is_stored() {
    let mut users = BTreeSet::new();
    for (_, path, code) in sources() {
        let shown = path.to_str().unwrap().rsplit_once("/src/").unwrap().1.to_owned();
        if code.contains("StoreChanger") && !shown.starts_with("store/") {
            users.insert(shown);
        }
    }
    let known = [
        // Reads tags.
        "check/import_run.rs",
        "import/bucket_import/after/act.rs",
        "import/bucket_import/after/sweep.rs",
        "import/bucket_import/deps.rs",
        "node/bucket_imports/one_import.rs",
    ];
    assert_eq!(users, known.map(str::to_owned).into());
}

#[test]
fn the_room_of_the_commands_has_a_size() {
    let mut files = Vec::new();
    rust_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli"), &mut files);
    let lines: usize = files.iter().map(|path| fs::read_to_string(path).unwrap().lines().count()).sum();
    assert!(lines <= CLI_LINES_MAX, "src/cli has {lines} lines: which engine stands there?");
}

/// The paths that follow `prefix`, one by one or in a list.
fn paths_after(prefix: &str, code: &str) -> Vec<String> {
    let is_path = |c: &char| c.is_ascii_alphanumeric() || "_:".contains(*c);
    let path = |rest: &str| -> String { rest.trim_start().chars().take_while(is_path).collect() };
    let paths = |rest: &str| -> Vec<String> {
        match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or_default().split(',').map(path).collect(),
            None => vec![path(rest)],
        }
    };
    code.split(prefix).skip(1).flat_map(paths).collect()
}

fn assert_no_circle(uses: BTreeMap<String, BTreeSet<String>>) {
    let uses = circles(uses);
    assert!(uses.is_empty(), "these use each other, in a circle: {uses:?}");
}

#[test]
fn no_file_of_delivery_uses_one_that_uses_it() {
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (room, path, code) in sources() {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if room == "delivery" && name != "mod" {
            let paths = [paths_after("super::", &code), paths_after("crate::delivery::", &code)].concat();
            // Folders and items are among the names, but no file has the name of one of them.
            let mut names: BTreeSet<String> =
                paths.iter().flat_map(|path| path.split("::")).map(str::to_owned).collect();
            names.remove(&name);
            uses.insert(name, names);
        }
    }
    assert!(uses["scheduler"].contains("due") && uses.len() > 30, "{uses:?}");
    assert_no_circle(uses);
}

/// A folder counts as one part, and so does a file beside the folders. `mod.rs` knows all of them.
#[test]
fn no_part_of_the_spool_uses_one_that_uses_it() {
    let spool = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/spool");
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (room, path, code) in sources() {
        if room != "spool" || path == spool.join("mod.rs") {
            continue;
        }
        let inside: Vec<&str> =
            path.strip_prefix(&spool).unwrap().iter().map(|name| name.to_str().unwrap()).collect();
        let part = inside[0].trim_end_matches(".rs").to_owned();
        let up = "super::".repeat(inside.len());
        let paths = [paths_after("crate::spool::", &code), paths_after(&up, &code)].concat();
        let named = paths.iter().filter_map(|path| path.split("::").next()).filter(|other| *other != part);
        let named: BTreeSet<String> = named.map(str::to_owned).collect();
        uses.entry(part).or_default().extend(named);
    }
    assert!(uses["reading"].contains("format") && uses.len() > 10, "{uses:?}");
    assert_no_circle(uses);
}
