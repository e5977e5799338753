//! Why one row of a file does not become a call. A bad row never stops the file by itself.

use super::dialect::LineEnd;
use crate::words::{counted, grouped, outside_text_within};

/// The most characters of a cell that an error keeps and shows.
const VALUE_SHOWN_CHARS: usize = 64;

/// The code of a part of a row that a line break cuts.
pub(super) const LINE_BREAK: &str = "line-break";

/// Why a row, or a piece of text that is no row, was rejected. Its `Display` is for people and names the
/// column and the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// A field that every call of this type needs is empty.
    #[error("{}", .0.message())]
    Missing(Needed),
    /// The row has another number of fields than the header.
    #[error("expected {}, got {}{}", counted(*expected, "field", "fields"), grouped(*got), hint)]
    Width {
        /// Fields in the header.
        expected: u64,
        /// Fields in the row.
        got: u64,
        /// What may be the reason, if that is known: ` (…)`.
        hint: &'static str,
    },
    /// A cell follows the delimiter that ends the rows of the file.
    #[error("a cell follows the delimiter that ends the rows of this file: {}", .0.value)]
    AfterEnd(Cell),
    /// A field is not UTF-8.
    #[error(
        "column {} is not UTF-8: {} (if the file has another encoding, pass --encoding)",
        .0.column, .0.value
    )]
    Utf8(Cell),
    /// A time cannot be read, or is outside the years 0 to 9999.
    #[error("column {} is not a time: {} (expected ISO 8601 or Unix time)", .0.column, .0.value)]
    BadTime(Cell),
    /// A bare number may be one of several times.
    #[error(
        "column {} may be a time, but which one is not known: {} (numbers are read as dates such as \
         20190511 and as Unix time of 1990 to 2099; with --types say what others are: unix_s, unix_ms, unix_us, \
         unix_ns or excel_days)",
        .0.column, .0.value
    )]
    UnclearTime(Cell),
    /// The time of a call is before 1970.
    #[error("column {} is before 1970, which the time of a call cannot be: {}", .0.column, .0.value)]
    EarlyTime(Cell),
    /// A cell is not of its column's declared type.
    #[error("column {} is not {expected}: {}", cell.column, cell.value)]
    BadType {
        /// The cell.
        cell: Cell,
        /// The type with its article: `an int`.
        expected: &'static str,
    },
    /// A cell is not of the type that the first cells of its column have.
    #[error(
        "column {} is {found} in the first rows of the file, and here it is not: {} (if both are right, declare its \
         type with --types FILE)",
        cell.column, cell.value
    )]
    NotAsFound {
        /// The cell.
        cell: Cell,
        /// The name of the type.
        found: &'static str,
    },
    /// A cell is not a time of its column's date format.
    #[error("column {} {why}: {}", cell.column, cell.value)]
    BadDate {
        /// The cell.
        cell: Cell,
        /// What the cell is.
        why: String,
    },
    /// Text stands where every call has an object.
    #[error(
        "column {} is not a JSON object: {} (it would replace what a call keeps there; name the column \
         otherwise, such as {}.note, with --columns)",
        .0.column, .0.value, .0.column
    )]
    NotAnObject(Cell),
    /// A cell of an object is longer than it may be.
    #[error("column {column} is too long: the limit is {max}")]
    CellTooLarge {
        /// The header's name for the column.
        column: String,
        /// The limit, with its unit.
        max: String,
    },
    /// An earlier row of the file has the same messageId, and other cells.
    #[error(
        "another row has the id {} of column {} and other values, and rows with one id are one call: give \
         this row an id of its own{}",
        cell.value, cell.column, if *.chosen { ", or import the file without --id-from column" } else { "" }
    )]
    IdTaken {
        /// The cell with the id.
        cell: Cell,
        /// Whether the column was chosen by an option.
        chosen: bool,
    },
    /// A stored call has the row's messageId, and nobody knows whether it is the same call.
    #[error(
        "a call that is stored has the id {} of column {}: give this row an id of its own, unless it is that call",
        .0.value, .0.column
    )]
    IdStored(Cell),
    /// The call would be longer than a call may be.
    #[error("the call has {} bytes of JSON; the limit is {}", grouped(*bytes), grouped(*max))]
    CallTooLarge {
        /// The call's length, in bytes of JSON.
        bytes: u64,
        /// The limit, in bytes of JSON.
        max: u64,
    },
    /// An unquoted field is longer than a field may be.
    #[error("field {field} has more than {} bytes", grouped(*max))]
    FieldTooLarge {
        /// The field's number in the record, from 1.
        field: u64,
        /// The limit, in bytes.
        max: u64,
    },
    /// The record is longer than a record may be.
    #[error("the record has more than {} bytes", grouped(*.0))]
    RecordTooLarge(u64),
    /// The text is odd, so the cells are unknown.
    #[error("field {field} {odd}")]
    Odd {
        /// The field's number in the record, from 1.
        field: u64,
        /// What is odd.
        odd: Odd,
    },
    /// A line break that differs from those of the file ends the row or the one before it.
    #[error(
        "{0} cuts a row in two, though the lines of the file end otherwise: put quotes around the cell that has it"
    )]
    LineBreak(LineEnd),
    /// A cell begins with a blank that may belong to the delimiter.
    #[error(
        "column {} begins with a blank: {} (remove the blank, or put quotes around the cell if it belongs to \
         it; --delimiter keeps all such blanks)",
        .0.column, .0.value
    )]
    Blank(Cell),
    /// A quote is not closed where a closing quote must be.
    #[error("field {field} begins with a quote that is not closed: {sign}")]
    Quote {
        /// The field's number in the record, from 1.
        field: u64,
        /// How it shows that the quote is not closed.
        sign: QuoteSign,
    },
}

