//! Errors of CSV texts name options of `import csv`. Here a converter has them.

use crate::import::file_error::FileError;
use crate::words::Told;

/// What a text for `import csv` says, and what a person does here.
pub(super) const SAID: [(&str, &str); 5] = [
    ("pass --escape '\\'", "set \"escape\" of csv in the converter to \"\\\\\""),
    ("pass --quote none", "set \"quote\" of csv in the converter to \"none\""),
    ("leave --escape away", "leave \"escape\" of csv in the converter away"),
    ("pass --delimiter to keep them", "set \"delimiter\" of csv in the converter to keep them"),
    ("pass --delimiter", "set \"delimiter\" of csv in the converter"),
];

/// The text for a person who has a converter.
pub(super) fn for_converter(text: &str) -> String {
    SAID.iter().fold(text.to_owned(), |text, (said, here)| text.replace(said, here))
}

/// The error for a person who has a converter.
pub(super) fn error_for_converter(error: FileError) -> FileError {
    let (full, masked) = (for_converter(error.message.full()), for_converter(error.message.masked()));
    FileError { message: Told::masked_as(full, masked), ..error }
}
