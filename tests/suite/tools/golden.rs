//! Spools of every format so far. Every later release must open them, so the fixtures never change. Format 2
//! added the ledger: its spool contains a frame that counts repeats. The spool in `rich` has what came later:
//! second copies of `IDENT` and of the state, closed days, amended seals, and more.

use std::env;
use std::path::{Path, PathBuf};

use forebay::spool::manifest::Note;

use super::made::{self, CONFLICT, IOS, OPEN, PARKED, REJECTED, lines};
use super::{copy, files, spool};

fn fixture(format: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(format!("spool-{format}"))
}

#[tokio::test]
async fn a_spool_of_each_format_opens_and_delivers_its_calls() {
    for format in ["1.0", "2.0"] {
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
    let rejected = spool("export", &dir, &["--rejected"]);
    assert_eq!(rejected.out.lines().collect::<Vec<_>>(), lines("rejected", REJECTED));

    assert_eq!(spool("resolve", &dir, &["--seal", "3", "--action", "overwrite"]).code, Some(0));
    let to = folder.path().join("to");
    let drained = spool("drain", &dir, &["--to", to.to_str().unwrap()]);
    assert_eq!(drained.code, Some(0), "{drained:?}");
    let mut delivered: Vec<String> = Vec::new();
    for (name, bytes) in files(&to) {
        if name.ends_with(".gz") {
            let mut text = String::new();
            std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(bytes.as_slice()), &mut text)
                .unwrap();
            delivered.extend(text.lines().map(str::to_owned));
        }
    }
    let mut expected = [web, lines("ios", IOS), lines("rejected", REJECTED)].concat();
    delivered.sort();
    expected.sort();
    assert_eq!(delivered, expected, "each line is in exactly one object");
}

/// This release writes the same spool as the fixture of its format. A change of the format needs a new
/// fixture. `FOREBAY_MAKE_FIXTURE=DIR` copies it to `DIR/spool-2.0`.
#[tokio::test]
async fn this_release_writes_the_same_spool() {
    let made = made::made().await;
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
        copy(&made.dir(), &Path::new(&to).join("spool-2.0"));
    }
    assert_eq!(about(&made.dir()), about(&fixture("2.0")));
}

#[test]
fn a_retry_note_without_a_decision_is_read() {
    let note: Note = serde_json::from_str(r#"{"retry":{"number":3}}"#).unwrap();
    assert_eq!(note, Note::Retry { number: 3, overwrite: false });
}
