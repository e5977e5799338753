//! What a manifest is, by its first bytes.

use std::io::{BufRead, Cursor, Read};

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::csv_reader::ROW_BYTES_MAX;
use super::earlier_report::EarlierReport;
use super::error::ManifestError;
use super::inventory::Inventory;
use crate::words::outside_text;

/// The most bytes of a `manifest.json`: over 100,000 parts of an inventory.
pub const DOCUMENT_BYTES_MAX: usize = 32 * 1_024 * 1_024;

/// The bytes that are looked at.
const HEAD_BYTES: u64 = 1_024;

/// What a manifest is.
pub(super) enum Form {
    /// CSV.
    Csv(Box<dyn BufRead>),
    /// A JSON object a line.
    JsonRows(Box<dyn BufRead>),
    /// One JSON object, which names other files.
    Document(Vec<u8>),
}

/// What a document is.
pub(super) enum Document {
    Inventory(Inventory),
    Report(EarlierReport),
}

/// What only documents have.
#[derive(Deserialize)]
struct DocumentKind {
    #[serde(rename = "Format")]
    format: Option<IgnoredAny>,
    #[serde(rename = "fileFormat")]
    file_format: Option<IgnoredAny>,
}

/// What only rows have.
#[derive(Deserialize)]
struct RowKind {
    bucket: Option<IgnoredAny>,
    key: Option<IgnoredAny>,
}

impl Form {
    /// The form of a manifest, once decompressed. Errors: it cannot be read, or is something else.
    pub(super) fn of(name: &str, mut text: Box<dyn BufRead>) -> Result<Self, ManifestError> {
        let of_io = |cause| ManifestError::of_io(name, cause);
        let mut head = Vec::new();
        text.by_ref().take(HEAD_BYTES).read_to_end(&mut head).map_err(of_io)?;
        let other = match head.as_slice() {
            [] => "it is empty; a manifest has a row for each object",
            [b'P', b'A', b'R', b'1', ..] => {
                "it is Parquet; a job reads CSV: make the inventory with CSV as its format"
            }
            [b'O', b'R', b'C', ..] => "it is ORC; a job reads CSV: make the inventory with CSV as its format",
            [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => "it is UTF-16; save the manifest as UTF-8",
            head if plain(head).first() == Some(&b'[') => {
                "it is a JSON array; a manifest of JSON lines has one object a line, as `jq -c '.[]'` writes them"
            }
            head if is_json(head) => {
                return Self::of_json(name, Box::new(Cursor::new(head.to_vec()).chain(text)));
            }
            _ => return Ok(Self::Csv(Box::new(Cursor::new(head).chain(text)))),
        };
        Err(ManifestError::content(other))
    }

    /// The form of a text that begins as JSON does.
    fn of_json(name: &str, mut text: Box<dyn BufRead>) -> Result<Self, ManifestError> {
        let of_io = |cause| ManifestError::of_io(name, cause);
        let mut begun = Vec::new();
        // Empty lines may come first. They are kept, because they are counted.
        let first = loop {
            let from = begun.len();
            let read =
                text.by_ref().take(DOCUMENT_BYTES_MAX as u64).read_until(b'\n', &mut begun).map_err(of_io)?;
            let line = begun.get(from..).unwrap_or_default();
            if read == 0 || !plain(line).is_empty() || begun.len() > ROW_BYTES_MAX {
                break plain(line);
            }
        };
        if is_row(first) {
            return Ok(Self::JsonRows(Box::new(Cursor::new(begun).chain(text))));
        }
        let left = (DOCUMENT_BYTES_MAX + 1).saturating_sub(begun.len());
        text.take(left as u64).read_to_end(&mut begun).map_err(of_io)?;
        if begun.len() > DOCUMENT_BYTES_MAX {
            let what = "it begins as a JSON object that is longer than 32 MiB; a manifest of JSON lines has one object a line";
            return Err(ManifestError::content(what));
        }
        Ok(Self::Document(begun))
    }
}

/// Reads a document. Errors: it is not whole, or of no known kind.
pub(super) fn document(bytes: &[u8]) -> Result<Document, ManifestError> {
    let wrong = |error: serde_json::Error| {
        let what = "copy it again, or write a manifest of JSON lines with one object a line";
        ManifestError::content(format!("the JSON is wrong: {}; {what}", outside_text(&error.to_string())))
    };
    let json = plain(bytes);
    let kind: DocumentKind = serde_json::from_slice(json).map_err(wrong)?;
    match kind {
        DocumentKind { file_format: Some(_), .. } => {
            serde_json::from_slice(json).map(Document::Inventory).map_err(wrong)
        }
        DocumentKind { format: Some(_), .. } => {
            serde_json::from_slice(json).map(Document::Report).map_err(wrong)
        }
        _ => Err(ManifestError::content(
            "it is a JSON object of no known kind: an inventory's manifest.json has fileFormat, a report's has Format, and a \
             row of a manifest of JSON lines has bucket and key",
        )),
    }
}

/// A text without a byte order mark and the blanks around it.
fn plain(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text).trim_ascii()
}

fn is_json(head: &[u8]) -> bool {
    plain(head).first() == Some(&b'{')
}

/// Whether the first line is a row. One that is no whole JSON is a row if it names a bucket as rows do, so
/// that its error is that of the row.
fn is_row(line: &[u8]) -> bool {
    match serde_json::from_slice::<RowKind>(line) {
        Ok(kind) => kind.bucket.is_some() || kind.key.is_some(),
        Err(_) => memchr::memmem::find(line, br#""bucket""#).is_some(),
    }
}
