//! `inspect`, `verify` and `export` of a sound spool: their output, and that they change nothing.

use std::fs;

use serde_json::json;

use super::made::{CONFLICT, IOS, OPEN, PARKED, REJECTED, lines, made, open};
use super::{files, spool};

#[tokio::test]
async fn inspect_and_verify_do_not_change_the_spool() {
    let made = made().await;
    let before = files(&made.dir());

    let inspected = spool("inspect", &made.dir(), &["--json"]);
    assert_eq!(inspected.code, Some(0), "{inspected:?}");
    let about = inspected.json();
    let states: Vec<&str> = about["segments"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|segment| segment["state"].as_str())
        .collect();
    assert_eq!(states, ["closed", "open", "empty"], "{about}");
    let batches: Vec<_> = about["batches"]
        .as_array()
        .unwrap()
        .iter()
        .map(|batch| {
            (
                batch["source"].clone(),
                batch["stream"].clone(),
                batch["calls"].clone(),
                batch["sealed"].clone(),
            )
        })
        .collect();
    let batch = |source, stream, calls, sealed| (json!(source), json!(stream), json!(calls), json!(sealed));
    assert_eq!(
        batches,
        [batch("ios", "calls", 20, 0), batch("ios", "rejected", 3, 0), batch("web", "calls", 40, 20)],
        "{about}"
    );
    assert_eq!(about["batches"][2]["positions"], json!({"first": 71, "last": 110}));
    assert_eq!(about["batches"][0]["first_received_at"], "2023-11-14T22:13:20.000Z");
    let seals = about["seals"].as_array().unwrap();
    assert_eq!(seals.len(), 2);
    assert!(seals[0]["parked_bytes"].as_u64() > Some(0) && seals[0]["conflict"] == false, "{about}");
    assert_eq!((seals[1]["number"].clone(), seals[1]["conflict"].clone()), (json!(3), json!(true)));
    assert_eq!(about["destinations"][1]["bucket"], "forebay/raw");
    assert_eq!(about["manifest"]["sound"], true);
    let table = spool("inspect", &made.dir(), &[]);
    assert_eq!(table.code, Some(0));
    assert!(table.out.contains("CONFLICT: another object has its key"), "{}", table.out);

    for dir in [made.dir(), made.closed()] {
        let verified = spool("verify", &dir, &["--json"]);
        assert_eq!(verified.code, Some(0), "{verified:?}");
        let checked = &verified.json()["checked"];
        assert_eq!((checked["seals"].as_u64(), checked["parked"].as_u64()), (Some(1), Some(1)));
        assert_eq!((checked["indexes"].as_u64(), checked["fingerprint_files"].as_u64()), (Some(1), Some(1)));
        let text = spool("verify", &dir, &[]);
        assert!(text.code == Some(0) && text.out.starts_with("sound: read "), "{text:?}");
    }

    assert_eq!(files(&made.dir()), before, "nothing is created, changed or removed");
}

#[tokio::test]
async fn undelivered_calls_are_exported() {
    let made = made().await;
    let before = files(&made.dir());
    let check = |rest: &[&str], expected: &[Vec<String>]| {
        let ran = spool("export", &made.dir(), rest);
        assert_eq!(ran.code, Some(0), "{rest:?}: {ran:?}");
        let expected = expected.concat();
        assert_eq!(ran.out.lines().collect::<Vec<_>>(), expected, "{rest:?}");
        assert!(ran.err.starts_with(&format!("{} lines, ", expected.len())), "{}", ran.err);
    };
    let web = [lines("web", PARKED), lines("web", CONFLICT), lines("web", OPEN)].concat();
    check(&[], &[web.clone(), lines("ios", IOS)]);
    check(&["--source", "web"], &[web]);
    check(&["--source", "ios"], &[lines("ios", IOS)]);
    check(&["--rejected"], &[lines("rejected", REJECTED)]);
    check(&["--source", "nobody"], &[]);

    let file = made.beside("calls.ndjson");
    let ran = spool("export", &made.dir(), &["--source", "ios", "--json", "--out", file.to_str().unwrap()]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), ""), "{ran:?}");
    assert_eq!(fs::read_to_string(&file).unwrap().lines().collect::<Vec<_>>(), lines("ios", IOS));
    assert_eq!(serde_json::from_str::<serde_json::Value>(&ran.err).unwrap()["lines"], 20);
    let again = spool("export", &made.dir(), &["--out", file.to_str().unwrap()]);
    assert_eq!(again.code, Some(1));
    assert!(again.err.contains("already exists; choose a new file"), "{again:?}");
    assert_eq!(files(&made.dir()), before);
}

#[tokio::test]
async fn a_directory_that_is_not_a_spool_or_in_use_is_reported_in_one_line() {
    let made = made().await;
    let running = open(&made.closed());
    let empty = made.beside("empty");
    fs::create_dir(&empty).unwrap();
    let missing = made.beside("missing");
    let to = made.beside("to");
    let commands: [(&str, Vec<&str>); 5] = [
        ("inspect", vec![]),
        ("verify", vec!["--json"]),
        ("export", vec![]),
        ("drain", vec!["--to", to.to_str().unwrap()]),
        ("resolve", vec!["--seal", "3", "--action", "overwrite"]),
    ];
    for (command, rest) in commands {
        for (dir, said) in [
            (made.closed(), "is in use by a running process; stop it first, or use `forebay status`"),
            (
                empty.clone(),
                "is not a spool: it has no IDENT file, and no IDENT.copy; give the directory that is set as `spool.dir`",
            ),
            (missing.clone(), "cannot read"),
        ] {
            let ran = spool(command, &dir, &rest);
            assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{command} {dir:?}: {ran:?}");
            assert!(ran.err.contains(said) && ran.err.lines().count() == 1, "{command} {dir:?}: {ran:?}");
        }
    }
    assert!(!missing.exists() && files(&empty).is_empty());
    drop(running);
    assert_eq!(spool("verify", &made.closed(), &[]).code, Some(0));
}
