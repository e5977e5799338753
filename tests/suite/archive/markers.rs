//! Markers prove the ends of days.

use forebay::runtime::SystemClock;
use forebay::time::{Clock, UnixMillis};
use serde_json::json;

use super::support::{Chain, DAY, DAY_MS, Lake, Made};

const NONE: [&str; 0] = [];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_is_closed_when_every_spool_that_wrote_to_it_has_a_marker() {
    let lake = Lake::start().await;
    let mut a = Chain::new("web", 'a', DAY);
    let of_a = [a.object(2), a.object(2)];
    let mut b = Chain::new("web", 'b', DAY);
    let of_b = [b.object(1)];
    lake.put_all(&of_a).await;
    lake.put_all(&of_b).await;
    let said = lake.verify(&["--json"]).await;
    assert_eq!(
        (said.findings(), said.days()),
        (vec![], vec!["web 2015-05-27 open".to_owned()]),
        "the bucket has no markers"
    );

    lake.put(&a.marker(&of_a)).await;
    let said = lake.verify(&["--json"]).await;
    assert_eq!(said.findings(), ["no_marker"], "years later one of two markers is missing");
    let unclosed = &said.json()["days"][0]["unclosed"];
    assert_eq!(unclosed, &json!([{"node": "node-b", "spool": "b".repeat(32)}]));

    lake.put(&b.marker(&of_b)).await;
    let said = lake.verify(&["--json"]).await;
    assert_eq!((said.findings(), said.days()), (vec![], vec!["web 2015-05-27 closed".to_owned()]));

    // An object that was added after the day was closed.
    let late = a.object(1);
    lake.put(&late).await;
    assert_eq!(lake.verify(&["--json"]).await.findings(), ["marker_differs"]);
    lake.delete(&late.key).await;
    for made in of_a.iter().chain(&of_b) {
        lake.delete(&made.key).await;
    }
    assert_eq!(lake.verify(&["--json"]).await.findings(), ["missing 1-6", "missing 1-1"], "everything");
    lake.put_all(&of_b).await;
    lake.put_all(&of_a).await;
    let mut torn = a.marker(&of_a);
    torn.body.truncate(40);
    lake.put(&torn).await;
    assert_eq!(lake.verify(&["--json"]).await.findings(), ["marker"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_that_vanished_with_its_marker_is_found() {
    let lake = Lake::start().await;
    let mut chain = Chain::new("web", 'a', DAY);
    let mut days = Vec::new();
    for nth in 0..3 {
        let objects = vec![chain.object(2), chain.object(1)];
        let marker = if nth == 0 {
            chain.marker(&objects)
        } else {
            chain.marker_after(DAY + (nth - 1) * DAY_MS, &objects)
        };
        days.push([objects, vec![marker]].concat());
        chain = chain.next_day();
    }
    // Another spool also has these days.
    let mut other = Chain::new("web", 'b', DAY + DAY_MS);
    let of_other = other.object(1);
    lake.put_all(&[of_other.clone(), other.marker(&[of_other])]).await;
    for day in &days {
        lake.put_all(day).await;
    }
    let findings = async |rest: &[&str]| lake.verify(&[&["--json"], rest].concat()).await.findings();
    assert_eq!(findings(&[]).await, NONE);

    let delete = async |day: &[Made]| {
        for made in day {
            lake.delete(&made.key).await;
        }
    };
    delete(&days[1]).await;
    let said = lake.verify(&["--json"]).await;
    assert_eq!(said.findings(), ["day_missing"]);
    assert_eq!(said.code, Some(1));
    let found = &said.json()["days"][2]["findings"][0];
    assert_eq!(found["spool"], "a".repeat(32));
    assert_eq!(found["day"], DAY + DAY_MS);
    assert_eq!(findings(&["--from", "2015-05-29"]).await, NONE, "earlier days are not selected");

    delete(&days[0]).await;
    assert_eq!(findings(&[]).await, NONE, "the oldest days expire");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_before_markers_or_not_yet_over_is_open_without_a_finding() {
    let lake = Lake::start().await;
    let UnixMillis(today) = SystemClock::new().wall().day().start();
    let mut a = Chain::new("web", 'a', today - 3 * DAY_MS);
    lake.put(&a.object(1)).await;
    let mut b = a.next_day();
    let closed = [b.object(1)];
    lake.put_all(&closed).await;
    lake.put(&b.marker(&closed)).await;
    let mut c = Chain::new("web", 'a', today);
    lake.put(&c.object(1)).await;
    let said = lake.verify(&["--json"]).await;
    assert_eq!(said.findings(), NONE);
    let states: Vec<&str> = vec!["open", "closed", "open"];
    assert!(said.days().iter().zip(states).all(|(day, state)| day.ends_with(state)), "{:?}", said.days());
    let text = lake.verify(&[]).await;
    assert!(text.out.contains("note: 1 open day is from before the first marker"), "{text:?}");
    assert!(text.out.contains("is open: no marker yet from node node-a"), "{text:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_moved_away_and_back_is_proved_only_by_its_marker() {
    let lake = Lake::start().await;
    let mut chain = Chain::new("web", 'a', DAY);
    let first = chain.object(2);
    let mut back = chain.object(2);
    back.metadata.remove("forebay-previous-last-position");
    let objects = [first, back];
    lake.put_all(&objects).await;
    assert_eq!(lake.verify(&["--json"]).await.findings(), ["begins_again 5-6"]);
    lake.put(&chain.marker(&objects)).await;
    assert_eq!(lake.verify(&["--json"]).await.findings(), NONE);
}
