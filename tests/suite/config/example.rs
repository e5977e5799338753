use forebay::config::raw::{DESTINATION_KEYS, IMPORT_KEYS, SECRET_KEYS, SECTIONS, SOURCE_KEYS};

use std::time::Duration;

use super::imports::CONVERTER;
use super::{SMALLEST, config, load, load_with, problems};

const EXAMPLE: &str = include_str!("../../../forebay.example.toml");

/// The write keys that the example takes from the environment.
const KEYS: [(&str, &str); 2] = [("CHECKOUT_WRITE_KEY", "checkout-web-key"), ("IOS_WRITE_KEY", "ios-key")];

/// The lines of the destination of the example, and those of its import.
fn lists() -> (&'static str, &'static str) {
    let (_, lists) = EXAMPLE.split_once("# [[destination]]").unwrap();
    lists.split_once("# [[import]]").unwrap()
}

/// The example with all its commented settings enabled, except alternatives of the same setting and those
/// that refer to a file with a secret.
fn all_switched_on() -> String {
    // Destinations are alternatives of each other.
    let (example, _) = EXAMPLE.split_once("# [[destination]]").unwrap();
    example
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(setting) if is_setting(setting) && !refers_outside(setting) => setting,
            _ => line,
        })
        .map(|line| format!("{line}\n"))
        .collect()
}

fn refers_outside(setting: &str) -> bool {
    ["\"env:", "\"file:"].iter().any(|prefix| setting.contains(prefix))
}

