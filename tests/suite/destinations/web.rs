//! Functions behind a web address.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use forebay::destinations::class::Class;
use forebay::destinations::forward::Forward;
use forebay::destinations::invoke::{Invoke as _, Outgoing};
use forebay::destinations::settings::SecretText;
use forebay::destinations::web_function::WebFunction;
use forebay::runtime::SystemClock;
use serde_json::{Value, json};

use super::{Full, outgoing};
use crate::serve::support::{Caller, Rig};
use crate::support::http::is_accepted;
use crate::support::scripted_http::{Reply, ScriptedHttp};
use crate::support::wait::until;

fn call() -> Outgoing {
    outgoing("url", [("m", r#"{"type":"track"}"#.into())], false)
}

#[tokio::test]
async fn a_line_is_posted_and_the_answer_is_that_of_a_function() {
    let check = async |reply: Reply, expected: Result<(), (Class, &str)>| {
        let server = ScriptedHttp::elsewhere(move |_| reply.clone()).await;
        let function =
            WebFunction::new(format!("{}/in?x=1", server.url()), Duration::from_millis(500)).unwrap();
        let invoked = function.invoke(&call()).await;
        match (&invoked.result, expected) {
            (Ok(()), Ok(())) => {}
            (Err(failure), Err((class, said))) => {
                assert_eq!(failure.class, class, "{failure:?}");
                assert!(failure.what.full().contains(said), "{failure:?}");
            }
            other => panic!("{other:?}"),
        }
        server.requests().remove(0)
    };
    let request = check(Reply::status(204), Ok(())).await;
    assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/in?x=1"));
    assert_eq!(
        (request.header("content-type"), &request.body[..]),
        (Some("application/json"), &br#"{"type":"track"}"#[..])
    );
    let context = STANDARD.decode(request.header("x-amz-client-context").unwrap()).unwrap();
    assert!(String::from_utf8(context).unwrap().contains(r#""sourceId":"web""#));

    let answer = |status, headers: &[(&str, &str)], body: &str| {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Reply::Answer { status, headers, body: body.to_owned() }
    };
    check(answer(200, &[], &"x".repeat(500_000)), Ok(())).await;
    let thrown = answer(200, &[("x-amz-function-error", "Unhandled")], r#"{"errorMessage":"oh"}"#);
    check(thrown, Err((Class::ExecutionError, "oh"))).await;
    check(answer(500, &[], "Traceback"), Err((Class::Unavailable, "500: Traceback"))).await;
    check(answer(401, &[], ""), Err((Class::AccessDenied, "401: no reason was given"))).await;
    check(answer(422, &[], ""), Err((Class::BadRequest, "422"))).await;
    check(answer(429, &[("retry-after", "3")], ""), Err((Class::Throttled, "429"))).await;
    check(Reply::Hang, Err((Class::Timeout, "no answer within 500 ms"))).await;
    check(Reply::Close, Err((Class::Unanswered, ""))).await;
}

#[tokio::test]
async fn an_address_without_a_server_is_a_failure_of_the_network() {
    let function = |to: &str| WebFunction::new(to.to_owned(), Duration::from_secs(5)).unwrap();
    let failure = function("http://127.0.0.1:1/").invoke(&call()).await.result.unwrap_err();
    assert_eq!(failure.class, Class::Network, "{failure:?}");
    let failure = function("not an address").invoke(&call()).await.result.unwrap_err();
    assert_eq!(failure.class, Class::BadRequest, "{failure:?}");
}

/// It counted as a function that is too slow, so calls became dead letters after three tries instead of
/// waiting.
#[tokio::test]
async fn a_host_that_drops_packets_is_a_failure_of_the_network() {
    let full = Full::new();
    let function = WebFunction::new(full.url(), Duration::from_secs(1)).unwrap();
    let failure = function.invoke(&call()).await.result.unwrap_err();
    assert_eq!(failure.class, Class::Network, "{failure:?}");
}

/// It was called "Function Not Found", and did not say where to.
#[tokio::test]
async fn a_redirect_shows_its_status_and_target() {
    let check = async |status: u16, target: Option<&str>, said: &str| {
        let headers = target.map(|to| ("location".to_owned(), to.to_owned())).into_iter().collect();
        let reply = Reply::Answer { status, headers, body: "me@example.com".to_owned() };
        let server = ScriptedHttp::elsewhere(move |_| reply.clone()).await;
        let to = format!("{}/hooks/T0123456789ab", server.url());
        let function = WebFunction::new(to, Duration::from_secs(5)).unwrap();
        let failure = function.invoke(&call()).await.result.unwrap_err();
        assert_eq!(failure.class.slug(), "redirected", "{failure:?}");
        assert!(failure.what.full().starts_with(&format!("{status}: redirected to {said}")), "{failure:?}");
        assert!(failure.what.full().ends_with("; redirects are not followed"), "{failure:?}");
        assert!(failure.what.full().len() < 500, "{failure:?}");
    };
    let login = "https://me:secret@login.example.com:8443/x/me@example.com?user=me@example.com";
    check(302, Some(login), "https://login.example.com:8443/…").await;
    check(301, Some("/hooks/T0123456789ab/"), "the same address with a / at its end").await;
    check(308, Some("/me@example.com"), "another path of the same server").await;
    check(307, Some("other/me@example.com"), "another path of the same server").await;
    check(303, None, "no address").await;
    check(301, Some("http://:::"), "no address").await;
    check(302, Some("https://t0123456789AB.example.com/x"), "https://[hidden].example.com/…").await;
    check(302, Some(&format!("https://{}.example.com/", "x".repeat(5_000))), "https://xxx").await;
}

/// AWS's emulator answers 200 whatever becomes of the function (compared with the emulator, built from its
/// source): calls that the handler could not take counted as delivered.
#[tokio::test]
async fn what_the_runtime_emulator_of_aws_answers_is_understood() {
    const PATH: &str = "/2015-03-31/functions/function/invocations";
    let check = async |path: &str, status: u16, body: &str, batch: bool, expected: Result<(), Class>| {
        let reply = Reply::Answer { status, headers: Vec::new(), body: body.to_owned() };
        let server = ScriptedHttp::elsewhere(move |_| reply.clone()).await;
        let function = WebFunction::new(format!("{}{path}", server.url()), Duration::from_secs(5)).unwrap();
        let sent = outgoing("url", [("m", r#"{"type":"track","messageId":"m"}"#.into())], batch);
        let invoked = function.invoke(&sent).await;
        assert_eq!(invoked.result.map_err(|failure| failure.class), expected, "{path} {status} {body}");
    };
    let thrown =
        r#"{"errorMessage": "'event'", "errorType": "KeyError", "requestId": "1", "stackTrace": []}"#;
    let exited = r#"{"errorType":"Runtime.ExitError","errorMessage":"RequestId: 1 Error: exit status 3"}"#;
    for batch in [false, true] {
        check(PATH, 200, "null", batch, Ok(())).await;
        check(PATH, 200, r#"{"errorMessage": 1}"#, batch, Ok(())).await;
        check(PATH, 200, thrown, batch, Err(Class::ExecutionError)).await;
        check(PATH, 200, "Task timed out after 2.00 seconds", batch, Err(Class::Timeout)).await;
        check(PATH, 200, "\"Task timed out after 2.00 seconds\"", batch, Ok(())).await;
        check(PATH, 502, exited, batch, Err(Class::ExecutionError)).await;
        check(PATH, 502, "", batch, Err(Class::Unavailable)).await;
        check(PATH, 400, "", batch, Err(Class::Throttled)).await;
    }
    // Elsewhere an answer of 200 is a success, whatever it says.
    check("/in", 200, thrown, false, Ok(())).await;
    check("/in", 400, "", false, Err(Class::BadRequest)).await;
}

/// A header of 300 KB was kept, shown and logged.
#[tokio::test]
async fn ids_in_the_headers_of_an_answer_are_bounded() {
    for status in [200, 503] {
        let headers = ["x-request-id", "x-amz-executed-version"];
        let headers = headers.map(|name| (name.to_owned(), "x".repeat(20_000))).to_vec();
        let reply = Reply::Answer { status, headers, body: String::new() };
        let server = ScriptedHttp::elsewhere(move |_| reply.clone()).await;
        let invoked = WebFunction::new(server.url(), Duration::from_secs(5)).unwrap().invoke(&call()).await;
        assert!(invoked.request_id.is_some_and(|id| id.full().len() < 300));
        assert!(invoked.version.is_some_and(|version| version.full().len() < 300));
    }
}

/// What a server answers is shown to people and stored in dead letters.
#[tokio::test]
async fn a_server_that_sends_its_request_back_reveals_no_secret() {
    let echo = |said: String| Reply::Answer {
        status: 403,
        headers: vec![("x-request-id".to_owned(), said.clone())],
        body: format!("{}{said}", "x".repeat(900)),
    };
    let server = ScriptedHttp::elsewhere(move |request| {
        echo(format!("{} {:?}", request.target, request.header("authorization")))
    })
    .await;
    let timeout = Duration::from_secs(5);
    let function =
        WebFunction::new(format!("{}/hooks/T0123456789ab?code=s3cret", server.url()), timeout).unwrap();
    let key = SecretText("their-key".to_owned());
    let forward = Forward::new(&server.url(), &key, timeout, Arc::new(SystemClock::new())).unwrap();
    let by_function = function.invoke(&call()).await;
    let by_forward = forward.invoke(&outgoing("forward", [("a", "{}".into())], true)).await;
    for (invoked, secrets) in [
        (by_function, ["T0123456789ab".to_owned(), "s3cret".to_owned()]),
        (by_forward, ["their-key".to_owned(), STANDARD.encode("their-key:")]),
    ] {
        let (failure, id) = (invoked.result.unwrap_err(), invoked.request_id.unwrap());
        for shown in [failure.what.full(), id.full()] {
            assert!(shown.contains("[hidden]"), "{shown}");
            assert!(secrets.iter().all(|secret| !shown.contains(secret)), "{shown}");
        }
    }
}

#[tokio::test]
async fn calls_are_forwarded_to_another_endpoint_as_the_sdk_sent_them() {
    let server = ScriptedHttp::elsewhere(|_| Reply::status(200)).await;
    let key = SecretText("their-key".to_owned());
    let clock = Arc::new(SystemClock::new());
    let forward = Forward::new(&server.url(), &key, Duration::from_secs(5), clock).unwrap();
    let line = |id: &str| {
        json!({ "type": "track", "messageId": id, "timestamp": "2026-11-20T10:00:05.000Z",
            "originalTimestamp": "2026-11-20T10:00:00.000Z", "receivedAt": "2026-11-20T10:00:06.000Z" })
        .to_string()
    };
    let calls = [("a", line("a").into()), ("b", line("b").into())];
    assert_eq!(forward.invoke(&outgoing("forward", calls, true)).await.result, Ok(()));
    let request = &server.requests()[0];
    assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/v1/batch"));
    let basic = STANDARD.decode(request.header("authorization").unwrap().strip_prefix("Basic ").unwrap());
    assert_eq!(basic.unwrap(), b"their-key:");
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let sent =
        |id: &str| json!({ "type": "track", "messageId": id, "timestamp": "2026-11-20T10:00:00.000Z" });
    assert_eq!(body, json!({ "batch": [sent("a"), sent("b")] }));
    assert!(!format!("{forward:?}").contains("their-key"));
}

/// A call whose JSON is as long as this.
fn long_call(id: &str, bytes: usize) -> String {
    let call = |pad: &str| {
        format!(
            r#"{{"type":"track","event":"e","userId":"u","messageId":"{id}","properties":{{"pad":"{pad}"}}}}"#
        )
    };
    call(&"p".repeat(bytes - call("").len()))
}

/// Two collectors, the first of which forwards to the second. Returns the calls that the second stored, and
/// the ids of the dead letters of the first.
async fn forwarded(second_collector: &str, calls: &[String]) -> (BTreeMap<String, Value>, BTreeSet<String>) {
    let (here, there) = (Rig::start(&["lake"]).await, Rig::start(&["lake"]).await);
    let mut second = there.settings(&["web"]);
    second.collector = second_collector.to_owned();
    let second = second.serve().await;
    let mut first = here.settings(&["web"]);
    first.sources.last_mut().unwrap().1.push_str(&format!(
        "\n[[destination]]\nname = \"next\"\ntype = \"http\"\nforward = \"{}\"\nwrite_key = \"web-key\"\n",
        second.collector
    ));
    let first = first.serve().await;
    let body = calls.join(",");
    // As SDKs send it.
    let body = format!(r#"{{"batch":[{body}],"sentAt":"2026-11-20T10:00:02.000Z"}}"#);
    let answer = Caller::new().post(&first, "web", body).await.unwrap();
    assert!(is_accepted(&answer), "{answer:?}");
    let stored = async |rig: &Rig, prefix: &str, pointer: &str| {
        let objects = rig.bucket("lake").objects(prefix).await;
        let lines =
            objects.iter().flat_map(|object| object.text().lines().map(str::to_owned).collect::<Vec<_>>());
        let by_id = |line: String| {
            let line: Value = serde_json::from_str(&line).unwrap();
            (line.pointer(pointer).unwrap().as_str().unwrap().to_owned(), line)
        };
        lines.map(by_id).collect::<BTreeMap<_, _>>()
    };
    until("each call to be there, or a dead letter here", Duration::from_secs(60), async || {
        first.flush().await;
        second.flush().await;
        let arrived = stored(&there, "segment-logs/web/", "/messageId").await;
        let dead = stored(&here, "segment-logs/_dlq/next/web/", "/call/messageId").await;
        (arrived.len() + dead.len() >= calls.len()).then(|| (arrived, dead.into_keys().collect()))
    })
    .await
}

#[tokio::test]
async fn what_one_collector_took_the_next_takes_too_and_what_it_refuses_becomes_a_dead_letter() {
    let lengths = [100, 32_600, 32_620, 32_700, 32_767, 32_768];
    let ids: Vec<String> = lengths.iter().map(|bytes| format!("m{bytes}")).collect();
    let calls: Vec<String> = ids.iter().zip(lengths).map(|(id, bytes)| long_call(id, bytes)).collect();
    let (arrived, dead) = forwarded("", &calls).await;
    assert_eq!((arrived.into_keys().collect(), dead), (ids.clone(), BTreeSet::new()));
    let (arrived, dead) = forwarded("max_event = \"10 KiB\"", &calls).await;
    assert_eq!(
        (arrived.into_keys().collect(), dead),
        (ids[..1].to_vec(), ids[1..].iter().cloned().collect())
    );
}

/// The client's own address and agent were left out of a call that the collector's members made too long.
#[tokio::test]
async fn a_long_call_arrives_with_the_context_of_its_client() {
    let context = r#"{"campaign":{"n":1.50},"ip":"203.0.113.7","userAgent":"own"}"#;
    let with_context = |id: &str, bytes: usize, rest: &str| {
        let rest = format!(r#","context":{context}{rest}}}"#);
        let call = long_call(id, bytes + 1 - rest.len());
        format!("{}{rest}", call.strip_suffix('}').unwrap())
    };
    let client = r#","channel":"client""#;
    let calls = [
        with_context("short", 1_000, client),
        with_context("long", 32_768, client),
        with_context("of-a-server", 32_768, ""),
        with_context("timed", 32_768, r#","timestamp":"2026-11-20T10:00:00.000Z""#),
    ];
    assert_eq!(calls[1].len(), 32_768);
    let (arrived, dead) = forwarded("", &calls).await;
    assert_eq!((arrived.len(), dead), (calls.len(), BTreeSet::new()));
    for call in calls.iter().map(|call| serde_json::from_str::<Value>(call).unwrap()) {
        let line = &arrived[call["messageId"].as_str().unwrap()];
        assert_eq!((&line["context"], &line["properties"]), (&call["context"], &call["properties"]));
        assert_eq!(line["channel"], if call["channel"] == "client" { "client" } else { "server" });
    }
    assert_eq!(arrived["timed"]["originalTimestamp"], "2026-11-20T10:00:00.000Z");
}
