//! Against the S3 server of dev mode, alone and next to a collector that runs with the same configuration.

use forebay::dev_s3::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};

use super::{Setup, expect};
use crate::support::forebay::{Flush, Forebay};

async fn dev() -> (tempfile::TempDir, Forebay) {
    let folder = tempfile::tempdir().unwrap();
    let forebay = Forebay::dev(folder.path(), Flush::SOON).await;
    (folder, forebay)
}

fn setup(dev: &Forebay) -> Setup {
    let mut setup = Setup::new(&dev.s3, ACCESS_KEY_ID, SECRET_ACCESS_KEY);
    setup.s3 = "bucket = \"forebay\"".to_owned();
    setup.source("web", "")
}

#[tokio::test]
async fn a_store_other_than_aws_is_checked_as_far_as_possible() {
    let (_folder, dev) = dev().await;
    let ran = setup(&dev).s3("encryption = \"kms:alias/events\"").run().await;
    assert_eq!(ran.code, 0, "{}", ran.text);
    expect(ran.of("identity"), "not_tested", &["sts_endpoint_url"]);
    expect(ran.of("kms_key"), "not_tested", &["kms_endpoint_url"]);
    expect(ran.of("kms_use"), "not_tested", &["kms_endpoint_url"]);
    for check in ["bucket", "region", "put", "encryption", "create_only", "folders", "look", "cleanup"] {
        expect(ran.of(check), "passed", &[]);
    }
    assert_eq!(dev.bucket().keys("").await, [""; 0]);
    let ran = setup(&dev).s3("put = \"overwrite\"").run().await;
    expect(ran.of("create_only"), "not_tested", &["overwrite"]);
    expect(ran.of("put"), "passed", &["overwrite"]);
}

#[tokio::test]
async fn an_endpoint_that_is_forebay_itself_is_named() {
    let (_folder, dev) = dev().await;
    for url in [&dev.collector, &dev.console] {
        let mut setup = setup(&dev);
        setup.endpoint.clone_from(url);
        let ran = setup.run().await;
        assert_eq!(ran.code, 1, "{}", ran.text);
        expect(ran.of("bucket"), "failed", &["is an address of Forebay itself", "set the store's address"]);
        assert!(!ran.text.contains("create-bucket"), "{}", ran.text);
    }
}

#[tokio::test]
async fn what_holds_spool_and_addresses_is_named_and_does_not_fail_the_check() {
    let (_folder, dev) = dev().await;
    let mut setup = setup(&dev);
    setup.s3 = format!("{}\npath_style = true", setup.s3);
    let credentials = [("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID), ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)];
    let serving = Forebay::serve(&setup.file(), &credentials).await;
    let at = |url: &str| format!("listen = \"{}\"", url.trim_start_matches("http://"));
    setup.collector = at(&serving.collector);
    setup.admin = at(&serving.console);
    let ran = setup.run().await;
    assert_eq!(ran.code, 0, "{}", ran.text);
    expect(ran.of("listen"), "passed", &["used by a running Forebay, process ", "which holds its spool"]);
    expect(
        ran.of("admin_listen"),
        "passed",
        &["used by a running Forebay, process ", "which holds its spool"],
    );
    expect(ran.of("spool"), "passed", &["uses it, which is fine if that is the node of this configuration"]);
    let ident = std::fs::read_to_string(setup.spool_dir().join("IDENT")).unwrap();
    let ident: serde_json::Value = serde_json::from_str(&ident).unwrap();
    let node = ident["spool_id"].as_str().unwrap().get(..8).unwrap().to_owned();
    expect(ran.of("put"), "passed", &[&format!("segment-logs/_check/{node}-")]);
    // Another node's addresses, with the spool that this one holds.
    let id = |forebay: &Forebay| format!("process {} (forebay ", forebay.pid().as_raw_nonzero());
    setup.collector = at(&dev.collector);
    setup.admin = at(&dev.console);
    let ran = setup.run().await;
    assert_eq!(ran.code, 0, "{}", ran.text);
    for check in ["listen", "admin_listen"] {
        expect(ran.of(check), "warning", &["with another spool", &id(&dev), "set another port in "]);
    }
    expect(ran.of("spool"), "warning", &[&id(&serving), "listens at none", "spool.dir"]);
    serving.flush().await;
    assert!(serving.terminate().await.success());
}

#[tokio::test]
async fn without_credentials_the_bucket_is_not_tested() {
    let (_folder, dev) = dev().await;
    let mut setup = setup(&dev);
    setup.credentials = None;
    let ran = setup.run().await;
    expect(ran.of("credentials"), "failed", &["AWS_ACCESS_KEY_ID", "profile"]);
    expect(ran.of("put"), "not_tested", &["there are no credentials"]);
    expect(ran.of("spool"), "passed", &[]);
}
