use forebay::config::raw::{SECTIONS, variable_of};
use forebay::config::reload::in_force;
use forebay::config::{Changes, diff};
use forebay::sources::SourceId;

use super::imports::CONVERTER;
use super::{SMALLEST, config, load, load_with};

fn with_sources(sources: &[(&str, &str)]) -> String {
    let mut text = "[s3]\nbucket = \"b-1\"\n".to_owned();
    for (id, rest) in sources {
        text += &format!("[[source]]\nid = \"{id}\"\n{rest}\n");
    }
    text
}

fn names(sources: &[SourceId]) -> Vec<&str> {
    sources.iter().map(SourceId::as_str).collect()
}

#[test]
fn sources_can_be_added_removed_moved_and_rekeyed() {
    let old = config(&with_sources(&[
        ("stays", "write_keys = [\"s1\", \"s2\"]"),
        ("goes", "write_keys = [\"g\"]"),
        ("moves", "write_keys = [\"m\"]"),
        ("rotates", "write_keys = [\"r1\"]"),
    ]));
    let new = config(&with_sources(&[
        ("comes", "write_keys = [\"c\"]"),
        ("rotates", "write_keys = [\"r1\", \"r2\"]"),
        ("moves", "write_keys = [\"m\"]\nbucket = \"b-2/p\"\nencryption = \"none\""),
        ("stays", "write_keys = [\"s2\", \"s1\"]"),
    ]));
    let changes = diff(&old, &new);
    assert_eq!(names(&changes.added), ["comes"]);
    assert_eq!(names(&changes.removed), ["goes"]);
    assert_eq!(names(&changes.rekeyed), ["rotates"]);
    assert_eq!(names(&changes.retargeted), ["moves"]);
    assert_eq!(changes.needs_restart, Vec::<&str>::new());
    assert_eq!(
        changes.to_string(),
        "sources added: comes; sources removed: goes; sources with a changed bucket: moves; \
         sources with changed write keys: rotates"
    );
    assert!(diff(&in_force(&old, &new), &new).is_empty());
}

#[test]
fn another_bucket_of_s3_moves_every_source_without_its_own() {
    let text =
        with_sources(&[("a", "write_keys = [\"a\"]"), ("b", "write_keys = [\"b\"]\nbucket = \"own\"")]);
    let changes = diff(&config(&text), &config(&text.replace("b-1", "b-2")));
    assert_eq!(names(&changes.retargeted), ["a"]);
    assert_eq!(changes.needs_restart, Vec::<&str>::new());
}

#[test]
fn an_unchanged_configuration_has_no_changes() {
    let changes = diff(&config(SMALLEST), &config(SMALLEST));
    assert_eq!(changes, Changes::default());
    assert_eq!(changes.to_string(), "nothing changed");
}

#[test]
fn settings_that_need_a_restart_are_reported_and_stay_in_force() {
    let old = config(SMALLEST);
    let new = config(&format!("[spool]\ndir = \"/x\"\n[flush]\nmax_age = \"2 h\"\n{SMALLEST}"));
    let said = diff(&old, &new).to_string();
    assert_eq!(said, "taking effect at the next start: spool.dir, flush.max_age");
    assert_eq!(in_force(&old, &new), old);
}

#[test]
fn a_long_list_of_sources_is_cut() {
    let many: Vec<String> =
        (0..25).map(|n| format!("[[source]]\nid = \"s{n:02}\"\nwrite_keys = [\"k{n}\"]\n")).collect();
    let said = diff(&config(SMALLEST), &config(&format!("{}{}", SMALLEST, many.concat()))).to_string();
    assert!(said.starts_with("sources added: s00, s01, ") && said.ends_with(", s19 and 5 more"), "{said}");
}

