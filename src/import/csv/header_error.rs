//! What is said about the names of a header.

use crate::import::file_error::FileError;
use crate::words::{Told, outside_text_within};

/// The most bytes of a name that errors and warnings show.
const NAME_SHOWN_MAX: usize = 256;

/// The error of two columns whose paths in the call exclude each other. Names of the header are private,
/// here and below: in a file without a header, the first row stands there.
pub(super) fn conflict(one: &str, other: &str, why: &str) -> FileError {
    let full = format!("columns \"{}\" and \"{}\" do not go together: {why}", shown(one), shown(other));
    FileError::content("E-CSV-CONFLICT", Told::masked_as(full, "two columns do not go together"))
}

/// The error of an array with this path whose elements are not numbered 0, 1, 2, …
pub(super) fn no_array(path: &str, why: &str) -> FileError {
    let full = format!("the parts of \"{}\" are no array: {why} (or leave --arrays away)", shown(path));
    FileError::content("E-CSV-CONFLICT", Told::masked_as(full, "the parts of a column are no array"))
}

/// The error of a header that cannot be read.
pub(super) fn unreadable(why: String) -> FileError {
    FileError::content("E-CSV-HEADER", Told::masked_as(why, "the header cannot be read"))
}

/// The warning that a column is imported otherwise than one may expect.
pub(super) fn warning(column: &str, what: &str) -> Told {
    Told::masked_as(format!("column \"{}\" {what}", shown(column)), format!("a column {what}"))
}

/// A name, safe for one line.
pub(super) fn shown(name: &str) -> impl std::fmt::Display + '_ {
    outside_text_within(name, NAME_SHOWN_MAX)
}
