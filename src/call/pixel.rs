//! Pixels: calls sent in the query of an image's address.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::rejected::write_rejected;
use super::{CallKind, Limits, LineSink, RejectReason, Request, Shape, Stamp};
use crate::json::write_text;
use crate::words::percent;

/// Levels of nesting that a dotted name of a flat query may have (`a.b.c` has three).
pub const PIXEL_LEVELS_MAX: usize = 32;

/// Reads a pixel's query, the part of its address after the `?`: `data=` with a call as base64, or a flat
/// query whose dotted names nest and whose values are strings.
///
/// Returns the write key (the call's own, otherwise that of the query; trimmed, never empty), and the call as
/// JSON, to be parsed with [`Request::parse`] and [`Shape::Single`]; or what is wrong, if there is no call in
/// it. If its write key is known, such a query goes to the rejected stream ([`write_rejected_pixel`]).
pub fn call_of_query(query: &str) -> (Option<String>, Result<Vec<u8>, &'static str>) {
    let write_key = pairs(query)
        .filter(|(name, _)| is_write_key(name))
        .filter_map(|(_, value)| percent::decoded(value, true))
        .map(|key| key.trim().to_owned())
        .rfind(|key| !key.is_empty());
    let data = pairs(query).rfind(|(name, value)| *name == "data" && !value.is_empty());
    let body = match data {
        Some((_, data)) => body_of_data(data),
        None => body_of_pairs(query),
    };
    match body.and_then(|body| Ok((own_write_key(&body)?, body))) {
        Ok((own_key, body)) => (own_key.or(write_key), Ok(body)),
        Err(what) => (write_key, Err(what)),
    }
}

/// Writes a query that is not a valid call as a line of the rejected stream: as a string, without its
/// `writeKey`. Only the length of `data` is kept, because unreadable data may hold a write key.
pub fn write_rejected_pixel(query: &str, stamp: &Stamp<'_>, sink: &mut impl LineSink) {
    let kept: Vec<Cow<'_, str>> = query
        .split('&')
        .filter(|pair| !is_write_key(split(pair).0))
        .map(|pair| match split(pair) {
            (name, value) if percent::decoded(name, true).is_some_and(|name| name == "data") => {
                format!("data=({} bytes)", value.len()).into()
            }
            _ => pair.into(),
        })
        .collect();
    let mut value = Vec::new();
    write_text(&mut value, &kept.join("&"));
    write_rejected(sink.line(), stamp, RejectReason::BadPixelData, None, &value, usize::MAX);
    sink.rejected(RejectReason::BadPixelData);
}

/// The names and values of a query, still encoded.
fn pairs(query: &str) -> impl DoubleEndedIterator<Item = (&str, &str)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(split)
}

fn split(pair: &str) -> (&str, &str) {
    pair.split_once('=').unwrap_or((pair, ""))
}

/// Whether a name, still encoded, is that of the write key. It may be percent-encoded.
fn is_write_key(name: &str) -> bool {
    percent::decoded(name, true).is_some_and(|name| name == "writeKey")
}

/// Base64 as SDKs and beacons send it: with or without padding, tolerating trailing bits.
pub const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

fn body_of_data(data: &str) -> Result<Vec<u8>, &'static str> {
    let data = percent::decoded(data, false).ok_or("`data` is not UTF-8")?;
    let standard: String = data
        .chars()
        .map(|character| match character {
            // Something on the way decoded a `+` as a space.
            ' ' | '-' => '+',
            '_' => '/',
            other => other,
        })
        .collect();
    LENIENT.decode(standard.trim_end_matches('=')).map_err(|_| "`data` is not base64")
}

/// A value of a flat query, or the object of all names with the same beginning.
enum Node {
    Text(String),
    Object(BTreeMap<String, Node>),
}