/// Sets every key to a value other than its default, and checks what a reload reports.
#[test]
fn every_setting_changes_at_run_time_or_is_reported_to_need_a_restart() {
    let live = [
        "s3.bucket",
        "s3.region",
        "s3.encryption",
        "s3.role_arn",
        "s3.external_id",
        "s3.expected_bucket_owner",
        "s3.storage_class",
        "collector.unknown_key",
        "admin.token",
        "admin.read_token",
        "admin.metrics_without_token",
        "admin.live_view",
    ];
    let other = |section: &str, key: &str| match (section, key) {
        ("collector", "max_body") => "2 MiB",
        ("collector", "max_event") => "8 KiB",
        ("collector", "drain_delay") => "1 s",
        ("collector", "validation") => "strict",
        ("collector", "unknown_key") => "accept",
        ("collector", "client_libraries") => "x.js",
        ("collector", "trusted_proxies") => "10.0.0.0/8",
        ("collector", "allowed_origins") => "https://a.example.com",
        ("collector", "public_host") => "c.example.com",
        ("collector", "path_prefix") => "/x",
        ("collector", "accept_bearer" | "private_network" | "receipts") => "true",
        ("s3", "path_style" | "fips" | "dual_stack" | "request_payer") => "true",
        ("s3", "sts_endpoint_url" | "kms_endpoint_url") => "https://vpce.example.com",
        ("s3", "role_arn") => "arn:aws:iam::111122223333:role/x",
        ("s3", "external_id") => "x1",
        ("s3", "expected_bucket_owner") => "111122223333",
        ("s3", "storage_class") => "GLACIER_IR",
        ("s3", "acl") => "bucket-owner-full-control",
        ("s3", "object_tags") => "source,day",
        ("collector", "max_connections" | "calls_per_second") => "7",
        ("admin", "allowed_hosts") => "a.example.com",
        ("admin", "token") => "one-token-of-a-test",
        ("admin", "read_token") => "other-token-of-a-test",
        ("admin", "metrics_without_token") => "true",
        ("admin", "live_view") => "off",
        (_, "listen" | "tls_listen") => "127.0.0.1:7777",
        ("collector", "tls_cert" | "tls_key") | ("spool", "dir") => "/x",
        ("spool", "max_bytes") => "1 GB",
        ("spool", "segment_bytes") => "16 MiB",
        ("spool", "node") => "n1",
        ("spool", "unsafe_filesystem") => "true",
        ("spool", "on_corruption") => "stop",
        ("spool", "dedupe_window") => "0 s",
        ("s3", "bucket") => "b-2",
        ("s3", "region") => "eu-x-1",
        ("s3", "endpoint_url") => "http://127.0.0.1:9000",
        ("s3", "encryption" | "content_encoding") => "none",
        ("s3", "checksums") => "when-required",
        ("s3", "put") => "overwrite",
        ("flush", "max_bytes") => "1 MB",
        ("flush", "max_age") => "1 s",
        ("flush", "align") => ":40",
        ("flush", "on_shutdown") => "false",
        ("flush", "shutdown_grace") => "9 s",
        ("closed_days", "webhook") => "https://example.com/x",
        ("closed_days", "command") => "true",
        ("closed_days", "timeout") => "9 s",
        ("alarm", "webhook") => "https://example.com/x",
        ("alarm", "form") => "pagerduty",
        ("alarm", "routing_key") => "00000000000000000000000000000000",
        other => panic!("add a value for {other:?} here"),
    };
    let tls = ["tls_listen", "tls_cert", "tls_key"];
    for (section, keys) in SECTIONS {
        for key in keys {
            // TLS needs three keys together, an external id needs a role, and a token for reading needs the
            // other.
            let set: Vec<&str> = match *key {
                key if tls.contains(&key) => tls.to_vec(),
                "external_id" => vec!["external_id", "role_arn"],
                "read_token" => vec!["read_token", "token"],
                "form" | "routing_key" => vec!["form", "routing_key"],
                key => vec![key],
            };
            let variables: Vec<_> =
                set.iter().map(|key| (variable_of(section, key), other(section, key))).collect();
            let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), *value)).collect();
            let changed = load(SMALLEST, &variables).unwrap().config;
            let changes = diff(&config(SMALLEST), &changed);
            let name = format!("{section}.{key}");
            if live.contains(&name.as_str()) {
                assert_eq!(changes.needs_restart, Vec::<&str>::new(), "{name}");
                assert!(!changes.is_empty(), "{name}");
            } else {
                assert!(
                    changes.needs_restart.iter().any(|said| said.starts_with(section) && said.contains(key)),
                    "{name}"
                );
            }
        }
    }
}

