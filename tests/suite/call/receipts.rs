//! A line with its position equals the line without, except for that member.

use forebay::call::{ClientLibraries, Fingerprinter, Request, Shape, Stamp};
use forebay::log::RequestFrames;
use forebay::log::frame::{self, FrameKind};
use forebay::receipt;
use forebay::sources::SourceId;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Counter, RECEIVED};

/// Members that the collector knows, members that look like the one it adds, and values of every kind.
fn item() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        Just("forebayPosition"),
        Just("messageId"),
        Just("receivedAt"),
        Just("projectId"),
        Just("context"),
        Just("event"),
        Just("x")
    ];
    let value = prop_oneof![
        Just(json!(null)),
        any::<i64>().prop_map(Value::from),
        "[ -~]{0,12}".prop_map(Value::from),
        Just(json!("00000000000000000042")),
        Just(json!({ "a": 1, "forebayPosition": "00000000000000000042" })),
        Just(json!([{ "a": 1, "forebayPosition": "00000000000000000042" }])),
    ];
    let kind = prop_oneof![Just("track"), Just("identify"), Just("nonsense")];
    let object = (kind, prop::collection::btree_map(name, value, 0..6)).prop_map(|(kind, members)| {
        let mut object: Map<String, Value> =
            members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        object.insert("type".to_owned(), json!(kind));
        Value::Object(object)
    });
    prop_oneof![8 => object, 1 => Just(json!(17)), 1 => Just(json!("forebayPosition"))]
}

/// Kind, fingerprint and line of each frame of a request, with positions from `first` on.
fn frames(body: &[u8], say_positions: bool, first: u64) -> Vec<(FrameKind, u128, Vec<u8>)> {
    let request = Request::parse(body, Shape::Envelope, &forebay::call::Limits::default()).unwrap();
    let (source, fingerprinter) = (SourceId::new("src").unwrap(), Fingerprinter::new([3; 16]));
    let stamp = Stamp {
        received_at: RECEIVED,
        source: &source,
        ip: None,
        client_side: false,
        user_agent: None,
        client_libraries: ClientLibraries::usual(),
        fingerprinter: &fingerprinter,
    };
    let mut frames = RequestFrames::new(source.clone(), RECEIVED, 0);
    frames.say_positions(say_positions);
    request.write_lines(&stamp, &Counter::default(), &mut frames);
    let mut bytes = frames.bytes().to_vec();
    let (mut all, mut at) = (Vec::new(), 0);
    let salt = frame::Salt::new(&[1; 16], 7);
    while at < bytes.len() {
        let len = frame::length(&bytes[at..]).unwrap();
        frame::stamp(&mut bytes[at..at + len], first + all.len() as u64, salt);
        let (read, _) = frame::read(&bytes[at..], salt).unwrap();
        all.push((read.kind, read.fingerprint, read.payload.to_vec()));
        at += len;
    }
    all
}

proptest! {
    #[test]
    fn a_line_with_its_position_equals_the_line_without_except_for_it(
        items in prop::collection::vec(item(), 1..6),
        first in 0..u64::MAX - 10,
    ) {
        let body = json!({ "batch": items }).to_string();
        let (plain, said) = (frames(body.as_bytes(), false, first), frames(body.as_bytes(), true, first));
        prop_assert_eq!(plain.len(), items.len());
        for ((position, plain), said) in (first..).zip(plain).zip(said) {
            prop_assert_eq!((plain.0, plain.1), (said.0, said.1));
            prop_assert_eq!(receipt::position_of(&plain.2), None);
            prop_assert_eq!(receipt::position_of(&said.2), Some(position));
            let end = format!(",\"{}\":\"{position:020}\"}}", receipt::MEMBER);
            let mut expected = plain.2[..plain.2.len() - 1].to_vec();
            expected.extend_from_slice(end.as_bytes());
            prop_assert_eq!(&expected, &said.2);
            // The member occurs exactly once at the top level.
            let line: Map<String, Value> = serde_json::from_slice(&said.2).unwrap();
            prop_assert_eq!(&line[receipt::MEMBER], &json!(format!("{position:020}")));
            let plain: Map<String, Value> = serde_json::from_slice(&plain.2).unwrap();
            prop_assert!(!plain.contains_key(receipt::MEMBER));
            prop_assert_eq!(plain.len() + 1, line.len());
        }
    }
}
