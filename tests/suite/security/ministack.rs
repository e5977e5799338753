//! Tests against ministack, which evaluates policies of users, roles and buckets, and trust policies of
//! roles.

use std::collections::BTreeMap;

use chrono::DateTime;
use serde_json::{Value, json};

use super::{
    Site, TRIO, alarmed, alarms, all_clear, fleet, most_requests, policy, source_status, statements,
};
use crate::serve::support::{Caller, PATIENCE, status};
use crate::support::actions::form_value;
use crate::support::aws_tool::Identity;
use crate::support::scripted_http::Request;
use crate::support::tools::Ministack;
use crate::support::wait;

const KEY: &str = "arn:aws:kms:us-east-1:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const ACCOUNT: &str = "000000000000";

/// The template's trust policy for the collector and one external id.
fn trust(collector: &Identity, external_id: &str) -> Value {
    policy("role-trust.json", &[("COLLECTOR_ARN", &collector.arn), ("EXTERNAL_ID", external_id)])
}

/// The user that the program runs as; it may only assume the account's roles.
async fn collector(ministack: &Ministack) -> Identity {
    let collector = ministack.make_user("collector").await;
    let roles = format!("arn:aws:iam::{ACCOUNT}:role/*");
    let may = statements("collector.json", &["ForebayAssumesRole"], &[("ROLE_ARN", &roles)]);
    ministack.allow("collector", &json!({ "Version": "2012-10-17", "Statement": may })).await;
    collector
}

/// The rights of a role to put below `segment-logs/` of a place.
fn may_put(place: &str) -> Value {
    let resource = format!("arn:aws:s3:::{place}segment-logs/*");
    let statement =
        json!({ "Effect": "Allow", "Action": ["s3:PutObject", "s3:PutObjectTagging"], "Resource": resource });
    json!({ "Version": "2012-10-17", "Statement": [statement] })
}

/// The requests for a session with this external id.
fn assume_requests(ministack: &Ministack, external_id: &str) -> Vec<Request> {
    let requests = ministack.recorder.requests();
    let asks = |request: &Request| form_value(&request.body, "ExternalId").as_deref() == Some(external_id);
    requests.into_iter().filter(|request| request.method == "POST" && asks(request)).collect()
}

