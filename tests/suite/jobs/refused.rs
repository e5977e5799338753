//! What a job refuses, and by what exit code.

use super::support::{Stand, ran};

const TRUE: [&str; 2] = ["--handler", "cmd:cat"];

async fn run(stand: &Stand, words: &[&str]) -> super::support::Ran {
    stand.run(&[&["run"], words, &TRUE].concat()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_manifest_fails_the_job_with_its_row() {
    let stand = Stand::start().await;
    for (name, text, says) in [
        ("width", "forebay,a\nforebay,b,c,d\n", "line 2"),
        ("empty", "", "it is empty"),
        ("raw", "forebay,{\"a\": 1}\n", "line 1: the key is raw JSON"),
        ("versions", "forebay,a,v\nforebay,b,\n", "line 2: the row has no version"),
        ("long", &format!("forebay,{}\n", "k".repeat(1_025)), "line 1: the key has more than 1,024"),
        ("encoding", "forebay,100%\n", "line 1: the key is not URL-encoded"),
    ] {
        stand.put(name, text).await;
        let place = format!("s3://forebay/{name}");
        let failed = run(&stand, &["--manifest", &place, "--json"]).await.code(2);
        let job = failed.json();
        assert_eq!(
            (&job["status"], &job["failures"][0]["code"]),
            (&"Failed".into(), &"InvalidManifestContent".into())
        );
        failed.says("InvalidManifestContent").says(says);
        let looked = run(&stand, &["--manifest", &place, "--dry-run"]).await.code(2);
        looked.says(says);
    }
    stand.put("m.csv", "forebay,a\n").await;
    let etag = ["--manifest", "s3://forebay/m.csv", "--manifest-etag", "0123"];
    run(&stand, &etag).await.code(2).says("manifest ETag does not match");
    run(&stand, &["--manifest", "s3://forebay/none.csv"]).await.code(2).says("it does not exist");
    run(&stand, &["--manifest", "none.csv"]).await.code(2).says("it does not exist");
    run(&stand, &["--manifest", "."]).await.code(2).says("it is a folder");
    let failed = run(&stand, &["--manifest", "s3://forebay/m.csv", "--fields", "Bucket"]).await.code(2);
    failed.says("--fields: the fields lack Key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_usage_makes_no_job() {
    let stand = Stand::start().await;
    let m = ["run", "--manifest", "s3://forebay/m.csv"];
    for (words, says) in [
        (&["--handler", "import:"][..], "expected the name of an [[import]] after import:"),
        (&["--handler", "cmd:/no/such/program"], "cannot start /no/such/program"),
        (&["--handler", "cmd:"], "expected a program after cmd:"),
        (&["--handler", "ftp://x"], "--handler: expected import"),
        (&["--handler", "cmd:cat", "--user-arg", "a=b"], "need InvocationSchemaVersion 2.0"),
        (&["--handler", "cmd:cat", "--report", "reports"], "--report: expected s3://bucket/prefix"),
        (&["--handler", "cmd:cat", "--concurrency", "0"], "0 is not in 1..=10000"),
        (&["--handler", "cmd:cat", "--priority", "-1"], "expected a number from 0 to 2147483647"),
        (&["--function-arn", "not an arn"], "expected the ARN or the name of a Lambda function"),
        (
            &[],
            "--handler: expected import, import:NAME, cmd:PROGRAM or an http:// or https:// address; a Lambda function is \
             given by --function-arn",
        ),
    ] {
        stand.run(&[&m[..], words].concat()).await.code(2).says(says);
    }
    let job = ["priority", "f3cc4f60-61f6-4a2b-8a21-d07600c373ce", "-1"];
    stand.run(&job).await.code(2).says("expected a number from 0 to 2147483647");
    stand.run(&["run", "--handler", "cmd:cat"]).await.code(2).says("--manifest");
    for (words, says) in [
        (
            &["--listen", "0.0.0.0:0"][..],
            "set FOREBAY_BATCH_ACCESS_KEY_ID and FOREBAY_BATCH_SECRET_ACCESS_KEY",
        ),
        (&[], "--listen"),
        (&["--listen", "127.0.0.1:0", "--function", "copy"], "expected NAME=cmd:PROGRAM"),
        (&["--listen", "127.0.0.1:0", "--function", "a=cmd:x", "--function", "a=cmd:y"], "a is given twice"),
        (
            &["--listen", "127.0.0.1:0", "--function", "a=cmd:/no/such/program"],
            "cannot start /no/such/program",
        ),
        (&["--listen", "127.0.0.1:0", "--active-jobs", "0"], "0 is not in 1..=100"),
        (&["--listen", "127.0.0.1:0", "--region", "x y"], "expected a region"),
    ] {
        stand.run(&[&["serve"], words].concat()).await.code(2).says(says);
    }
    let none = "f3cc4f60-61f6-4a2b-8a21-d07600c373ce";
    stand.run(&["describe", none]).await.code(1).says("there is no job f3cc4f60");
    stand.run(&["run", "--job", none]).await.code(1).says("there is no job f3cc4f60");
    assert_eq!(stand.run(&["list", "--json"]).await.code(0).json()["jobs"], serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_not_there_and_a_report_that_may_not_be_put_have_their_exit_codes() {
    let stand = Stand::start().await;
    let mut command = stand.batch(&["run", "--manifest", "s3://forebay/m.csv", "--handler", "cmd:cat"]);
    // Nothing listens there.
    command.env("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9");
    ran(command, b"").await.code(4).says("ManifestUnreadable");
    let path = stand.file("m.csv", "forebay,a\n");
    let nowhere = ["--manifest", path.as_str(), "--report", "s3://no-such-bucket/r", "--json"];
    // It is known before a task runs, and without a job.
    let failed = run(&stand, &nowhere).await.code(5).says("ReportNotStored: no task was run");
    let failed = failed.says("create the bucket, or name another one in --report");
    let job = failed.json();
    assert_eq!(
        (&job["total"], &job["report"]),
        (&serde_json::Value::Null, &serde_json::Value::Null),
        "{job}"
    );
    let looked = run(&stand, &[&nowhere[..4], &["--dry-run"]].concat()).await.code(5);
    looked.says("create the bucket, or name another one in --report");
    let manifest = ["--manifest", "s3://no-such-bucket/m.csv"];
    run(&stand, &manifest).await.code(5).says("name a bucket that exists in --manifest");
}

#[cfg(feature = "lambda")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_that_does_not_exist_or_may_not_be_invoked_fails_the_job_at_once() {
    use crate::support::scripted_http::{Reply, ScriptedHttp};

    let stand = Stand::start().await;
    let path = stand.file("m.csv", "forebay,a\nforebay,b\n");
    let arn = "arn:aws:lambda:us-east-1:111122223333:function:copy:live";
    for (status, error, says) in [
        (404, "ResourceNotFoundException", "give the ARN of a function that exists"),
        (403, "AccessDeniedException", "\"Action\":\"lambda:InvokeFunction\",\"Resource\":\"arn:"),
    ] {
        let service = ScriptedHttp::elsewhere(move |_| Reply::Answer {
            status,
            headers: vec![("x-amzn-errortype".to_owned(), error.to_owned())],
            body: r#"{"Message":"scripted"}"#.to_owned(),
        })
        .await;
        let run = ["run", "--manifest", &path, "--function-arn", arn, "--report", "s3://forebay/r", "--json"];
        let at = ["--lambda-endpoint-url", &service.url()];
        let failed = stand.run(&[&run[..], &at].concat()).await.code(5).says(says);
        let job = failed.json();
        assert_eq!((&job["status"], &job["failed"]), (&"Failed".into(), &0.into()), "{job}");
        // Also for those who look at it later, to its end.
        let reason = job["failures"][0]["reason"].as_str().unwrap();
        assert!(reason.contains(says) && !reason.contains('…'), "{reason}");
    }
}