const OPEN: &str = "[admin]\nlisten = \"0.0.0.0:9180\"\ntoken = \"one-token-of-a-test\"\n";

#[test]
fn a_token_can_be_changed_while_it_runs() {
    let old = config(&format!("{OPEN}{SMALLEST}"));
    let new = config(&format!("{}{SMALLEST}", OPEN.replace("one", "another")));
    let changes = diff(&old, &new);
    assert_eq!(changes.to_string(), "changed: admin.token");
    assert_eq!(in_force(&old, &new).admin.token, new.admin.token);
    assert!(diff(&in_force(&old, &new), &new).is_empty());
}

/// The new address applies at the next start: until then other machines reach the old one.
#[test]
fn tokens_stay_in_force_as_long_as_other_machines_reach_the_listener() {
    let old = config(&format!("{OPEN}read_token = \"other-token-of-a-test\"\n{SMALLEST}"));
    let new = config(&format!("[admin]\nlive_view = \"off\"\n{SMALLEST}"));
    let next = in_force(&old, &new);
    assert_eq!((next.admin.token, next.admin.read_token), (old.admin.token, old.admin.read_token));
    assert!(next.admin.token.is_some() && next.admin.live_view == forebay::live::Mode::Off);
    assert_eq!(
        diff(&old, &new).to_string(),
        "changed: admin.live_view; taking effect at the next start: admin.token, admin.read_token, admin.listen"
    );
    // On loopback a token may go at once.
    let loopback = config(&format!("{}{SMALLEST}", OPEN.replace("0.0.0.0", "127.0.0.1")));
    assert_eq!(in_force(&loopback, &config(SMALLEST)).admin.token, None);
}

/// What an import reads and how long its calls may be follows from settings that need a restart.
#[test]
fn imports_wait_for_the_restart_with_the_settings_they_are_made_for() {
    let with = |first: &str, prefix: &str| {
        let import = format!(
            "[[import]]\nname = \"orders\"\nbucket = \"files\"\nprefix = \"{prefix}\"\nconverter = \"c.json\"\n\
             insert_id_window = \"0 s\"\n"
        );
        let [s3, sources] = ["[s3]\nbucket = \"b-1\"\n", "[[source]]\nid = \"web\"\nwrite_keys = [\"k\"]\n"];
        let (of_s3, before) = if first.starts_with("endpoint_url") { (first, "") } else { ("", first) };
        let text = format!("{before}\n{s3}{of_s3}\n{sources}{import}");
        load_with(&text, &[("c.json", CONVERTER)]).unwrap().config
    };
    let old = with("", "a/");
    let (longer, elsewhere) = (
        "[collector]\nmax_event = \"8 KiB\"",
        "endpoint_url = \"https://s3.example.com\"\npath_style = true",
    );
    assert_eq!(diff(&old, &with("", "b/")).to_string(), "imports changed: orders");
    assert_eq!(in_force(&old, &with("", "b/")).imports, with("", "b/").imports);
    for (first, setting) in [(longer, "collector.max_event"), (elsewhere, "s3.endpoint_url")] {
        for (old, new) in [(old.clone(), with(first, "b/")), (with(first, "a/"), with("", "b/"))] {
            let changes = diff(&old, &new);
            assert!(changes.imports.is_empty(), "{changes}");
            assert!(["import", setting].iter().all(|name| changes.needs_restart.contains(name)), "{changes}");
            let next = in_force(&old, &new);
            assert_eq!(next.imports, old.imports, "{changes}");
            assert!(std::sync::Arc::ptr_eq(
                &next.imports[0].converter.as_ref().unwrap().compiled,
                &old.imports[0].converter.as_ref().unwrap().compiled
            ));
        }
        // Without a change of its own, an import is not mentioned, and keeps its converter all the same.
        if setting == "collector.max_event" {
            let new = with(first, "a/");
            assert_eq!(diff(&old, &new).to_string(), "taking effect at the next start: collector.max_event");
            let next = in_force(&old, &new);
            assert!(std::sync::Arc::ptr_eq(
                &next.imports[0].converter.as_ref().unwrap().compiled,
                &old.imports[0].converter.as_ref().unwrap().compiled
            ));
        }
    }
}
