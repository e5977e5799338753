//! `forebay status` and `forebay flush` against the real listener.

use std::sync::atomic::Ordering;

use clap::Parser;
use forebay::admin::FlushOutcome;
use forebay::cli::args::{Cli, Command};
use forebay::cli::failure::Failure;
use forebay::cli::{flush, status};
use tokio::net::TcpListener;

use super::start;
use crate::support::kafka_status::troubled_writer;

async fn run(line: &str) -> (Result<Option<FlushOutcome>, Failure>, String) {
    let mut out = Vec::new();
    let words = std::iter::once("forebay").chain(line.split_whitespace());
    let result = match Cli::try_parse_from(words).unwrap().command {
        Command::Status(args) => status::run(&args, &mut out).await.map(|()| None),
        Command::Flush(args) => flush::run(&args, &mut out).await.map(Some).map_err(Failure::from),
        other => panic!("{other:?}"),
    };
    (result, String::from_utf8(out).unwrap())
}

#[tokio::test]
async fn status_prints_a_table_or_json() {
    let running = start(&[]).await;
    let (result, out) = run(&format!("status --admin http://{}", running.address)).await;
    assert!(result.is_ok());
    assert!(out.starts_with("forebay 0.1.0"), "{out}");
    assert!(out.contains("\nweb "), "{out}");
    let (result, out) = run(&format!("status --json --admin http://{}", running.address)).await;
    assert!(result.is_ok());
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["sources"][0]["pending_calls"], 7);

    let (result, out) = run(&format!("status --source web --admin http://{}", running.address)).await;
    assert!(result.is_ok() && out.contains("\nweb "), "{out}");
    for json in ["", "--json"] {
        let line = format!("status --source ios {json} --admin http://{}", running.address);
        let error = run(&line).await.0.unwrap_err().to_string();
        assert!(error.contains("has no source ios: `forebay status --all` lists them"), "{error}");
    }
}

#[tokio::test]
async fn status_prints_a_log_over_kafka() {
    let running = start(&[]).await;
    running.process.shows(troubled_writer());
    let line = format!("status --admin http://{}", running.address);
    let (result, out) = run(&line).await;
    assert!(result.is_ok() && out.contains("\n  STOPPED: the log was cut at offset 812"), "{out}");
    assert!(out.contains("\npartition  state "), "{out}");
    // The table of partitions says nothing about one source.
    let (result, out) = run(&format!("{line} --source web")).await;
    assert!(result.is_ok() && !out.contains("\npartition  state ") && out.contains("\nweb "), "{out}");
    let (result, out) = run(&format!("{line} --json")).await;
    assert!(result.is_ok());
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["kafka"]["owned"][3]["left_objects"], 17, "{out}");
}

#[tokio::test]
async fn flush_prints_its_result() {
    let running = start(&[]).await;
    let check = async |rest: &str, said: &str| {
        let (result, out) = run(&format!("flush --admin http://{} {rest}", running.address)).await;
        assert_eq!(out, said, "{rest}");
        result.unwrap().unwrap()
    };
    assert_eq!(check("", "objects: 3 sealed, 3 delivered\n").await.pending, 0);
    check("--source web --json", "{\n  \"sealed\": 3,\n  \"delivered\": 3,\n  \"pending\": 0\n}\n").await;
    running.process.pending.store(2, Ordering::SeqCst);
    let outcome = check(
        "",
        "objects: 3 sealed, 3 delivered, 2 still pending: `forebay status` shows what they wait for\n",
    );
    assert_eq!(outcome.await.pending, 2);
    let sources: Vec<_> = running.process.flushes.lock().unwrap().iter().map(|(id, _)| id.clone()).collect();
    assert_eq!(sources, [None, Some("web".to_owned()), None]);
}

#[tokio::test]
async fn failures_say_what_to_check() {
    let running = start(&[]).await;
    let (result, out) = run(&format!("flush --source ios --admin http://{}", running.address)).await;
    let said = result.unwrap_err().to_string();
    assert!(said.ends_with("refused: there is no source ios"), "{said}");
    assert_eq!(out, "");

    // A port that was free a moment ago, with no listener.
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (result, _) = run(&format!("status --admin http://{nobody}")).await;
    let error = result.unwrap_err();
    assert!(error.to_string().starts_with(&format!("no collector answers at http://{nobody}")), "{error}");
}
