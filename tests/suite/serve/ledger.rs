//! The ledger of the real program: every call is accounted for, also after kills.

use serde_json::{Value, json};

use super::support::{Rig, ask, status};
use crate::support::forebay::{Forebay, run};
use crate::support::http::{Http, is_accepted};

async fn post(forebay: &Forebay, source: &str, body: &Value) {
    let url = format!("{}/v1/batch?writeKey={source}-key", forebay.collector);
    let answer = Http::new().post(&url, body.to_string()).await.unwrap();
    assert!(is_accepted(&answer), "{answer:?}");
}

async fn ledger(forebay: &Forebay, query: &str) -> Value {
    let answer = ask(forebay, &format!("/api/ledger{query}")).await;
    serde_json::from_slice(&answer.body).unwrap()
}

/// The nonzero counts of an object, by name.
fn counts(of: &Value) -> Value {
    let all = of.as_object().unwrap().iter();
    all.filter(|(_, count)| count.as_u64().is_some_and(|count| count > 0))
        .map(|(name, count)| (name.clone(), count.clone()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn five_calls() -> Value {
    let call = |n: u32| json!({ "type": "track", "event": "e", "userId": "u", "messageId": format!("m{n}") });
    json!({ "batch": (0..5).map(call).collect::<Vec<_>>() })
}

#[tokio::test]
async fn the_ledger_survives_a_kill() {
    let rig = Rig::start(&["lake"]).await;
    let mut settings = rig.settings(&["web", "ios"]);
    settings.flush = "max_age = \"1 h\"".to_owned();
    let forebay = settings.serve().await;
    let none = ledger(&forebay, "").await;
    assert_eq!((&none["balanced"], &none["sources"]), (&json!(true), &json!([])));
    post(&forebay, "web", &five_calls()).await;
    post(&forebay, "web", &five_calls()).await;
    let expected = json!({ "received": 10, "stored": 5, "repeated": 5, "pending": 5 });
    let before = ledger(&forebay, "").await;
    assert_eq!(counts(&before["totals"]), expected, "{before}");
    forebay.kill().await;

    let forebay = settings.serve().await;
    let after = ledger(&forebay, "").await;
    assert_eq!(counts(&after["totals"]), expected, "{after}");
    assert_eq!(after, before, "hour by hour");
    // A block with only repeats, then one with only rejected items, and another kill.
    post(&forebay, "web", &five_calls()).await;
    post(&forebay, "ios", &json!({ "batch": [17, { "type": "nothing known", "userId": "u" }] })).await;
    forebay.kill().await;

    let forebay = settings.serve().await;
    let web = json!({ "received": 15, "stored": 5, "repeated": 10, "pending": 5 });
    let ios = json!({ "received": 2, "rejected": 2, "rejected_pending": 2 });
    let all = ledger(&forebay, "").await;
    assert_eq!(all["balanced"], true, "{all}");
    let sources = all["sources"].as_array().unwrap();
    let of = |name: &str| sources.iter().find(|source| source["source"] == name).unwrap();
    assert_eq!((counts(&of("web")["totals"]), counts(&of("ios")["totals"])), (web.clone(), ios));
    assert_eq!(counts(&of("web")["earlier"]), json!({}));
    let hours = of("web")["hours"].as_array().unwrap();
    assert!(hours.iter().all(|hour| hour["hour"].as_str().unwrap().ends_with(":00:00.000Z")), "{all}");
    let sum = |name: &str| hours.iter().map(|hour| hour[name].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("received"), sum("stored"), sum("repeated")), (15, 5, 10), "{all}");
    let only = ledger(&forebay, "?source=web").await;
    assert_eq!((counts(&only["totals"]), only["sources"].as_array().unwrap().len()), (web, 1));
    assert_eq!(ask(&forebay, "/api/ledger?source=nobody").await.status, 404);
    assert_eq!(ask(&forebay, "/api/ledger?hour=1").await.status, 400);

    forebay.flush().await;
    let delivered = ledger(&forebay, "?source=web").await;
    let expected = json!({ "received": 15, "stored": 5, "repeated": 10, "delivered": 5 });
    assert_eq!(counts(&delivered["totals"]), expected);
    let short = &status(&forebay).await["ledger"];
    assert_eq!((&short["balanced"], &short["totals"]["rejected_delivered"]), (&json!(true), &json!(2)));
    let said = run(&["status", "--admin", &forebay.console]).await;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let line = "ledger   since the spool was made: 17 received = 5 stored + 2 rejected + 10 repeated; 5 stored = 5 delivered + 0 pending + 0 lost: balanced\n";
    assert!(said.contains(line), "{said}");
    let metrics = String::from_utf8(ask(&forebay, "/metrics").await.body.to_vec()).unwrap();
    for line in [
        r#"forebay_ledger_calls{source="web",account="repeated"} 10"#,
        r#"forebay_ledger_calls{source="web",account="delivered"} 5"#,
        r#"forebay_ledger_calls{source="ios",account="pending"} 0"#,
        "forebay_ledger_difference 0",
        r#"forebay_alarm{kind="ledger"} 0"#,
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
    }
    assert!(forebay.terminate().await.success());
}
