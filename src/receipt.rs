//! Receipts: the positions of a request's lines in the spool, as given in its answer and in each of its
//! lines.
//!
//! A receipt is one token, `{source}/{received-day}/{spool id}/{first}-{last}` (or a single position): what a
//! listing needs to find the object, and the positions, which are consecutive within one request.
//!
//! Positions run over the whole spool, so they do not count an object's lines. With receipts enabled, each
//! line ends with its own position: `,"forebayPosition":"00000000000000000042"}`. The position is known only
//! after the line is made, so it is written into a reserved field, always at the same distance from the
//! line's end.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use crate::object::object_key::{is_spool_id, received_day};
use crate::sources::SourceId;
use crate::time::ReceivedDay;

/// The response header that carries the receipt.
pub const HEADER: &str = "forebay-receipt";
/// The member of a line that holds its position: always the collector's, never a client's.
pub const MEMBER: &str = "forebayPosition";
/// The largest number of positions in one receipt: more lines than fit into one block of the spool.
pub const POSITIONS_MAX: u64 = 100_000;
/// The longest receipt, in bytes: source 64, day 20, spool id 32, two positions of 20.
pub const TOKEN_BYTES_MAX: usize = 64 + 1 + 20 + 1 + 32 + 1 + 20 + 1 + 20;

/// The end of a line before its position is known.
const ROOM: &[u8] = br#","forebayPosition":"00000000000000000000"}"#;
/// Digits of a position.
const DIGITS: usize = 20;
/// The bytes after the digits: `"}`.
const BEHIND: usize = 2;
/// Bytes by which a line grows.
pub const MEMBER_BYTES: usize = ROOM.len() - 1;

/// Reserves the field for the position at the end of the line in `out`. Returns whether it did: a line that
/// is not an object, or is an empty one, is left alone.
pub fn keep_room(out: &mut Vec<u8>) -> bool {
    let is_object = out.ends_with(b"}") && !out.ends_with(b"{}");
    if is_object {
        out.pop();
        out.extend_from_slice(ROOM);
    }
    is_object
}

/// Writes the position into the reserved field at the end of `line`.
pub fn write_position(line: &mut [u8], position: u64) {
    let Some(end) = line.len().checked_sub(BEHIND) else { return };
    let Some(digits) = end.checked_sub(DIGITS).and_then(|start| line.get_mut(start..end)) else { return };
    let mut rest = position;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
}

/// The position in a line (without its `\n`). Only the last member can end a line like this: in a string,
/// each of its quotes would have a backslash before it.
pub fn position_of(line: &[u8]) -> Option<u64> {
    let end = line.get(line.len().checked_sub(ROOM.len())?..)?;
    let (name, rest) = end.split_at_checked(ROOM.len() - BEHIND - DIGITS)?;
    let (digits, behind) = rest.split_at_checked(DIGITS)?;
    let is_member = ROOM.starts_with(name) && ROOM.ends_with(behind) && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| is_member)?.parse().ok()
}

/// A line without the position at its end.
pub fn without_position(line: &[u8]) -> Cow<'_, [u8]> {
    match line.len().checked_sub(ROOM.len()).and_then(|end| line.get(..end)) {
        Some(rest) if position_of(line).is_some() => Cow::Owned([rest, b"}"].concat()),
        _ => Cow::Borrowed(line),
    }
}

/// The positions of one request's lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The source.
    pub source: SourceId,
    /// The received-day.
    pub day: ReceivedDay,
    /// The spool id, as 32 hexadecimal digits.
    pub spool_id: String,
    /// The first position.
    pub first: u64,
    /// The last position, at most [`POSITIONS_MAX`] - 1 after the first.
    pub last: u64,
}

/// Writes a receipt's token, for lines of a source and a day at these positions of a log.
pub(crate) fn write_token(
    f: &mut fmt::Formatter<'_>,
    (source, day): (&SourceId, ReceivedDay),
    log: &dyn fmt::Display,
    (first, last): (u64, u64),
) -> fmt::Result {
    write!(f, "{source}/{day}/{log}/{first}")?;
    if last > first { write!(f, "-{last}") } else { Ok(()) }
}

