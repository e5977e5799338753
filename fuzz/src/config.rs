//! The configuration: TOML as it stands, or settings that an input chooses and that are put into the file and, beside it,
//! into the environment.
//!
//! - A text that is refused says why, on lines of their own, and never shows a write key.
//! - A text that loads, loads the same again, and again behind a comment and with empty variables.
//! - A text value means the same in the file and in the environment.
//! - Sizes and durations print so that they are read back the same.

use forebay::config::raw::{SECTIONS, variable_of};
use forebay::config::{ByteSize, Config, Environment, Period, Problem, check_text, diff};

use super::choices::Choices;

const SECRET: &str = "a-write-key-that-nobody-may-see";
/// Rightly and wrongly; the path may be a secret.
const WEBHOOKS: [&str; 5] = [
    "https://a.example/a-write-key-that-nobody-may-see",
    "ftp://a.example/a-write-key-that-nobody-may-see",
    "https://169.254.169.254/a-write-key-that-nobody-may-see",
    "https://u:p@a.example/a-write-key-that-nobody-may-see",
    " a-write-key-that-nobody-may-see",
];
/// Sources that hold the secret, rightly and wrongly. What stands in a variable is there, with the secret or a line break.
const SOURCES: [&str; 9] = [
    "write_keys = [\"a-write-key-that-nobody-may-see\"]",
    "write_keys = [\"env:RIGHT\"]",
    "write_keys = [\"a-write-key-that-nobody-may-see\\u0001\"]",
    "write_keys = [\"env:WRONG\"]",
    "write_keys = \"a-write-key-that-nobody-may-see\"",
    "write_key = \"a-write-key-that-nobody-may-see\"",
    "write_keys = [{ key = \"a-write-key-that-nobody-may-see\" }]",
    "write_keys = [\"a-write-key-that-nobody-may-see]",
    "write_keys = [\"a-write-key-that-nobody-may-see\"]\n[[source]]\nid = \"ios\"\nwrite_keys = [\"env:RIGHT\"]",
];
const TEXTS: [&str; 26] = [
    "100 MB",
    "1.5GiB",
    "64 KiB",
    "1h",
    "500 ms",
    "0 s",
    "25 s",
    "127.0.0.1:8080",
    "[::]:9",
    "bucket/a/b",
    "us-east-1",
    "https://s3.example",
    "http://127.0.0.1:9000/",
    "permissive",
    "strict",
    "accept",
    "gzip",
    "none",
    "auto",
    "create-only",
    ":40",
    "arn:aws:iam::111122223333:role/a",
    "111122223333",
    "sse-s3",
    "STANDARD_IA",
    "n-1",
];

/// Runs one input.
pub fn run(input: &[u8]) {
    let mut choices = Choices::of(input);
    if choices.yes() {
        chosen(&mut choices);
    } else if let Ok(text) = std::str::from_utf8(choices.rest()) {
        typed(text);
    }
}

/// A file as it stands.
fn typed(text: &str) {
    match check_text(text, &Environment::default()) {
        Ok((config, warnings)) => {
            assert!(warnings.is_empty(), "nothing in the environment, and {warnings:?}");
            let again = check_text(&format!("# a comment\n{text}"), &with_empty_variables());
            assert_eq!(again.expect("loaded once").0, config);
            read_back(&config);
        }
        Err(problems) => check_problems(&problems),
    }
}

/// Settings of one text each, in the file and in the environment.
fn chosen(choices: &mut Choices<'_>) {
    let mut file = String::new();
    let mut variables = Vec::new();
    for (section, keys) in SECTIONS {
        file.push_str(&format!("[{section}]\n"));
        for key in keys {
            let text = match (section, *key, choices.byte()) {
                ("s3", "bucket", 0..=250) => "bucket/a".to_owned(),
                (_, _, 0..=199) => continue,
                ("closed_days", "webhook", _) => choices.one(&WEBHOOKS).to_owned(),
                (_, _, 200..=244) => choices.one(&TEXTS).to_owned(),
                _ => {
                    let len = choices.below(24);
                    String::from_utf8_lossy(choices.take(len)).into_owned()
                }
            };
            // What is empty counts as not set in the environment, and nothing there can hold NUL.
            if text.is_empty() || text.contains('\0') {
                continue;
            }
            let typed = toml::Value::from(text.as_str());
            // What should be no list, and the other way round.
            let typed = if choices.byte() < 250 { typed } else { toml::Value::from(vec![typed]) };
            file.push_str(&format!("{key} = {typed}\n"));
            variables.push((section, *key, text));
        }
    }
    let source = match choices.byte() {
        0..=127 => SOURCES[0],
        byte => SOURCES[usize::from(byte) % SOURCES.len()],
    };
    let tail = format!("[[source]]\nid = \"web\"\n{source}\n");
    let in_file = check_text(&format!("{file}{tail}"), &Environment::of(secrets()));
    if let Err(problems) = &in_file {
        check_problems(problems);
    }
    // In the environment everything is text, so that a number or a list may stand there, which a text in the file is not.
    let environment = variables.iter().map(|(section, key, text)| (variable_of(section, key), text.clone()));
    let in_environment = check_text(&tail, &Environment::of(environment.chain(secrets())));
    match (in_file, in_environment) {
        (Ok((file, _)), Ok((environment, warnings))) => {
            assert!(warnings.is_empty());
            assert_eq!(file, environment);
            read_back(&file);
        }
        (Ok(_), Err(problems)) => panic!("right in the file, and in the environment: {problems:?}"),
        (Err(_), Err(problems)) => check_problems(&problems),
        (Err(_), Ok((environment, _))) => read_back(&environment),
    }
}

fn secrets() -> [(String, String); 2] {
    [("RIGHT".to_owned(), SECRET.to_owned()), ("WRONG".to_owned(), format!("{SECRET}\n{SECRET}"))]
}

fn with_empty_variables() -> Environment {
    let names = SECTIONS.iter().flat_map(|(section, keys)| keys.iter().map(|key| variable_of(section, key)));
    Environment::of(names.map(|name| (name, String::new())))
}

fn check_problems(problems: &[Problem]) {
    assert!(!problems.is_empty(), "refused for nothing");
    for problem in problems {
        let shown = problem.to_string();
        assert!(!shown.contains(SECRET), "a write key is shown: {shown}");
        assert!(!shown.is_empty() && !shown.contains('\n'), "{shown:?}");
    }
}

fn read_back(config: &Config) {
    for bytes in [config.flush.max_bytes, config.spool.max_bytes, config.spool.segment_bytes] {
        assert_eq!(ByteSize(bytes).to_string().parse(), Ok(ByteSize(bytes)));
    }
    for period in [config.flush.max_age, config.collector.drain_delay, config.spool.dedupe_window] {
        let period = Period::from_millis(u64::try_from(period.as_millis()).unwrap());
        assert_eq!(period.to_string().parse(), Ok(period));
    }
    assert!(diff(config, config).is_empty(), "it differs from itself");
}
