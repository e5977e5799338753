//! A bucket owned by an unexpected account, with answers as AWS documents them. No local server compares the
//! two.

use super::{Site, TRIO, alarmed, all_arrive, all_clear};
use crate::serve::support::Caller;
use crate::support::aws_double::{AwsDouble, Misdirected};

#[tokio::test]
async fn a_bucket_of_another_account_gets_nothing_until_the_setting_is_fixed() {
    let double = AwsDouble::start().await;
    double.world(|world| world.make_bucket("lake", "us-east-1", Misdirected::PermanentRedirect));
    let mut site = Site::new(&double.url(), &[&["sound"], &TRIO[..]].concat(), &AwsDouble::CREDENTIALS);
    site.all(&format!("expected_bucket_owner = \"{}\"", AwsDouble::ACCOUNT));
    for source in TRIO {
        site.source(source, "expected_bucket_owner = \"444455556666\"");
    }
    let forebay = site.serve().await;
    let mut caller = Caller::new();
    for source in [&["sound"], &TRIO[..]].concat() {
        caller.send(&forebay, source, 5, 0).await;
    }
    all_arrive(&double, &caller, "lake", "sound").await;
    alarmed(&forebay, "refused", "403 AccessDenied").await;
    for source in TRIO {
        assert_eq!(double.ids("lake", source), [""; 0]);
        site.source(source, "");
    }
    site.reload(&forebay).await;
    for source in TRIO {
        all_arrive(&double, &caller, "lake", source).await;
    }
    all_clear(&forebay, "refused").await;
    assert!(forebay.terminate().await.success());
}