/// Why a text is not a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// It has the wrong form.
    #[error(
        "expected a receipt as in the header forebay-receipt: \
         SOURCE/RECEIVED-DAY/SPOOL-ID/FIRST-LAST, such as \
         web/1763596800000/0123456789abcdef0123456789abcdef/42-44"
    )]
    Form,
    /// It names more positions than one request can have.
    #[error("the receipt has more than {POSITIONS_MAX} positions, which no request can have")]
    TooMany,
}

impl Receipt {
    /// How many positions it has.
    pub fn positions(&self) -> u64 {
        self.last - self.first + 1
    }

    /// Whether it includes this position.
    pub fn has(&self, position: u64) -> bool {
        (self.first..=self.last).contains(&position)
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_token(f, (&self.source, self.day), &self.spool_id, (self.first, self.last))
    }
}

impl Receipt {
    /// One of the receipts of a header, between its commas.
    /// Errors: [`ReceiptError`].
    pub fn of_header(text: &str) -> Result<Self, ReceiptError> {
        text.trim().parse()
    }
}

impl FromStr for Receipt {
    type Err = ReceiptError;

    /// Accepts exactly the printed form: no other form of a number, no white space.
    fn from_str(text: &str) -> Result<Self, ReceiptError> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(ReceiptError::Form);
        }
        let mut parts = text.split('/');
        let mut next = || parts.next().ok_or(ReceiptError::Form);
        let source = SourceId::new(next()?).map_err(|_| ReceiptError::Form)?;
        let day = received_day(next()?).ok_or(ReceiptError::Form)?;
        let spool_id = Some(next()?).filter(|id| is_spool_id(id)).ok_or(ReceiptError::Form)?.to_owned();
        let positions = next()?;
        let (first, last) = positions.split_once('-').unwrap_or((positions, positions));
        let number = |text: &str| text.parse::<u64>().map_err(|_| ReceiptError::Form);
        let receipt = Self { source, day, spool_id, first: number(first)?, last: number(last)? };
        // Positions begin at 1, and each receipt has one form only.
        if receipt.first == 0 || receipt.first > receipt.last || receipt.to_string() != text {
            return Err(ReceiptError::Form);
        }
        if receipt.last - receipt.first >= POSITIONS_MAX {
            return Err(ReceiptError::TooMany);
        }
        Ok(receipt)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::UnixMillis;

    const SPOOL: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn texts_that_are_no_receipts_are_refused() {
        let check = |text: &str, expected: Result<(), ReceiptError>| {
            assert_eq!(text.parse::<Receipt>().map(drop), expected, "{text}");
        };
        let form = Err(ReceiptError::Form);
        let day = "1763596800000";
        check(&format!("web/{day}/{SPOOL}/42-44"), Ok(()));
        check(&format!("web/{day}/{SPOOL}/42"), Ok(()));
        check(&format!("web/{day}/{SPOOL}/1-100000"), Ok(()));
        check(&format!("web/{day}/{SPOOL}/1-100001"), Err(ReceiptError::TooMany));
        check(&format!("web/{day}/{SPOOL}/1-18446744073709551615"), Err(ReceiptError::TooMany));
        for positions in [
            "", "0", "0-3", "44-42", "42-42", "042", "+42", "42-", "-42", "42-44-46", " 42", "42 ", "x",
            "4２", "18446744073709551616", "42/", "42/44",
        ] {
            check(&format!("web/{day}/{SPOOL}/{positions}"), form);
        }
        check("", form);
        check("42", form);
        check(&format!("/{day}/{SPOOL}/42"), form);
        check(&format!("../{day}/{SPOOL}/42"), form);
        check(&format!("_rejected/{day}/{SPOOL}/42"), form);
        check(&format!("web/1763596800001/{SPOOL}/42"), form);
        check(&format!("web/+{day}/{SPOOL}/42"), form);
        check(&format!("web/2025-11-20/{SPOOL}/42"), form);
        check(&format!("web/{day}/{}/42", SPOOL.to_uppercase()), form);
        check(&format!("web/{day}/0123/42"), form);
        check(&"a/".repeat(100_000), form);
    }

    #[test]
    fn the_longest_receipt_fits_the_limit() {
        let receipt = Receipt {
            source: SourceId::new(&"s".repeat(crate::sources::SOURCE_ID_MAX)).unwrap(),
            day: UnixMillis(-9_000_000_000_000_000_000).day(),
            spool_id: SPOOL.to_owned(),
            first: u64::MAX - 1,
            last: u64::MAX,
        };
        let text = receipt.to_string();
        assert!(text.len() <= TOKEN_BYTES_MAX, "{}", text.len());
    }

    proptest! {
        #[test]
        fn a_receipt_is_parsed_as_it_is_printed(
            source in "[A-Za-z0-9-][A-Za-z0-9_-]{0,63}",
            at in any::<i32>().prop_map(|at| i64::from(at) * 4_321),
            spool_id in "[0-9a-f]{32}",
            first in 1..u64::MAX - POSITIONS_MAX,
            more in 0..POSITIONS_MAX,
        ) {
            let source = SourceId::new(&source).unwrap();
            let receipt = Receipt { source, day: UnixMillis(at).day(), spool_id, first, last: first + more };
            prop_assert_eq!(receipt.to_string().parse(), Ok(receipt));
        }

        #[test]
        fn a_line_holds_the_position_that_was_written(
            members in prop::collection::btree_map("[ -~]{1,6}", any::<i64>(), 1..4),
            position in any::<u64>(),
        ) {
            let plain = serde_json::to_string(&members).unwrap();
            let mut line = b"before".to_vec();
            line.extend_from_slice(plain.as_bytes());
            prop_assert!(keep_room(&mut line));
            let mut line = line.split_off(6);
            prop_assert_eq!(position_of(&line), Some(0));
            write_position(&mut line, position);
            prop_assert_eq!(position_of(&line), Some(position));
            prop_assert_eq!(line.len(), plain.len() + MEMBER_BYTES);
            let mut value: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&line).unwrap();
            let said = value.remove(MEMBER).unwrap();
            prop_assert_eq!(said, format!("{position:020}"));
            prop_assert_eq!(serde_json::to_value(value).unwrap(), serde_json::to_value(members).unwrap());
        }

        #[test]
        fn any_bytes_can_be_given(mut line in prop::collection::vec(any::<u8>(), 0..60), position in any::<u64>()) {
            prop_assert_eq!(position_of(&line), None);
            let len = line.len();
            write_position(&mut line, position);
            prop_assert_eq!(line.len(), len);
        }
    }

    #[test]
    fn other_text_is_not_mistaken_for_a_position() {
        let digits = "00000000000000000042";
        let check =
            |line: &str, expected: Option<u64>| assert_eq!(position_of(line.as_bytes()), expected, "{line}");
        check(&format!(r#"{{"a":1,"forebayPosition":"{digits}"}}"#), Some(42));
        check(&format!(r#"{{"a":{{"b":1,"forebayPosition":"{digits}"}}}}"#), None);
        check(
            &serde_json::json!({ "a": format!(r#"{{"b":1,"forebayPosition":"{digits}"}}"#) }).to_string(),
            None,
        );
        check(&serde_json::json!({ "a,\"forebayPosition": digits }).to_string(), None);
        check(&serde_json::json!({ "a\\,\"forebayPosition": digits }).to_string(), None);
        check(&format!(r#"{{"a":1,"forebayPosition":"{digits}","b":2}}"#), None);
        check(&format!(r#"{{"a":1,"forebayPosition":{digits}}}"#), None);
        check(r#"{"a":1,"forebayPosition":"99999999999999999999"}"#, None);
        check(r#"{"a":1,"forebayPosition":"0000000000000000004x"}"#, None);
        let mut empty = b"{}".to_vec();
        assert!(!keep_room(&mut empty) && empty == b"{}");
        let mut no_object = b"[1]".to_vec();
        assert!(!keep_room(&mut no_object) && no_object == b"[1]");
    }
}
