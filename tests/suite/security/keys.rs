//! KMS keys that become unusable during a run, with S3's answers as AWS documents them. No local server has
//! these states.

use super::{Site, alarmed, alarms, all_arrive, all_clear, source_status};
use crate::serve::support::{Caller, PATIENCE};
use crate::support::aws_double::{AwsDouble, Key, Misdirected};
use crate::support::wait;

/// The new state of a key, and S3's answer.
const TROUBLES: [(&str, Option<Key>, &str); 4] = [
    ("off", Some(Key::Disabled), "400 KMS.DisabledException"),
    ("ending", Some(Key::PendingDeletion), "400 KMS.KMSInvalidStateException"),
    ("denied", Some(Key::Denied), "403 AccessDenied"),
    ("gone", None, "400 KMS.NotFoundException"),
];

/// The sources of one key. Three deliver before and during the outage, so that a third refusal comes at once;
/// the fourth has calls only afterwards, and its successful put wakes the others.
fn sources(key: &str) -> [String; 4] {
    ["one", "two", "three", "late"].map(|n| format!("{key}-{n}"))
}

fn arn(key: &str) -> String {
    format!("arn:aws:kms:us-east-1:111122223333:key/{key}")
}

#[tokio::test]
async fn deliveries_wait_for_an_unusable_key_and_then_drain() {
    let double = AwsDouble::start().await;
    double.world(|world| world.make_bucket("lake", "us-east-1", Misdirected::PermanentRedirect));
    let all: Vec<String> =
        TROUBLES.iter().flat_map(|(key, ..)| sources(key)).chain(["sound".into()]).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let mut site = Site::new(&double.url(), &all, &AwsDouble::CREDENTIALS);
    for source in &all {
        let key = source.split('-').next().unwrap();
        let encryption = format!("encryption = {{ kms = \"{}\", bucket_key = true }}", arn(key));
        site.source(source, &encryption);
        double.world(|world| world.keys.insert(arn(key), Key::Enabled));
    }
    let forebay = site.serve().await;
    let mut caller = Caller::new();
    let of_each = |number: usize| TROUBLES.map(|(key, ..)| sources(key)[number].clone());
    let early: Vec<String> = (0..3).flat_map(of_each).chain(["sound".into()]).collect();
    for source in &early {
        caller.send(&forebay, source, 5, 0).await;
    }
    for source in &early {
        all_arrive(&double, &caller, "lake", source).await;
    }

    double.world(|world| {
        for (key, state, _) in TROUBLES {
            match state {
                Some(state) => world.keys.insert(arn(key), state),
                None => world.keys.remove(&arn(key)),
            };
        }
    });
    for source in &early {
        caller.send(&forebay, source, 5, 0).await;
    }
    for (key, _, said) in TROUBLES {
        let alarm = wait::until(&format!("an alarm about {key}"), PATIENCE, async || {
            alarms(&forebay, "refused").await.into_iter().find(|alarm| alarm.contains(&arn(key)))
        })
        .await;
        assert!(alarm.contains(said), "{alarm}");
    }
    all_arrive(&double, &caller, "lake", "sound").await;
    assert_eq!(alarms(&forebay, "refused").await.len(), TROUBLES.len(), "the usable key has no alarm");
    for (key, ..) in TROUBLES {
        assert_eq!(double.ids("lake", &sources(key)[0]).len(), 5, "nothing was put with {key}");
    }

    for (key, ..) in TROUBLES {
        double.world(|world| world.keys.insert(arn(key), Key::Enabled));
    }
    for source in of_each(3) {
        caller.send(&forebay, &source, 5, 0).await;
    }
    for source in &all {
        all_arrive(&double, &caller, "lake", source).await;
    }
    all_clear(&forebay, "refused").await;
    assert_eq!(alarms(&forebay, "encryption").await, [""; 0]);
    assert!(forebay.terminate().await.success());
}

#[tokio::test]
async fn a_busy_kms_is_not_a_refusal() {
    let double = AwsDouble::start().await;
    double.world(|world| {
        world.make_bucket("lake", "us-east-1", Misdirected::PermanentRedirect);
        world.keys.insert(arn("busy"), Key::Throttled);
    });
    let mut site = Site::new(&double.url(), &["web"], &AwsDouble::CREDENTIALS);
    site.all(&format!("encryption = \"kms:{}\"", arn("busy")));
    let forebay = site.serve().await;
    let mut caller = Caller::new();
    caller.send(&forebay, "web", 5, 0).await;
    wait::until("four attempts", PATIENCE, async || (double.requests().len() >= 4).then_some(())).await;
    assert_eq!(alarms(&forebay, "refused").await, [""; 0]);
    double.world(|world| world.keys.insert(arn("busy"), Key::Enabled));
    all_arrive(&double, &caller, "lake", "web").await;
    assert!(forebay.terminate().await.success());
}

#[tokio::test]
async fn a_different_encryption_than_requested_raises_an_alarm_until_fixed() {
    let double = AwsDouble::start().await;
    let apply = |algorithm| double.world(|world| world.buckets.get_mut("lake").unwrap().applies = algorithm);
    double.world(|world| world.make_bucket("lake", "us-east-1", Misdirected::PermanentRedirect));
    apply(Some("aws:kms"));
    let mut site = Site::new(&double.url(), &["asks", "takes-any"], &AwsDouble::CREDENTIALS);
    site.source("takes-any", "encryption = \"none\"");
    let forebay = site.serve().await;
    let mut caller = Caller::new();
    caller.send(&forebay, "asks", 5, 0).await;
    let alarm = alarmed(&forebay, "encryption", "AES256 was requested, but the store applied aws:kms").await;
    assert!(alarm.starts_with("lake: "), "{alarm}");
    all_arrive(&double, &caller, "lake", "asks").await;

    // A success of another source in the same bucket does not clear the alarm.
    caller.send(&forebay, "takes-any", 5, 0).await;
    wait::until("the other source's success", PATIENCE, async || {
        (source_status(&forebay, "takes-any").await["totals"]["delivered"] == 5).then_some(())
    })
    .await;
    assert_eq!(alarms(&forebay, "encryption").await, [alarm]);

    apply(None);
    caller.send(&forebay, "asks", 5, 0).await;
    all_arrive(&double, &caller, "lake", "asks").await;
    all_clear(&forebay, "encryption").await;
    assert!(forebay.terminate().await.success());
}