fn body_of_pairs(query: &str) -> Result<Vec<u8>, &'static str> {
    let mut top = BTreeMap::new();
    for (name, value) in pairs(query).filter(|(name, _)| !is_write_key(name)) {
        let name = percent::decoded(name, true).ok_or("a name is not UTF-8")?;
        let value = percent::decoded(value, true).ok_or("a value is not UTF-8")?;
        if name.split('.').count() > PIXEL_LEVELS_MAX {
            return Err("a name has too many dots");
        }
        insert(&mut top, &name, value.into_owned());
    }
    if top.is_empty() {
        return Err("the query is empty");
    }
    let mut body = Vec::with_capacity(query.len() * 2);
    write_object(&mut body, &top);
    Ok(body)
}

/// Inserts a value at the place given by its name. If two names are equal, or a value and an object have the
/// same place, the last one wins.
fn insert(object: &mut BTreeMap<String, Node>, name: &str, value: String) {
    let Some((first, rest)) = name.split_once('.') else {
        object.insert(name.to_owned(), Node::Text(value));
        return;
    };
    let node = object.entry(first.to_owned()).or_insert_with(|| Node::Object(BTreeMap::new()));
    if let Node::Text(_) = node {
        *node = Node::Object(BTreeMap::new());
    }
    if let Node::Object(inner) = node {
        insert(inner, rest, value);
    }
}

fn write_object(out: &mut Vec<u8>, object: &BTreeMap<String, Node>) {
    for (index, (name, node)) in object.iter().enumerate() {
        out.push(if index == 0 { b'{' } else { b',' });
        write_text(out, name);
        out.push(b':');
        match node {
            Node::Text(text) => write_text(out, text),
            Node::Object(inner) => write_object(out, inner),
        }
    }
    out.push(b'}');
}

/// The write key in a body, which must be one call.
fn own_write_key(body: &[u8]) -> Result<Option<String>, &'static str> {
    // The length of the call is checked against the limits of its route later, when it is parsed to be
    // stored.
    let limits = Limits { max_event: usize::MAX, ..Limits::default() };
    let request = Request::parse(body, Shape::Single(CallKind::Track), &limits)
        .map_err(|_| "`data` is not a JSON object")?;
    Ok(request.write_key().map(Cow::into_owned))
}

#[cfg(test)]
mod tests {
    use super::super::ClientLibraries;
    use super::*;
    use crate::call::Fingerprinter;
    use crate::sources::SourceId;
    use crate::time::UnixMillis;

    fn check(query: &str, body: &str, write_key: Option<&str>) {
        let (key, call) = call_of_query(query);
        assert_eq!(String::from_utf8(call.unwrap()).unwrap(), body, "{query}");
        assert_eq!(key.as_deref(), write_key, "{query}");
    }

    fn check_refused(query: &str, what: &str, write_key: Option<&str>) {
        let (key, call) = call_of_query(query);
        assert_eq!((call, key.as_deref()), (Err(what), write_key), "{query}");
    }

    #[test]
    fn data_is_read_in_every_form_of_base64() {
        let body = r#"{"writeKey":"k","event":"~~~???>>>é","userId":"u1"}"#;
        let padded = LENIENT.encode(body);
        assert!(padded.contains('+') && padded.contains('/') && padded.ends_with('='), "{padded}");
        check(&format!("data={padded}"), body, Some("k"));
        check(&format!("data={}", padded.trim_end_matches('=')), body, Some("k"));
        check(&format!("data={}", padded.replace('+', "-").replace('/', "_")), body, Some("k"));
        check(&format!("data={}", padded.replace('+', " ")), body, Some("k"));
        check(&format!("data={}", padded.replace('+', "%20").replace('=', "%3D")), body, Some("k"));
        let encoded = padded.replace('+', "%2B").replace('/', "%2f").replace('=', "%3d");
        check(&format!("x=1&data={encoded}&y"), body, Some("k"));
    }

