//! Keys that are listed come back, however a function decodes them.

use proptest::prelude::*;

use super::*;
use crate::jobs::manifest::listing::{encoded_key, push_line};

/// Python's `urllib.parse.unquote`: escapes become bytes, everything else stays.
fn unquote(text: &str) -> String {
    let (mut bytes, mut decoded) = (text.bytes(), Vec::new());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| u8::try_from((byte.unwrap() as char).to_digit(16).unwrap()).unwrap();
        let high = digit(bytes.next());
        decoded.push(high << 4 | digit(bytes.next()));
    }
    String::from_utf8(decoded).unwrap()
}

/// Python's `urllib.parse.unquote_plus`.
fn unquote_plus(text: &str) -> String {
    unquote(&text.replace('+', " "))
}

fn check(keys: &[(String, Option<String>)]) {
    let mut csv = String::new();
    let mut json = String::new();
    for (key, version) in keys {
        push_line(&mut csv, "my-bucket", key, version.as_deref()).unwrap();
        let version =
            version.as_ref().map(|version| format!(",\"versionId\":{}", serde_json::json!(version)));
        let key = serde_json::json!(key);
        json.push_str(&format!(
            "{{\"bucket\":\"my-bucket\",\"key\":{key}{}}}\n",
            version.unwrap_or_default()
        ));
    }
    assert_eq!(csv.lines().count(), keys.len());
    for manifest in [&csv, &json] {
        let (tasks, _) = read(&Files::of(manifest.as_bytes())).unwrap();
        assert_eq!(tasks.len(), keys.len());
        for (task, (key, version)) in tasks.iter().zip(keys) {
            assert_eq!((&unquote(&task.key), &unquote_plus(&task.key)), (key, key));
            assert_eq!((&task.version, &task.key), (version, &encoded_key(key).into_owned()));
        }
    }
}

#[test]
fn keys_with_special_characters_come_back() {
    let keys = [
        " ", "+", "%", "a b+c%d", "%20", "%2B", "a,b", "\"a\"", "{\"a\": 1}", "\n", "\r\n", "ü", "日本/😀",
        "/", "//a/", ".", "a\\b", "'", "\u{0}", "\u{7f}", "\u{feff}", "#?&=;:@$!*()[]|<>^`~",
    ];
    let keys: Vec<(String, Option<String>)> = keys.iter().map(|key| ((*key).to_owned(), None)).collect();
    check(&keys);
}

proptest! {
    #[test]
    fn any_key_comes_back(
        keys in prop::collection::vec(".{1,40}|[ -~]{1,80}|\\PC{1,60}", 1..20),
        // A number in the third column is taken for the size in a part of an inventory.
        versions in prop::option::of("[!-~]{0,19}[!-/:-~]"),
    ) {
        let keys: Vec<_> = keys.into_iter().map(|key| (key, versions.clone())).collect();
        check(&keys);
    }
}
