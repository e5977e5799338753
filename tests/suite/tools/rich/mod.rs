//! A spool and a bucket of release 0.1 that contain nearly everything the release writes. Every later release
//! must open the spool, deliver its calls into the bucket, and verify the bucket. Fixtures never change.
//!
//! Not in them: spare segments, folded rows of the ledger, and notes of kind `retry`, which only the command
//! `resolve` makes and folds into the state at once.
//!
//! [`scenario`] made them. `FOREBAY_MAKE_FIXTURE=DIR` makes the test below copy its spool and bucket to
//! `DIR`, and write the expected output to `DIR/spool-2.0-rich.expected`.

mod bucket;
mod calls;
mod gate;
mod process;
mod scenario;
mod spool;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use forebay::spool::offline::View;
use serde_json::{Value, json};

use super::copy;
use scenario::Scenario;

/// The number of the seal with the unresolved conflict, of the source `shelf`.
const SHELF: &str = "13";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A copy of the spool to work on.
fn spool_in(folder: &tempfile::TempDir) -> PathBuf {
    let dir = folder.path().join("spool");
    copy(&fixture("spool-2.0-rich"), &dir);
    dir
}

/// A file with expected output.
fn expected(name: &str) -> String {
    let path = fixture("spool-2.0-rich.expected").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn expected_json(name: &str) -> Value {
    serde_json::from_str(&expected(name)).unwrap()
}

/// The output of the offline tools for a spool, by the name of the file that has the expected output.
fn output_of(dir: &Path) -> BTreeMap<&'static str, String> {
    let pretty = |value: &Value| format!("{value:#}\n");
    let lines = |rest: &[&str]| super::spool("export", dir, rest).out;
    BTreeMap::from([
        ("calls.ndjson", lines(&[])),
        ("rejected.ndjson", lines(&["--rejected"])),
        ("inspect.json", pretty(&inspected(dir))),
        ("verify.json", pretty(&verified(dir))),
        ("state.json", pretty(&state(dir))),
    ])
}

/// The output of `inspect` without file sizes and the manifest, which later releases may write differently.
fn inspected(dir: &Path) -> Value {
    let mut about = super::spool("inspect", dir, &["--json"]).json();
    for name in ["disk", "manifest"] {
        about.as_object_mut().unwrap().remove(name);
    }
    about
}

/// The output of `verify` without its texts.
fn verified(dir: &Path) -> Value {
    let report = super::spool("verify", dir, &["--json"]).json();
    let number = |name: &str| report[name].as_array().map(Vec::len);
    json!({
        "sound": report["sound"],
        "findings": number("findings"),
        "notes": number("notes"),
        "known_lost": report["known_lost"],
        "checked": report["checked"],
    })
}

/// The state that the manifest's notes add up to.
fn state(dir: &Path) -> Value {
    serde_json::to_value(View::open(dir).unwrap().manifest.state).unwrap()
}

/// Compares JSON. Objects in `actual` may have more members than those in `expected`. The error names the
/// first difference.
fn contains(expected: &Value, actual: &Value) -> Result<(), String> {
    let differs = || Err(format!(": {expected} expected, {actual} found"));
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => expected.iter().try_for_each(|(name, value)| {
            let found = actual.get(name).ok_or_else(|| format!(".{name}: missing"))?;
            contains(value, found).map_err(|path| format!(".{name}{path}"))
        }),
        (Value::Array(expected), Value::Array(actual)) if expected.len() == actual.len() => {
            let mut pairs = expected.iter().zip(actual).enumerate();
            pairs.try_for_each(|(at, (value, found))| {
                contains(value, found).map_err(|path| format!("[{at}]{path}"))
            })
        }
        _ if expected == actual => Ok(()),
        _ => differs(),
    }
}

/// Compares the output for the spool in `dir` with the expected output, of which `change` knows what differs.
fn assert_expected_output(dir: &Path, change: impl Fn(&str, &mut Value)) {
    for (name, text) in output_of(dir) {
        if name.ends_with(".json") {
            let found = serde_json::from_str(&text).unwrap();
            let mut wanted = expected_json(name);
            change(name, &mut wanted);
            assert_eq!(contains(&wanted, &found), Ok(()), "{name}");
        } else {
            assert_eq!(text, expected(name), "{name}");
        }
    }
}

/// A release that writes a different spool or bucket needs new fixtures. These fixtures stay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn this_release_writes_the_same_rich_spool_and_bucket() {
    let scenario = Scenario::run().await;
    if let Some(to) = env::var_os("FOREBAY_MAKE_FIXTURE") {
        save(&scenario, Path::new(&to));
    }
    assert_expected_output(&scenario.spool(), |name, expected| {
        if name == "state.json" {
            // Positions 6 to 9 are noted as lost by a scan and again by an amended seal; the older release
            // counted them twice.
            let lost = &mut expected["ledger"]["lost_positions"];
            assert_eq!(lost, &json!(9 + 4));
            *lost = json!(9);
            let seen = &mut expected["ledger"]["lost_seen"];
            assert_eq!(seen, &json!(4 + 4));
            *seen = json!(4);
            // Of two calls that an orderly end had counted, and that were damaged before the next start, the
            // older release knew nothing more.
            let row = &mut expected["ledger"]["accounts"]["till"]["hours"][1][1];
            assert_eq!(row, &json!([4, 4, 0, 0, 0, 4]));
            *row = json!([6, 6, 0, 0, 0, 4, 0, 2]);
        }
    });
    let (made, known) = (bucket::Old::of(&scenario.bucket()).await, bucket::Old::start().await);
    assert_eq!(made.objects().await, known.objects().await);
}

fn save(scenario: &Scenario, to: &Path) {
    copy(&scenario.spool(), &to.join("spool-2.0-rich"));
    copy(&scenario.bucket(), &to.join("bucket-0.1"));
    let expected = to.join("spool-2.0-rich.expected");
    fs::create_dir_all(&expected).unwrap();
    for (name, text) in output_of(&scenario.spool()) {
        fs::write(expected.join(name), text).unwrap();
    }
}
