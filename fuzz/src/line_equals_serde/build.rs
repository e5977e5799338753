//! Bodies built from choices: always JSON, with the names that the collector knows, and with everything that
//! JSON allows.

use super::super::choices::Choices;

/// The greatest depth of values, and the greatest length of a body.
const DEPTH_MAX: usize = 12;
const BODY_MAX: usize = 16 * 1_024;

const NAMES: [&str; 33] = [
    "type", "messageId", "userId", "anonymousId", "event", "groupId", "previousId", "timestamp",
    "originalTimestamp", "sentAt", "receivedAt", "context", "integrations", "channel", "projectId",
    "version", "writeKey", "properties", "traits", "_metadata", "ip", "userAgent", "direct", "library",
    "name", "app", "a", "b", "", "batch", r"\u0074ype", r"mess\u0061geId", "forebayPosition",
];
/// Only a few, so that merged objects share names.
const INNER_NAMES: [&str; 12] =
    ["app", "library", "name", "ip", "userAgent", "direct", "a", "b", "/", r"\/", r"\u002f", r"\ud800"];
const TEXTS: [&str; 30] = [
    "track",
    "identify",
    "page",
    "screen",
    "group",
    "alias",
    "",
    " ",
    "id-1",
    "analytics.js",
    "analytics-ios",
    "0.0.0.0",
    "2026-11-20T06:23:32.701Z",
    "2026-11-20T06:25:40.018766-05:30",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999Z",
    "2026-11-20",
    "not a date",
    r"\ud800",
    r"\udc00x",
    r"\ud83d\ude00",
    r"\ud800\ud800\udc00",
    r"\u0000",
    r"tr\u0061ck",
    r"\n\r\t\b\f\/\\",
    r#"\""#,
    "\u{2028}",
    "é☃😀",
    r"\u00a0",
    r"\ufffd",
];
const NUMBERS: [&str; 14] = [
    "0", "-0", "-0.0", "1e999", "-1E-999", "12345678901234567890", "1.50", "1.5", "0.1e+01", "1795155812",
    "1795155812701", "9999999999999", "-1", "1e5",
];

/// A body.
pub(super) fn body(choices: &mut Choices<'_>) -> String {
    let mut out = String::new();
    if choices.yes() {
        blank(choices, &mut out);
    }
    object(choices, &mut out, DEPTH_MAX, true);
    blank(choices, &mut out);
    out
}

fn object(choices: &mut Choices<'_>, out: &mut String, depth: usize, top: bool) {
    out.push('{');
    blank(choices, out);
    let count = choices.below(10);
    for index in 0..count {
        if index > 0 {
            out.push(',');
            blank(choices, out);
        }
        let name = match choices.byte() {
            255 => short(choices),
            byte if depth < DEPTH_MAX => choose(&INNER_NAMES, byte),
            byte => choose(&NAMES, byte),
        };
        out.push('"');
        out.push_str(&name);
        out.push('"');
        blank(choices, out);
        out.push(':');
        blank(choices, out);
        match name.as_str() {
            "batch" if top => calls(choices, out),
            "context" | "library" | "integrations" | "app" if choices.byte() < 224 && depth > 0 => {
                object(choices, out, depth - 1, false);
            }
            _ => value(choices, out, depth),
        }
        blank(choices, out);
        if choices.is_empty() || out.len() > BODY_MAX {
            break;
        }
    }
    out.push('}');
}

fn calls(choices: &mut Choices<'_>, out: &mut String) {
    out.push('[');
    for index in 0..choices.below(6) {
        if index > 0 {
            out.push(',');
        }
        blank(choices, out);
        if choices.byte() < 240 {
            object(choices, out, DEPTH_MAX, false);
        } else {
            value(choices, out, 2);
        }
        blank(choices, out);
    }
    out.push(']');
}

fn value(choices: &mut Choices<'_>, out: &mut String, depth: usize) {
    match choices.below(16) {
        0 => out.push_str("null"),
        1 => out.push_str("true"),
        2 => out.push_str("false"),
        3 | 4 => out.push_str(choices.one(&NUMBERS)),
        5 if depth > 0 => {
            out.push('[');
            for index in 0..choices.below(5) {
                if index > 0 {
                    out.push(',');
                }
                blank(choices, out);
                value(choices, out, depth - 1);
                blank(choices, out);
                if out.len() > BODY_MAX {
                    break;
                }
            }
            out.push(']');
        }
        6 | 7 if depth > 0 => object(choices, out, depth - 1, false),
        8 => {
            let text = short(choices);
            out.push('"');
            out.push_str(&text);
            out.push('"');
        }
        _ => {
            out.push('"');
            for _ in 0..1 + choices.below(8) / 5 {
                out.push_str(choices.one(&TEXTS));
            }
            out.push('"');
        }
    }
}

fn choose(of: &[&str], byte: u8) -> String {
    of.get(usize::from(byte) % of.len()).copied().unwrap_or_default().to_owned()
}

/// A few characters that need no escape.
fn short(choices: &mut Choices<'_>) -> String {
    let len = choices.below(9);
    let text = String::from_utf8_lossy(choices.take(len));
    text.chars().filter(|c| *c >= ' ' && *c != '"' && *c != '\\').collect()
}

fn blank(choices: &mut Choices<'_>, out: &mut String) {
    out.push_str(match choices.byte() {
        250 | 251 => " ",
        252 => "\n\t",
        253 => "\r\n",
        _ => "",
    });
}
