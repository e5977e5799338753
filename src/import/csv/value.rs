//! Writes one cell as a JSON value.

use super::date_format::DateFormat;
use super::decimal_comma::with_point;
use super::found_type::{FoundType, is_exact_number};
use super::row_error::{Cell, RowError};
use super::schema::ColumnType;
use crate::call::export_time::{self as time, Numbers};
use crate::json::quoted;
use crate::json::{Cursor, ValueKind, tidy_into};
use crate::words::date::EARLIEST;

/// The most brackets that may be open at once in a cell of JSON. With the parts of the cell's path, a call
/// stays below the collector's limit.
const JSON_DEPTH_MAX: usize = 64;

/// What the cells of a column become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Values of a declared type.
    Typed(ColumnType),
    /// Booleans or numbers if the text shows exactly that, else strings.
    Inferred,
    /// Booleans for `true` and `false` in any case; other text as a string, or inferred.
    Integration {
        /// Whether other text is inferred.
        inferred: bool,
    },
    /// JSON if the cell begins with a bracket, else strings.
    JsonOrText,
    /// The time of the call itself: as a declared time, but not before 1970. The collector would store
    /// another time instead of an earlier one.
    CallTime(Numbers),
    /// JSON objects that every call has, such as its properties.
    Object,
    /// Values of a type that was found, which is not text.
    Found(FoundType),
    /// Dates of a format. `of_call`: each is the time of the call itself, and not before 1970.
    Dated {
        /// The format.
        format: Box<DateFormat>,
        /// Whether a cell is the time of the call.
        of_call: bool,
    },
}

impl Kind {
    /// Whether a blank at the beginning of a cell stays in the value.
    #[inline]
    pub(super) fn keeps_blanks(&self) -> bool {
        matches!(
            self,
            Self::Typed(ColumnType::String) | Self::Inferred | Self::Integration { .. } | Self::JsonOrText
        )
    }

    /// Whether a cell counts as empty.
    #[inline]
    pub(super) fn is_empty(&self, cell: &[u8]) -> bool {
        if self.keeps_blanks() { cell.is_empty() } else { cell.trim_ascii().is_empty() }
    }

    /// Appends `cell`, which is UTF-8 and not empty, as JSON. With `plain`, nothing in it needs an escape.
    /// Errors: [`RowError::BadTime`] or [`RowError::BadType`] of the column with this name. `out` may then
    /// hold part of the value.
    #[inline]
    pub(super) fn write(
        &self,
        cell: &[u8],
        plain: bool,
        column: &str,
        out: &mut Vec<u8>,
    ) -> Result<(), RowError> {
        match self {
            Self::Typed(ColumnType::String) => quoted::write(cell, plain, out),
            Self::Typed(declared) => write_typed(*declared, cell, column, out)?,
            Self::CallTime(numbers) => {
                if time::parse(cell, *numbers).is_some_and(|at| at < EARLIEST) {
                    return Err(RowError::EarlyTime(Cell::of(column, cell)));
                }
                write_time(*numbers, cell, column, out)?;
            }
            Self::Object => {
                let is_object = cell.trim_ascii_start().first() == Some(&b'{');
                if !is_object || write_typed(ColumnType::Json, cell, column, out).is_err() {
                    return Err(RowError::NotAnObject(Cell::of(column, cell)));
                }
            }
            Self::Inferred => write_inferred(cell, plain, out),
            Self::Integration { inferred } => {
                if cell.eq_ignore_ascii_case(b"true") {
                    out.extend_from_slice(b"true");
                } else if cell.eq_ignore_ascii_case(b"false") {
                    out.extend_from_slice(b"false");
                } else if *inferred {
                    write_inferred(cell, plain, out);
                } else {
                    quoted::write(cell, plain, out);
                }
            }
            Self::JsonOrText => match cell.trim_ascii_start().first() {
                Some(b'[' | b'{') => write_typed(ColumnType::Json, cell, column, out)?,
                _ => quoted::write(cell, plain, out),
            },
            Self::Found(found) => match found.json(cell.trim_ascii()) {
                Some(json) => out.extend_from_slice(json),
                None => {
                    return Err(RowError::NotAsFound { cell: Cell::of(column, cell), found: found.name() });
                }
            },
            Self::Dated { format, of_call } => write_date(format, *of_call, cell, column, out)?,
        }
        Ok(())
    }