#[tokio::test]
async fn a_refusing_bucket_delays_no_other_and_drains_after_the_fix() {
    let Some(ministack) = Ministack::start().await else { return };
    let collector = collector(&ministack).await;
    let url = ministack.recorder.url();
    let mut site = Site::new(&url, &[&["web", "ios", "late"], &TRIO[..]].concat(), &collector.credentials());
    site.all(&format!("sts_endpoint_url = \"{url}\""));
    let mut role = BTreeMap::new();
    for (name, place) in [("web", "web-lake/raw/"), ("ios", "ios-lake/a/b/"), ("down", "down-lake/")] {
        // The role of `down` trusts another external id than its sources send.
        let trust = trust(&collector, if name == "down" { "another" } else { name });
        role.insert(name, ministack.make_role(name, &trust, &may_put(place)).await);
    }
    site.source(
        "web",
        &format!(
            "bucket = \"web-lake/raw\"\nrole_arn = \"{}\"\nstorage_class = \"STANDARD_IA\"",
            role["web"]
        ),
    );
    site.source(
        "ios",
        &format!(
            "bucket = \"ios-lake/a/b\"\nrole_arn = \"{}\"\nencryption = {{ kms = \"{KEY}\", bucket_key = true }}",
            role["ios"]
        ),
    );
    for source in [&["late"], &TRIO[..]].concat() {
        site.source(
            source,
            &format!(
                "bucket = \"down-lake\"\nrole_arn = \"{}\"\nexternal_id = \"down\"\nencryption = \"none\"\n\
                 storage_class = \"GLACIER_IR\"",
                role["down"]
            ),
        );
    }
    let web_lake = ministack.make_bucket("web-lake").await;
    let ios_lake = ministack.make_bucket("ios-lake").await;
    let down_lake = ministack.make_bucket("down-lake").await;

    let forebay = site.serve().await;
    let mut caller = Caller::new();
    for source in TRIO {
        caller.send(&forebay, source, 5, 0).await;
    }
    let alarm = alarmed(&forebay, "refused", &role["down"]).await;
    assert!(alarm.contains("403 AccessDenied") && alarm.starts_with("down-lake as "), "{alarm}");
    for _ in 0..2 {
        for (source, bucket, prefix) in [("web", &web_lake, "raw/"), ("ios", &ios_lake, "a/b/")] {
            caller.send(&forebay, source, 5, 0).await;
            caller.all_arrive(bucket, prefix, source).await;
        }
    }
    assert_eq!(alarms(&forebay, "refused").await.len(), 1, "the others have no alarm");
    assert_eq!(down_lake.keys("").await, [""; 0]);
    for source in TRIO {
        assert_eq!(source_status(&forebay, source).await["pending_calls"], 5);
    }

    ministack.trust("down", &trust(&collector, "down")).await;
    // The first successful put wakes the others.
    for source in [&["late"], &TRIO[..]].concat() {
        caller.send(&forebay, source, 5, 0).await;
    }
    for source in [&["late"], &TRIO[..]].concat() {
        caller.all_arrive(&down_lake, "", source).await;
    }
    all_clear(&forebay, "refused").await;

    let expected = [
        (&web_lake, "web-lake", Some("AES256"), None, "STANDARD_IA"),
        (&ios_lake, "ios-lake", Some("aws:kms"), Some(KEY), "STANDARD"),
        (&down_lake, "down-lake", None, None, "GLACIER_IR"),
    ];
    for (bucket, name, algorithm, key, class) in expected {
        for object in bucket.keys("").await {
            let head = bucket.client.head_object().bucket(name).key(&object).send().await.unwrap();
            let applied = head.server_side_encryption().map(aws_sdk_s3::types::ServerSideEncryption::as_str);
            assert_eq!((applied, head.ssekms_key_id()), (algorithm, key), "{name} {object}");
            assert_eq!(
                head.storage_class().map_or("STANDARD", |class| class.as_str()),
                class,
                "{name} {object}"
            );
        }
    }
    assert!(forebay.terminate().await.success());
}

