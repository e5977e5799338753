//! Behaviour that no store shows on demand: refusals, temporary failures, and objects that appear during the
//! run.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use forebay::runtime::SystemClock;
use forebay::time::{Clock as _, UnixMillis};

use super::support::{Chain, DAY, DAY_MS, Made, verify_at};
use crate::support::scripted_http::{Reply, Request, ScriptedHttp};

const KEYS: [&str; 2] = ["id", "secret"];

fn listing(keys: &[&str], folders: &[&str]) -> Reply {
    let keys: String = keys
        .iter()
        .map(|key| {
            let size = if key.ends_with(['/', '$']) { 0 } else { 9 };
            format!("<Contents><Key>{key}</Key><Size>{size}</Size></Contents>")
        })
        .collect();
    let folders: String = folders
        .iter()
        .map(|folder| format!("<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>"))
        .collect();
    let body = format!(
        "<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>false</IsTruncated>{keys}{folders}</ListBucketResult>"
    );
    Reply::Answer { status: 200, headers: vec![("content-type".into(), "application/xml".into())], body }
}

/// Answers like a store with these objects and pages of two entries; without bodies.
fn paged(objects: &BTreeMap<String, Made>, request: &Request) -> Reply {
    if request.method == "HEAD" {
        let key = request.target.trim_start_matches("/lake/");
        return objects.get(key).map_or_else(|| Reply::status(404), head_of);
    }
    let query = request.target.split_once('?').unwrap().1;
    let query: BTreeMap<_, _> = form_urlencoded::parse(query.as_bytes()).collect();
    let (prefix, of) = (&*query["prefix"], |name: &str| query.get(name).map(|value| value.to_string()));
    let mut entries: Vec<String> = Vec::new();
    for key in objects.keys().filter(|key| key.starts_with(prefix)) {
        let folder = key.bytes().skip(prefix.len()).position(|byte| byte == b'/');
        let folder = folder.filter(|_| query.contains_key("delimiter"));
        let entry = folder.and_then(|at| key.get(..=prefix.len() + at)).unwrap_or(key);
        if entries.last().is_none_or(|last| last != entry) {
            entries.push(entry.to_owned());
        }
    }
    let after = of("continuation-token").or_else(|| of("start-after")).unwrap_or_default();
    entries.retain(|entry| *entry > after);
    let more = entries.len() > 2;
    entries.truncate(2);
    let token = entries.last().filter(|_| more);
    let is_folder =
        |entry: &&str| query.contains_key("delimiter") && entry.ends_with('/') && *entry != prefix;
    let (folders, keys): (Vec<&str>, Vec<&str>) = entries.iter().map(String::as_str).partition(is_folder);
    let Reply::Answer { status, headers, body } = listing(&keys, &folders) else { return Reply::Close };
    let next = token.map_or_else(String::new, |token| {
        format!("<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>")
    });
    let body = if more { body.replace("<IsTruncated>false</IsTruncated>", &next) } else { body };
    Reply::Answer { status, headers, body }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sources_and_days_may_span_many_pages() {
    let mut objects = Vec::new();
    for source in ["a", "b", "c", "d", "e"] {
        let mut chain = Chain::new(source, 'a', DAY);
        for _ in 0..3 {
            objects.extend((0..5).map(|_| chain.object(1)));
            chain = chain.next_day();
        }
    }
    let by_key: BTreeMap<String, Made> = objects.into_iter().map(|made| (made.key.clone(), made)).collect();
    let check = async |by_key: BTreeMap<String, Made>, rest: &[&str], days: usize, found: &[&str]| {
        let store = ScriptedHttp::start(move |request| paged(&by_key, request)).await;
        let said = verify_at(&store.url(), KEYS, "lake", &[&["--json"], rest].concat()).await;
        assert_eq!(
            (said.findings(), said.days().len()),
            (found.iter().map(|text| (*text).to_owned()).collect(), days),
            "{said:?}"
        );
        said.json()["totals"]["calls"]["objects"].as_u64().unwrap()
    };
    assert_eq!(check(by_key.clone(), &[], 15, &[]).await, 75);
    assert_eq!(check(by_key.clone(), &["--from", "2015-05-28", "--to", "2015-05-28"], 5, &[]).await, 25);
    let of_c: Vec<String> = by_key.keys().filter(|key| key.contains("/c/")).cloned().collect();
    for (at, missing) in [(1, "missing 2-4"), (2, "missing 5-7"), (6, "missing 17-19")] {
        let mut fewer = by_key.clone();
        fewer.remove(&of_c[at]);
        assert_eq!(check(fewer, &[], 15, &[missing]).await, 74);
    }
}

/// Consoles put such keys with "create folder", and some stores list them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_empty_folders_are_ignored() {
    let mut chain = Chain::new("a", 'a', DAY);
    let objects = [chain.object(1), chain.object(1)];
    let mut by_key: BTreeMap<String, Made> =
        objects.into_iter().map(|made| (made.key.clone(), made)).collect();
    for inside in ["", "a/", "z/", "_closed/", "_closed/a/", "_rejected/", "_rejected/a/"] {
        for day in [None, Some(DAY), Some(DAY + DAY_MS)] {
            let day = day.filter(|_| inside.contains("a/")).map_or(String::new(), |day| format!("{day}/"));
            let folder = format!("segment-logs/{inside}{day}");
            let of_hadoop = format!("{}_$folder$", folder.trim_end_matches('/'));
            for key in [folder, of_hadoop] {
                by_key.insert(key.clone(), Made { key, metadata: BTreeMap::new(), body: Vec::new() });
            }
        }
    }
    let store = ScriptedHttp::start(move |request| paged(&by_key, request)).await;
    let said = verify_at(&store.url(), KEYS, "lake", &["--json"]).await;
    assert_eq!((said.findings(), said.days()), (vec![], vec!["a 2015-05-27 open".to_owned()]), "{said:?}");
}

