use forebay::config::raw::{SECRET_KEYS, SECTIONS, SOURCE_KEYS};

use super::{SMALLEST, config, problems};

const EXAMPLE: &str = include_str!("../../../forebay.example.toml");

/// The example with all its commented settings enabled, except alternatives of the same setting and those that refer to
/// a file with a secret.
fn all_switched_on() -> String {
    EXAMPLE
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
    let (example, smallest) = (config(EXAMPLE), config(SMALLEST));
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

#[test]
fn the_commented_settings_of_the_example_are_valid() {
    let config = config(&all_switched_on());
    assert_eq!(config.collector.tls.map(|tls| tls.listen), Some("0.0.0.0:8443".parse().unwrap()));
    assert_eq!(config.sources[1].destination.bucket.to_string(), "another-bucket");
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
}
