//! The Rust `segment` crate. It leaves retries to its caller: it returns the error, and the caller decides
//! whether to retry.

use http::StatusCode;
use segment::message::{Batch, BatchMessage, Message};
use segment::{Client, HttpClient};
use serde_json::Value;
use serde_json::value::RawValue;

use super::conformance::{assert_calls, fresh, scenario};
use crate::support::fault_proxy::{Fault, FaultProxy};
use crate::support::json::Numbers;

fn client(url: &str) -> HttpClient {
    HttpClient::new(reqwest::Client::new(), url.to_owned())
}

/// The calls of a scenario, in the crate's own types.
fn messages(name: &str) -> Vec<BatchMessage> {
    scenario(name).iter().map(|call| message(call)).collect()
}

fn message(call: &RawValue) -> BatchMessage {
    let mut call: Value = serde_json::from_str(call.get()).expect("a call");
    // The crate cannot parse a call without this member.
    call.as_object_mut().expect("an object").entry("timestamp").or_insert(Value::Null);
    let mut message: BatchMessage = serde_json::from_value(call).expect("a call of the crate");
    let extra = match &mut message {
        BatchMessage::Identify(call) => &mut call.extra,
        BatchMessage::Track(call) => &mut call.extra,
        BatchMessage::Page(call) => &mut call.extra,
        BatchMessage::Screen(call) => &mut call.extra,
        BatchMessage::Group(call) => &mut call.extra,
        BatchMessage::Alias(call) => &mut call.extra,
    };
    // When it parses a call, the crate also puts the ids here, and would send them twice.
    extra.retain(|name, _| name == "category");
    message
}

fn single(message: BatchMessage) -> Message {
    match message {
        BatchMessage::Identify(call) => Message::Identify(call),
        BatchMessage::Track(call) => Message::Track(call),
        BatchMessage::Page(call) => Message::Page(call),
        BatchMessage::Screen(call) => Message::Screen(call),
        BatchMessage::Group(call) => Message::Group(call),
        BatchMessage::Alias(call) => Message::Alias(call),
    }
}

fn batch(batch: Vec<BatchMessage>) -> Message {
    Message::Batch(Batch { batch, integrations: None, context: None, extra: serde_json::Map::new() })
}

#[tokio::test]
async fn segment_crate_one_by_one() {
    let (forebay, _folder) = fresh().await;
    let client = client(&forebay.collector);
    for message in messages("all-calls") {
        client.send("singles".to_owned(), single(message)).await.expect("accepted");
    }
    forebay.flush().await;
    assert_calls(&scenario("all-calls"), &forebay.bucket().lines("singles").await, Numbers::AsWritten);
}

#[tokio::test]
async fn segment_crate_in_batches() {
    let (forebay, _folder) = fresh().await;
    let client = client(&forebay.collector);
    for name in ["all-calls", "audience"] {
        client.send(name.to_owned(), batch(messages(name))).await.expect("accepted");
    }
    forebay.flush().await;
    for name in ["all-calls", "audience"] {
        assert_calls(&scenario(name), &forebay.bucket().lines(name).await, Numbers::AsWritten);
    }
}

#[tokio::test]
async fn segment_crate_reports_a_fault_to_its_caller() {
    let (forebay, _folder) = fresh().await;
    let faults = [
        Fault::Status(StatusCode::INTERNAL_SERVER_ERROR),
        Fault::TooManyRequests,
        Fault::Status(StatusCode::BAD_REQUEST),
    ];
    let proxy = FaultProxy::start(&forebay.collector, faults).await;
    let client = client(&proxy.url);
    let message = || batch(messages("two-calls"));
    for fault in faults {
        let answer = client.send("faults".to_owned(), message()).await;
        assert!(answer.is_err(), "{fault:?} was reported as success");
    }
    client.send("faults".to_owned(), message()).await.expect("accepted");
    forebay.flush().await;
    assert_calls(&scenario("two-calls"), &forebay.bucket().lines("faults").await, Numbers::AsWritten);
}
