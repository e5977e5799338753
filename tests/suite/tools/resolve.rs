//! `resolve`: a person decides about a conflict, and nothing is destroyed.

use std::fs;
use std::io::Read;
use std::sync::Arc;

use flate2::read::GzDecoder;
use forebay::dev_s3::{CONNECTIONS_MAX, DevS3, DevS3Settings};
use forebay::runtime::{SystemClock, SystemRandom};

use super::made::{CONFLICT, OPEN, PARKED, lines, made};
use super::{files, spool};
use crate::support::bucket::Bucket;
use crate::support::recorder::Recorder;

#[tokio::test]
async fn keep_theirs_keeps_both_objects() {
    let made = made().await;
    let ran = spool("resolve", &made.dir(), &["--seal", "3", "--action", "keep-theirs"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("is kept, and the sealed object counts as delivered"), "{ran:?}");
    let (name, kept) =
        files(&made.dir()).into_iter().find(|(name, _)| name.starts_with("quarantine/")).unwrap();
    assert!(ran.out.contains(&name), "{name}: {ran:?}");
    let mut text = String::new();
    GzDecoder::new(kept.as_slice()).read_to_string(&mut text).unwrap();
    assert_eq!(text.lines().collect::<Vec<_>>(), lines("web", CONFLICT));
    let again = spool("resolve", &made.dir(), &["--seal", "3", "--action", "overwrite", "--json"]);
    assert_eq!((again.code, again.out.as_str()), (Some(1), ""), "{again:?}");
    let exported = spool("export", &made.dir(), &["--source", "web"]);
    assert_eq!(exported.out.lines().collect::<Vec<_>>(), [lines("web", PARKED), lines("web", OPEN)].concat());

    let to = made.beside("to");
    let drained = spool("drain", &made.dir(), &["--to", to.to_str().unwrap()]);
    assert_eq!(drained.code, Some(0), "{drained:?}");
    let objects =
        files(&to).into_keys().filter(|name| name.contains("/web/") && name.ends_with(".gz")).count();
    assert_eq!(objects, 2, "the parked one and the open calls");
    assert!(files(&made.dir()).contains_key(&name), "the kept object still exists");
}

#[tokio::test]
async fn a_decision_can_be_printed_as_json() {
    let made = made().await;
    let theirs = made.beside("theirs");
    super::copy(&made.dir(), &theirs);
    let key = spool("inspect", &made.dir(), &["--json"]).json()["seals"][1]["object_key"].clone();
    let overwritten = spool("resolve", &made.dir(), &["--seal", "3", "--action", "overwrite", "--json"]);
    let expected = serde_json::json!({"seal": 3, "object_key": key, "action": "overwrite", "kept": null});
    assert_eq!((overwritten.code, overwritten.json()), (Some(0), expected));
    let kept = spool("resolve", &theirs, &["--seal", "3", "--action", "keep-theirs", "--json"]).json();
    assert_eq!(kept["action"], "keep-theirs");
    assert!(fs::exists(kept["kept"].as_str().unwrap()).unwrap(), "{kept}");
}

#[tokio::test]
async fn only_seals_in_conflict_can_be_resolved() {
    let made = made().await;
    let before = files(&made.dir());
    for seal in ["1", "2", "99"] {
        let ran = spool("resolve", &made.dir(), &["--seal", seal, "--action", "keep-theirs"]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(
            ran.err.contains(&format!("seal {seal} has no conflict; seals with a conflict: 3")),
            "{ran:?}"
        );
    }
    assert_eq!(files(&made.dir()), before);
    assert_eq!(spool("resolve", &made.dir(), &["--seal", "3", "--action", "overwrite"]).code, Some(0));
    let again = spool("resolve", &made.dir(), &["--seal", "3", "--action", "overwrite"]);
    assert!(again.err.contains("no seal has one"), "{again:?}");
}

/// The whole procedure: another object has our key, delivery stops for the source, a person decides, and our
/// object is put.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overwrite_replaces_the_other_object() {
    let made = made().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = DevS3Settings {
        data_dir: made.beside("s3"),
        clock: Arc::new(SystemClock::new()),
        random: Arc::new(SystemRandom),
        connections: CONNECTIONS_MAX,
    };
    let s3 = DevS3::start(listener, settings).await.unwrap();
    let recorder = Recorder::start(s3.addr()).await;
    let bucket = Bucket::new(&s3.url(), "forebay", "forebay", "forebay-secret");
    let about = spool("inspect", &made.dir(), &["--json"]).json();
    let key = about["seals"][1]["object_key"].as_str().unwrap().to_owned();
    let theirs = bucket.client.put_object().bucket("forebay").key(&key).body(b"theirs".to_vec().into());
    theirs.send().await.unwrap();

    let config = made.beside("forebay.toml");
    let text = format!(
        "[s3]\nbucket = \"forebay\"\nendpoint_url = \"{}\"\n[[source]]\nid = \"web\"\nwrite_keys = [\"k1\"]\n",
        recorder.url()
    );
    fs::write(&config, text).unwrap();
    let drain = async || {
        let (dir, config) = (made.dir(), config.clone());
        let run = move || {
            let mut program = std::process::Command::new(crate::support::forebay::binary());
            program.args(["spool", "drain"]).arg(dir).arg("--config").arg(config);
            program.env("AWS_ACCESS_KEY_ID", "forebay").env("AWS_SECRET_ACCESS_KEY", "forebay-secret");
            program.output().unwrap()
        };
        tokio::task::spawn_blocking(run).await.unwrap()
    };
    assert_eq!(drain().await.status.code(), Some(1), "it waits for a person");
    assert_eq!(&bucket.object(&key).await.body[..], b"theirs");

    let ran = spool("resolve", &made.dir(), &["--seal", "3", "--action", "overwrite"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(spool("inspect", &made.dir(), &[]).out.contains("will replace the object in the bucket"));
    let drained = drain().await;
    assert_eq!(drained.status.code(), Some(0), "{drained:?}");
    assert_eq!(bucket.object(&key).await.text().lines().collect::<Vec<_>>(), lines("web", CONFLICT));
    s3.stop().await.unwrap();
}