    #[test]
    fn a_write_key_may_be_in_the_data_or_beside_it() {
        let (with, without) = (LENIENT.encode(r#"{"writeKey":" k "}"#), LENIENT.encode("{}"));
        check(&format!("data={with}&writeKey=other"), r#"{"writeKey":" k "}"#, Some("k"));
        check(&format!("writeKey=+k%20&data={without}"), "{}", Some("k"));
        check(&format!("data={without}"), "{}", None);
        check(&format!("data={without}&writeKey=+"), "{}", None);
    }

    #[test]
    fn a_flat_query_nests_by_dots_and_its_values_stay_strings() {
        check("writeKey=k&event=e&n=1", r#"{"event":"e","n":"1"}"#, Some("k"));
        check(
            "properties.subject=a+b%26c&userId=u&properties.x.y=%C3%A9&writeKey=k",
            r#"{"properties":{"subject":"a b&c","x":{"y":"é"}},"userId":"u"}"#,
            Some("k"),
        );
        check("a=1&&a=2&b", r#"{"a":"2","b":""}"#, None);
        check("a=1&a.b=2", r#"{"a":{"b":"2"}}"#, None);
        check("a.b=2&a=1", r#"{"a":"1"}"#, None);
        check("a=%22%5C%0A%00", r#"{"a":"\"\\\u000a\u0000"}"#, None);
        check("a=100%&b=%zz", r#"{"a":"100%","b":"%zz"}"#, None);
        check("a..b=1&.=2", r#"{"":{"":"2"},"a":{"":{"b":"1"}}}"#, None);
        check("a=b=c", r#"{"a":"b=c"}"#, None);
        check("write%4bey=k&a=1", r#"{"a":"1"}"#, Some("k"));
        check("data=&a=1", r#"{"a":"1","data":""}"#, None);
    }

    #[test]
    fn an_unreadable_query_is_refused_with_its_write_key_if_known() {
        check_refused("", "the query is empty", None);
        check_refused("&&", "the query is empty", None);
        check_refused("writeKey=k", "the query is empty", Some("k"));
        check_refused("data=%%%&writeKey=k", "`data` is not base64", Some("k"));
        check_refused("data=%ff", "`data` is not UTF-8", None);
        check_refused("data=A", "`data` is not base64", None);
        for data in ["[1]", "", "x", "{", "{}{}"] {
            let query = format!("data={}=&writeKey=k", LENIENT.encode(data));
            check_refused(&query, "`data` is not a JSON object", Some("k"));
        }
        check_refused("a=%ff", "a value is not UTF-8", None);
        check_refused("%ff=a", "a name is not UTF-8", None);
        check_refused(&format!("a{}=1&writeKey=k", ".a".repeat(32)), "a name has too many dots", Some("k"));
        assert!(call_of_query(&format!("a{}=1", ".a".repeat(31))).1.is_ok());
        check_refused(&".".repeat(32 * 1_024), "a name has too many dots", None);
    }

    #[test]
    fn a_rejected_query_is_kept_without_its_write_key() {
        struct Line(Vec<u8>, Option<RejectReason>);
        impl LineSink for Line {
            fn line(&mut self) -> &mut Vec<u8> {
                &mut self.0
            }
            fn call(&mut self, _: u128) {
                panic!("a rejected query must not be a call");
            }
            fn rejected(&mut self, reason: RejectReason) {
                self.1 = Some(reason);
            }
            fn discard(&mut self) {
                self.0.clear();
            }
        }
        let source = SourceId::new("src").unwrap();
        let stamp = Stamp {
            received_at: UnixMillis(1_561_134_806_158),
            source: &source,
            ip: None,
            client_side: true,
            user_agent: None,
            client_libraries: ClientLibraries::usual(),
            fingerprinter: &Fingerprinter::new([0; 16]),
        };
        let mut line = Line(Vec::new(), None);
        write_rejected_pixel("a=\"1\n&writeKey=k&data=%%&write%4Bey=k", &stamp, &mut line);
        assert_eq!(line.1, Some(RejectReason::BadPixelData));
        assert_eq!(
            String::from_utf8(line.0).unwrap(),
            concat!(
                r#"{"receivedAt":"2019-06-21T16:33:26.158Z","projectId":"src","reason":"bad_pixel_data","#,
                r#""value":"a=\"1\u000a&data=(2 bytes)"}"#,
            )
        );
    }
}
