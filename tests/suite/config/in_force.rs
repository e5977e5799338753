//! The settings in force, as an operator reads them.

use forebay::config::raw::{SECTIONS, SOURCE_KEYS};
use forebay::config::{Loaded, Origin};

use super::{SMALLEST, load};

fn value<'a>(values: &'a [forebay::config::ConfigValue], name: &str) -> (&'a str, Origin) {
    let value = values.iter().find(|value| value.name == name).unwrap_or_else(|| panic!("no {name}"));
    (&value.value, value.from)
}

#[test]
fn every_setting_is_there_with_its_value_and_where_it_is_from() {
    let text = format!(
        "[flush]\nmax_age = \"90 min\"\nmax_bytes = \"2 MB\"\n[collector]\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\"]\n\
         {SMALLEST}region = \"eu-x-1\"\n"
    );
    let loaded = load(&text, &[("FOREBAY_FLUSH_MAX_BYTES", "3 MB"), ("FOREBAY_SPOOL_NODE", "n1")]).unwrap();
    let values = loaded.values();
    let names: Vec<_> = values.iter().map(|value| value.name.clone()).collect();
    let settings =
        SECTIONS.iter().flat_map(|(section, keys)| keys.iter().map(move |key| format!("{section}.{key}")));
    let of_source = SOURCE_KEYS.iter().filter(|key| **key != "id").map(|key| format!("source.web.{key}"));
    assert_eq!(names, settings.chain(of_source).collect::<Vec<_>>());
    let check = |name: &str, shown: &str, from| assert_eq!(value(&values, name), (shown, from), "{name}");
    check("flush.max_age", "90 min", Origin::File);
    check("flush.max_bytes", "3 MB", Origin::Environment);
    check("spool.node", "n1", Origin::Environment);
    check("flush.shutdown_grace", "25 s", Origin::Default);
    check("collector.trusted_proxies", "[\"10.0.0.0/8\", \"::1/128\"]", Origin::File);
    check("collector.public_host", "(not set)", Origin::Default);
    check("s3.bucket", "b-1", Origin::File);
    check("source.web.bucket", "b-1", Origin::Default);
    check("source.web.region", "eu-x-1", Origin::File);
    check("source.web.encryption", "sse-s3", Origin::Default);
}

/// Every setting has a value of its own: what the file sets is what is shown.
#[test]
fn no_value_is_that_of_another_setting() {
    let set = [
        ("collector.max_body", "2 MiB"),
        ("collector.max_event", "8 KiB"),
        ("collector.max_connections", "7"),
        ("collector.calls_per_second", "9"),
        ("collector.drain_delay", "1 s"),
        ("collector.validation", "strict"),
        ("collector.unknown_key", "accept"),
        ("collector.accept_bearer", "true"),
        ("collector.path_prefix", "/x"),
        ("admin.live_view", "off"),
        ("admin.metrics_without_token", "true"),
        ("spool.dir", "/x"),
        ("spool.max_bytes", "1 GB"),
        ("spool.segment_bytes", "16 MiB"),
        ("spool.on_corruption", "stop"),
        ("spool.dedupe_window", "2 h"),
        ("s3.acl", "bucket-owner-full-control"),
        ("s3.storage_class", "GLACIER_IR"),
        ("s3.content_encoding", "none"),
        ("s3.checksums", "when-required"),
        ("s3.put", "overwrite"),
        ("flush.align", ":05"),
        ("flush.on_shutdown", "false"),
        ("closed_days.timeout", "9 s"),
    ];
    for (name, text) in set {
        let variable = format!("FOREBAY_{}", name.replace('.', "_").to_uppercase());
        let before = load(SMALLEST, &[]).unwrap().values();
        let after = load(SMALLEST, &[(&variable, text)]).unwrap().values();
        assert_eq!(value(&after, name), (text, Origin::Environment));
        for (before, after) in before.iter().zip(&after) {
            let follows = after.name == name || after.name == name.replacen("s3.", "source.web.", 1);
            assert_eq!(before.value == after.value, !follows, "{name} and {}", after.name);
        }
    }
}

