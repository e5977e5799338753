//! A job whose function is invoked with the role of the job, by the real program.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use forebay::runtime::SystemClock;
use forebay::time::Clock as _;
use serde_json::{Value, json};

use super::support::{Ran, Stand, manifest, ran};
use crate::support::aws_double::AwsDouble;
use crate::support::scripted_http::{Reply, Request, ScriptedHttp};

const ROLE: &str = "arn:aws:iam::111122223333:role/batch";
const FUNCTION: &str = "arn:aws:lambda:us-east-1:111122223333:function:copy";
/// A session as short as this one is renewed once a third of it is left, so after four seconds. The third redrive comes
/// seven seconds after the first try at the earliest.
const SESSION: Duration = Duration::from_secs(6);
const TRIES: u64 = 4;

/// The access key that a request is signed with.
fn signer(request: &Request) -> String {
    let (_, credential) = request.header("authorization").unwrap().split_once("Credential=").unwrap();
    credential.split('/').next().unwrap().to_owned()
}

/// The service of Lambda: takes sessions of the role alone, while they last. The function succeeds with its last try.
async fn lambda(aws: &Arc<AwsDouble>) -> ScriptedHttp {
    let (aws, tries) = (Arc::clone(aws), AtomicU64::new(0));
    ScriptedHttp::elsewhere(move |request| {
        let now = SystemClock::new().wall();
        let is_valid = aws.world(|world| {
            let session = world.sessions.get(&signer(request));
            session.is_some_and(|session| {
                let token = request.header("x-amz-security-token");
                session.ends > now && token == Some(session.token.as_str())
            })
        });
        if !is_valid {
            return Reply::Answer {
                status: 403,
                headers: vec![("x-amzn-errortype".to_owned(), "ExpiredTokenException".to_owned())],
                body: r#"{"message":"The security token included in the request is expired"}"#.to_owned(),
            };
        }
        let event: Value = serde_json::from_slice(&request.body).unwrap();
        let is_last = tries.fetch_add(1, Ordering::Relaxed) + 1 == TRIES;
        let code = if is_last { "Succeeded" } else { "TemporaryFailure" };
        let answer = json!({
            "invocationSchemaVersion": "1.0",
            "invocationId": event["invocationId"],
            "results": [{ "taskId": event["tasks"][0]["taskId"], "resultCode": code }],
        });
        Reply::Answer { status: 200, headers: Vec::new(), body: answer.to_string() }
    })
    .await
}

/// Runs a job of one task with the role.
async fn run(stand: &Stand, aws: &AwsDouble, lambda: &ScriptedHttp) -> Ran {
    let path = stand.file("m.csv", manifest(["k"]));
    let (tokens, functions) = (aws.url(), lambda.url());
    let run = ["run", "--manifest", &path, "--function-arn", FUNCTION, "--role-arn", ROLE, "--json"];
    let at = ["--sts-endpoint-url", &tokens, "--lambda-endpoint-url", &functions];
    let mut command = stand.batch(&[&run[..], &at].concat());
    command.envs(AwsDouble::CREDENTIALS);
    ran(command, b"").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_is_invoked_with_a_session_of_the_role_and_in_time_with_a_new_one() {
    let (stand, aws) = (Stand::start().await, Arc::new(AwsDouble::start().await));
    aws.world(|world| {
        world.roles.insert(ROLE.to_owned(), ["forebay-batch".to_owned()].into());
        world.session_length = SESSION;
    });
    let lambda = lambda(&aws).await;
    let job = run(&stand, &aws, &lambda).await.code(0).json();
    assert_eq!((&job["status"], &job["succeeded"]), (&"Complete".into(), &1.into()), "{job}");
    let invocations = lambda.requests();
    assert_eq!(invocations.len() as u64, TRIES);
    let signers: BTreeSet<String> = invocations.iter().map(signer).collect();
    assert!(signers.len() >= 2, "no new session: {signers:?}");
    assert!(!signers.contains(AwsDouble::PROCESS), "{signers:?}");
    aws.world(|world| {
        let sessions: Vec<_> = signers.iter().map(|signer| &world.sessions[signer]).collect();
        assert!(sessions.iter().all(|session| session.external_id == "forebay-batch"), "{sessions:?}");
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_does_not_trust_the_command_fails_the_job_at_once() {
    let (stand, aws) = (Stand::start().await, Arc::new(AwsDouble::start().await));
    aws.world(|world| world.roles.insert(ROLE.to_owned(), ["another".to_owned()].into()));
    let lambda = lambda(&aws).await;
    let failed = run(&stand, &aws, &lambda).await.code(5).says("forebay policy batch-trust");
    assert_eq!(failed.json()["status"], "Failed");
    assert!(lambda.requests().is_empty());
}
