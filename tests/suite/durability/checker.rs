//! Runs the independent checker, `tests/checker/check.py`, on a journal and a bucket.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::bulk::BulkJournal;
use super::load::Journal;
use crate::support::bucket::Bucket;
use crate::support::tools::{on_path, stdout_of};

/// Downloads the bucket and lets the checker compare it with the journal; returns the checker's counts.
///
/// `None` if Python is missing.
///
/// # Panics
///
/// If the checker finds violations: the text names each.
pub(crate) async fn check(journal: &Journal, bucket: &Bucket, prefix: &str) -> Option<String> {
    check_with(&journal.to_ndjson(), bucket, prefix, &[]).await
}

/// Like [`check`], for calls of which digests were kept.
pub(crate) async fn check_bulk(journal: &BulkJournal, bucket: &Bucket, prefix: &str) -> Option<String> {
    check_with(&journal.to_ndjson(), bucket, prefix, &[]).await
}

/// Like [`check`], for a program whose wall clock was deliberately wrong.
pub(crate) async fn check_stepped(journal: &Journal, bucket: &Bucket, prefix: &str) -> Option<String> {
    check_with(&journal.to_ndjson(), bucket, prefix, &["--stepped-clock"]).await
}

/// Like [`check`], for a journal as the checker reads it. Dead letters are no calls of the archive.
pub(crate) async fn check_with(
    journal: &str,
    bucket: &Bucket,
    prefix: &str,
    options: &[&str],
) -> Option<String> {
    let python = on_path("python3")?;
    let folder = tempfile::tempdir().expect("a folder");
    let mut metadata = BTreeMap::new();
    for object in bucket.objects(prefix).await {
        let below = object.key.strip_prefix(prefix).expect("a key under the prefix");
        if below.starts_with("_dlq/") {
            continue;
        }
        let file = folder.path().join("bucket").join(below);
        fs::create_dir_all(file.parent().expect("a parent")).expect("a folder");
        fs::write(&file, &object.body).expect("a file");
        metadata.insert(below.to_owned(), object.metadata);
    }
    write(folder.path(), "journal.jsonl", journal);
    write(folder.path(), "metadata.json", &serde_json::to_string(&metadata).expect("JSON"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checker/check.py");
    let mut command = Command::new(python);
    command
        .arg(script)
        .current_dir(folder.path())
        .args(["journal.jsonl", "bucket", "metadata.json"])
        .args(options);
    Some(stdout_of(command).await.trim().to_owned())
}

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).unwrap_or_else(|error| panic!("{name}: {error}"));
}

#[tokio::test]
async fn the_checker_finds_planted_violations() {
    let Some(python) = on_path("python3") else { return };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checker");
    let mut command = Command::new(python);
    // Write no compiled files next to the sources.
    command.arg("-B").arg(folder.join("test_check.py")).current_dir(folder);
    stdout_of(command).await;
}
