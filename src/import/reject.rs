//! A row that is not a call, in the form in which it is kept and read again.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::file_id::FileId;

/// The most bytes of a row that are kept.
pub const RAW_MAX: usize = 64 * 1_024;
/// A row that is not a call.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Reject {
    /// The name of the row's file.
    pub file: String,
    /// The row's number, from 0.
    pub row: u64,
    /// The line of the file on which the row begins, from 1.
    pub line: u64,
    /// The byte of the decoded text at which the row begins, from 0.
    pub byte: u64,
    /// Why the row is no call, for programs: `missing:userId`, `width`, `bad-time`, …
    pub code: String,
    /// Why the row is no call, for people.
    pub message: String,
    /// The row itself, at most [`RAW_MAX`] bytes. Bytes that are not UTF-8 are replaced.
    pub raw: String,
    /// The bytes of the row, if they are not UTF-8. These bytes count until a person changes `raw`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_base64: Option<String>,
    /// A hash of the row as its file has it. With the file and the row's number, the hash identifies the row,
    /// whatever the row is corrected to. Rejects files of earlier releases do not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// A hash of the row's messageId, if another row of the file has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_taken: Option<String>,
    /// Where `retry-rejects` read the row, if the row was rejected again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retried: Option<Retried>,
}

/// A position in a file of rejected rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Retried {
    /// The file of rejected rows.
    pub file: FileId,
    /// The row's number in this file, from 0.
    pub row: u64,
}

/// Why a kept row cannot be read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The row is longer than what is kept.
    #[error("only the beginning of this row was kept; import it from its file")]
    Cut,
    /// The row was corrected only in part.
    #[error("raw still has replacement characters for bytes that are not UTF-8; correct all of them")]
    Replaced,
    /// The bytes of the row were damaged.
    #[error("raw_base64 is not base64")]
    NotBase64,
}

impl Unreadable {
    /// The code of the row from now on; `None`: the code stays.
    pub fn code(self) -> Option<&'static str> {
        (self != Self::Cut).then_some("utf8")
    }
}

impl Reject {
    /// The text of a row, cut to what is kept; and the row's bytes, if they are not UTF-8.
    pub fn raw_of(bytes: &[u8]) -> (String, Option<String>) {
        let kept = bytes.get(..RAW_MAX).unwrap_or(bytes);
        match String::from_utf8_lossy(kept) {
            Cow::Borrowed(text) => (text.to_owned(), None),
            Cow::Owned(replaced) => (replaced, Some(STANDARD.encode(kept))),
        }
    }

    /// The row to read again: as the file has it, or as a person corrected it in `raw`.
    /// Errors: [`Unreadable`]: the row must be corrected otherwise, or imported from its file.
    pub fn corrected(&self) -> Result<Cow<'_, [u8]>, Unreadable> {
        let Some(base64) = &self.raw_base64 else { return whole(Cow::Borrowed(self.raw.as_bytes())) };
        let kept = STANDARD.decode(base64).map_err(|_| Unreadable::NotBase64)?;
        if String::from_utf8_lossy(&kept) == self.raw {
            return whole(Cow::Owned(kept));
        }
        // The row may have had replacement characters of its own.
        let own: usize = kept.utf8_chunks().map(|chunk| replacements(chunk.valid())).sum();
        if replacements(&self.raw) > own {
            return Err(Unreadable::Replaced);
        }
        whole(Cow::Borrowed(self.raw.as_bytes()))
    }
}

fn whole(row: Cow<'_, [u8]>) -> Result<Cow<'_, [u8]>, Unreadable> {
    if row.len() < RAW_MAX { Ok(row) } else { Err(Unreadable::Cut) }
}

fn replacements(text: &str) -> usize {
    text.matches(char::REPLACEMENT_CHARACTER).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(bytes: &[u8]) -> Reject {
        let (raw, raw_base64) = Reject::raw_of(bytes);
        Reject {
            file: "a.csv".to_owned(),
            row: 0,
            line: 2,
            byte: 0,
            code: "width".to_owned(),
            message: "expected 8 fields, got 9".to_owned(),
            raw,
            raw_base64,
            content: None,
            id_taken: None,
            retried: None,
        }
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_kept_until_they_are_corrected() {
        assert_eq!(kept("Zoë".as_bytes()).raw_base64, None);
        let row = kept(b"Zo\xEB,\xEF\xBF\xBD");
        assert_eq!((&*row.raw, row.raw_base64.as_deref()), ("Zo\u{FFFD},\u{FFFD}", Some("Wm/rLO+/vQ==")));
        assert_eq!(row.corrected().unwrap(), &b"Zo\xEB,\xEF\xBF\xBD"[..]);
        let edited = |raw: &str| Reject { raw: raw.to_owned(), ..row.clone() };
        assert_eq!(edited("Zoë,\u{FFFD}").corrected().unwrap(), "Zoë,\u{FFFD}".as_bytes());
        assert_eq!(edited("Zoe!\u{FFFD},\u{FFFD}").corrected(), Err(Unreadable::Replaced));
        let damaged = Reject { raw_base64: Some("?".to_owned()), ..row.clone() };
        assert_eq!(damaged.corrected(), Err(Unreadable::NotBase64));
    }

    #[test]
    fn a_row_that_was_cut_is_not_read_again() {
        for byte in [b'x', 0xFF] {
            assert_eq!(kept(&vec![byte; RAW_MAX]).corrected(), Err(Unreadable::Cut));
            assert_eq!(kept(&vec![byte; RAW_MAX - 1]).corrected().unwrap().len(), RAW_MAX - 1);
        }
        assert_eq!(kept("ë".repeat(RAW_MAX).get(2..).unwrap().as_bytes()).corrected(), Err(Unreadable::Cut));
    }
}
