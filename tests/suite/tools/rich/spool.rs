//! This release reads, recovers and drains the rich spool, and finds damage in it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use flate2::read::GzDecoder;

use forebay::log::{AppendError, DayStage, Row};
use forebay::time::{DAY_MS, UnixMillis};
use serde_json::{Value, json};

use super::super::{files, spool};
use super::process::{How, Process, SetClock, damage, source};
use super::scenario::END;
use super::{SHELF, assert_expected_output, expected, expected_json, output_of, spool_in};

#[test]
fn verify_inspect_and_export_give_the_expected_output_and_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let dir = spool_in(&folder);
    let before = files(&dir);
    assert_expected_output(&dir, |_, _| ());
    assert_eq!(files(&dir), before);
    // The fixture contains the rare states that it was made for.
    let state = expected_json("state.json");
    let seals = state["seals"].as_object().unwrap().values();
    let having = |name: &str| {
        let has = |seal: &&Value| !matches!(seal[name], Value::Null | Value::Bool(false));
        seals.clone().filter(has).count()
    };
    let having = ["parked", "conflict", "overwrite", "amended"].map(having);
    assert_eq!((seals.len(), having), (7, [1, 1, 1, 1]));
    assert!(!state["days_unsure"].is_null() && !state["lost"].as_array().unwrap().is_empty());
    assert!(
        expected("state.json").contains("\"ahead\""),
        "an object is stored before an earlier object of its batch"
    );
}

#[test]
fn recovery_of_the_rich_spool_keeps_its_calls_ledger_days_and_fingerprints() {
    let folder = tempfile::tempdir().unwrap();
    let dir = spool_in(&folder);
    let before = files(&dir);
    let clock = SetClock::at(END.0 + 60_000);
    let mut process = Process::open(&dir, &clock);
    let recovered = &process.recovered;
    assert_eq!((recovered.segments, recovered.frames, recovered.seals), (3, 14, 7), "{recovered:?}");
    assert_eq!((&recovered.lost[..], recovered.torn_bytes > 0), (&[][..], true), "{recovered:?}");
    assert!(!recovered.manifest_damaged && !recovered.clock_behind && recovered.unreadable.is_none());
    let left = files(&dir);
    assert!(left.contains_key("quarantine/torn-tail") && left.contains_key("parked/00000000000000000018.gz"));
    let quarantined = |name: &String| name.starts_with("quarantine/wal-");
    assert_eq!(before.keys().filter(|name| quarantined(name)).count(), 3);
    assert!(before.iter().all(|(name, bytes)| !quarantined(name) || left.get(name) == Some(bytes)));
    let gone = ["staging/1.gz", "parked/00000000000000000021.gz"];
    assert!(gone.iter().all(|name| !left.contains_key(*name)), "unfinished files are removed");

    let log = process.log();
    assert_eq!(log.ledger_differences(), []);
    let row = |received, stored, rejected, repeated, delivered: [u64; 2], lost| Row {
        received,
        stored,
        rejected,
        repeated,
        delivered: delivered[0],
        rejected_delivered: delivered[1],
        lost,
        ..Row::default()
    };
    let ledger: BTreeMap<String, Row> =
        log.ledger_summary().0.into_iter().map(|(source, row)| (source.to_string(), row)).collect();
    let expected = [
        ("booth", row(6, 6, 0, 0, [0, 0], 0)),
        ("ios", row(44, 31, 8, 5, [19, 6], 0)),
        ("kiosk", row(9, 9, 0, 0, [5, 0], 4)),
        ("lobby", row(8, 8, 0, 0, [5, 0], 0)),
        ("shelf", row(3, 3, 0, 0, [0, 0], 0)),
        ("shop", row(5, 5, 0, 0, [0, 0], 0)),
        // The two damaged calls are not counted: no tally had them, and a damaged frame does not name its
        // source.
        ("till", row(14, 14, 0, 0, [9, 0], 0)),
        ("web", row(62, 58, 0, 4, [46, 0], 0)),
    ];
    assert_eq!(ledger, expected.into_iter().map(|(name, row)| (name.to_owned(), row)).collect());

    let today = END.day();
    let yesterday = UnixMillis(END.0 - DAY_MS).day();
    assert_eq!(log.days_over(), Some(yesterday));
    let stages = log.unclosed_days();
    let of = |day, name: &str| stages.get(&(day, source(name))).copied();
    assert_eq!(of(today, "web"), Some(DayStage::Open));
    assert_eq!(of(yesterday, "booth"), Some(DayStage::Delivering));
    assert_eq!(of(yesterday, "web"), None, "closed");
    assert_eq!(
        of(UnixMillis(END.0 - 3 * DAY_MS).day(), "kiosk"),
        None,
        "unsure days are forgotten after two days"
    );

    // Calls of the closed and the last segment are known as repeats. The calls of the torn write are not.
    let again = process.calls("ios", 22..24, How::default());
    assert_eq!((again.stored, again.repeats), (0, 2));
    let again = process.calls("web", 57..60, How { receipts: true, origin: None });
    let first = again.stored_in.iter().next().map(|one| one.first);
    assert_eq!((again.stored, again.repeats, first), (2, 1, Some(149)));
    clock.set(END.0 - DAY_MS);
    assert_eq!(process.try_calls("web", 60..61), Err(AppendError::DayOver));
    clock.set(END.0 + 120_000);
    drop(log);
    process.close();
    let verified = spool("verify", &dir, &[]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
}

/// The sorted lines of all objects below a directory, and the number of objects.
fn delivered(dir: &Path) -> (Vec<String>, usize) {
    let (mut lines, mut objects) = (Vec::new(), 0);
    for (_, bytes) in files(dir).into_iter().filter(|(name, _)| name.ends_with(".gz")) {
        let mut text = String::new();
        GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
        lines.extend(text.lines().map(str::to_owned));
        objects += 1;
    }
    lines.sort();
    (lines, objects)
}

fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn the_rich_spool_drains_into_a_directory() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, to) = (spool_in(&folder), folder.path().join("to"));
    let resolved = spool("resolve", &dir, &["--seal", SHELF, "--action", "overwrite"]);
    assert_eq!(resolved.code, Some(0), "{resolved:?}");
    let drained = spool("drain", &dir, &["--to", to.to_str().unwrap()]);
    assert_eq!(drained.code, Some(0), "{drained:?}");
    let all = [expected("calls.ndjson"), expected("rejected.ndjson")].concat();
    assert_eq!(delivered(&to), (sorted(&all), 11), "each line is in exactly one object");
    // Sealed objects keep their keys, and their metadata match their seals.
    let seals = expected_json("inspect.json")["seals"].clone();
    for seal in seals.as_array().unwrap() {
        let key = seal["object_key"].as_str().unwrap();
        let beside: Value = serde_json::from_slice(&files(&to)[&format!("{key}.json")]).unwrap();
        let text = |value: &Value| json!(value.to_string());
        let said = &beside["metadata"];
        assert_eq!(said["forebay-calls"], text(&seal["calls"]), "{key}");
        assert_eq!(said["forebay-bytes"], text(&seal["bytes"]), "{key}");
        assert_eq!(said["forebay-first-position"], text(&seal["positions"]["first"]), "{key}");
        assert_eq!(said["forebay-last-position"], text(&seal["positions"]["last"]), "{key}");
        let lost = if seal["amended"] == true { json!("2") } else { Value::Null };
        assert_eq!(said["forebay-lost-calls"], lost, "{key}");
    }
    let about = spool("inspect", &dir, &["--json"]).json();
    assert_eq!((&about["seals"], &about["batches"]), (&json!([]), &json!([])));
    let verified = spool("verify", &dir, &["--json"]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
}

