use forebay::config::{Environment, Loader};

use super::{SMALLEST, load, problems};

#[test]
fn a_variable_overrides_the_file_and_works_without_it() {
    let text = format!("[flush]\nmax_bytes = \"1 MB\"\n{SMALLEST}");
    let loaded = load(
        &text,
        &[
            ("FOREBAY_FLUSH_MAX_BYTES", "2 MB"),
            ("FOREBAY_FLUSH_ON_SHUTDOWN", "false"),
            ("FOREBAY_S3_BUCKET", "other/prefix"),
            ("FOREBAY_COLLECTOR_LISTEN", "127.0.0.1:0"),
            ("FOREBAY_COLLECTOR_MAX_CONNECTIONS", "17"),
            ("FOREBAY_COLLECTOR_TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.1"),
            ("FOREBAY_COLLECTOR_ALLOWED_ORIGINS", "https://a.example.com"),
            ("FOREBAY_SPOOL_NODE", ""),
            ("FOREBAY_LOG", "debug"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();
    let config = &loaded.config;
    assert_eq!(config.flush.max_bytes, 2_000_000);
    assert!(!config.flush.on_shutdown);
    assert_eq!(config.sources[0].location.as_ref().unwrap().bucket.to_string(), "other/prefix");
    assert_eq!(config.collector.listen, "127.0.0.1:0".parse().unwrap());
    assert_eq!(config.collector.max_connections, 17);
    assert_eq!(config.collector.trusted_proxies.len(), 2);
    assert_eq!(config.collector.allowed_origins, Some(vec!["https://a.example.com".into()]));
    assert_eq!(config.spool.node, None);
    assert_eq!(loaded.warnings, Vec::<String>::new());
}

#[test]
fn a_problem_names_the_variable_that_set_the_value() {
    let text = format!("[flush]\nmax_bytes = 3\n{SMALLEST}");
    assert_eq!(
        problems(&text, &[("FOREBAY_FLUSH_MAX_BYTES", "2"), ("FOREBAY_FLUSH_ON_SHUTDOWN", "maybe")]),
        [
            "FOREBAY_FLUSH_MAX_BYTES: flush.max_bytes = \"2\": expected a size with its unit, such as \"100 MB\" or \"64 KiB\"",
            "FOREBAY_FLUSH_ON_SHUTDOWN: flush.on_shutdown = \"maybe\": expected true or false",
        ]
    );
}

#[test]
fn a_variable_that_is_not_utf8_is_refused() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("forebay.toml");
    std::fs::write(&path, SMALLEST).unwrap();
    let variables = ["FOREBAY_S3_BUCKET", "OTHER"].map(|name| (name, OsString::from_vec(vec![b'b', 0xFF])));
    let error = Loader::new(path, Environment::of(variables)).load().unwrap_err();
    assert_eq!(error.problems.len(), 1);
    let said = error.problems[0].to_string();
    assert!(said.contains("FOREBAY_S3_BUCKET") && said.contains("not UTF-8"), "{said}");
}

#[test]
fn an_unknown_variable_is_a_warning() {
    let warnings = load(
        SMALLEST,
        &[
            ("FOREBAY_FLUSH_MAX_BYTE", "1 MB"),
            ("FOREBAY_SERVICE_HOST_OF_CLUSTER", "10.0.0.1"),
            ("FOREBAYS", "x"),
        ],
    )
    .unwrap()
    .warnings;
    assert_eq!(
        warnings,
        [
            "the environment variable FOREBAY_FLUSH_MAX_BYTE is unknown and ignored: did you mean FOREBAY_FLUSH_MAX_BYTES?",
            "the environment variable FOREBAY_SERVICE_HOST_OF_CLUSTER is unknown and ignored",
        ]
    );
}

#[test]
fn the_environment_shows_no_value() {
    let environment = Environment::of([("CHECKOUT_WRITE_KEY", "hidden")]);
    assert_eq!(format!("{environment:?}"), "Environment(1 variables)");
}
