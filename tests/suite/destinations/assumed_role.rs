//! A running collector assumes the role of a destination, with the external id of each source.

use std::fs;

use serde_json::{Value, json};

use super::command::{Setup, TRACK, invoker, lambda, lambda_lines, policy, trust};
use crate::serve::support::{Caller, PATIENCE, ask};
use crate::support::forebay::Forebay;
use crate::support::http::is_accepted;
use crate::support::scripted_http::ScriptedHttp;
use crate::support::tools::Ministack;
use crate::support::wait;

async fn failing(forebay: &Forebay) -> Option<String> {
    let all: Value = serde_json::from_slice(&ask(forebay, "/api/destinations").await.body).unwrap();
    let failing = &all["destinations"][0]["functions"][0]["failing"];
    Some(format!("{}: {}", failing["shown"].as_str()?, failing["what"].as_str()?))
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_a_source_whose_external_id_is_refused_wait_until_the_role_trusts_it() {
    let Some(aws) = Ministack::start().await else { return };
    let (user, role) = invoker(&aws).await;
    let server = ScriptedHttp::elsewhere(lambda).await;
    let lines = lambda_lines(&server.url(), &format!("function = \"{TRACK}\"\nrole_arn = \"{role}\""));
    let url = aws.recorder.url();
    let setup = Setup::serve(
        &format!("sts_endpoint_url = \"{url}\"\nendpoint_url = \"{url}\"\npath_style = true"),
        &lines,
    );
    let listens = "[collector]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[spool]\n\
                   unsafe_filesystem = true\n";
    let text = fs::read_to_string(&setup.file).unwrap().replacen("[spool]\n", listens, 1);
    fs::write(&setup.file, text).unwrap();
    let forebay = Forebay::serve(&setup.file, &user.credentials()).await;
    let call = async |source: &str| {
        let body =
            json!({ "batch": [{ "type": "track", "event": "e", "userId": "u", "messageId": source }] });
        let answer = Caller::new().post(&forebay, source, body.to_string()).await.unwrap();
        assert!(is_accepted(&answer), "{answer:?}");
    };
    let invoked = async |source: &str, what: &str| {
        let request = wait::until(what, PATIENCE, async || {
            let is_own = |call: &Value| call["messageId"] == source;
            let mut all = server.requests().into_iter();
            all.find(|request| serde_json::from_slice(&request.body).is_ok_and(|call| is_own(&call)))
        })
        .await;
        assert!(request.header("x-amz-security-token").is_some(), "the session of the role");
    };
    call("web").await;
    invoked("web", "the call of the trusted source").await;
    call("ios").await;
    let said = wait::until("the refusal to be shown", PATIENCE, async || failing(&forebay).await).await;
    assert!(said.starts_with("Invalid Credentials"), "{said}");
    aws.trust(
        "invoker",
        &policy(json!([
            trust(&user, Some("web"))["Statement"][0],
            trust(&user, Some("ios"))["Statement"][0],
        ])),
    )
    .await;
    invoked("ios", "the call that waited").await;
}
