//! What the admin listener shows of deliveries and of the archive.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use super::support::{Caller, PATIENCE, Rig, ask};
use crate::support::forebay::{Forebay, command, finished};
use crate::support::tcp_proxy::Link;
use crate::support::wait;

/// How much of the list a crash may take: the second between two writes, and the writes themselves on a busy
/// machine.
const LOST_AT_CRASH: Duration = Duration::from_secs(5);

/// The answer of the admin listener, which must be 200.
async fn shown(forebay: &Forebay, path: &str) -> Value {
    let answer = ask(forebay, path).await;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert_eq!(answer.status, StatusCode::OK, "{path}: {text}");
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
}

/// The status and the code of a refusal.
async fn refused(forebay: &Forebay, path: &str) -> (u16, String) {
    let answer = ask(forebay, path).await;
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    (answer.status.as_u16(), body["code"].as_str().unwrap_or_default().to_owned())
}

/// Waits until at least `count` objects are listed as delivered, and returns the answer.
async fn listed(forebay: &Forebay, count: usize) -> Value {
    wait::until(&format!("{count} listed objects"), PATIENCE, async || {
        let answer = shown(forebay, "/api/deliveries?limit=500").await;
        (answer["delivered"].as_array().unwrap().len() >= count).then_some(answer)
    })
    .await
}

#[tokio::test]
async fn a_delivered_object_is_listed_counted_and_read_back() {
    let rig = Rig::start(&["lake"]).await;
    let mut settings = rig.settings(&["web", "ios"]);
    settings.s3 = settings.s3.replace("\"lake\"", "\"lake/raw\"");
    let forebay = settings.serve().await;
    let none = shown(&forebay, "/api/deliveries").await;
    assert_eq!((&none["delivered"], &none["pending_total"]), (&json!([]), &json!(0)));
    assert_eq!(none["listed_since_ms"], Value::Null);

    let mut caller = Caller::new();
    caller.send(&forebay, "web", 25, 0).await;
    let answer = listed(&forebay, 1).await;
    let object = &answer["delivered"][0];
    assert_eq!(
        (&object["source"], &object["stream"], &object["calls"]),
        (&json!("web"), &json!("calls"), &json!(25))
    );
    assert_eq!((&object["bucket"], &object["reason"]), (&json!("lake/raw"), &json!("age")));
    assert_eq!(object["encryption"]["algorithm"], "AES256", "{object}");
    assert!(object["put_ms"].is_u64() && object["seconds_to_deliver"].as_u64() >= Some(1), "{object}");
    let key = object["key"].as_str().unwrap().to_owned();
    let stored = rig.bucket("lake").object(&key).await;
    assert_eq!(object["bytes"], stored.body.len());
    assert!(answer["listed_since_ms"].is_i64() && answer["missing"]["problem"].is_null(), "{answer}");

    let archive = shown(&forebay, "/api/archive").await;
    let day = &archive["days"][0];
    assert_eq!((&day["objects"], &day["calls"], &day["bytes"]), (&json!(1), &json!(25), &object["bytes"]));
    assert_eq!(
        (&day["state"], &day["day_ms"], &archive["days_total"]),
        (&json!("open"), &object["day_ms"], &json!(1))
    );
    assert_eq!(archive["places"]["ios"]["bucket"], "lake/raw");
    assert_eq!(archive["places"]["web"]["endpoint_url"], rig.link.url);
    assert_eq!(shown(&forebay, "/api/archive?source=ios").await["days"], json!([]));

    let of_day = format!("source=web&day={}", object["day_ms"]);
    for (from, told) in [("list", "calls"), ("bucket", "last_modified_ms")] {
        let objects = shown(&forebay, &format!("/api/archive/objects?{of_day}&from={from}")).await;
        let only = &objects["objects"][0];
        assert_eq!(
            (&only["key"], &only["bytes"], &only["calls"]),
            (&json!(key), &object["bytes"], &json!(25))
        );
        assert!(only[told].is_i64() && objects["next"].is_null() && objects["denied"].is_null(), "{objects}");
        let after = format!("/api/archive/objects?{of_day}&from={from}&after={key}");
        assert_eq!(shown(&forebay, &after).await["objects"], json!([]));
    }

    let peek = shown(&forebay, &format!("/api/archive/peek?source=web&key={key}")).await;
    let lines = peek["lines"].as_array().unwrap();
    assert_eq!((lines.len(), &peek["more"], &peek["masked"]), (20, &json!(true), &json!(true)), "{peek}");
    assert_eq!((&lines[0]["event"], &lines[0]["userId"]), (&json!("e"), &json!("[hidden]")));
    let check = async |source: &str, key: &str, status: u16, code: &str| {
        let path = format!("/api/archive/peek?source={source}&key={key}");
        assert_eq!(refused(&forebay, &path).await, (status, code.to_owned()), "{path}");
    };
    check("ios", &key, 400, "bad_key").await;
    check("other", &key, 404, "unknown_source").await;
    check("web", &key.replace("raw/", "raw/../raw/"), 400, "bad_key").await;
    check("web", &key.replace("raw/", ""), 400, "bad_key").await;
    check("web", &key.replace("/web/", "/web/../ios/"), 400, "bad_key").await;
    check("web", &key.replace(".gz", ".txt"), 400, "bad_key").await;
    check("web", "raw/segment-logs/", 400, "bad_key").await;
    check("web", &key.replace("01.gz", "99.gz"), 404, "no_object").await;

    assert!(forebay.terminate().await.success());
    let verified = command_of_spool("verify", &settings.spool_dir()).await;
    assert_eq!(verified, Some(0), "the tools of the spool accept the list");
    assert_eq!(command_of_spool("inspect", &settings.spool_dir()).await, Some(0));
    let forebay = settings.serve().await;
    assert_eq!(listed(&forebay, 1).await["delivered"][0]["key"], key);
    assert!(forebay.terminate().await.success());
}

