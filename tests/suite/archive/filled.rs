//! A bucket filled by the program: it is sound, and each change to it is detected.

use std::collections::BTreeMap;

use forebay::object::{BucketString, ParsedObjectKey, Stream};
use forebay::time::UnixMillis;
use serde_json::json;

use super::support::{Made, Said, marker, put, verify_at};
use crate::support::bucket::Bucket;
use crate::support::forebay::{Flush, Forebay};
use crate::support::http::Http;

/// Deliveries only on request.
const NEVER: Flush = Flush { age: "1h", bytes: "100MB" };
const BUCKET: &str = "forebay";

/// The program with three objects of `web`, one of `ios` and one of rejected items of `web`.
struct Filled {
    forebay: Forebay,
    bucket: Bucket,
    _folder: tempfile::TempDir,
    /// Every object, by key.
    objects: BTreeMap<String, Made>,
}

impl Filled {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let forebay = Forebay::dev(folder.path(), NEVER).await;
        let http = Http::new();
        for round in 0..3 {
            for number in 0..5 {
                let call = |id: &str| json!({"type": "track", "event": "e", "userId": "u", "messageId": format!("{id}-{round}-{number}"), "timestamp": "2026-01-01T00:00:00Z"});
                let mut calls = vec![call("a"), call("b")];
                if round == 0 {
                    calls.push(json!({"type": "nothing that is known"}));
                    assert!(http.track(&forebay.collector, "ios", &json!({"batch": [call("i")]})).await);
                }
                assert!(http.track(&forebay.collector, "web", &json!({ "batch": calls })).await);
            }
            forebay.flush().await;
        }
        let bucket = forebay.bucket();
        let objects = bucket.objects("segment-logs/").await.into_iter().map(|object| {
            let made =
                Made { key: object.key.clone(), metadata: object.metadata, body: object.body.to_vec() };
            (object.key, made)
        });
        let objects = objects.collect();
        Self { forebay, bucket, _folder: folder, objects }
    }

    async fn verify(&self, rest: &[&str]) -> Said {
        verify_at(&self.forebay.s3, ["forebay", "forebay-secret"], BUCKET, rest).await
    }

    /// The objects with calls of `web`, in order, with the positions of each.
    fn web(&self) -> Vec<(Made, u64, u64)> {
        let of = |made: &Made| {
            let number = |name: &str| made.metadata[name].parse().unwrap();
            (made.clone(), number("forebay-first-position"), number("forebay-last-position"))
        };
        let mut web: Vec<_> =
            self.objects.values().filter(|made| made.key.starts_with("segment-logs/web/")).map(of).collect();
        web.sort_by_key(|(_, first, _)| *first);
        web
    }

    async fn put(&self, made: &Made) {
        put(&self.bucket, BUCKET, made).await;
    }

    async fn delete(&self, key: &str) {
        self.bucket.client.delete_object().bucket(BUCKET).key(key).send().await.unwrap();
    }

    /// A marker for every day in the bucket.
    fn markers(&self) -> Vec<Made> {
        let mut chains: BTreeMap<(String, i64, String, String), Vec<Made>> = BTreeMap::new();
        for made in self.objects.values() {
            let at = ParsedObjectKey::of(&BucketString::parse(BUCKET).unwrap(), &made.key).unwrap();
            let UnixMillis(day) = at.day.start();
            chains.entry((at.source.to_string(), day, at.node, at.spool_id)).or_default().push(made.clone());
        }
        chains
            .iter()
            .map(|((source, day, node, spool), objects)| marker(source, *day, node, spool, objects))
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_filled_by_the_program_is_sound_and_each_change_is_detected() {
    let filled = Filled::new().await;
    assert_eq!(filled.objects.len(), 5, "{:?}", filled.objects.keys());
    for deep in [&["--json"][..], &["--json", "--deep"]] {
        let said = filled.verify(deep).await;
        assert_eq!(said.findings(), [""; 0], "{said:?}");
        let totals = &said.json()["totals"];
        assert_eq!(
            (&totals["calls"]["calls"], &totals["rejected"]["calls"]),
            (&json!(35), &json!(5)),
            "{totals}"
        );
        assert_eq!((&totals["open"], &totals["closed"]), (&json!(2), &json!(0)));
    }
    let text = filled.verify(&["--deep"]).await;
    assert_eq!((text.code, text.err.as_str()), (Some(0), ""), "{text:?}");
    assert!(
        text.out.contains("note: the ends of days cannot be proved")
            && text.out.contains("\nsound: 5 objects of 2 days")
    );

    let web = filled.web();
    let [(first, _, first_last), (middle, _, middle_last), (last, last_first, last_last)] = &web[..] else {
        panic!("{web:?}")
    };
    let shallow = async || filled.verify(&["--json"]).await.findings();
    let deep = async || filled.verify(&["--json", "--deep"]).await.findings();

    filled.delete(&first.key).await;
    assert_eq!(shallow().await, [format!("missing 0-{first_last}")]);
    filled.put(first).await;
    filled.delete(&middle.key).await;
    assert_eq!(shallow().await, [format!("missing {}-{middle_last}", first_last + 1)]);
    let text = filled.verify(&[]).await;
    assert!(
        text.out.starts_with("missing: web 20") && text.out.contains("NOT SOUND: 1 finding in 4 objects"),
        "{text:?}"
    );
    assert!(text.code == Some(1) && text.err == "forebay: 1 finding in forebay\n", "{text:?}");
    filled.put(middle).await;
    filled.delete(&last.key).await;
    assert_eq!(shallow().await, [""; 0], "without a marker the last object of a day is not missed");

    for made in filled.markers() {
        filled.put(&made).await;
    }
    assert_eq!(shallow().await, [format!("missing {}-{last_last}", middle_last + 1)]);
    filled.put(last).await;
    let said = filled.verify(&["--json"]).await;
    assert_eq!((said.findings(), &said.json()["totals"]["closed"]), (vec![], &json!(2)), "{said:?}");

    // Different bytes with the same metadata: only reading the object finds this.
    let swapped = Made { body: first.body.clone(), ..middle.clone() };
    filled.put(&swapped).await;
    assert_eq!(shallow().await, [""; 0]);
    let found = deep().await;
    assert!(found[0].starts_with("content "), "{found:?}");
    let cut = Made { body: middle.body[..middle.body.len() - 9].to_vec(), ..middle.clone() };
    filled.put(&cut).await;
    let damaged = deep().await;
    assert!(damaged.len() == 1 && damaged[0].starts_with("damaged "), "{damaged:?}");
    filled.put(&Made { body: Vec::new(), ..middle.clone() }).await;
    let empty = shallow().await;
    assert!(empty.len() == 1 && empty[0].starts_with("damaged "), "{empty:?}");

    // Changed metadata.
    let told = async |name: &str, value: Option<&str>| {
        let mut made = middle.clone();
        made.metadata.remove(name);
        made.metadata.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        filled.put(&made).await;
        shallow().await
    };
    assert_eq!(told("forebay-sha256", None).await, ["metadata"]);
    assert_eq!(told("forebay-calls", Some("9")).await, ["marker_differs"], "only the marker shows it");
    assert_eq!(told("forebay-first-position", Some("1")).await[0], format!("metadata"));
    filled.put(middle).await;

    // A foreign object.
    filled
        .put(&Made { key: "segment-logs/web/1469491200000/1469566200000.abc.gz".into(), ..first.clone() })
        .await;
    assert_eq!(shallow().await, ["foreign"]);
    assert_eq!(filled.verify(&["--json", "--allow-foreign"]).await.findings(), [""; 0]);
    filled.delete("segment-logs/web/1469491200000/1469566200000.abc.gz").await;

    // The same calls under another name.
    let at = ParsedObjectKey::of(&BucketString::parse(BUCKET).unwrap(), &last.key).unwrap();
    assert_eq!(at.stream, Stream::Calls);
    let at = ParsedObjectKey { first_received_at: UnixMillis(at.first_received_at.0 - 1), ..at };
    let again = Made { key: at.key(&BucketString::parse(BUCKET).unwrap()).to_string(), ..last.clone() };
    filled.put(&again).await;
    let found = shallow().await;
    assert!(found.contains(&format!("overlap {last_first}-{last_last}")), "{found:?}");
    assert!(deep().await.contains(&"repeat line 1".to_owned()));
    filled.delete(&again.key).await;
    assert_eq!(deep().await, [""; 0], "everything is restored");
}
