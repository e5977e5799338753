//! Objects that a function makes itself.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde_json::{Value, json};

use super::events::s3;
use super::support::{Instance, Stand, pairs, table, values};
use crate::support::forebay::{command, finished};
use crate::support::scripted_http::{Reply, ScriptedHttp};
use crate::support::tools::{on_path, run};

const LONG: Duration = Duration::from_secs(60);

/// The members of a line that say when and by whom it was taken.
const TAKEN: [&str; 3] = ["receivedAt", "sentAt", "projectId"];

fn without_times(line: &str) -> Value {
    let mut line: Value = serde_json::from_str(line).unwrap();
    let members = line.as_object_mut().unwrap();
    members.retain(|name, _| !TAKEN.contains(&name.as_str()));
    line
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_are_those_of_a_collector_and_a_retry_overwrites_them() {
    let stand = Stand::start().await;
    let rows = "userId,event,properties.plan,context.ip,timestamp\n\
        u1,Signed Up,gold,1.2.3.4,2019-05-11T20:32:27.940Z\n\
        u2,\"a \"\"b\"\"\",é,,2019-05-12T20:32:27Z\n";
    stand.put("track_1.csv", rows).await;
    let event = s3("forebay", &["track_1.csv"]);
    let collector = stand.instance(&[]);
    stand.api.invoke(&event, LONG).await.unwrap();
    stand.api.end([collector]).await;
    stand.node.flush().await;
    let collected = stand.bucket().lines("shop").await;

    let environment =
        stand.with_store(&[("FOREBAY_OUTPUT", "s3://forebay/out"), ("FOREBAY_CSV_SOURCE", "shop")]);
    let instance = Instance::start(&stand.api.address(), &environment);
    let answered = stand.api.invoke(&event, LONG).await.unwrap();
    let files = json!([{ "name": "s3://forebay/track_1.csv", "ended": "done", "rows": 2, "rejected": 0 }]);
    assert_eq!(answered, json!({ "files": files }), "{}", instance.log());
    let all = async || -> BTreeMap<String, bytes::Bytes> {
        let objects = stand.bucket().objects("out/").await;
        objects.into_iter().map(|object| (object.key, object.body)).collect()
    };
    let first = all().await;
    assert_eq!(first.len(), 1);
    let object = stand.bucket().object(first.keys().next().unwrap()).await;
    assert_eq!(object.metadata["forebay-calls"], "2");
    assert_eq!(object.content_type.as_deref(), Some("text/plain"));
    let lines: Vec<String> = object.text().lines().map(str::to_owned).collect();
    let same = |lines: &[String]| lines.iter().map(|line| without_times(line)).collect::<Vec<_>>();
    assert_eq!(same(&lines), same(&collected));
    // The time of the file, to the second, and not that of the function.
    let head = stand.bucket().client.head_object().bucket("forebay").key("track_1.csv").send().await.unwrap();
    let stored = head.last_modified().unwrap().to_millis().unwrap();
    let received = values(&lines, "/receivedAt");
    let parsed = forebay::words::date::parse_rfc3339(&received[0]).unwrap();
    assert_eq!((parsed.0, &received[0]), (stored, &received[1]));
    let day = parsed.day();
    assert!(object.key.starts_with(&format!("out/segment-logs/shop/{day}/{stored}-imp_")), "{}", object.key);

    // A retry, also by another instance, makes the same object.
    stand.api.invoke(&event, LONG).await.unwrap();
    stand.api.end([instance]).await;
    let _other = Instance::start(&stand.api.address(), &environment);
    stand.api.invoke(&event, LONG).await.unwrap();
    assert_eq!(all().await, first);

    // If the bucket notifies the function of that, nothing happens.
    let own = first.keys().next().unwrap();
    let answered = stand.api.invoke(&s3("forebay", &[own, "folder/"]), LONG).await.unwrap();
    let ended: Vec<_> = answered["files"].as_array().unwrap().iter().map(|file| &file["ended"]).collect();
    assert_eq!(ended, ["ignored", "ignored"]);
    assert_eq!(all().await, first);

    // `verify` knows the object and reads it, and says what nothing proves.
    let verified = async |options: &[&str]| {
        let mut verify = command();
        verify.args(["verify", "forebay/out", "--endpoint-url", &stand.node.s3]).args(options);
        let credentials =
            pairs(&[("AWS_ACCESS_KEY_ID", "forebay"), ("AWS_SECRET_ACCESS_KEY", "forebay-secret")]);
        let ran = finished(verify.envs(credentials)).await;
        (ran.status.code(), String::from_utf8_lossy(&ran.stdout).into_owned())
    };
    let (code, out) = verified(&["--deep"]).await;
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("imported") && out.contains("1 part ") && out.contains("2 rows"), "{out}");
    assert!(out.contains("nothing shows whether one is missing"), "{out}");

    let put = async |key: &str, body: &[u8], metadata: &HashMap<String, String>| {
        let put = stand.bucket().client.put_object().bucket("forebay").key(key);
        let body = aws_sdk_s3::primitives::ByteStream::from(body.to_vec());
        put.set_metadata(Some(metadata.clone())).body(body).send().await.unwrap();
    };
    let damaged = async |body: &[u8], metadata: &_| put(&object.key, body, metadata).await;
    let metadata: HashMap<String, String> =
        object.metadata.iter().map(|(name, value)| (name.clone(), value.clone())).collect();

    // The same rows under another number.
    let copy = object.key.replace("00.gz", "07.gz");
    assert_ne!(copy, object.key);
    put(&copy, &object.body, &metadata).await;
    let (code, out) = verified(&[]).await;
    assert!(code == Some(1) && out.contains("same_rows") && out.contains(&copy), "{out}");
    stand.bucket().client.delete_object().bucket("forebay").key(&copy).send().await.unwrap();

    let changed = gzip(&object.text().replace("Signed Up", "Signed In"));
    let other_source = gzip(&object.text().replace("\"projectId\":\"shop\"", "\"projectId\":\"home\""));
    let cut = object.body[..object.body.len() - 9].to_vec();
    for (body, said) in [(changed, "SHA-256"), (cut, "is damaged"), (other_source, "another source")] {
        damaged(&body, &metadata).await;
        assert_eq!(verified(&[]).await.0, Some(0), "{said}: only the lines are wrong");
        let (code, out) = verified(&["--deep"]).await;
        assert!(code == Some(1) && out.contains(said) && out.contains(&object.key), "{said}: {out}");
    }
    let mut other_time = metadata.clone();
    other_time.insert("forebay-last-received-at".to_owned(), "2015-05-27T00:00:12.345Z".to_owned());
    damaged(&object.body, &other_time).await;
    let (code, out) = verified(&[]).await;
    assert!(code == Some(1) && out.contains("the first and the last call have different times"), "{out}");
}

