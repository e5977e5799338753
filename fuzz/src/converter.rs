//! A converter file and rows: the first line is the file, each other line a row.
//!
//! - A file that is refused says why in lines without control characters.
//! - A row gives calls, or a reason, or is skipped. A call is one line of JSON within its limit, and the
//!   collector takes it, complete.
//! - What became of a row does not depend on the rows before it.

use forebay::call::Limits;
use forebay::convert::{Calls, Converter, DataType, Outcome, Row, RowPlace, Strategy};
use forebay::log::frame::FrameKind;
use serde::de::IgnoredAny;

use super::request::{RECEIVED, Way, read_back};

/// The way of a batch route, without the client's address.
const BATCH: u8 = 7;

/// Runs one input.
pub fn run(input: &[u8]) {
    let mut lines = input.split(|byte| *byte == b'\n');
    let file = lines.next().unwrap_or_default();
    let rows: Vec<&str> = lines.filter_map(|line| std::str::from_utf8(line).ok()).collect();
    let max_event = Limits::default().max_event;
    for data_type in DataType::ALL {
        for strategy in data_type.strategies() {
            match Converter::load(file, data_type, *strategy, max_event) {
                Ok(converter) => convert(&converter, &rows),
                Err(error) => {
                    assert!(!error.0.is_empty());
                    for problem in error.0 {
                        let text = problem.to_string();
                        assert!(!text.chars().any(char::is_control), "{text:?}");
                        assert!(text.starts_with("E-CONV"), "{text}");
                    }
                }
            }
        }
    }
    assert!(Converter::load(file, DataType::Profiles, Strategy::AppendOnly, max_event).is_err());
}

fn convert(converter: &Converter, rows: &[&str]) {
    let columns = converter.columns();
    let (mut row, mut calls) = (Row::new(columns), Calls::default());
    for (number, line) in rows.iter().enumerate() {
        let place = RowPlace { id_prefix: "imp_", sequence_prefix: "0/k", row: number as u64 };
        row = row.cleared();
        let outcome = match row.read_json(columns, line) {
            Ok(()) => converter.convert(&row, &place, RECEIVED, &mut calls),
            Err(reject) => Outcome::Rejected(reject),
        };
        let mut alone = Calls::default();
        let mut fresh = Row::new(columns);
        let again = match fresh.read_json(columns, line) {
            Ok(()) => converter.convert(&fresh, &place, RECEIVED, &mut alone),
            Err(reject) => Outcome::Rejected(reject),
        };
        assert_eq!(outcome, again);
        match outcome {
            Outcome::Calls { count, .. } => assert!(count > 0 && count == alone.len()),
            Outcome::Skipped => assert!(alone.is_empty()),
            Outcome::Rejected(reject) => {
                assert!(alone.is_empty() && !reject.message.chars().any(char::is_control), "{reject:?}");
            }
        }
        check(&alone);
    }
}

/// The collector takes the calls.
fn check(calls: &Calls) {
    for call in calls.iter() {
        assert!(call.len() <= Limits::default().max_event && !call.contains(&b'\n'));
        assert!(serde_json::from_slice::<IgnoredAny>(call).is_ok(), "{}", call.escape_ascii());
        let body = [b"{\"batch\":[", call, b"]}"].concat();
        let way = Way::of(BATCH);
        let request = way.parse(&body).expect("a body");
        let (frames, tally) = way.frames(&request, false);
        assert_eq!(tally.incomplete, 0, "{}", call.escape_ascii());
        for frame in read_back(frames.bytes()) {
            assert!(frame.kind == FrameKind::Call, "{}", call.escape_ascii());
        }
    }
}
