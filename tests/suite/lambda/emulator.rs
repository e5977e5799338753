//! The program under the runtime API of cargo-lambda, invoked by the AWS CLI, with files in moto and in
//! ministack.

use std::path::Path;

use serde_json::json;
use tokio::process::Command;

use super::events::{DOCUMENTED, s3, sqs};
use super::support::{Instance, as_function, pairs, put, values};
use crate::support::bucket::Bucket;
use crate::support::forebay::{Flush, Forebay, without_settings};
use crate::support::lambda_emulator::Emulator;
use crate::support::ministack::Ministack;
use crate::support::moto::Moto;

/// The name that the emulator has for the function of a request that names none.
const ANY: &str = "_";

const TRACK: &str = "userId,name,event,properties.plan,timestamp\n\
    1,Tyler Ortiz,test event,bronze,2019-05-11T20:32:27.940Z\n\
    2,Jacob Johnson,test event,silver,2019-05-12T20:32:27.940Z\n";
const IDENTIFY: &str = "userId,traits.name,traits.plan\n3,Ally Sweeney,gold\n";

/// Invokes a function whose files are in a store, and looks at what arrives in the bucket of its collector.
async fn files_of_a_store_arrive(store: &str, bucket: &Bucket, key: &str, program: Option<&Path>) {
    let Some(emulator) = Emulator::start(&["bootstrap"]).await else { return };
    let folder = tempfile::tempdir().unwrap();
    let node = Forebay::dev(&folder.path().join("dev"), Flush::LATE).await;
    put(bucket, "inbox", "track_1.csv", TRACK).await;
    put(bucket, "inbox", "a b/identify_é+1.csv", IDENTIFY).await;
    let environment = pairs(&[
        ("AWS_ENDPOINT_URL_S3", store),
        ("AWS_ACCESS_KEY_ID", key),
        ("AWS_SECRET_ACCESS_KEY", key),
        ("FOREBAY_COLLECTOR_URL", &node.collector),
        // The name that the documented function has for it.
        ("write_key", "shop"),
    ]);
    let api = emulator.runtime_api();
    let instance = match program {
        None => Instance::start(&api, &environment),
        Some(program) => {
            Instance::spawn(as_function(without_settings(Command::new(program)), &api, &environment))
        }
    };

    let answered =
        emulator.invoke(ANY, DOCUMENTED).await.unwrap_or_else(|error| panic!("{error}\n{}", instance.log()));
    let files = json!([{ "name": "s3://inbox/track_1.csv", "ended": "done", "rows": 2, "rejected": 0 }]);
    assert_eq!(answered, json!({ "files": files }), "{}", instance.log());
    let differs = instance.lines("the object is not the one in the event; it is read as it stands");
    assert_eq!(differs.len(), 1, "{}", instance.log());
    assert_eq!(differs[0]["etag_in_event"], "d41d8cd98f00b204e9800998ecf8427e");
    let summary = instance.lines("a file is imported");
    assert_eq!(
        (&summary[0]["key"], &summary[0]["rows"], &summary[0]["rejected"]),
        (&json!("s3://inbox/track_1.csv"), &json!(2), &json!(0)),
        "{summary:?}"
    );
    assert!(summary[0]["duration_ms"].is_u64(), "{summary:?}");

    let queued = sqs(&[
        ("good", &s3("inbox", &["a+b/identify_%C3%A9%2B1.csv"])),
        ("bad", &s3("inbox", &["track_missing.csv"])),
    ]);
    let answered = emulator.invoke(ANY, &queued.to_string()).await.unwrap();
    assert_eq!(answered, json!({ "batchItemFailures": [{ "itemIdentifier": "bad" }] }), "{}", instance.log());
    let failed = instance.lines("a file is not imported");
    assert_eq!((failed.len(), &failed[0]["key"]), (1, &json!("s3://inbox/track_missing.csv")), "{failed:?}");
    assert!(failed[0]["error"].as_str().unwrap().starts_with("E-MISSING: "), "{failed:?}");

    // The emulator answers each error with a bare 500; what the error says is in the log.
    let error = emulator.invoke(ANY, &s3("inbox", &["track_missing.csv"]).to_string()).await.unwrap_err();
    assert!(error.contains("500"), "{error}");
    node.flush().await;
    assert_eq!(values(&node.bucket().lines("shop").await, "/userId"), ["1", "2", "3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_in_moto_arrive_through_the_emulated_runtime() {
    let folder = tempfile::tempdir().unwrap();
    let Some(moto) = Moto::start(folder.path()).await else { return };
    let bucket = Bucket::new(&moto.url, "inbox", "test", "test");
    bucket.client.create_bucket().bucket("inbox").send().await.unwrap();
    files_of_a_store_arrive(&moto.url, &bucket, "test", None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_in_ministack_arrive_through_the_emulated_runtime_as_bootstrap() {
    let Some(ministack) = Ministack::start().await else { return };
    let bucket = ministack.make_bucket("inbox").await;
    // The name that the runtime gives to programs, without arguments.
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("bootstrap");
    std::os::unix::fs::symlink(crate::support::forebay::binary(), &program).unwrap();
    files_of_a_store_arrive(&ministack.url(), &bucket, Ministack::ROOT, Some(&program)).await;
}