    /// Whether cells are times, in the forms that every time may have.
    pub(super) fn is_time(&self) -> bool {
        matches!(self, Self::CallTime(_))
            || matches!(self, Self::Typed(declared) if declared.numbers().is_some())
    }
}

fn write_date(
    format: &DateFormat,
    of_call: bool,
    cell: &[u8],
    column: &str,
    out: &mut Vec<u8>,
) -> Result<(), RowError> {
    let at = format
        .read(cell)
        .map_err(|bad| RowError::BadDate { cell: Cell::of(column, cell), why: bad.told(format) })?;
    if of_call && at < EARLIEST {
        return Err(RowError::EarlyTime(Cell::of(column, cell)));
    }
    time::write(at, out);
    Ok(())
}

fn write_typed(declared: ColumnType, cell: &[u8], column: &str, out: &mut Vec<u8>) -> Result<(), RowError> {
    let bad = |expected: &'static str| RowError::BadType { cell: Cell::of(column, cell), expected };
    let text = || std::str::from_utf8(cell.trim_ascii()).unwrap_or_default();
    match declared {
        ColumnType::String => quoted::write(cell, false, out),
        ColumnType::Int => {
            let text = text();
            let signed = text.parse::<i64>().map(i128::from);
            let int = signed.or_else(|_| text.parse::<u64>().map(i128::from)).map_err(|_| bad("an int"))?;
            out.extend_from_slice(int.to_string().as_bytes());
        }
        ColumnType::Float => write_float(text(), out).ok_or_else(|| match with_point(text()) {
            Some(_) => bad("a float (with a decimal comma its type is float_comma)"),
            None => bad("a float"),
        })?,
        ColumnType::FloatComma => {
            let written = with_point(text()).and_then(|text| write_float(&text, out));
            written.ok_or_else(|| bad("a number with a decimal comma"))?;
        }
        ColumnType::Bool => {
            let is_one_of = |words: &[&str]| words.iter().any(|word| text().eq_ignore_ascii_case(word));
            if is_one_of(&["true", "t", "yes", "y", "1"]) {
                out.extend_from_slice(b"true");
            } else if is_one_of(&["false", "f", "no", "n", "0"]) {
                out.extend_from_slice(b"false");
            } else {
                return Err(bad("a bool (true, t, yes, y, 1, or false, f, no, n, 0)"));
            }
        }
        ColumnType::Time
        | ColumnType::UnixS
        | ColumnType::UnixMs
        | ColumnType::UnixUs
        | ColumnType::UnixNs
        | ColumnType::ExcelDays => write_time(declared.numbers().unwrap_or_default(), cell, column, out)?,
        ColumnType::Json => {
            let mut cursor = Cursor::new(cell, JSON_DEPTH_MAX);
            cursor.value().and_then(|_| cursor.finish()).map_err(|_| bad("JSON"))?;
            // The cell may have several lines; a call has one.
            tidy_into(out, cell);
        }
    }
    Ok(())
}

fn write_time(numbers: Numbers, cell: &[u8], column: &str, out: &mut Vec<u8>) -> Result<(), RowError> {
    let Some(at) = time::parse(cell, numbers) else {
        let is_unclear = time::is_number(cell) && numbers == Numbers::ByMagnitude;
        let why = if is_unclear { RowError::UnclearTime } else { RowError::BadTime };
        return Err(why(Cell::of(column, cell)));
    };
    if time::is_as_written(cell) {
        quoted::write(cell, true, out);
    } else {
        time::write(at, out);
    }
    Ok(())
}

/// Appends a number in the form of the text, if JSON allows that form.
fn write_float(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite())?;
    let mut cursor = Cursor::new(text.as_bytes(), 1);
    let is_json =
        cursor.value().is_ok_and(|value| value.kind == ValueKind::Number) && cursor.finish().is_ok();
    if is_json {
        out.extend_from_slice(text.as_bytes());
    } else {
        out.extend_from_slice(serde_json::Number::from_f64(number)?.to_string().as_bytes());
    }
    Some(())
}