#[test]
fn secrets_are_hidden() {
    let text = "[admin]\ntoken = \"a-secret-of-a-test\"\nread_token = \"env:READ\"\n\
                [closed_days]\nwebhook = \"https://hooks.example.com/a-secret\"\ncommand = [\"curl\", \"-HX: a-secret\"]\n\
                [s3]\nbucket = \"b-1\"\n[[source]]\nid = \"web\"\nwrite_keys = [\"a-secret-key\", \"env:KEY\"]\n";
    let loaded = load(text, &[("READ", "another-secret-of-a-test"), ("KEY", "a-secret-too")]).unwrap();
    let values = loaded.values();
    for value in &values {
        assert!(!value.value.contains("secret"), "{value:?}");
    }
    assert_eq!(value(&values, "admin.token"), ("(hidden)", Origin::File));
    assert_eq!(value(&values, "admin.read_token"), ("(hidden)", Origin::File));
    assert_eq!(value(&values, "closed_days.webhook"), ("(hidden)", Origin::File));
    assert_eq!(value(&values, "closed_days.command"), ("[\"curl\", (hidden)]", Origin::File));
    assert_eq!(value(&values, "source.web.write_keys"), ("(hidden): 2", Origin::File));
    let smallest = load(SMALLEST, &[]).unwrap().values();
    assert_eq!(value(&smallest, "admin.token"), ("(not set)", Origin::Default));
}

#[test]
fn a_reload_changes_what_changes_at_once_and_keeps_what_waits() {
    let old = load(&format!("[flush]\nmax_age = \"2 h\"\n{SMALLEST}"), &[]).unwrap();
    let new =
        format!("[collector]\nunknown_key = \"accept\"\nreceipts = true\n{}", SMALLEST.replace("b-1", "b-2"));
    let after: Loaded = old.after_reload(load(&new, &[]).unwrap());
    let values = after.values();
    let check = |name: &str, shown: &str, from| assert_eq!(value(&values, name), (shown, from), "{name}");
    check("collector.unknown_key", "accept", Origin::File);
    check("s3.bucket", "b-2", Origin::File);
    check("source.web.bucket", "b-2", Origin::Default);
    check("flush.max_age", "2 h", Origin::File);
    check("collector.receipts", "false", Origin::Default);
}

#[test]
fn of_ten_thousand_sources_the_first_are_listed() {
    let source = |n: usize| format!("[[source]]\nid = \"s{n}\"\nwrite_keys = [\"k{n}\"]\n");
    let text: String =
        std::iter::once("[s3]\nbucket = \"b-1\"\n".to_owned()).chain((0..250).map(source)).collect();
    let values = load(&text, &[]).unwrap().values();
    let listed = values.iter().filter(|value| value.name.ends_with(".write_keys")).count();
    assert_eq!((listed, value(&values, "source.s199.bucket").0), (200, "b-1"));
}

#[test]
fn the_key_of_a_source_is_named_by_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "secret-of-file").unwrap();
    let text = format!(
        "[s3]\nbucket = \"b-1\"\n[[source]]\nid = \"a\"\nwrite_keys = [\"env:A_KEY\", \"x\"]\n\
         [[source]]\nid = \"b\"\nwrite_keys = [\"file:{path}\"]\n[[source]]\nid = \"c\"\nwrite_keys = [\"secret\"]\n",
        path = file.display()
    );
    let config = load(&text, &[("A_KEY", "secret-of-variable")]).unwrap().config;
    let shown: Vec<_> = config.sources.iter().map(|source| source.key_placeholder.as_str()).collect();
    assert_eq!(shown, ["<A_KEY>", &format!("<write key in {}>", file.display()), "<write key of c>"]);
}