fn is_setting(text: &str) -> bool {
    text.split_once(" = ").is_some_and(|(key, _)| key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
}

#[test]
fn the_example_lists_the_defaults() {
    let example = load(EXAMPLE, &KEYS).unwrap_or_else(|error| panic!("{error}")).config;
    let smallest = config(SMALLEST);
    assert_eq!(example.collector, smallest.collector);
    assert_eq!(example.admin, smallest.admin);
    assert_eq!(example.spool, smallest.spool);
    assert_eq!(example.flush, smallest.flush);
    assert_eq!(
        forebay::config::S3 { bucket: None, ..example.s3 },
        forebay::config::S3 { bucket: None, ..smallest.s3 }
    );
    assert_eq!(example.sources.len(), 2);
}

/// A person who forgot to replace them ran a collector with keys that everybody could read.
#[test]
fn the_example_holds_no_write_key() {
    assert!(load(EXAMPLE, &[]).is_err_and(|error| error.to_string().contains("CHECKOUT_WRITE_KEY")));
}

#[test]
fn the_commented_settings_of_the_example_are_valid() {
    let config = load(&all_switched_on(), &KEYS).unwrap_or_else(|error| panic!("{error}")).config;
    assert_eq!(config.collector.tls.map(|tls| tls.listen), Some("0.0.0.0:8443".parse().unwrap()));
    assert_eq!(config.sources[1].location.as_ref().unwrap().bucket.to_string(), "another-bucket");
}

#[test]
fn the_example_mentions_every_key() {
    let text = all_switched_on();
    let after = |header: String| {
        text.split_once(&format!("\n{header}\n")).unwrap_or_else(|| panic!("{header} is not mentioned")).1
    };
    for (section, keys) in SECTIONS {
        let body = format!("\n{}", after(format!("[{section}]")).split("\n[").next().unwrap());
        for key in keys {
            let mentioned = ["", "# "].iter().any(|mark| body.contains(&format!("\n{mark}{key} = ")));
            assert!(mentioned, "{section}.{key} is not mentioned");
        }
    }
    let sources = after("[[source]]".to_owned());
    for key in SOURCE_KEYS {
        assert!(sources.contains(key), "source.{key} is not mentioned");
    }
    let (destination, import) = lists();
    for key in DESTINATION_KEYS {
        assert!(destination.contains(&format!("\n# {key} = ")), "destination.{key} is not mentioned");
    }
    for key in IMPORT_KEYS {
        assert!(import.contains(&format!("\n# {key} = ")), "import.{key} is not mentioned");
    }
}

/// The destination of the example, as a function of AWS, a web address, and another endpoint.
#[test]
fn each_destination_of_the_example_is_valid() {
    let (lines, _) = lists();
    let settings = lines.lines().filter_map(|line| line.strip_prefix("# ")).filter(|line| is_setting(line));
    let of_http = ["url", "forward", "write_key"];
    let of_lambda = [
        "function", "functions", "region", "role_arn", "external_id", "log_type", "invocation",
        "max_payload", "endpoint_url",
    ];
    let key = |line: &str| line.split(' ').next().unwrap().to_owned();
    let with = |kind: &str, without: &[&str]| {
        let mut text = format!("{SMALLEST}[[destination]]\ntype = \"{kind}\"\n");
        // The bounds of a batch need batches.
        let left_out = ["type", "batch_max_calls", "batch_max_bytes"];
        for line in settings
            .clone()
            .filter(|line| !left_out.contains(&&*key(line)) && !without.contains(&&*key(line)))
        {
            text.push_str(line);
            text.push('\n');
        }
        load(&text, &[("THEIR_WRITE_KEY", "k")])
            .unwrap_or_else(|error| panic!("{error}"))
            .config
            .destinations
            .remove(0)
    };
    let lambda = with("lambda", &of_http);
    assert_eq!((lambda.name.as_str(), lambda.selection.functions.len(), lambda.concurrency), ("crm", 1, 64));
    assert_eq!(lambda.timeout, Duration::from_secs(5));
    let url = with("http", &[&of_lambda[..], &["forward", "write_key"]].concat());
    assert_eq!((url.functions_at.kind(), url.batch), ("http", None));
    let forward = with("http", &[&of_lambda[..], &["url"]].concat());
    assert_eq!(forward.batch.map(|batch| batch.calls), Some(100));
}

#[test]
fn the_import_of_the_example_has_the_defaults() {
    let settings: Vec<&str> = lists().1.lines().filter_map(|line| line.strip_prefix("# ")).collect();
    let with = |is_wanted: &dyn Fn(&str) -> bool| {
        let lines: Vec<&str> =
            settings.iter().copied().filter(|line| is_setting(line) && is_wanted(line)).collect();
        let lines =
            lines.join("\n").replace("checkout-web", "web").replace("orders.converter.json", "c.json");
        let config = load_with(&format!("{SMALLEST}[[import]]\n{lines}\n"), &[("c.json", CONVERTER)]);
        config.unwrap_or_else(|error| panic!("{error}")).config.imports.remove(0)
    };
    // A queue goes with another way to find files, and what is not built is refused.
    let of_queues = |line: &str| ["queue_url", "rejects_max"].iter().any(|key| line.starts_with(key));
    let all = with(&|line| !of_queues(line));
    assert_eq!((all.bucket.bucket(), all.prefix.as_str(), all.parallel), ("files-bucket", "orders/", 4));
    let without_default = [
        "source", "prefix", "region", "endpoint_url", "role_arn", "external_id", "modified_after", "rejects ",
    ];
    let needed =
        with(&|line| ["name", "bucket", "converter", "insert_id"].iter().any(|key| line.starts_with(key)));
    let shown = with(&|line| !of_queues(line) && !without_default.iter().any(|key| line.starts_with(key)));
    assert_eq!(shown, needed);
}

#[test]
fn every_key_is_read() {
    for (section, keys) in SECTIONS {
        for key in keys {
            // No key accepts a number with a fraction.
            let line = format!("{key} = 0.5\n");
            let text = match section {
                "s3" => SMALLEST
                    .replacen(
                        "bucket = \"b-1\"\n",
                        if *key == "bucket" { "" } else { "bucket = \"b-1\"\n" },
                        1,
                    )
                    .replacen("[s3]\n", &format!("[s3]\n{line}"), 1),
                _ => format!("[{section}]\n{line}{SMALLEST}"),
            };
            let found = problems(&text, &[]);
            // A secret is not shown, even if it is none.
            let value = if SECRET_KEYS.contains(key) { "" } else { "= 0.5: " };
            let named = format!("line 2: {section}.{key} {value}");
            assert!(found.iter().any(|problem| problem.starts_with(&named)), "{text}: {found:?}");
        }
    }
    for key in SOURCE_KEYS {
        let found = problems(&format!("[s3]\nbucket = \"b-1\"\n[[source]]\n{key} = 0.5\n"), &[]);
        let named = format!("line 4: source[1].{key} ");
        assert!(found.iter().any(|problem| problem.starts_with(&named)), "{key}: {found:?}");
    }
    for key in DESTINATION_KEYS {
        let kind = match *key {
            "type" => "",
            "url" | "forward" | "write_key" => "type = \"http\"\n",
            "batch_max_calls" | "batch_max_bytes" => "type = \"lambda\"\nmode = \"batch\"\n",
            _ => "type = \"lambda\"\n",
        };
        let found = problems(&format!("{SMALLEST}[[destination]]\n{key} = 0.5\n{kind}"), &[]);
        let named = format!("destination[1].{key} ");
        assert!(
            found.iter().any(|problem| problem.contains(&named) && problem.contains("xpected")),
            "{key}: {found:?}"
        );
    }
    for key in IMPORT_KEYS {
        let found = problems(&format!("{SMALLEST}[[import]]\n{key} = 0.5\n"), &[]);
        let named = format!("import[1].{key} ");
        assert!(
            found.iter().any(|problem| problem.contains(&named) && problem.contains("xpected")),
            "{key}: {found:?}"
        );
    }
}
