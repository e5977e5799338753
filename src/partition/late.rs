//! A frame that was received on a day that has ended before its place in the log: it is stored as received in
//! the first millisecond after that day.

use crate::json::Member;
use crate::log::frame;
use crate::time::UnixMillis;
use crate::words::date::rfc3339_within_years;

/// Nesting of a line that is looked into. Collectors accept less.
const DEPTH_MAX: usize = 1_000;

/// Whether so many of the frames that were read are late that a person must look for the cause: more than 0.01 %.
pub fn are_too_many(late: u64, frames: u64) -> bool {
    late.saturating_mul(10_000) > frames
}

/// Changes when an unstamped frame was received, in its header and in its line. The line keeps its length. A
/// line that does not say when it was received is left as it is.
pub fn set_received_at(bytes: &mut [u8], at: UnixMillis) {
    let payload = frame::fields(bytes).map(|frame| frame.payload);
    let place = payload.and_then(|payload| {
        let members = Member::all_of(payload, DEPTH_MAX).ok()?;
        let is_it = |member: &&Member| !member.shadowed && member.name.span.of(payload) == b"receivedAt";
        let text = members.iter().find(is_it)?.value.text()?.span;
        let begins = bytes.len() - payload.len();
        Some(begins + text.start()..begins + text.end())
    });
    let said = rfc3339_within_years(at);
    if let Some(text) = place.and_then(|place| bytes.get_mut(place))
        && text.len() == said.len()
    {
        text.copy_from_slice(&said);
    }
    frame::set_received_at(bytes, at);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::frame::FrameKind;
    use crate::sources::SourceId;

    #[test]
    fn one_in_ten_thousand_is_not_too_many() {
        let check =
            |late, frames, expected| assert_eq!(are_too_many(late, frames), expected, "{late} of {frames}");
        check(0, 0, false);
        check(1, 10_000, false);
        check(1, 9_999, true);
        check(u64::MAX, u64::MAX, false);
    }

    #[test]
    fn header_and_line_say_the_new_time_and_nothing_else_changes() {
        let check = |line: &str, expected: &str| {
            let source = SourceId::new("web").unwrap();
            let mut bytes = Vec::new();
            let start = frame::begin(&mut bytes, FrameKind::Call, (Some(&source), ""), UnixMillis(5), None);
            bytes.extend_from_slice(line.as_bytes());
            frame::finish(&mut bytes, start, 7);
            set_received_at(&mut bytes, UnixMillis(86_400_000));
            let frame = frame::fields(&bytes).unwrap();
            assert_eq!((frame.received_at, frame.fingerprint), (UnixMillis(86_400_000), 7));
            assert_eq!(std::str::from_utf8(frame.payload).unwrap(), expected);
        };
        check(
            r#"{"a":{"receivedAt":"1970-01-01T00:00:00.005Z"},"receivedAt":"1970-01-01T00:00:00.005Z","z":1}"#,
            r#"{"a":{"receivedAt":"1970-01-01T00:00:00.005Z"},"receivedAt":"1970-01-02T00:00:00.000Z","z":1}"#,
        );
        check(r#"{"a":1}"#, r#"{"a":1}"#);
        check("no line", "no line");
    }
}
