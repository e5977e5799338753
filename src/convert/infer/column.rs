//! What the rows of a sample have in one column.

use std::collections::HashSet;

use super::time_form::{TimeForm, TimeForms};
use crate::convert::value::Value;

/// The longest value, in bytes, that may be an id.
const ID_BYTES_MAX: usize = 128;

/// One column of a sample.
#[derive(Clone, Debug, Default)]
pub(super) struct Column {
    /// The column's name.
    pub(super) name: String,
    /// Rows with a value other than null and a blank text.
    pub(super) filled: u64,
    /// Whether a row has the name twice, so that it means neither.
    pub(super) is_twice: bool,
    /// The row that was added last, from 1.
    last_row: u64,
    /// Rows with null.
    pub(super) nulls: u64,
    /// Values that are numbers, also as texts.
    numbers: u64,
    /// Values that are objects.
    objects: u64,
    /// Texts with the JSON of an object.
    object_texts: u64,
    /// Values that are lists.
    lists: u64,
    /// Values with a fraction, or true or false.
    no_ids: u64,
    times: TimeForms,
    /// Hashes of the values.
    distinct: HashSet<u128>,
    longest: usize,
    has_blanks: bool,
}

impl Column {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Adds the value of a row; rows are counted from 1.
    pub(super) fn add(&mut self, row: u64, value: &Value<'_>) {
        self.is_twice |= self.last_row == row;
        self.last_row = row;
        match value {
            Value::Null => {
                self.nulls += 1;
                return;
            }
            Value::Object(_) => self.objects += 1,
            Value::List(_) => self.lists += 1,
            Value::Bool(_) => self.no_ids += 1,
            _ => {
                let said = value.said().unwrap_or_default();
                if said.trim().is_empty() {
                    return;
                }
                self.add_text(&said, value);
            }
        }
        self.filled += 1;
    }

    fn add_text(&mut self, said: &str, value: &Value<'_>) {
        let is_number = value.decimal().is_some();
        self.numbers += u64::from(is_number);
        self.no_ids += u64::from(is_number && said.contains(['.', 'e', 'E']));
        let is_object = said.trim_start().starts_with('{')
            && matches!(Value::of_json(said.into()), Some(Value::Object(_)));
        self.object_texts += u64::from(is_object);
        self.times.add(said);
        let mut bits = [0; 16];
        blake3::Hasher::new().update(said.as_bytes()).finalize_xof().fill(&mut bits);
        self.distinct.insert(u128::from_le_bytes(bits));
        self.longest = self.longest.max(said.len());
        self.has_blanks |= said.contains(char::is_whitespace);
    }

    /// Whether no value is an object or a list, and there is one.
    pub(super) fn is_plain(&self) -> bool {
        self.filled > 0 && self.objects == 0 && self.lists == 0
    }

    /// Whether all values are numbers, also as texts.
    pub(super) fn is_number(&self) -> bool {
        self.filled > 0 && self.numbers == self.filled
    }

    /// Whether all values are objects.
    pub(super) fn is_object(&self) -> bool {
        self.filled > 0 && self.objects == self.filled
    }

    /// Whether all values are texts with the JSON of an object.
    pub(super) fn is_object_text(&self) -> bool {
        self.filled > 0 && self.object_texts == self.filled
    }

    /// The form of the values, if all are times.
    pub(super) fn time_form(&self) -> Option<TimeForm> {
        (self.filled > 0).then(|| self.times.form(self.filled)).flatten()
    }

    /// How many values differ.
    pub(super) fn differing(&self) -> u64 {
        self.distinct.len() as u64
    }

    /// Whether each of so many rows has a value of its own that may be an id: a text without white space, or
    /// a whole number.
    pub(super) fn is_unique(&self, rows: u64) -> bool {
        self.is_plain()
            && self.filled == rows
            && self.differing() == rows
            && self.no_ids == 0
            && !self.has_blanks
            && self.longest <= ID_BYTES_MAX
    }

    /// Whether the values are as long as ids that are made by chance.
    pub(super) fn is_long(&self) -> bool {
        self.longest >= 16
    }
}
