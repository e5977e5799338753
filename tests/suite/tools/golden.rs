//! Spools of every format so far. Every later release must open them, so the fixtures never change. Format 2
//! added the ledger: its spool contains a frame that counts repeats. Format 3 added object and dead-letter
//! streams. The spool in `rich` has what came later: second copies of `IDENT` and of the state, closed days,
//! amended seals, and more.

use std::env;
use std::path::{Path, PathBuf};

use forebay::log::notes::CallNote;
use forebay::spool::manifest::Note;

use super::made::{self, CONFLICT, DEAD, IOS, OPEN, PARKED, REJECTED, ROOMS, lines};
use super::{copy, files, spool};

/// The lines of the other streams in the spool of format 3.
const MORE: [(&str, std::ops::Range<u32>); 2] = [("objects/rooms", ROOMS), ("dead/function", DEAD)];

/// The folder of a stream in a bucket.
fn folder_of(stream: &str) -> String {
    stream.replace("objects/", "_objects/").replace("dead/", "_dlq/")
}

fn fixture(format: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(format!("spool-{format}"))
}

#[tokio::test]
async fn a_spool_of_each_format_opens_and_delivers_its_calls() {
    for format in ["1.0", "2.0", "3.0"] {
        opened_and_delivered(format);
    }
}

fn opened_and_delivered(format: &str) {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("spool");
    copy(&fixture(format), &dir);

    assert_eq!(spool("verify", &dir, &[]).code, Some(0));
    let web = [lines("web", PARKED), lines("web", CONFLICT), lines("web", OPEN)].concat();
    let exported = spool("export", &dir, &[]);
    assert_eq!(exported.out.lines().collect::<Vec<_>>(), [web.clone(), lines("ios", IOS)].concat());
    assert!(exported.err.contains("may already be in the bucket"), "{}", exported.err);
    let others = exported.err.contains("not exported: 7 lines of objects/rooms (--stream objects/rooms)");
    assert_eq!(others, format == "3.0", "{}", exported.err);
    let rejected = spool("export", &dir, &["--rejected"]);
    assert_eq!(rejected.out.lines().collect::<Vec<_>>(), lines("rejected", REJECTED));

    let mut others = Vec::new();
    for (stream, numbers) in MORE.iter().filter(|_| format == "3.0") {
        let exported = spool("export", &dir, &["--stream", stream]);
        assert_eq!(exported.out.lines().collect::<Vec<_>>(), lines(stream, numbers.clone()));
        others.extend(lines(stream, numbers.clone()));
    }

    assert_eq!(spool("resolve", &dir, &["--seal", "3", "--action", "overwrite"]).code, Some(0));
    let to = folder.path().join("to");
    let drained = spool("drain", &dir, &["--to", to.to_str().unwrap()]);
    assert_eq!(drained.code, Some(0), "{drained:?}");
    let mut delivered: Vec<String> = Vec::new();
    for (name, bytes) in files(&to) {
        let more = MORE.iter().find(|(stream, _)| name.contains(&folder_of(stream)));
        assert!(more.is_none() || name.contains("/ios/"), "{name}");
        if name.ends_with(".gz") {
            let mut text = String::new();
            std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(bytes.as_slice()), &mut text)
                .unwrap();
            delivered.extend(text.lines().map(str::to_owned));
        }
    }
    let mut expected = [web, lines("ios", IOS), lines("rejected", REJECTED), others].concat();
    delivered.sort();
    expected.sort();
    assert_eq!(delivered, expected, "each line is in exactly one object");
}

/// This release writes the same spools as the fixtures: those of format 2, and those of format 3 if there are
/// objects. A change of the format needs a new fixture. `FOREBAY_MAKE_FIXTURE=DIR` copies them to `DIR`.
#[tokio::test]
async fn this_release_writes_the_same_spool() {
    for (format, more) in [("2.0", &[][..]), ("3.0", &MORE[..])] {
        same_spool(format, more).await;
    }
}

async fn same_spool(format: &str, more: &[(&str, std::ops::Range<u32>)]) {
    let made = made::made_with(more).await;
    let about = |dir: &Path| {
        let mut about = spool("inspect", dir, &["--json"]).json();
        for name in ["disk", "manifest", "spool_id", "node"] {
            about.as_object_mut().unwrap().remove(name);
        }
        for seal in about["seals"].as_array_mut().unwrap() {
            seal.as_object_mut().unwrap().remove("parked_bytes");
        }
        about
    };
    if let Some(to) = env::var_os("FOREBAY_MAKE_FIXTURE") {
        copy(&made.dir(), &Path::new(&to).join(format!("spool-{format}")));
    }
    assert_eq!(about(&made.dir()), about(&fixture(format)));
}

#[test]
fn a_retry_note_without_a_decision_is_read() {
    let note: Note = serde_json::from_str(r#"{"retry":{"number":3}}"#).unwrap();
    assert_eq!(note, CallNote::Retry { number: 3, overwrite: false, aside: false }.into());
}
