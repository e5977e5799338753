//! The configuration: TOML as typed, or settings chosen by the input that are put into the file and also into
//! the environment.
//!
//! - A text that is refused gives its reasons, one per line, and never shows a write key or a token.
//! - A text that loads gives the same again, and again after a comment and with empty variables.
//! - A text value means the same in the file and in the environment.
//! - Sizes and durations print in a form that parses back to the same value.

use forebay::config::raw::{SECTIONS, variable_of};
use forebay::config::{ByteSize, Config, ConfigProblem, Environment, Period, check_text, diff};

use super::choices::Choices;

const SECRET: &str = "a-write-key-that-nobody-may-see";
/// Valid and invalid ones; the path may be a secret.
const WEBHOOKS: [&str; 5] = [
    "https://a.example/a-write-key-that-nobody-may-see",
    "ftp://a.example/a-write-key-that-nobody-may-see",
    "https://169.254.169.254/a-write-key-that-nobody-may-see",
    "https://u:p@a.example/a-write-key-that-nobody-may-see",
    " a-write-key-that-nobody-may-see",
];
/// Valid and invalid tokens.
const TOKENS: [&str; 5] = [
    SECRET,
    "env:RIGHT",
    "env:WRONG",
    "a-write-key-that-nobody-may-see and more",
    "another-token-of-the-fuzzer",
];
/// Sources that contain the secret, valid and invalid. The variables exist, with the secret or a line break
/// in it.
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

/// A file as typed.
fn typed(text: &str) {
    match check_text(text, &Environment::default()) {
        Ok((config, warnings)) => {
            assert!(warnings.is_empty(), "warnings without any environment: {warnings:?}");
            let again = check_text(&format!("# a comment\n{text}"), &with_empty_variables());
            assert_eq!(again.expect("it loaded before").0, config);
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
                ("admin", "token" | "read_token", _) => choices.one(&TOKENS).to_owned(),
                ("closed_days", "webhook", _) => choices.one(&WEBHOOKS).to_owned(),
                (_, _, 200..=244) => choices.one(&TEXTS).to_owned(),
                _ => {
                    let len = choices.below(24);
                    String::from_utf8_lossy(choices.take(len)).into_owned()
                }
            };
            // An empty value counts as unset in the environment, and no variable can contain NUL.
            if text.is_empty() || text.contains('\0') {
                continue;
            }
            // A word of a command in the file may hold what separates words in a variable.
            if *key == "command" && (text.contains(',') || text.trim() != text) {
                continue;
            }
            let typed = toml::Value::from(text.as_str());
            // Sometimes a list where none is expected, and the reverse.
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
    // In the environment everything is text, so a variable can hold a number or a list, which a text in the
    // file cannot.
    let environment = variables.iter().map(|(section, key, text)| (variable_of(section, key), text.clone()));
    let in_environment = check_text(&tail, &Environment::of(environment.chain(secrets())));
    match (in_file, in_environment) {
        (Ok((file, _)), Ok((environment, warnings))) => {
            assert!(warnings.is_empty());
            assert_eq!(file, environment);
            read_back(&file);
        }
        (Ok(_), Err(problems)) => panic!("valid in the file, but in the environment: {problems:?}"),
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

fn check_problems(problems: &[ConfigProblem]) {
    assert!(!problems.is_empty(), "refused without a problem");
    for problem in problems {
        let shown = problem.to_string();
        assert!(!shown.contains(SECRET), "a secret is shown: {shown}");
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
