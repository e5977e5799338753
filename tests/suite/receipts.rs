//! Receipts as senders and operators see them: the header of an answer, the member of a line, and `forebay
//! receipt`.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do: by a panic that names the line"
)]

use std::collections::BTreeMap;

use bytes::Bytes;
use forebay::receipt::Receipt;
use forebay::sources::SourceId;
use http::{Request, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::serve::support::{CREDENTIALS, PATIENCE, Rig, Settings, ask, status};
use crate::support::forebay::{Forebay, command, finished};
use crate::support::http::{Answer, Http};
use crate::support::tcp_proxy::Link;
use crate::support::wait;

/// A batch becomes due only by a flush.
fn settings(rig: &Rig, receipts: bool) -> Settings {
    let mut settings = rig.settings(&["web", "ios"]);
    settings.flush = "max_age = \"1 h\"\non_shutdown = false".to_owned();
    settings.collector += &format!("\nreceipts = {receipts}");
    settings
}

fn call(id: &str) -> Value {
    json!({ "type": "track", "event": "e", "userId": "u", "messageId": id, "timestamp": "2015-05-27T00:00:00Z" })
}

async fn post(forebay: &Forebay, source: &str, calls: &[Value]) -> Answer {
    let url = format!("{}/v1/batch?writeKey={source}-key", forebay.collector);
    let answer = Http::new().post(&url, json!({ "batch": calls }).to_string()).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer
}

async fn get(url: &str) -> Answer {
    Http::new().send(Request::get(url).body(Full::<Bytes>::default()).unwrap()).await.unwrap()
}

fn header(answer: &Answer) -> Option<Receipt> {
    let header = answer.headers.get("forebay-receipt")?;
    Some(header.to_str().unwrap().parse().unwrap_or_else(|error| panic!("{header:?}: {error}")))
}

/// What a position of a receipt stands for: the id of a call, or the reason of a rejected item and a part of
/// it as sent.
#[derive(Clone, Copy, Debug)]
enum Sent {
    Call(&'static str),
    Rejected(&'static str, &'static str),
}

/// Receipts, and what they stand for.
#[derive(Debug, Default)]
struct Sender(Vec<(Receipt, Vec<Sent>)>);

impl Sender {
    async fn send(&mut self, forebay: &Forebay, source: &str, calls: &[Value], stored: &[Sent]) {
        self.take(source, &post(forebay, source, calls).await, stored);
    }

    fn take(&mut self, source: &str, answer: &Answer, stored: &[Sent]) {
        let Some(receipt) = header(answer) else {
            assert!(stored.is_empty(), "no receipt for {stored:?}");
            return;
        };
        assert_eq!(receipt.source.as_str(), source);
        assert_eq!(receipt.positions(), stored.len() as u64, "{receipt} for {stored:?}");
        self.0.push((receipt, stored.to_vec()));
    }
}

#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    /// What is reported for each position.
    fn positions(&self) -> BTreeMap<u64, Value> {
        let json: Value = serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        let all = json["positions"].as_array().unwrap().iter();
        all.flat_map(|entry| {
            let (first, last) = (entry["first"].as_u64().unwrap(), entry["last"].as_u64().unwrap());
            (first..=last).map(|position| (position, entry.clone()))
        })
        .collect()
    }
}

/// Runs `forebay receipt` with the configured bucket.
async fn look(settings: &Settings, admin: &str, receipt: &str, rest: &[&str]) -> Said {
    let mut command = command();
    command.args(["receipt", receipt, "--admin", admin, "--config"]).arg(settings.write()).args(rest);
    command.envs(CREDENTIALS);
    let output = finished(&mut command).await;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Checks that each position is pending, in the right stream and with its reason.
async fn all_pending(settings: &Settings, forebay: &Forebay, sender: &Sender) {
    for (receipt, stored) in &sender.0 {
        let said = look(settings, &forebay.console, &receipt.to_string(), &["--json"]).await;
        assert_eq!(said.code, Some(0), "{said:?}");
        let positions = said.positions();
        for (position, sent) in (receipt.first..).zip(stored) {
            let told = &positions[&position];
            assert_eq!(
                (&told["state"], &told["collector"]["state"]),
                (&json!("on_its_way"), &json!("pending"))
            );
            match sent {
                Sent::Call(_) => assert_eq!(told["collector"]["stream"], "calls", "{told}"),
                Sent::Rejected(reason, _) => {
                    assert_eq!(
                        (&told["collector"]["stream"], &told["collector"]["reason"]),
                        (&json!("rejected"), &json!(reason))
                    );
                }
            }
        }
    }
}

/// Checks that each position is in the named line, and that this line is what was sent.
async fn all_delivered(rig: &Rig, settings: &Settings, admin: &str, sender: &Sender) {
    let bucket = rig.bucket("lake");
    for (receipt, stored) in &sender.0 {
        let said = look(settings, admin, &receipt.to_string(), &["--json"]).await;
        assert_eq!(said.code, Some(0), "{said:?}");
        let positions = said.positions();
        assert_eq!(positions.len(), stored.len(), "{said:?}");
        for (position, sent) in (receipt.first..).zip(stored) {
            let told = &positions[&position];
            let object = bucket.object(told["key"].as_str().unwrap()).await;
            let number = usize::try_from(told["line"].as_u64().unwrap()).unwrap();
            let line: Value = serde_json::from_str(object.text().lines().nth(number - 1).unwrap()).unwrap();
            assert_eq!(line["forebayPosition"], format!("{position:020}"));
            assert_eq!(
                (&line["receivedAt"], &line["projectId"]),
                (&told["receivedAt"], &json!(receipt.source.as_str()))
            );
            match sent {
                Sent::Call(id) => {
                    assert_eq!(
                        (&told["state"], &told["messageId"]),
                        (&json!("delivered"), &json!(id)),
                        "{told}"
                    );
                    assert_eq!(line["messageId"], *id);
                }
                Sent::Rejected(reason, part) => {
                    assert_eq!(
                        (&told["state"], &told["reason"]),
                        (&json!("rejected"), &json!(reason)),
                        "{told}"
                    );
                    assert!(line["reason"] == *reason && line["value"].to_string().contains(part), "{line}");
                }
            }
        }
    }
}

/// Sends single calls, batches that include rejected items and repeats, and a pixel, alternating between two
/// sources.
async fn send_all(forebay: &Forebay, sender: &mut Sender) {
    use Sent::{Call, Rejected};
    let single = format!("{}/v1/track?writeKey=web-key", forebay.collector);
    let answer = Http::new().post(&single, call("web-1").to_string()).await.unwrap();
    sender.take("web", &answer, &[Call("web-1")]);
    let mixed =
        [call("ios-1"), json!(17), call("ios-2"), call("ios-1"), json!({ "userId": "lost" }), call("ios-3")];
    let stored = [
        Call("ios-1"),
        Rejected("not_an_object", "17"),
        Call("ios-2"),
        Rejected("missing_type", "lost"),
        Call("ios-3"),
    ];
    sender.send(forebay, "ios", &mixed, &stored).await;
    sender.send(forebay, "web", &[call("web-1"), call("web-2"), call("web-2")], &[Call("web-2")]).await;
    // All of these are repeats: nothing is stored, so there is no position.
    sender.send(forebay, "ios", &[call("ios-3"), call("ios-1")], &[]).await;
    sender.send(forebay, "web", &[], &[]).await;
    sender.send(forebay, "ios", &[json!("only this")], &[Rejected("not_an_object", "only this")]).await;
    let data = "eyJldmVudCI6ImUiLCJ1c2VySWQiOiJ1IiwibWVzc2FnZUlkIjoicGl4ZWwtMSIsIndyaXRlS2V5Ijoid2ViLWtleSJ9";
    let pixel = get(&format!("{}/v1/pixel/track?data={data}", forebay.collector)).await;
    sender.take("web", &pixel, &[Call("pixel-1")]);
    for n in 0..3 {
        let ids = [["web-a", "ios-a"], ["web-b", "ios-b"], ["web-c", "ios-c"]][n];
        sender.send(forebay, "web", &[call(ids[0])], &[Call(ids[0])]).await;
        sender.send(forebay, "ios", &[call(ids[1])], &[Call(ids[1])]).await;
    }
}

#[tokio::test]
async fn every_call_is_found_by_its_receipt_when_pending_delivered_and_after_a_kill() {
    let rig = Rig::start(&["lake"]).await;
    let settings = settings(&rig, true);
    let forebay = settings.serve().await;
    let mut sender = Sender::default();
    send_all(&forebay, &mut sender).await;
    all_pending(&settings, &forebay, &sender).await;
    forebay.kill().await;

    // The frames were copied into a new segment, and more follow them.
    let forebay = settings.serve().await;
    all_pending(&settings, &forebay, &sender).await;
    sender
        .send(&forebay, "web", &[call("web-d"), call("web-e")], &[Sent::Call("web-d"), Sent::Call("web-e")])
        .await;
    forebay.flush().await;
    all_delivered(&rig, &settings, &forebay.console, &sender).await;
    // A second object of the same day.
    sender
        .send(
            &forebay,
            "ios",
            &[call("ios-d"), json!([])],
            &[Sent::Call("ios-d"), Sent::Rejected("not_an_object", "[]")],
        )
        .await;
    forebay.flush().await;
    let nobody = forebay.console.clone();
    forebay.kill().await;

    // From the bucket alone.
    all_delivered(&rig, &settings, &nobody, &sender).await;
    let (receipt, _) = &sender.0[0];
    let said = look(&settings, &nobody, &receipt.to_string(), &[]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("delivered in s3://lake/segment-logs/web/"), "{said:?}");
    assert!(said.out.contains(": line 1, received 20") && said.out.contains("messageId web-1"), "{said:?}");
    assert!(said.out.contains("The collector's state is unknown: no collector answers at"), "{said:?}");

    let mut verify = command();
    verify.args(["verify", "lake", "--deep", "--config"]).arg(settings.write()).envs(CREDENTIALS);
    let verified = finished(&mut verify).await;
    assert!(verified.status.success(), "{verified:?}");
}

#[tokio::test]
async fn missing_positions_are_reported_as_missing() {
    let rig = Rig::start(&["lake"]).await;
    let settings = settings(&rig, true);
    let forebay = settings.serve().await;
    let receipt = header(&post(&forebay, "web", &[call("1"), call("2")]).await).unwrap();
    let other = header(&post(&forebay, "ios", &[call("3")]).await).unwrap();
    let of = async |receipt: &Receipt, admin: &str| look(&settings, admin, &receipt.to_string(), &[]).await;

    let beyond = Receipt { first: receipt.first + 1, last: receipt.first + 9, ..receipt.clone() };
    let said = of(&beyond, &forebay.console).await;
    assert_eq!((said.code, said.err.trim()), (Some(1), "forebay: 8 positions were not found"), "{said:?}");
    assert!(said.out.contains("pending in a batch of 2 lines since 20"), "{said:?}");
    assert!(
        said.out.contains(&format!("position {}: neither in the spool nor in an object", other.first)),
        "{said:?}"
    );
    assert!(
        said.out.contains(&format!(
            "positions {} to {}: the spool has not reached this position",
            other.first + 1,
            beyond.last
        )),
        "{said:?}"
    );

    let strange = Receipt { spool_id: "0123456789abcdef0123456789abcdef".to_owned(), ..receipt.clone() };
    let said = of(&strange, &forebay.console).await;
    assert!(said.code == Some(1) && said.out.contains("has another spool"), "{said:?}");

    forebay.flush().await;
    let key = rig.bucket("lake").keys("segment-logs/web/").await.remove(0);
    let said = of(&receipt, &forebay.console).await;
    assert!(said.code == Some(0) && said.out.contains(&format!("delivered in s3://lake/{key}")), "{said:?}");
    let api = format!("/api/receipt?receipt={receipt}");
    let told: Value = serde_json::from_slice(&ask(&forebay, &api).await.body).unwrap();
    assert_eq!(told["positions"][0]["state"], "not_here", "{told}");

    // First its gzip is damaged, then the object is deleted.
    let object = rig.bucket("lake").object(&key).await;
    let mut body = object.body.to_vec();
    let at = body.len() - 5;
    body[at] ^= 1;
    let lake = rig.bucket("lake");
    let put = lake.client.put_object().bucket("lake").key(&key).body(body.into());
    put.set_metadata(Some(object.metadata.clone().into_iter().collect())).send().await.unwrap();
    let said = of(&receipt, &forebay.console).await;
    assert!(said.code == Some(1) && said.out.contains(&format!("{key} is damaged: ")), "{said:?}");
    lake.client.delete_object().bucket("lake").key(&key).send().await.unwrap();
    let said = of(&receipt, &forebay.console).await;
    assert_eq!((said.code, said.err.trim()), (Some(1), "forebay: 2 positions were not found"), "{said:?}");

    let nobody = forebay.console.clone();
    assert!(forebay.terminate().await.success());
    let said = of(&receipt, &nobody).await;
    assert!(
        said.code == Some(1) && said.out.contains("whether a collector still holds it is unknown"),
        "{said:?}"
    );
    let said = look(&settings, &nobody, "42", &[]).await;
    assert!(said.code == Some(2) && said.err.contains("expected a receipt as in the header"), "{said:?}");
    let unknown = Receipt { source: SourceId::new("android").unwrap(), ..receipt };
    let said = of(&unknown, &nobody).await;
    assert!(said.code == Some(2) && said.err.contains("give --bucket"), "{said:?}");
}

#[tokio::test]
async fn positions_that_wait_for_their_bucket_are_reported_with_object_and_reason() {
    let rig = Rig::start(&["lake"]).await;
    let mut settings = settings(&rig, true);
    settings.flush = "max_age = \"1 s\"".to_owned();
    let forebay = settings.serve().await;
    rig.link.set(Link::Cut);
    let receipt = header(&post(&forebay, "web", &[call("1"), json!(17)]).await).unwrap();
    let waits = async || {
        let status = status(&forebay).await;
        let mut sources = status["sources"].as_array().unwrap().iter();
        sources.any(|source| source["waiting"].is_string()).then_some(())
    };
    wait::until("a put to fail", PATIENCE, waits).await;
    wait::until("both to be sealed", PATIENCE, async || {
        let said = look(&settings, &forebay.console, &receipt.to_string(), &["--json"]).await;
        assert_eq!(said.code, Some(0), "{said:?}");
        let sealed = said.positions().values().all(|told| told["collector"]["state"] == "sealed");
        sealed.then_some(())
    })
    .await;
    let said = look(&settings, &forebay.console, &receipt.to_string(), &[]).await;
    let rejected = format!("sealed, in delivery to s3://lake/segment-logs/_rejected/web/{}/", receipt.day);
    assert!(said.out.contains(&rejected) && said.out.contains("the last attempt failed: "), "{said:?}");
    assert!(said.out.contains(&format!("position {}: rejected, not_an_object", receipt.last)), "{said:?}");
    rig.link.set(Link::Up);
    wait::until("both to be delivered", PATIENCE, async || {
        let said = look(&settings, &forebay.console, &receipt.to_string(), &["--json"]).await;
        let states: Vec<Value> = said.positions().values().map(|told| told["state"].clone()).collect();
        (states == ["delivered", "rejected"]).then_some(())
    })
    .await;
    assert!(forebay.terminate().await.success());
}

#[tokio::test]
async fn without_receipts_there_is_no_header_and_no_member() {
    let rig = Rig::start(&["lake"]).await;
    let settings = settings(&rig, false);
    let forebay = settings.serve().await;
    let mut forged = call("1");
    forged["forebayPosition"] = json!("00000000000000000007");
    let answer = post(&forebay, "web", &[forged, json!(17)]).await;
    assert!(answer.headers.get("forebay-receipt").is_none(), "{answer:?}");
    assert_eq!(answer.headers["access-control-expose-headers"], "retry-after");
    forebay.flush().await;
    for object in rig.bucket("lake").objects("segment-logs/").await {
        assert!(!object.text().contains("forebayPosition"), "{}", object.text());
    }
    assert!(forebay.terminate().await.success());
}