#[tokio::test]
async fn a_role_needs_the_right_external_id_and_is_not_flooded_with_a_wrong_one() {
    let Some(ministack) = Ministack::start().await else { return };
    let collector = collector(&ministack).await;
    let lake = ministack.make_bucket("lake").await;
    let places = [("COLLECTOR_ARN", collector.arn.as_str()), ("EXTERNAL_ID", "right")];
    let trust = policy("role-trust.json", &places);
    let shared = ministack.make_role("shared", &trust, &may_put("lake/")).await;
    let own = ministack.make_role("own", &self::trust(&collector, "web"), &may_put("lake/")).await;

    // Verify that the server checks it: the same request with a wrong one, without one, and with the right
    // one.
    let ask = async |external_id: Option<&str>| {
        let mut parameters = json!({ "RoleArn": shared, "RoleSessionName": "asked" });
        if let Some(external_id) = external_id {
            parameters["ExternalId"] = external_id.into();
        }
        ministack.call(Some(&collector), "sts", "assume_role", parameters).await.map(drop)
    };
    assert_eq!(ask(Some("wrong")).await, Err("AccessDenied".to_owned()));
    assert_eq!(ask(None).await, Err("AccessDenied".to_owned()));
    assert_eq!(ask(Some("right")).await, Ok(()));

    let url = ministack.recorder.url();
    let fleet = fleet();
    let sources: Vec<&str> = fleet.iter().map(String::as_str).chain(["web"]).collect();
    let mut site = Site::new(&url, &sources, &collector.credentials());
    site.all(&format!("sts_endpoint_url = \"{url}\""));
    // A source without its own external id sends its own id.
    site.source("web", &format!("role_arn = \"{own}\""));
    let say = |site: &mut Site, external_id: &str| {
        for source in &fleet {
            site.source(source, &format!("role_arn = \"{shared}\"\nexternal_id = \"{external_id}\""));
        }
    };
    say(&mut site, "wrong");
    let forebay = site.serve().await;
    let began = tokio::time::Instant::now();
    let mut caller = Caller::new();
    for source in &fleet {
        caller.send(&forebay, source, 2, 0).await;
    }
    let alarm = alarmed(&forebay, "refused", "with the external id wrong").await;
    assert!(alarm.contains(&shared) && alarm.contains("403 AccessDenied"), "{alarm}");
    caller.send(&forebay, "web", 2, 0).await;
    caller.all_arrive(&lake, "", "web").await;
    for source in &fleet {
        assert_eq!(lake.keys(&format!("segment-logs/{source}/")).await, [""; 0]);
    }
    let node = status(&forebay).await["node"].as_str().unwrap().to_owned();
    for (external_id, role) in [("web", &own), ("wrong", &shared)] {
        let request = assume_requests(&ministack, external_id).remove(0);
        let said = |name: &str| form_value(&request.body, name).unwrap_or_default();
        assert_eq!((said("RoleArn"), said("RoleSessionName")), (role.clone(), format!("forebay-{node}")));
    }

    // Fixed in the configuration: the backlog uses the new external id.
    say(&mut site, "right");
    site.reload(&forebay).await;
    for source in &fleet {
        caller.send(&forebay, source, 2, 0).await;
    }
    for source in &fleet {
        caller.all_arrive(&lake, "", source).await;
    }
    all_clear(&forebay, "refused").await;
    let wrong = assume_requests(&ministack, "wrong").len();
    assert!(wrong <= most_requests(began.elapsed()), "{wrong} requests with the wrong external id");
    assert_eq!(assume_requests(&ministack, "right").len(), 1, "one session for all of them");
    assert!(forebay.terminate().await.success());
}

#[tokio::test]
async fn a_bucket_that_enforces_encryption_refuses_a_source_without_it() {
    let Some(ministack) = Ministack::start().await else { return };
    let collector = ministack.make_user("collector").await;
    let lake = ministack.make_bucket("lake").await;
    let places = [("COLLECTOR_ARN", collector.arn.as_str()), ("BUCKET", "lake"), ("PREFIX/", "")];
    ministack.bucket_policy("lake", &policy("bucket-enforce-sse-s3.json", &places)).await;
    let sources = [&["sound", "late"], &TRIO[..]].concat();
    let mut site = Site::new(&ministack.recorder.url(), &sources, &collector.credentials());
    for source in [&["late"], &TRIO[..]].concat() {
        site.source(source, "encryption = \"none\"");
    }
    let forebay = site.serve().await;
    let mut caller = Caller::new();
    for source in [&["sound"], &TRIO[..]].concat() {
        caller.send(&forebay, source, 5, 0).await;
    }
    caller.all_arrive(&lake, "", "sound").await;
    alarmed(&forebay, "refused", "403 AccessDenied").await;
    // Successful puts to the same bucket do not clear the alarm.
    for _ in 0..2 {
        caller.send(&forebay, "sound", 5, 0).await;
        caller.all_arrive(&lake, "", "sound").await;
        wait::until("the other source's success", PATIENCE, async || {
            let calls = caller.of("sound").len();
            (source_status(&forebay, "sound").await["totals"]["delivered"] == calls).then_some(())
        })
        .await;
        assert_eq!(alarms(&forebay, "refused").await.len(), 1);
    }
    for source in TRIO {
        assert_eq!(lake.keys(&format!("segment-logs/{source}/")).await, [""; 0]);
    }
    ministack.bucket_policy("lake", &policy("bucket.json", &places)).await;
    caller.send(&forebay, "late", 5, 0).await;
    for source in sources {
        caller.all_arrive(&lake, "", source).await;
    }
    all_clear(&forebay, "refused").await;
    assert!(forebay.terminate().await.success());
}