fn is_list(request: &Request, prefix: &str) -> bool {
    let prefix = prefix.replace('/', "%2F");
    request.target.contains(&format!("prefix={prefix}&"))
        || request.target.ends_with(&format!("prefix={prefix}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn temporary_failures_are_retried() {
    let tries = AtomicUsize::new(0);
    let store = ScriptedHttp::start(move |_| match tries.fetch_add(1, Ordering::Relaxed) {
        0 => Reply::s3_error(503, "SlowDown"),
        1 => Reply::Close,
        _ => listing(&[], &[]),
    })
    .await;
    let said = verify_at(&store.url(), KEYS, "lake", &[]).await;
    assert_eq!((said.code, said.out.as_str()), (Some(1), "there are no objects\n"), "{said:?}");
    assert_eq!(store.requests().len(), 7, "five listings, one of them attempted three times");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_cannot_be_read_is_not_judged() {
    let check = async |reply: Reply, said: &str| {
        let store = ScriptedHttp::start(move |_| reply.clone()).await;
        let answer = verify_at(&store.url(), KEYS, "lake", &[]).await;
        assert_eq!((answer.code, answer.out.as_str()), (Some(1), ""), "{answer:?}");
        assert!(answer.err.contains(said), "{answer:?}");
    };
    let right = "list segment-logs/ in bucket lake: 403 AccessDenied: scripted; reading needs the right s3:ListBucket";
    check(Reply::s3_error(403, "AccessDenied"), right).await;
    check(Reply::s3_error(404, "NoSuchBucket"), "404 NoSuchBucket").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_right_for_reading_metadata_is_named() {
    let made = Chain::new("web", 'a', DAY).object(1);
    let store = ScriptedHttp::start(move |request| {
        if request.method == "HEAD" {
            return Reply::status(403);
        }
        if is_list(request, "segment-logs/") {
            return listing(&[], &["segment-logs/web/"]);
        }
        let ours = is_list(request, "segment-logs/web/");
        listing(
            if ours { std::slice::from_ref(&made.key) } else { &[] }
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .as_slice(),
            &[],
        )
    })
    .await;
    let said = verify_at(&store.url(), KEYS, "lake", &[]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("reading needs the right s3:GetObject"), "{said:?}");
}

/// A parked object may arrive after later objects, even between listing and judging.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_arrives_during_the_run_is_not_missing() {
    let mut chain = Chain::new("web", 'a', DAY);
    let objects = [chain.object(2), chain.object(2)];
    let day = format!("segment-logs/web/{DAY}/");
    let all = objects.clone();
    let store = ScriptedHttp::start(move |request| {
        let [first, second] = &all;
        if let Some(made) =
            all.iter().find(|made| request.method == "HEAD" && request.target.ends_with(&made.key))
        {
            return head_of(made);
        }
        if is_list(request, "segment-logs/") {
            listing(&[], &["segment-logs/web/"])
        } else if is_list(request, "segment-logs/web/") {
            listing(&[&second.key], &[])
        } else if is_list(request, &day) {
            listing(&[&first.key, &second.key], &[])
        } else {
            listing(&[], &[])
        }
    })
    .await;
    let said = verify_at(&store.url(), KEYS, "lake", &["--json"]).await;
    assert_eq!(said.findings(), [""; 0], "{said:?}");
    assert_eq!(said.json()["totals"]["calls"]["objects"], 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_never_matches_its_checksum_is_a_finding_and_ends_nothing() {
    let mut chain = Chain::new("web", 'a', DAY);
    let objects = [chain.object(2), chain.object(2)];
    let all = objects.clone();
    let store = ScriptedHttp::start(move |request| {
        if let Some(made) = all.iter().find(|made| request.target.contains(&made.key)) {
            if request.method == "HEAD" {
                return head_of(made);
            }
            let body = "not gzip".to_owned();
            let reply = Reply::Answer { status: 200, headers: Vec::new(), body };
            // Of other bytes, for the first object only.
            let is_first = made.key == all[0].key;
            return if is_first { reply.with("x-amz-checksum-crc32", "AAAAAA==") } else { reply };
        }
        if is_list(request, "segment-logs/") {
            listing(&[], &["segment-logs/web/"])
        } else if is_list(request, "segment-logs/web/") {
            listing(&[&all[0].key, &all[1].key], &[])
        } else {
            listing(&[], &[])
        }
    })
    .await;
    let said = verify_at(&store.url(), KEYS, "lake", &["--deep"]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert_eq!(said.err, "forebay: 2 findings in lake\n", "the run ends with a report: {said:?}");
    assert!(said.out.contains("is damaged: reading the body failed"), "{said:?}");
    assert!(said.out.contains("checksum"), "{said:?}");
    assert!(objects.iter().all(|made| said.out.contains(&made.key)), "both are judged: {said:?}");
}

fn head_of(made: &Made) -> Reply {
    // The length of the body; a client does not read the body of a HEAD.
    let reply = Reply::Answer { status: 200, headers: Vec::new(), body: "x".repeat(made.body.len()) };
    let metadata = made.metadata.iter();
    metadata.fold(reply, |reply, (name, value)| reply.with(&format!("x-amz-meta-{name}"), value))
}

/// The machine's clock is 9 hours off: the store refuses the first request and names its time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stores_time_is_used_if_the_clock_is_wrong() {
    let UnixMillis(now) = SystemClock::new().wall();
    let theirs = chrono::DateTime::from_timestamp_millis(now + 9 * 3_600_000).unwrap();
    let (date, hour) =
        (theirs.format("%a, %d %b %Y %H:%M:%S GMT").to_string(), theirs.format("%Y%m%dT%H").to_string());
    let signed_then = {
        let hour = hour.clone();
        move |request: &Request| request.header("x-amz-date").is_some_and(|at| at.starts_with(&hour))
    };
    let store = ScriptedHttp::start(move |request| {
        let answer = if signed_then(request) {
            listing(&[], &[])
        } else {
            Reply::s3_error(403, "RequestTimeTooSkewed")
        };
        answer.with("date", &date)
    })
    .await;
    let said = verify_at(&store.url(), KEYS, "lake", &[]).await;
    assert_eq!((said.code, said.out.as_str()), (Some(1), "there are no objects\n"), "{said:?}");

    // A store that names no time, or always refuses, ends the run.
    let store = ScriptedHttp::start(|_| Reply::s3_error(403, "RequestTimeTooSkewed")).await;
    let said = verify_at(&store.url(), KEYS, "lake", &[]).await;
    assert!(said.code == Some(1) && said.err.contains("403 RequestTimeTooSkewed"), "{said:?}");
    assert_eq!(store.requests().len(), 3);
}
