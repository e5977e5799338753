//! Buckets in other regions than the one asked, with answers as AWS documents them. No local server gives
//! them.

use std::collections::BTreeMap;

use forebay::store::region::RegionRule;
use forebay::store::s3::{CredentialsFrom, S3Settings, S3Store};
use forebay::store::{Fault, ObjectStore};

use super::{Site, alarmed, all_arrive, all_clear};
use crate::contract::a_put;
use crate::serve::support::Caller;
use crate::support::aws_double::{Asked, AwsDouble, Misdirected};
use crate::support::scripted_http::Request;

/// Source and bucket, the bucket's region, and the answer to requests signed for another region.
const BUCKETS: [(&str, &str, Misdirected); 4] = [
    ("paris", "eu-west-3", Misdirected::PermanentRedirect),
    ("sydney", "ap-southeast-2", Misdirected::AuthorizationHeaderMalformed),
    ("oregon", "us-west-2", Misdirected::IllegalLocationConstraint),
    ("virginia", "us-east-1", Misdirected::PermanentRedirect),
];

/// The methods of the requests for a bucket.
fn methods(requests: &[Request], bucket: &str) -> Vec<String> {
    let path = format!("/{bucket}");
    let of = requests.iter().filter(|request| request.target.split(['?']).next().unwrap().starts_with(&path));
    of.map(|request| request.method.clone()).collect()
}

#[tokio::test]
async fn each_source_finds_its_bucket_and_finds_it_again_after_a_move() {
    let double = AwsDouble::start().await;
    let sources = BUCKETS.map(|(name, ..)| name);
    let mut site =
        Site::new(&double.url(), &[&sources[..], &["right", "young"]].concat(), &AwsDouble::CREDENTIALS);
    for (name, region, misdirected) in BUCKETS {
        double.world(|world| world.make_bucket(name, region, misdirected));
        site.source(name, &format!("bucket = \"{name}\""));
    }
    double.world(|world| {
        world.make_bucket("right", "ca-central-1", Misdirected::PermanentRedirect);
        world.make_bucket("young", "us-east-1", Misdirected::PermanentRedirect);
        world.buckets.get_mut("young").unwrap().young_for = 3;
    });
    site.source("right", "bucket = \"right\"\nregion = \"ca-central-1\"");
    site.source("young", "bucket = \"young\"");
    let forebay = site.serve().await;
    let mut caller = Caller::new();
    for _ in 0..2 {
        for (source, _) in &site.settings.sources {
            caller.send(&forebay, source, 5, 0).await;
            all_arrive(&double, &caller, source, source).await;
        }
    }
    let requests = double.requests();
    for (name, region, misdirected) in BUCKETS {
        let signed: Vec<String> = double.signers(name).into_iter().map(|(_, region)| region).collect();
        assert_eq!(signed, [region, region], "{name}");
        // One misdirected request in total: the region is remembered. The bucket is asked only if the answer
        // names no region.
        let expected: &[&str] = match (region, misdirected) {
            ("us-east-1", _) => &["PUT", "PUT"],
            (_, Misdirected::IllegalLocationConstraint) => &["PUT", "HEAD", "PUT", "PUT"],
            _ => &["PUT", "PUT", "PUT"],
        };
        assert_eq!(methods(&requests, name), expected, "{name}");
    }
    assert_eq!(
        methods(&requests, "right"),
        ["PUT", "PUT"],
        "a correctly configured region is never asked for"
    );
    assert_eq!(methods(&requests, "young"), ["PUT"; 5], "a temporary redirect is retried, not followed");

    // Deleted and created again under the same name in another region.
    for (name, ..) in BUCKETS {
        double.world(|world| world.buckets.get_mut(name).unwrap().region = "sa-east-1".to_owned());
        caller.send(&forebay, name, 5, 0).await;
    }
    for (name, ..) in BUCKETS {
        all_arrive(&double, &caller, name, name).await;
        assert_eq!(double.signers(name).last().unwrap().1, "sa-east-1", "{name}");
    }
    assert!(forebay.terminate().await.success());
}

#[tokio::test]
async fn an_unknown_region_raises_an_alarm_until_it_is_found() {
    let double = AwsDouble::start().await;
    double.world(|world| {
        world.make_bucket("lake", "eu-west-3", Misdirected::IllegalLocationConstraint);
        world.buckets.get_mut("lake").unwrap().asked = Asked::RefusedSilently;
    });
    let site = Site::new(&double.url(), &["one", "two", "three"], &AwsDouble::CREDENTIALS);
    let forebay = site.serve().await;
    let mut caller = Caller::new();
    for (source, _) in &site.settings.sources {
        caller.send(&forebay, source, 5, 0).await;
    }
    let alarm = alarmed(&forebay, "refused", "find the region of bucket lake").await;
    assert!(alarm.contains("403") && alarm.contains("set s3.region"), "{alarm}");

    double.world(|world| world.buckets.get_mut("lake").unwrap().asked = Asked::Refused);
    for (source, _) in &site.settings.sources {
        all_arrive(&double, &caller, "lake", source).await;
    }
    all_clear(&forebay, "refused").await;
    assert!(forebay.terminate().await.success());
}

/// Without an endpoint the program asks each bucket before its first put. Here the double takes the place of
/// AWS, which can only be set on the store itself.
#[tokio::test]
async fn a_bucket_is_asked_for_its_region_before_the_first_put() {
    let double = AwsDouble::start().await;
    let store = S3Store::with_region_rule(
        S3Settings {
            endpoint_url: Some(double.url()),
            path_style: true,
            credentials: CredentialsFrom::Static {
                access_key_id: AwsDouble::PROCESS.to_owned(),
                secret_access_key: "secret".to_owned(),
            },
            ..S3Settings::default()
        },
        RegionRule::Find,
    )
    .await;
    let asked = BTreeMap::from([
        ("redirected", (Asked::Answered, "eu-west-3")),
        ("at-home", (Asked::Answered, "us-east-1")),
        ("refused", (Asked::Refused, "ap-southeast-2")),
    ]);
    for (name, (asked, region)) in &asked {
        double.world(|world| {
            world.make_bucket(name, region, Misdirected::PermanentRedirect);
            world.buckets.get_mut(*name).unwrap().asked = *asked;
        });
    }
    for key in ["k1", "k2"] {
        for (name, (_, region)) in &asked {
            store.put(&a_put(name, key, "x")).await.unwrap();
            assert_eq!(double.signers(name).last().unwrap().1, *region, "{name}");
        }
    }
    for name in asked.keys() {
        assert_eq!(methods(&double.requests(), name), ["HEAD", "PUT", "PUT"], "{name}");
    }
    double.world(|world| world.buckets.get_mut("at-home").unwrap().region = "eu-north-1".to_owned());
    assert_eq!(store.put(&a_put("at-home", "k3", "x")).await.unwrap_err().fault, Fault::Region);
    store.put(&a_put("at-home", "k3", "x")).await.unwrap();
    assert_eq!(double.signers("at-home").last().unwrap().1, "eu-north-1");
}
