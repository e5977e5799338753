//! The objects in the bucket can be read with common tools.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::bucket::Object;
use crate::support::forebay::{Flush, Forebay};
use crate::support::http::Http;
use crate::support::tools::{in_venv, on_path, stdout_of};

/// Calls of each source: enough for more than one block of gzip.
const CALLS: usize = 1_000;
/// Calls of one request.
const CALLS_PER_REQUEST: usize = 50;

/// A program that has delivered objects of two sources, and its data folder.
async fn delivered() -> (Forebay, tempfile::TempDir, Vec<Object>) {
    let folder = tempfile::tempdir().expect("a folder");
    let forebay = Forebay::dev(folder.path(), Flush::SOON).await;
    let http = Http::new();
    for source in ["web", "ios_app-2"] {
        let calls: Vec<_> = (0..CALLS).map(call).collect();
        for batch in calls.chunks(CALLS_PER_REQUEST) {
            assert!(
                http.track(&forebay.collector, source, &json!({ "batch": batch })).await,
                "calls of {source}"
            );
        }
    }
    forebay.flush().await;
    let objects = forebay.bucket().objects("segment-logs/").await;
    let lines: usize = objects.iter().map(|object| object.text().lines().count()).sum();
    assert_eq!(lines, 2 * CALLS, "one line a call");
    (forebay, folder, objects)
}

/// A call with text that may trip a reader, and that gzip does not compress away.
fn call(nth: usize) -> Value {
    let digits = nth.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let text = format!("{nth} \"quoted\" \\ {{}} \u{2028} ünïcode 注文 🎉 {digits:x}");
    json!({
        "type": "track",
        "event": "Read me",
        "userId": format!("u-{nth}"),
        "properties": { "text": text, "nth": nth, "null": null },
    })
}

/// Runs `aws` with the keys of dev mode.
async fn aws(program: &Path, forebay: &Forebay, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(["--endpoint-url", &forebay.s3]).args(arguments).envs(credentials());
    stdout_of(command).await
}

fn credentials() -> [(&'static str, &'static str); 4] {
    [
        ("AWS_ACCESS_KEY_ID", "forebay"),
        ("AWS_SECRET_ACCESS_KEY", "forebay-secret"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_CONFIG_FILE", "/dev/null"),
    ]
}

/// All files below a folder, by relative path.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap_or_else(|error| panic!("{}: {error}", next.display())) {
            let path: PathBuf = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("a path below").display().to_string();
                found.insert(name, fs::read(&path).expect("a file"));
            }
        }
    }
    found
}

#[tokio::test]
async fn aws_s3_ls_and_sync() {
    let Some(program) = in_venv("aws") else { return };
    let (forebay, folder, objects) = delivered().await;

    let listing = aws(&program, &forebay, &["s3", "ls", "--recursive", "s3://forebay/segment-logs/"]).await;
    let listed: BTreeMap<_, _> = listing
        .lines()
        .filter_map(|line| {
            // Date, time, size, key.
            let mut words = line.split_whitespace().skip(2);
            let size = words.next()?.to_owned();
            Some((words.next()?.to_owned(), size))
        })
        .collect();
    let stored = objects.iter().map(|object| (object.key.clone(), object.body.len().to_string())).collect();
    assert_eq!(listed, stored, "`aws s3 ls` lists each object with its size");

    let target = folder.path().join("synced");
    let target_text = target.display().to_string();
    let sync = ["s3", "sync", "s3://forebay/segment-logs", &target_text];
    aws(&program, &forebay, &sync).await;
    let expected: BTreeMap<_, _> = objects
        .iter()
        .map(|object| (object.key.trim_start_matches("segment-logs/").to_owned(), object.body.to_vec()))
        .collect();
    assert_eq!(files(&target), expected, "`aws s3 sync` brings down the same bytes");
    assert_eq!(aws(&program, &forebay, &sync).await, "", "a second sync has nothing to do");
}

#[tokio::test]
async fn command_line_tools_and_languages() {
    const PYTHON: &str = "import gzip, sys; sys.stdout.buffer.write(gzip.open(sys.argv[1]).read())";
    const NODE: &str =
        "process.stdout.write(require('zlib').gunzipSync(require('fs').readFileSync(process.argv[1])))";
    let readers = [
        (on_path("zcat"), vec![]),
        (on_path("python3"), vec!["-c", PYTHON]),
        (on_path("node"), vec!["-e", NODE]),
    ];
    let (_forebay, folder, objects) = delivered().await;
    for object in &objects {
        let file = folder.path().join("object.gz");
        fs::write(&file, &object.body).expect("a file");
        for (program, arguments) in &readers {
            let Some(program) = program else { continue };
            let mut command = Command::new(program);
            command.args(arguments).arg(&file);
            assert_eq!(stdout_of(command).await, object.text(), "{} by {program:?}", object.key);
        }
    }
}

#[tokio::test]
async fn curl_compressed() {
    const PRESIGN: &str = "import boto3, sys; from botocore.config import Config; \
        client = boto3.client('s3', endpoint_url=sys.argv[1], \
            config=Config(signature_version='s3v4', s3={'addressing_style': 'path'})); \
        print(client.generate_presigned_url('get_object', Params={'Bucket': 'forebay', 'Key': sys.argv[2]}), end='')";
    let Some(curl) = on_path("curl") else { return };
    let Some(python) = in_venv("python") else { return };
    let (forebay, _folder, objects) = delivered().await;
    for object in &objects {
        let mut command = Command::new(&python);
        command.args(["-c", PRESIGN, &forebay.s3, &object.key]).envs(credentials());
        let url = stdout_of(command).await;
        let mut command = Command::new(&curl);
        command.args(["--silent", "--show-error", "--fail", "--compressed", &url]);
        assert_eq!(stdout_of(command).await, object.text(), "{}", object.key);
    }
}

#[tokio::test]
async fn duckdb() {
    const QUERY: &str = "import duckdb, json, sys; \
        rows = duckdb.sql(f\"select projectId, userId, event, properties.nth, properties.text \
            from read_json('{sys.argv[1]}/*.gz', format='newline_delimited')\").fetchall(); \
        print(json.dumps(rows))";
    let Some(python) = in_venv("python") else { return };
    let (_forebay, folder, objects) = delivered().await;
    let mut expected = Vec::new();
    for (nth, object) in objects.iter().enumerate() {
        fs::write(folder.path().join(format!("{nth}.gz")), &object.body).expect("a file");
        for line in object.text().lines() {
            let call: Value = serde_json::from_str(line).expect("JSON");
            let (properties, project) = (&call["properties"], &call["projectId"]);
            expected
                .push(json!([project, call["userId"], call["event"], properties["nth"], properties["text"]]));
        }
    }
    let mut command = Command::new(python);
    command.args(["-c", QUERY]).arg(folder.path());
    let mut rows: Vec<Value> = serde_json::from_str(&stdout_of(command).await).expect("rows");
    for list in [&mut rows, &mut expected] {
        list.sort_by_key(ToString::to_string);
    }
    assert_eq!(rows, expected);
}