/// Damages a copy. Returns the kinds of the findings of `verify`, and the exported calls.
fn damaged(what: impl FnOnce(&Path)) -> (Vec<String>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let dir = spool_in(&folder);
    what(&dir);
    let verified = spool("verify", &dir, &["--json"]);
    let findings = verified.json()["findings"].clone();
    let kinds: Vec<String> =
        findings.as_array().unwrap().iter().map(|of| of["kind"].as_str().unwrap().to_owned()).collect();
    assert_eq!(verified.code, Some(i32::from(!kinds.is_empty())), "{verified:?}");
    let differs = output_of(&dir).into_iter().any(|(name, text)| text != expected(name));
    assert!(differs, "the test of the expected output fails, too");
    (kinds, spool("export", &dir, &[]).out.lines().map(str::to_owned).collect())
}

#[test]
fn damage_to_the_rich_spool_is_found() {
    let all = expected("calls.ndjson");
    let all: Vec<&str> = all.lines().collect();
    let without = |text: &str| -> Vec<String> {
        all.iter().filter(|line| !line.contains(text)).map(|line| (*line).to_owned()).collect()
    };
    let segments = ("wal-", ".seg");
    let (found, left) = damaged(|dir| damage(dir, segments, r#""messageId":"web-053"#));
    assert_eq!((found, left), (vec!["frames".to_owned()], without("web-053")));
    let (found, left) = damaged(|dir| damage(dir, segments, r#""messageId":"web-048"#));
    assert_eq!((found, left), (vec!["frames".to_owned(), "seal".to_owned()], without("web-048")));
    let flipped = |name: &'static str| {
        move |dir: &Path| {
            let mut bytes = fs::read(dir.join(name)).unwrap();
            bytes[100] ^= 1;
            fs::write(dir.join(name), bytes).unwrap();
        }
    };
    let (found, left) = damaged(flipped("parked/00000000000000000018.gz"));
    assert_eq!(found, ["parked"]);
    assert_eq!(left.len(), all.len() - 9);
    // A note in the middle of the manifest.
    let (found, _) = damaged(|dir| damage(dir, ("MANIFEST-", ""), r#"{"sealed":{"number":20,"#));
    // Nothing else says what a parked object holds.
    assert_eq!(found, ["manifest", "parked"]);
    let (found, _) = damaged(flipped("seen-00000000000000000008"));
    assert_eq!(found, ["fingerprints"]);
    let (found, _) = damaged(flipped("wal-00000000000000000008.idx"));
    assert_eq!(found, ["index"]);
    let (found, _) = damaged(flipped("IDENT"));
    assert_eq!(found, ["copy"]);
    let (found, _) = damaged(|dir| fs::remove_file(dir.join("wal-00000000000000000009.seg")).unwrap());
    assert!(found.contains(&"missing".to_owned()) && found.contains(&"seal".to_owned()), "{found:?}");
}
