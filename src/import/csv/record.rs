//! One record of a CSV text, in buffers that are used again for the next one.

use std::ops::Range;

use super::row_error::RowError;

/// The fields of a record, and where it stands in the text.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// The fields, one after the other. Bytes after the last field's end are left over from earlier records.
    pub(super) data: Vec<u8>,
    /// Where each field ends in `data`. Ends after `len` are left over from earlier records.
    pub(super) ends: Vec<usize>,
    pub(super) len: usize,
    /// The record's bytes as in the text, without the line break after it. Of a broken region: the first
    /// line, cut at [`super::records::BROKEN_RAW_MAX`] bytes.
    pub(super) raw: Vec<u8>,
    /// Whether every field is UTF-8.
    pub(super) utf8: bool,
    /// The number of the data record, from 0. The header is not counted; broken regions are.
    pub(super) number: u64,
    /// The line on which the record begins, from 1. LF, CR and CRLF each end one line.
    pub(super) line: u64,
    /// The byte of the decoded text at which the record begins, from 0. A byte order mark counts.
    pub(super) byte: u64,
    /// Why the record's fields are unknown.
    pub(super) doubt: Option<RowError>,
}

impl Record {
    /// A record with these fields, such as the header of `--columns`.
    pub fn of_fields<F: AsRef<[u8]>>(fields: impl IntoIterator<Item = F>) -> Self {
        let mut record = Self { utf8: true, ..Self::default() };
        for field in fields {
            record.data.extend_from_slice(field.as_ref());
            record.ends.push(record.data.len());
            record.len += 1;
            record.utf8 &= std::str::from_utf8(field.as_ref()).is_ok();
        }
        record
    }

    /// How many fields the record has. A broken region has none.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the record has no fields.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The field at `index`, from 0, without quotes and escapes.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        self.data.get(self.place(index)?)
    }

    /// Where a field is in the bytes of all fields.
    #[inline]
    fn place(&self, index: usize) -> Option<Range<usize>> {
        if index >= self.len {
            return None;
        }
        let start = if index == 0 { 0 } else { *self.ends.get(index - 1)? };
        Some(start..*self.ends.get(index)?)
    }

    /// The fields as texts, by their index. All of them are checked at once, and no text begins or ends within
    /// a character.
    pub fn texts<'r>(&'r self) -> impl Fn(usize) -> Option<&'r str> {
        let all = std::str::from_utf8(self.all_fields()).unwrap_or_default();
        move |index| all.get(self.place(index)?)
    }

    /// The fields, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len).filter_map(|index| self.get(index))
    }

    /// The bytes of the record as its text has them.
    pub(in crate::import) fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The line and the byte at which the record begins.
    pub(in crate::import) fn begins_at(&self) -> (u64, u64) {
        (self.line, self.byte)
    }

    /// Why the record's fields are unknown, if they are.
    pub(in crate::import) fn doubt(&self) -> Option<&RowError> {
        self.doubt.as_ref()
    }

    /// Whether every field is UTF-8.
    pub(in crate::import) fn is_utf8(&self) -> bool {
        self.utf8
    }

    /// The bytes of all fields, without anything between them.
    pub(super) fn all_fields(&self) -> &[u8] {
        let end = self.len.checked_sub(1).and_then(|last| self.ends.get(last)).copied().unwrap_or(0);
        self.data.get(..end).unwrap_or_default()
    }

    /// Empties the cells for which `is_empty` says so.
    pub(super) fn empty_cells(&mut self, is_empty: impl Fn(usize, &[u8]) -> bool) {
        let (mut start, mut kept) = (0, 0);
        for index in 0..self.len {
            let Some(end) = self.ends.get(index).copied() else { return };
            if !is_empty(index, self.data.get(start..end).unwrap_or_default()) {
                if kept < start {
                    self.data.copy_within(start..end, kept);
                }
                kept += end - start;
            }
            if let Some(end) = self.ends.get_mut(index) {
                *end = kept;
            }
            start = end;
        }
    }

    /// Empties the record, so that it can hold one that begins here.
    pub(super) fn begin(&mut self, line: u64, byte: u64) {
        self.doubt = None;
        self.len = 0;
        self.raw.clear();
        self.utf8 = false;
        self.number = 0;
        self.line = line;
        self.byte = byte;
    }
}
