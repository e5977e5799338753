use std::time::Duration;

use forebay::call::{CLIENT_LIBRARIES, Validation};
use forebay::config::{Admin, Collector, Flush, S3, Spool};
use forebay::live::Mode;
use forebay::object::{BucketString, Encryption, ObjectTags, S3Location, StorageClass};
use forebay::sources::{Found, SourceId, SourceLookup};
use forebay::store::PutMode;
use forebay::store::s3::Checksums;

use super::{SMALLEST, config};

#[test]
fn every_default_is_as_documented() {
    let config = config(SMALLEST);
    assert_eq!(
        config.collector,
        Collector {
            listen: "0.0.0.0:8080".parse().unwrap(),
            tls: None,
            max_body: 1_048_576,
            max_event: 32_768,
            max_connections: 20_000,
            calls_per_second: None,
            drain_delay: Duration::from_secs(5),
            validation: Validation::Permissive,
            accept_unknown_key: false,
            accept_bearer: false,
            client_libraries: CLIENT_LIBRARIES.map(str::to_owned).to_vec(),
            trusted_proxies: vec![],
            allowed_origins: None,
            private_network: false,
            public_host: None,
            path_prefix: None,
            receipts: false,
        }
    );
    assert_eq!(
        config.admin,
        Admin {
            listen: "127.0.0.1:9180".parse().unwrap(),
            allowed_hosts: vec![],
            token: None,
            read_token: None,
            metrics_without_token: false,
            live_view: Mode::Masked,
        }
    );
    assert_eq!(
        config.spool,
        Spool {
            dir: "/var/lib/forebay".into(),
            max_bytes: 20_000_000_000,
            segment_bytes: 67_108_864,
            node: None,
            unsafe_filesystem: false,
            stop_on_corruption: false,
            dedupe_window: Duration::from_secs(86_400),
        }
    );
    assert_eq!(
        config.s3,
        S3 {
            bucket: Some(BucketString::parse("b-1").unwrap()),
            region: None,
            endpoint: None,
            path_style: false,
            fips: false,
            dual_stack: false,
            sts_endpoint: None,
            kms_endpoint: None,
            role_arn: None,
            external_id: None,
            expected_bucket_owner: None,
            request_payer: false,
            bucket_owner_full_control: false,
            storage_class: None,
            object_tags: ObjectTags::default(),
            encryption: Encryption::SseS3,
            content_encoding: true,
            checksums: Checksums::Auto,
            put: PutMode::CreateOnly,
        }
    );
    assert_eq!(
        config.flush,
        Flush {
            max_bytes: 100_000_000,
            max_age: Duration::from_secs(3_600),
            align: None,
            on_shutdown: true,
            shutdown_grace: Duration::from_secs(25),
        }
    );
}

#[test]
fn sources_inherit_the_settings_of_s3() {
    let check = |s3: &str, source: &str, bucket: &str, region: Option<&str>, encryption| {
        let text = format!("[s3]\n{s3}\n[[source]]\nid = \"a\"\nwrite_keys = [\"k\"]\n{source}\n");
        let config = config(&text);
        let to = config.sources[0].location.as_ref().unwrap();
        assert_eq!((to.bucket.to_string().as_str(), to.region.as_deref()), (bucket, region), "{text}");
        assert_eq!(to.encryption, encryption, "{text}");
    };
    check("bucket = \"b-1/p\"", "", "b-1/p", None, Encryption::SseS3);
    check("bucket = \"b-1\"\nencryption = \"none\"", "", "b-1", None, Encryption::None);
    check("bucket = \"b-1\"", "encryption = \"none\"", "b-1", None, Encryption::None);
    check("bucket = \"b-1\"\nregion = \"eu-x-1\"", "", "b-1", Some("eu-x-1"), Encryption::SseS3);
    // Another prefix of the same bucket is in the same region; another bucket need not be.
    let region = "bucket = \"b-1\"\nregion = \"eu-x-1\"";
    check(region, "bucket = \"b-1/q\"", "b-1/q", Some("eu-x-1"), Encryption::SseS3);
    check(region, "bucket = \"b-2\"", "b-2", None, Encryption::SseS3);
    check(region, "bucket = \"b-2\"\nregion = \"us-x-1\"", "b-2", Some("us-x-1"), Encryption::SseS3);
    check("", "bucket = \"b-2\"", "b-2", None, Encryption::SseS3);
    // A store behind an endpoint has one region for all its buckets.
    let endpoint = "bucket = \"b-1\"\nendpoint_url = \"http://127.0.0.1:9000\"";
    check(endpoint, "bucket = \"b-2\"", "b-2", Some("us-east-1"), Encryption::SseS3);
    check(
        &format!("{endpoint}\nregion = \"garage\""),
        "bucket = \"b-2\"",
        "b-2",
        Some("garage"),
        Encryption::SseS3,
    );
}