#[tokio::test]
async fn every_configured_header_is_sent_and_stored() {
    let Some(ministack) = Ministack::start().await else { return };
    let lake = ministack.make_bucket("lake").await;
    let credentials = [("AWS_ACCESS_KEY_ID", Ministack::ROOT), ("AWS_SECRET_ACCESS_KEY", Ministack::ROOT)];
    let mut site = Site::new(&ministack.recorder.url(), &["web", "plain"], &credentials);
    site.all(&format!(
        "object_tags = [\"source\", \"day\"]\nrequest_payer = true\nacl = \"bucket-owner-full-control\"\n\
         expected_bucket_owner = \"{ACCOUNT}\""
    ));
    site.source(
        "web",
        &format!(
            "storage_class = \"ONEZONE_IA\"\n\
             encryption = {{ kms = \"{KEY}\", bucket_key = true, context = {{ team = \"data\" }} }}"
        ),
    );
    let forebay = site.serve().await;
    let mut caller = Caller::new();
    for source in ["web", "plain"] {
        caller.send(&forebay, source, 5, 0).await;
        caller.all_arrive(&lake, "", source).await;
    }
    let put = |source: &str| {
        let path = format!("/lake/segment-logs/{source}/");
        let requests = ministack.recorder.requests();
        requests
            .into_iter()
            .find(|request| request.method == "PUT" && request.target.starts_with(&path))
            .unwrap()
    };
    let [key] = lake.keys("segment-logs/web/").await.try_into().unwrap();
    let day = key.split('/').nth(2).and_then(|day| DateTime::from_timestamp_millis(day.parse().ok()?));
    let day = day.unwrap().format("%Y-%m-%d");
    let (web, plain) = (put("web"), put("plain"));
    let encryption = "x-amz-server-side-encryption";
    for (name, of_web, of_plain) in [
        ("x-amz-tagging", Some(format!("source=web&day={day}")), Some(format!("source=plain&day={day}"))),
        ("x-amz-acl", Some("bucket-owner-full-control".into()), Some("bucket-owner-full-control".into())),
        ("x-amz-expected-bucket-owner", Some(ACCOUNT.into()), Some(ACCOUNT.into())),
        ("x-amz-request-payer", Some("requester".into()), Some("requester".into())),
        ("x-amz-storage-class", Some("ONEZONE_IA".into()), None),
        (encryption, Some("aws:kms".into()), Some("AES256".into())),
        ("x-amz-server-side-encryption-aws-kms-key-id", Some(KEY.into()), None),
        ("x-amz-server-side-encryption-bucket-key-enabled", Some("true".into()), None),
        // {"team":"data"} in base64.
        ("x-amz-server-side-encryption-context", Some("eyJ0ZWFtIjoiZGF0YSJ9".into()), None),
        ("if-none-match", Some("*".into()), Some("*".into())),
    ] {
        assert_eq!(
            (web.header(name), plain.header(name)),
            (of_web.as_deref(), of_plain.as_deref()),
            "{name}"
        );
    }
    let head = lake.client.head_object().bucket("lake").key(&key).send().await.unwrap();
    assert_eq!(head.ssekms_key_id(), Some(KEY));
    assert_eq!(head.storage_class().map(|class| class.as_str()), Some("ONEZONE_IA"));
    let tags = lake.client.get_object_tagging().bucket("lake").key(&key).send().await.unwrap();
    let tags: BTreeMap<_, _> = tags.tag_set().iter().map(|tag| (tag.key(), tag.value().to_owned())).collect();
    assert_eq!(tags, BTreeMap::from([("day", day.to_string()), ("source", "web".to_owned())]));
    assert!(forebay.terminate().await.success());
}