async fn command_of_spool(verb: &str, dir: &std::path::Path) -> Option<i32> {
    let mut command = command();
    command.args(["spool", verb]).arg(dir);
    finished(&mut command).await.status.code()
}

#[tokio::test]
async fn an_outage_shows_what_waits_why_and_since_when_until_it_is_over() {
    let rig = Rig::start(&["lake"]).await;
    let forebay = rig.settings(&["web"]).serve().await;
    rig.link.set(Link::Cut);
    let mut caller = Caller::new();
    caller.send(&forebay, "web", 3, 0).await;
    let waiting = wait::until("an object that waits for its next try", PATIENCE, async || {
        let answer = shown(&forebay, "/api/deliveries?source=web").await;
        (answer["pending"][0]["state"] == "waiting").then_some(answer)
    })
    .await;
    let object = &waiting["pending"][0];
    assert_eq!(
        (&waiting["pending_total"], &object["calls"], &object["sealed"]),
        (&json!(1), &json!(3), &json!(true))
    );
    assert_eq!((&object["class"], &object["bucket"]), (&json!("transient"), &json!("lake")));
    assert!(object["error"].as_str().unwrap().starts_with("put segment-logs/web/"), "{object}");
    let (since, next) = (object["since_ms"].as_i64().unwrap(), object["next_try_ms"].as_i64().unwrap());
    assert!(since <= next && object["tries"].as_u64() >= Some(1), "{object}");
    // The beginning stays while the tries go on.
    wait::until("a later try", PATIENCE, async || {
        let answer = shown(&forebay, "/api/deliveries").await;
        let object = &answer["pending"][0];
        assert_eq!(object["since_ms"], since, "{object}");
        (object["tries"].as_u64() >= Some(3)).then_some(())
    })
    .await;
    assert_eq!(shown(&forebay, "/api/deliveries?source=ios").await["pending"], json!([]));
    let key = object["key"].clone();
    rig.link.set(Link::Up);
    let healed = listed(&forebay, 1).await;
    assert_eq!((&healed["pending"], &healed["pending_total"]), (&json!([]), &json!(0)));
    assert_eq!(healed["delivered"][0]["key"], key);
    assert!(forebay.terminate().await.success());
}