/// The destination of the source `web`.
fn location(s3: &str, source: &str) -> S3Location {
    let text =
        format!("[s3]\nbucket = \"b-1\"\n{s3}\n[[source]]\nid = \"web\"\nwrite_keys = [\"k\"]\n{source}\n");
    config(&text).sources[0].location.clone().unwrap()
}

#[test]
fn the_external_id_of_a_role_is_the_source_id_by_default() {
    let arn = |name: &str| format!("role_arn = \"arn:aws:iam::111122223333:role/{name}\"");
    let check = |s3: &str, source: &str, expected: Option<(&str, &str)>| {
        let role = location(s3, source).role;
        let shown = role.map(|role| (role.arn.to_string(), role.external_id.to_string()));
        let expected =
            expected.map(|(role, id)| (format!("arn:aws:iam::111122223333:role/{role}"), id.to_owned()));
        assert_eq!(shown, expected, "{s3} | {source}");
    };
    check("", "", None);
    check(&arn("all"), "", Some(("all", "web")));
    check(&format!("{}\nexternal_id = \"one\"", arn("all")), "", Some(("all", "one")));
    check(&arn("all"), &arn("own"), Some(("own", "web")));
    check(&arn("all"), "external_id = \"mine\"", Some(("all", "mine")));
    check("external_id = \"one\"", &arn("own"), Some(("own", "one")));
    check(&arn("all"), "role_arn = \"none\"", None);
}

#[test]
fn encryption_has_a_short_and_a_long_form() {
    let kms = |text: &str| location("", &format!("encryption = {text}")).encryption.kms().cloned().unwrap();
    let short = kms("\"kms:alias/events\"");
    assert_eq!((short.key.as_str(), short.bucket_key, short.context.json()), ("alias/events", None, None));
    assert_eq!(kms("{ kms = \"alias/events\" }"), short);
    let whole = kms("{ kms = \"alias/events\", bucket_key = false, context = { team = \"data\" } }");
    assert_eq!(
        (whole.bucket_key, whole.context.json().unwrap().as_str()),
        (Some(false), r#"{"team":"data"}"#)
    );
    // A setting of [s3] applies to each source.
    assert_eq!(location("encryption = \"kms:alias/events\"", "").encryption.kms(), Some(&short));
    let class = "storage_class = \"GLACIER_IR\"\nexpected_bucket_owner = \"111122223333\"";
    for to in [location(class, ""), location("", class)] {
        assert_eq!(to.storage_class, Some(StorageClass::GlacierIr));
        assert_eq!(to.expected_bucket_owner.unwrap().as_str(), "111122223333");
    }
}

#[test]
fn a_custom_endpoint_uses_path_style_by_default() {
    let path_style = |s3: &str| config(&SMALLEST.replacen("[s3]\n", &format!("[s3]\n{s3}"), 1)).s3.path_style;
    assert!(!path_style(""));
    assert!(path_style("path_style = true\n"));
    assert!(path_style("endpoint_url = \"https://s3.example.com\"\n"));
    assert!(!path_style("endpoint_url = \"https://s3.example.com\"\npath_style = false\n"));
}

#[test]
fn a_write_key_finds_its_source() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "from-file\n").unwrap();
    let text = format!(
        "[s3]\nbucket = \"b-1\"\n\
         [[source]]\nid = \"web\"\nwrite_keys = [\"typed\", \"env:WEB_KEY\"]\n\
         [[source]]\nid = \"ios\"\nwrite_keys = [\"file:{}\"]\n",
        file.display()
    );
    let loaded = super::load(&text, &[("WEB_KEY", "from-env")]).unwrap();
    let sources = loaded.config.configured_sources();
    let source = |id: &str| Found::Source(SourceId::new(id).unwrap());
    assert_eq!(sources.find("typed"), source("web"));
    assert_eq!(sources.find("from-env"), source("web"));
    assert_eq!(sources.find("from-file"), source("ios"));
    assert_eq!(sources.find("env:WEB_KEY"), Found::Unknown);

    let accept = super::config(&format!("[collector]\nunknown_key = \"accept\"\n{SMALLEST}"));
    assert_eq!(accept.configured_sources().find("other"), Found::Discard);
    // Debug output shows no write key.
    let shown = format!("{loaded:?}");
    for key in ["typed", "from-env", "from-file"] {
        assert!(!shown.contains(key), "{shown}");
    }
}