/// Text that no writer writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Odd {
    /// A backslash before a quote inside of quotes, in a dialect without an escape.
    #[error(
        "has a backslash before a quote (if it protects the quote, pass --escape '\\'; else double the quote)"
    )]
    Backslash,
    /// Text after the closing quote.
    #[error(
        "goes on after its closing quote (double quotes inside of quotes; if there are none, pass --quote none)"
    )]
    TextAfterQuote,
    /// A blank, then a quote.
    #[error("begins with a blank and a quote (remove the blank; if quotes mean nothing, pass --quote none)")]
    BlankBeforeQuote,
    /// A backslash before a letter that has no meaning after it.
    #[error("has a backslash before {0:?}, which has no meaning (double it, or leave --escape away)")]
    Escape(char),
}

/// How an unclosed quote shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuoteSign {
    /// The file ends inside the quotes.
    #[error("the file ends inside it")]
    EndOfFile,
    /// The field is longer than a field may be.
    #[error("the field passes {} bytes", grouped(*.0))]
    Bytes(u64),
    /// The field, or after many such errors the record, has more line breaks than it may have.
    #[error("it passes {} line breaks", grouped(*.0))]
    LineBreaks(u64),
    /// On a later line, other text follows the quote that would have closed the field.
    #[error("on a later line, text follows the next quote")]
    TextAfterQuote,
}

impl RowError {
    /// The code by which reports count rows.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing(needed) => needed.code(),
            Self::Width { .. } | Self::AfterEnd(_) => "width",
            Self::Utf8(_) => "utf8",
            Self::BadTime(_) | Self::UnclearTime(_) | Self::EarlyTime(_) | Self::BadDate { .. } => "bad-time",
            Self::BadType { .. } | Self::NotAsFound { .. } | Self::NotAnObject(_) => "bad-type",
            Self::CallTooLarge { .. }
            | Self::CellTooLarge { .. }
            | Self::FieldTooLarge { .. }
            | Self::RecordTooLarge(_) => "too-large",
            Self::Odd { odd: Odd::Escape(_), .. } => "escape",
            Self::Quote { .. } | Self::Odd { .. } => "quote",
            Self::Blank(_) => "blank",
            Self::LineBreak(_) => LINE_BREAK,
            Self::IdTaken { .. } | Self::IdStored(_) => "id-taken",
        }
    }
}