#[tokio::test]
async fn a_crash_lists_no_object_twice_and_takes_at_most_the_last_of_the_list() {
    let rig = Rig::start(&["lake"]).await;
    let sources = ["a", "b", "c", "d", "e", "f"];
    let settings = rig.settings(&sources);
    let mut caller = Caller::new();
    let mut forebay = settings.serve().await;
    let mut killed = Vec::new();
    for _ in 0..2 {
        // Until the list is older than what a crash may take of it.
        let before = listed(&forebay, 0).await["delivered"].as_array().unwrap().len();
        let began = tokio::time::Instant::now();
        while began.elapsed() < LOST_AT_CRASH + Duration::from_secs(3) {
            for source in sources {
                caller.send(&forebay, source, 1, 0).await;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        listed(&forebay, before + 1).await;
        // In the middle of deliveries.
        caller.send(&forebay, "a", 1, 0).await;
        killed.push(now_ms());
        forebay.kill().await;
        forebay = settings.serve().await;
    }
    forebay.flush().await;
    let bucket = rig.bucket("lake");
    for source in sources {
        caller.all_arrive(&bucket, "", source).await;
    }
    let all: BTreeMap<String, i64> = {
        let page =
            bucket.client.list_objects_v2().bucket("lake").prefix("segment-logs/").send().await.unwrap();
        assert_ne!(page.is_truncated(), Some(true), "the test is for fewer objects");
        let object = |object: &aws_sdk_s3::types::Object| {
            (object.key().unwrap().to_owned(), object.last_modified().unwrap().to_millis().unwrap())
        };
        page.contents().iter().map(object).collect()
    };
    let mut keys: Vec<String> = Vec::new();
    let (mut before, mut last) = (i64::MAX, Value::Null);
    // The last deliveries are written within a second.
    wait::until("the last object in the list", PATIENCE, async || {
        (keys, before) = (Vec::new(), i64::MAX);
        loop {
            last = shown(&forebay, &format!("/api/deliveries?limit=500&before={before}")).await;
            let page = last["delivered"].as_array().unwrap();
            let Some(end) = page.last() else { break };
            before = end["delivered_at_ms"].as_i64().unwrap();
            keys.extend(page.iter().map(|object| object["key"].as_str().unwrap().to_owned()));
        }
        let listed: BTreeSet<&String> = keys.iter().collect();
        assert_eq!(listed.len(), keys.len(), "an object is listed twice");
        let missing = |at: &i64| {
            let lost = i64::try_from(LOST_AT_CRASH.as_millis()).unwrap();
            // Times of objects are in whole seconds.
            killed.iter().all(|killed| !(*at > killed - lost - 1_000 && *at <= killed + 1_000))
        };
        let unexplained = all.iter().find(|(key, at)| !listed.contains(key) && missing(at));
        unexplained.is_none().then_some(())
    })
    .await;
    assert!(keys.iter().all(|key| all.contains_key(key)), "an object is listed that is not in the bucket");
    let archive = shown(&forebay, "/api/archive").await;
    let sum: u64 =
        archive["days"].as_array().unwrap().iter().map(|day| day["objects"].as_u64().unwrap()).sum();
    assert_eq!(sum, keys.len() as u64, "the sums count each listed object once");
    assert!(forebay.terminate().await.success());
}

fn now_ms() -> i64 {
    use forebay::time::Clock as _;
    forebay::runtime::SystemClock::new().wall().0
}

#[tokio::test]
async fn a_damaged_list_stops_neither_a_start_nor_a_delivery() {
    let rig = Rig::start(&["lake"]).await;
    let settings = rig.settings(&["web"]);
    let mut caller = Caller::new();
    let forebay = settings.serve().await;
    caller.send(&forebay, "web", 1, 0).await;
    listed(&forebay, 1).await;
    assert!(forebay.terminate().await.success());
    let file = settings.spool_dir().join("deliveries.redb");
    // On a file that was cut the database panics.
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();

    let forebay = settings.serve().await;
    caller.send(&forebay, "web", 2, 0).await;
    caller.all_arrive(&rig.bucket("lake"), "", "web").await;
    let broken = wait::until("the reason", PATIENCE, async || {
        let answer = shown(&forebay, "/api/deliveries").await;
        answer["missing"]["problem"]
            .as_str()
            .is_some_and(|why| why.contains("deliveries.redb"))
            .then_some(answer)
    })
    .await;
    assert_eq!(broken["delivered"], json!([]));
    for path in ["/api/archive", "/api/archive/objects?source=web&day=0"] {
        assert!(shown(&forebay, path).await["missing"]["problem"].is_string(), "{path}");
    }
    assert_eq!(ask(&forebay, "/ready").await.status, StatusCode::OK);
    assert_eq!(
        forebay.log().matches("the list of deliveries cannot be kept").count(),
        1,
        "{}",
        forebay.log()
    );
    assert!(!forebay.log().contains("panicked"), "{}", forebay.log());
    // Its removal is enough, and what waited is listed.
    fs::remove_file(&file).unwrap();
    let again = listed(&forebay, 1).await;
    assert_eq!((&again["delivered"][0]["calls"], &again["missing"]["problem"]), (&json!(2), &Value::Null));
    assert!(forebay.terminate().await.success());
}