fn gzip(text: &str) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut gzip, text.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_begin_at_the_same_rows_whether_or_not_an_import_was_interrupted() {
    const ROWS: u64 = 6_000;
    let stand = Stand::start().await;
    stand.put("track_1.csv", table(ROWS)).await;
    let event = s3("forebay", &["track_1.csv"]);
    let parts = async |output: &str, more: &[(&str, &str)], time: Duration| {
        let mut environment = stand.with_store(&[
            ("FOREBAY_OUTPUT", output),
            ("FOREBAY_OUTPUT_PART", "64 KiB"),
            ("FOREBAY_CSV_SOURCE", "shop"),
        ]);
        environment.extend(pairs(more));
        let instance = Instance::start(&stand.api.address(), &environment);
        let mut invocations = 1;
        while let Err(error) = stand.api.invoke(&event, time).await {
            assert!(error.contains("E-UNFINISHED") && invocations < 100, "{error}");
            invocations += 1;
        }
        stand.api.end([instance]).await;
        let prefix = output.strip_prefix("s3://forebay/").unwrap();
        let objects = stand.bucket().objects(prefix).await;
        let bodies: BTreeMap<String, String> =
            objects.into_iter().map(|object| (object.key.replace(prefix, ""), object.text())).collect();
        (invocations, bodies)
    };
    let (once, whole) = parts("s3://forebay/whole", &[], LONG).await;
    let journal = [("FOREBAY_JOURNAL", "s3://forebay/journal"), ("FOREBAY_CSV_RATE", "700")];
    let (many, interrupted) = parts("s3://forebay/interrupted", &journal, Duration::from_secs(3)).await;
    assert!(once == 1 && many > 2 && whole.len() > 5, "{once} {many} {}", whole.len());
    assert_eq!(whole, interrupted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_refuses_objects_is_a_failure() {
    let stand = Stand::start().await;
    stand.put("track_1.csv", table(2)).await;
    let environment = stand.with_store(&[("FOREBAY_OUTPUT", "s3://no-such-bucket/out")]);
    let _instance = Instance::start(&stand.api.address(), &environment);
    let error = stand.api.invoke(&s3("forebay", &["track_1.csv"]), LONG).await.unwrap_err();
    assert!(error.contains("E-REFUSED: put s3://no-such-bucket/out/segment-logs/csv/"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_of_an_object_file_becomes_an_object_set_by_both_ways() {
    let stand = Stand::start().await;
    let rows: String = (0..3_000).map(|n| format!("{n},Room {n},{}\n", n % 90)).collect();
    stand.put("object_rooms_1.csv", format!("id,name,geo.lat\n{rows}")).await;
    let event = s3("forebay", &["object_rooms_1.csv"]);
    let collector = stand.instance(&[]);
    stand.api.invoke(&event, LONG).await.unwrap();
    stand.api.end([collector]).await;
    stand.node.flush().await;
    let environment =
        stand.with_store(&[("FOREBAY_OUTPUT", "s3://forebay/out"), ("FOREBAY_CSV_SOURCE", "shop")]);
    let _instance = Instance::start(&stand.api.address(), &environment);
    stand.api.invoke(&event, LONG).await.unwrap();
    for prefix in ["segment-logs/_objects/rooms/", "out/segment-logs/_objects/rooms/shop/"] {
        let objects = stand.bucket().objects(prefix).await;
        let lines: Vec<String> = objects
            .iter()
            .flat_map(|object| object.text().lines().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        let mut ids: Vec<u32> = values(&lines, "/id").iter().map(|id| id.parse().unwrap()).collect();
        ids.sort_unstable();
        assert_eq!(ids, (0..3_000).collect::<Vec<_>>(), "{prefix}");
        let seven: Value =
            serde_json::from_str(lines.iter().find(|line| line.contains("\"Room 7\"")).unwrap()).unwrap();
        assert_eq!(seven["properties"], json!({ "name": "Room 7", "geo_lat": "7" }), "{prefix}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_files_of_an_archive_are_imported() {
    let Some(python) = on_path("python3") else { return };
    let stand = Stand::start().await;
    let folder = tempfile::tempdir().unwrap();
    let zip = folder.path().join("track_all.zip");
    let script = "import sys, zipfile\n\
        z = zipfile.ZipFile(sys.argv[1], 'w')\n\
        z.writestr('track_1.csv', 'userId,event\\nu1,e\\n')\n\
        z.writestr('track_2.csv', 'userId,event\\nu2,e\\n')\n\
        z.close()\n";
    let mut command = std::process::Command::new(python);
    command.args(["-c", script]).arg(&zip);
    assert!(run(command).await.status.success());
    let body = std::fs::read(&zip).unwrap().into();
    let put = stand.bucket().client.put_object().bucket("forebay").key("track_all.zip").body(body);
    put.send().await.unwrap();
    let instance = stand.instance(&[]);
    let event = s3("forebay", &["track_all.zip"]);
    stand.api.invoke(&event, LONG).await.unwrap_or_else(|error| panic!("{error}\n{}", instance.log()));
    stand.api.end([instance]).await;
    assert_eq!(stand.delivered("/userId").await, ["u1", "u2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_no_collector_gives_is_a_failure_and_what_it_says_is_not_repeated() {
    let stand = Stand::start().await;
    stand.put("track_1.csv", table(2)).await;
    let event = s3("forebay", &["track_1.csv"]);
    for (status, body) in [(200, "<html>u0 please log in</html>"), (200, ""), (400, "u0 with the key")] {
        let other = ScriptedHttp::elsewhere(move |_| Reply::Answer {
            status,
            headers: Vec::new(),
            body: body.to_owned(),
        })
        .await;
        let mut environment = stand.to_collector(&[]);
        environment.extend(pairs(&[("FOREBAY_COLLECTOR_URL", &other.url())]));
        let instance = Instance::start(&stand.api.address(), &environment);
        let error = stand.api.invoke(&event, Duration::from_secs(6)).await.unwrap_err();
        assert!(error.contains(&format!("answered {status}")) && !error.contains("u0"), "{error}");
        assert!(!instance.log().contains("u0 "), "{}", instance.log());
        stand.api.end([instance]).await;
    }
}

/// Nothing behind the function would find the repeats, and different rows with one id would both be written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_with_one_id_are_written_once_or_rejected() {
    let stand = Stand::start().await;
    let rows = "messageId,userId,event\na,u,e\na,u,e\na,u,f\nb,u,e\n";
    stand.put("track_1.csv", rows).await;
    let environment =
        stand.with_store(&[("FOREBAY_OUTPUT", "s3://forebay/out"), ("FOREBAY_CSV_SOURCE", "shop")]);
    let _instance = Instance::start(&stand.api.address(), &environment);
    let answered = stand.api.invoke(&s3("forebay", &["track_1.csv"]), LONG).await.unwrap();
    assert_eq!((&answered["files"][0]["rows"], &answered["files"][0]["rejected"]), (&json!(4), &json!(1)));
    let objects = stand.bucket().objects("out/segment-logs/shop/").await;
    assert_eq!(objects.len(), 1);
    let object = stand.bucket().object(&objects[0].key).await;
    let lines: Vec<String> = object.text().lines().map(str::to_owned).collect();
    assert_eq!(values(&lines, "/messageId"), ["a", "b"]);
}
