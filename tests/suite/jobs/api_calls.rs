//! The calls of the jobs API, and what they refuse.

use serde_json::{Value, json};

use super::control::{Boto, Cli, Served, create, with};
use super::support::{Stand, manifest};
use crate::support::tools::in_venv;

const NONE: &str = "f3cc4f60-61f6-4a2b-8a21-d07600c373ce";

/// A server with a function `copy`, and a manifest of one task.
async fn served() -> Option<(Stand, Served, String)> {
    in_venv("python")?;
    let stand = Stand::start().await;
    let served = Served::start(&stand, &["--function", "copy=cmd:cat"]).await;
    let etag = stand.put("m.csv", manifest(["a"])).await;
    Some((stand, served, etag))
}

/// A request for a job that waits for its confirmation.
fn waiting(etag: &str, token: &str) -> Value {
    with(create("copy", "m.csv", etag, token), json!({ "ConfirmationRequired": true }))
}

async fn suspended(boto: &mut Boto, id: &str) {
    boto.until(id, "the confirmation to be due", |job| job["Status"] == "Suspended").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_request_makes_no_second_job() {
    let Some((_stand, served, etag)) = served().await else { return };
    let mut boto = Boto::of(&served.url);
    let request = waiting(&etag, "token-1");
    let id = boto.make(request.clone()).await;
    assert_eq!(boto.make(request.clone()).await, id);
    let other = with(request.clone(), json!({ "Priority": 11 }));
    boto.refused("create_job", other, "IdempotencyException", "").await;
    let another = boto.make(waiting(&etag, "token-2")).await;
    assert_ne!(another, id);
    assert_eq!(boto.well("list_jobs", json!({})).await["Jobs"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_priority_and_tags_are_changed_and_shown() {
    let Some((_stand, served, etag)) = served().await else { return };
    let mut boto = Boto::of(&served.url);
    let tags = json!([{ "Key": "team", "Value": "a & b" }]);
    let id = boto.make(with(waiting(&etag, "t"), json!({ "Tags": tags }))).await;
    let of_job = json!({ "JobId": id });
    assert_eq!(boto.well("get_job_tagging", of_job.clone()).await["Tags"], tags);
    suspended(&mut boto, &id).await;
    let priority = with(of_job.clone(), json!({ "Priority": 77 }));
    assert_eq!(boto.well("update_job_priority", priority).await["Priority"], 77);
    boto.until(&id, "the priority", |job| job["Priority"] == 77).await;
    let cancel = with(
        of_job.clone(),
        json!({ "RequestedJobStatus": "Cancelled", "StatusUpdateReason": "wrong bucket" }),
    );
    boto.well("update_job_status", cancel.clone()).await;
    let job = boto.until(&id, "its cancellation", |job| job["Status"] == "Cancelled").await;
    assert_eq!(job["StatusUpdateReason"], "wrong bucket");
    boto.refused("update_job_status", cancel, "JobStatusException", "Cancelled").await;
    let ready = with(of_job, json!({ "RequestedJobStatus": "Ready" }));
    boto.refused("update_job_status", ready, "JobStatusException", "Cancelled").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_are_listed_by_status_and_in_pages() {
    let Some((_stand, served, etag)) = served().await else { return };
    let mut boto = Boto::of(&served.url);
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(boto.make(waiting(&etag, &format!("t-{n}"))).await);
    }
    for id in &ids {
        suspended(&mut boto, id).await;
    }
    let (mut seen, mut parameters) = (Vec::new(), json!({ "MaxResults": 2 }));
    loop {
        let page = boto.well("list_jobs", parameters.clone()).await;
        let jobs = page["Jobs"].as_array().unwrap();
        assert!((1..=2).contains(&jobs.len()), "{page:#}");
        seen.extend(jobs.iter().map(|job| job["JobId"].as_str().unwrap().to_owned()));
        match page["NextToken"].as_str() {
            Some(token) => parameters["NextToken"] = token.into(),
            None => break,
        }
    }
    // Jobs of the same millisecond may stand in any order.
    assert_eq!(seen.len(), 5);
    seen.sort();
    ids.sort();
    assert_eq!(seen, ids);
    let cancel = json!({ "JobId": ids[0], "RequestedJobStatus": "Cancelled" });
    boto.well("update_job_status", cancel).await;
    boto.until(&ids[0], "its cancellation", |job| job["Status"] == "Cancelled").await;
    let listed = boto.well("list_jobs", json!({ "JobStatuses": ["Cancelled", "Failed"] })).await;
    let [listed] = listed["Jobs"].as_array().unwrap().as_slice() else { panic!("{listed:#}") };
    assert_eq!(listed["JobId"], *ids[0]);
    boto.refused("list_jobs", json!({ "NextToken": "made-up" }), "InvalidNextTokenException", "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_offered_is_refused_by_its_name() {
    let Some((_stand, served, etag)) = served().await else { return };
    let mut boto = Boto::of(&served.url);
    let request = create("copy", "m.csv", &etag, "t");
    for operation in ["describe_job", "get_job_tagging"] {
        boto.refused(operation, json!({ "JobId": NONE }), "NoSuchJobException", "No such job").await;
    }
    let tags = json!({ "JobId": NONE, "Tags": [] });
    boto.refused("put_job_tagging", tags, "BadRequestException", "put-job-tagging").await;
    let said = "GET /v20180820/configuration/publicAccessBlock is not offered here";
    boto.refused("get_public_access_block", json!({}), "MethodNotAllowed", said).await;
    let other = json!({ "Operation": { "S3InitiateRestoreObject": { "ExpirationInDays": 1 } } });
    let said = "S3InitiateRestoreObject";
    boto.refused("create_job", with(request.clone(), other), "BadRequestException", said).await;
    let generator = json!({ "S3JobManifestGenerator": {
        "SourceBucket": "arn:aws:s3:::forebay", "EnableManifestOutput": false,
    } });
    let mut generated = with(request.clone(), json!({ "ManifestGenerator": generator }));
    generated.as_object_mut().unwrap().remove("Manifest");
    boto.refused("create_job", generated, "BadRequestException", "ManifestGenerator is not offered here")
        .await;
    // As AWS takes neither; the name of `--function` is another thing.
    let function = |function: &str| json!({ "Operation": { "LambdaInvoke": { "FunctionArn": function } } });
    let said = "Operation.LambdaInvoke.FunctionArn is \"other\"";
    boto.refused("create_job", with(request.clone(), function("other")), "BadRequestException", said).await;
    let waits = with(with(request.clone(), function("copy")), json!({ "ConfirmationRequired": true }));
    let named = boto.make(with(waits, json!({ "ClientRequestToken": "named" }))).await;
    let mut without_fields = request.clone();
    without_fields["Manifest"]["Spec"].as_object_mut().unwrap().remove("Fields");
    let said = "Manifest.Spec.Fields is missing";
    boto.refused("create_job", without_fields, "BadRequestException", said).await;
    let account = with(request.clone(), json!({ "AccountId": "12345" }));
    boto.refused("create_job", account, "BadRequestException", "12 digits").await;
    let large = with(request.clone(), json!({ "Description": "x".repeat(300_000) }));
    boto.refused("create_job", large, "MaxMessageLengthExceeded", "262144 bytes").await;
    let wrong = with(request, json!({ "RoleArn": "a-role" }));
    boto.refused("create_job", wrong, "BadRequestException", "RoleArn").await;
    let listed = boto.well("list_jobs", json!({})).await;
    let [job] = listed["Jobs"].as_array().unwrap().as_slice() else { panic!("{listed:#}") };
    assert_eq!(job["JobId"], *named);

    // It has no objects.
    let cli = Cli::of(&served.url);
    let listed = cli.aws(&["s3api", "list-buckets", "--endpoint-url", &served.url]).await;
    listed.says("NotImplemented").says("ListBuckets is not offered here");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_who_has_the_keys_is_served() {
    let Some((stand, served, etag)) = served().await else { return };
    let request = create("copy", "m.csv", &etag, "t");
    for url in [&served.url, &stand.node.s3] {
        for (key, secret, code) in [
            ("forebay", "wrong", "SignatureDoesNotMatch"),
            ("another", "forebay-secret", "InvalidAccessKeyId"),
            ("forebay", "", "AccessDenied"),
        ] {
            let mut boto = Boto::with(url, key, secret);
            boto.refused("create_job", request.clone(), code, "").await;
            boto.refused("list_jobs", json!({}), code, "").await;
        }
        // It covers neither the query nor the body.
        let mut older = Boto::signing(url, "forebay", "forebay-secret", "s3");
        older.refused("list_jobs", json!({}), "AccessDenied", "Signature Version 4").await;
        let cli = Cli { url, keys: ("forebay", "wrong") };
        cli.run(&["list-jobs"]).await.says("SignatureDoesNotMatch");
        assert_eq!(Boto::of(url).well("list_jobs", json!({})).await["Jobs"], json!([]));
    }
    // With keys of its own it may be reached from elsewhere, and those of dev are unknown.
    let mut command = stand.batch(&["serve", "--listen", "0.0.0.0:0", "--state", "other"]);
    command.env("FOREBAY_BATCH_ACCESS_KEY_ID", "ours").env("FOREBAY_BATCH_SECRET_ACCESS_KEY", "our-secret");
    let other = Served::spawn(command, &stand).await;
    Boto::of(&other.url).refused("list_jobs", json!({}), "InvalidAccessKeyId", "does not know").await;
    let mut boto = Boto::with(&other.url, "ours", "our-secret");
    let listed = boto.well("list_jobs", json!({})).await;
    assert_eq!(listed["Jobs"], json!([]));
    assert!(listed["ResponseMetadata"]["RequestId"].is_string(), "{listed:#}");
}