/// A field or column that a call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needed {
    /// `userId` or `anonymousId`.
    AnyId,
    /// `userId` itself.
    UserId,
    /// `event` of a track call.
    Event,
    /// `groupId` of a group call.
    GroupId,
    /// `previousId` of an alias call.
    PreviousId,
    /// `name` of a page or screen call, under `--strict`.
    Name,
    /// The column that `--id-from column:NAME` names.
    MessageId,
    /// `id` of an object.
    ObjectId,
}

impl Needed {
    /// The code of a row without this field.
    pub fn code(self) -> &'static str {
        match self {
            Self::AnyId | Self::UserId => "missing:userId",
            Self::Event => "missing:event",
            Self::GroupId => "missing:groupId",
            Self::PreviousId => "missing:previousId",
            Self::Name => "missing:name",
            Self::MessageId => "missing:messageId",
            Self::ObjectId => "missing:id",
        }
    }

    /// The names in the header: at least one of these columns must have a value. Empty if the user chose
    /// the name.
    pub fn columns(self) -> &'static [&'static str] {
        match self {
            Self::AnyId => &["userId", "anonymousId"],
            Self::UserId => &["userId"],
            Self::Event => &["event"],
            Self::GroupId => &["groupId"],
            Self::PreviousId => &["previousId"],
            Self::Name => &["name"],
            Self::MessageId => &[],
            Self::ObjectId => &["id"],
        }
    }

    fn message(self) -> String {
        match self {
            Self::AnyId => "the row has neither userId nor anonymousId".to_owned(),
            Self::MessageId => "the column of --id-from is empty".to_owned(),
            other => format!("the row has no {}", other.columns().concat()),
        }
    }
}

/// A cell that is wrong: the header's name for its column, and its beginning, safe for one line of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    column: String,
    value: String,
}

impl Cell {
    /// The cell of a column. The first 64 characters are kept.
    pub fn of(column: &str, cell: &[u8]) -> Self {
        // A character has at most 4 bytes. The cut avoids a copy of a huge cell.
        let start = cell.get(..VALUE_SHOWN_CHARS * 4 + 4).unwrap_or(cell);
        let text = String::from_utf8_lossy(start);
        let mut shown: String = text.chars().take(VALUE_SHOWN_CHARS).collect();
        if text.chars().nth(VALUE_SHOWN_CHARS).is_some() {
            shown.push('…');
        }
        let value = format!("\"{}\"", outside_text_within(&shown, usize::MAX));
        Self { column: column.to_owned(), value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_column_and_value() {
        let check = |error: RowError, code: &str, shown: &str| {
            assert_eq!((error.code(), error.to_string().as_str()), (code, shown));
        };
        check(RowError::Width { expected: 8, got: 9, hint: "" }, "width", "expected 8 fields, got 9");
        check(RowError::Width { expected: 1, got: 2, hint: "" }, "width", "expected 1 field, got 2");
        check(
            RowError::Missing(Needed::AnyId),
            "missing:userId",
            "the row has neither userId nor anonymousId",
        );
        check(RowError::Missing(Needed::Event), "missing:event", "the row has no event");
        check(
            RowError::BadTime(Cell::of("timestamp", b"soon\n")),
            "bad-time",
            "column timestamp is not a time: \"soon\\n\" (expected ISO 8601 or Unix time)",
        );
        check(
            RowError::Quote { field: 2, sign: QuoteSign::LineBreaks(1_000) },
            "quote",
            "field 2 begins with a quote that is not closed: it passes 1,000 line breaks",
        );
        check(
            RowError::CallTooLarge { bytes: 40_000, max: 32_768 },
            "too-large",
            "the call has 40,000 bytes of JSON; the limit is 32,768",
        );
    }

    #[test]
    fn a_long_value_is_cut_to_64_characters() {
        let check = |cell: String, shown: String| assert_eq!(Cell::of("a", cell.as_bytes()).value, shown);
        check("é".repeat(64), format!("\"{}\"", "é".repeat(64)));
        check("é".repeat(65), format!("\"{}…\"", "é".repeat(64)));
        check("😀".repeat(10_000), format!("\"{}…\"", "😀".repeat(64)));
    }
}