fn write_inferred(cell: &[u8], plain: bool, out: &mut Vec<u8>) {
    match cell.first() {
        Some(b'-' | b'0'..=b'9') if is_exact_number(cell) => out.extend_from_slice(cell),
        Some(b't' | b'f') if matches!(cell, b"true" | b"false") => out.extend_from_slice(cell),
        _ => quoted::write(cell, plain, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(kind: Kind, cell: &str) -> Result<String, String> {
        let mut out = Vec::new();
        kind.write(cell.as_bytes(), quoted::is_plain(cell.as_bytes()), "c", &mut out)
            .map(|()| String::from_utf8(out).unwrap())
            .map_err(|error| format!("{}: {error}", error.code()))
    }

    #[test]
    fn only_texts_that_round_trip_are_inferred() {
        for same in [
            "true", "false", "0", "7", "-1", "123456", "9007199254740991", "-9007199254740991", "0.5",
            "-0.5", "1.1", "123456.789", "0.000001",
        ] {
            assert_eq!(written(Kind::Inferred, same).unwrap(), same);
        }
        for text in [
            "True", "FALSE", "t", "null", "007", "+1", "1e5", "1E5", "1.10", "1.0", "-0", "-0.0", ".5", "5.",
            "-", "9007199254740992", "12345678901234567890", "0.1000000000000000055", "1,5", " 1", "1 ",
            "NaN", "inf", "-inf", "0x1", "1_000", "--1", "1.2.3", "192.168.0.1", "١", "1\n",
        ] {
            let expected = serde_json::to_string(text).unwrap();
            assert_eq!(written(Kind::Inferred, text).unwrap(), expected);
        }
    }

    #[test]
    fn a_declared_type_is_checked() {
        use ColumnType::{Bool, Float, FloatComma, Int, Json, String, Time};
        let check = |declared, cell: &str, expected: &str| {
            assert_eq!(written(Kind::Typed(declared), cell).unwrap(), expected, "{cell}");
        };
        check(String, "007", "\"007\"");
        check(Int, " 007 ", "7");
        check(Int, "+1", "1");
        check(Int, "-9223372036854775808", "-9223372036854775808");
        check(Int, "18446744073709551615", "18446744073709551615");
        check(Float, "1.10", "1.10");
        check(Float, "-1e-7", "-1e-7");
        check(Float, ".5", "0.5");
        check(Float, "+7", "7.0");
        check(FloatComma, " 1.234,50", "1234.50");
        check(FloatComma, "7", "7");
        check(Bool, "TRUE", "true");
        check(Bool, "n", "false");
        check(Bool, "1", "true");
        check(Time, "1557606747", "\"2019-05-11T20:32:27.000Z\"");
        check(Json, "{ \"a\" :\n[1, 2.50]}", "{\"a\":[1,2.50]}");
        check(Json, " null", "null");
        let bad = |declared, cell: &str, expected: &str| {
            assert_eq!(written(Kind::Typed(declared), cell).unwrap_err(), expected, "{cell}");
        };
        bad(Int, "1.0", "bad-type: column c is not an int: \"1.0\"");
        bad(Int, "18446744073709551616", "bad-type: column c is not an int: \"18446744073709551616\"");
        bad(
            Float,
            "99,95",
            "bad-type: column c is not a float (with a decimal comma its type is float_comma): \"99,95\"",
        );
        bad(FloatComma, "1.5", "bad-type: column c is not a number with a decimal comma: \"1.5\"");
        bad(Float, "1e400", "bad-type: column c is not a float: \"1e400\"");
        bad(Float, "nan", "bad-type: column c is not a float: \"nan\"");
        bad(
            Bool,
            "maybe",
            "bad-type: column c is not a bool (true, t, yes, y, 1, or false, f, no, n, 0): \"maybe\"",
        );
        bad(Json, "{\"a\":1", "bad-type: column c is not JSON: \"{\"a\":1\"");
        bad(Json, "1 2", "bad-type: column c is not JSON: \"1 2\"");
        bad(Json, &"[".repeat(65), &format!("bad-type: column c is not JSON: \"{}…\"", "[".repeat(64)));
        bad(
            ColumnType::UnixS,
            "now",
            "bad-time: column c is not a time: \"now\" (expected ISO 8601 or Unix time)",
        );
        let unclear = written(Kind::Typed(Time), "45678").unwrap_err();
        let why = "bad-time: column c may be a time, but which one is not known: \"45678\" (";
        assert!(unclear.starts_with(why) && unclear.ends_with("unix_ns or excel_days)"), "{unclear}");
        check(ColumnType::ExcelDays, "45678", "\"2025-01-21T00:00:00.000Z\"");
        bad(Time, "now", "bad-time: column c is not a time: \"now\" (expected ISO 8601 or Unix time)");
    }

    #[test]
    fn only_a_json_object_takes_the_place_of_an_object() {
        assert_eq!(written(Kind::Object, " { \"a\":\n1}").unwrap(), "{\"a\":1}");
        for cell in ["text", "[1]", "1", "null", "\"a\"", "{", "{a:1}", "{} {}"] {
            let error = written(Kind::Object, cell).unwrap_err();
            assert!(error.starts_with("bad-type: column c is not a JSON object: "), "{error}");
        }
    }

    #[test]
    fn integrations_become_booleans() {
        let check = |inferred, cell: &str, expected: &str| {
            assert_eq!(written(Kind::Integration { inferred }, cell).unwrap(), expected, "{cell}");
        };
        check(false, "true", "true");
        check(false, "FALSE", "false");
        check(false, "True", "true");
        check(false, "12", "\"12\"");
        check(true, "12", "12");
        check(true, "yes", "\"yes\"");
    }

    #[test]
    fn a_cell_that_is_not_of_the_found_type_is_named() {
        assert_eq!(written(Kind::Found(FoundType::Bool), " TRUE ").unwrap(), "true");
        assert_eq!(written(Kind::Found(FoundType::Float), "1.50").unwrap(), "1.50");
        assert_eq!(
            written(Kind::Found(FoundType::Int), "007").unwrap_err(),
            "bad-type: column c is int in the first rows of the file, and here it is not: \"007\" (if both are right, \
             declare its type with --types FILE)"
        );
    }

    #[test]
    fn a_date_is_read_by_the_format_of_its_column() {
        let dated = |format: &str, of_call: bool, cell: &str| {
            written(Kind::Dated { format: Box::new(DateFormat::parse(format).unwrap()), of_call }, cell)
        };
        let berlin = "DD.MM.YYYY HH:mm Europe/Berlin";
        assert_eq!(dated(berlin, true, "25.11.2026 15:04").unwrap(), "\"2026-11-25T14:04:00.000Z\"");
        assert_eq!(dated("MM/DD/YYYY", false, "12/31/1969").unwrap(), "\"1969-12-31T00:00:00.000Z\"");
        let bad = |of_call, cell: &str, expected: &str| {
            assert_eq!(dated(berlin, of_call, cell).unwrap_err(), format!("bad-time: column c {expected}"));
        };
        bad(
            true,
            "01.01.1970 00:30",
            "is before 1970, which the time of a call cannot be: \"01.01.1970 00:30\"",
        );
        bad(false, "soon", &format!("is not of the date format {berlin}: \"soon\""));
        bad(
            false,
            "29.03.2026 02:30",
            &format!("is no time by {berlin}: clocks were set forward over it: \"29.03.2026 02:30\""),
        );
        bad(
            false,
            "25.10.2026 02:30",
            &format!(
                "is two times by {berlin}: clocks were set back, and showed it twice: \"25.10.2026 02:30\""
            ),
        );
    }

    #[test]
    fn json_is_known_by_its_bracket() {
        let check =
            |cell: &str, expected: &str| assert_eq!(written(Kind::JsonOrText, cell).unwrap(), expected);
        check("[1,\r\n2]", "[1,2]");
        check(" {\"a\":\"\\ud800\"}", "{\"a\":\"\\ufffd\"}");
        check("12", "\"12\"");
        check("\"a\"", "\"\\\"a\\\"\"");
        assert!(written(Kind::JsonOrText, "[1").is_err());
        assert!(written(Kind::JsonOrText, "[draft] hello").is_err());
    }
}
