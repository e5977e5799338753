//! A column: its leaves, and the values that they make.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::str;

use super::kind::Kind;
use super::leaf::{Leaf, NULL, Said};
use super::shape::{Form, Node};
use super::write::Writer;
use crate::convert::{Row, RowReject, Value};

/// The JSON that a column has in memory is at most about this long, and that of a row.
const TEXT_BYTES: usize = 8 * 1024 * 1024;

/// A column that is needed, and the batch of its values that was read last.
pub(super) struct Column {
    /// The slot of its values in a row.
    pub(super) slot: usize,
    /// Its name, for people.
    pub(super) name: String,
    root: Node,
    pub(super) leaves: Vec<Leaf>,
    /// The numbers of the values of the batch's rows, or [`NULL`], if the column is a single leaf.
    numbers: Vec<usize>,
    /// The text of the present value of a leaf that is said in text, or the JSON of some rows of the batch: a
    /// dictionary may give each row a long value.
    text: String,
    /// What the text of the present value is.
    said: Said,
    /// The rows of the batch.
    rows: usize,
    /// The rows whose JSON is made.
    made: Range<usize>,
    /// Where the JSON of each of these ends.
    ends: Vec<usize>,
    /// Those with a value that cannot be said.
    rejects: BTreeMap<usize, RowReject>,
    /// Numbers that JSON does not have, and which are null.
    pub(super) not_in_json: u64,
}

impl Column {
    pub(super) fn new(slot: usize, name: String, root: Node, leaves: Vec<Leaf>) -> Self {
        Self {
            slot,
            name,
            root,
            leaves,
            numbers: Vec::new(),
            text: String::new(),
            said: Said::Nothing,
            rows: 0,
            made: 0..0,
            ends: Vec::new(),
            rejects: BTreeMap::new(),
            not_in_json: 0,
        }
    }

    /// The leaf, if the column is a single one that is not repeated.
    fn single(&self) -> Option<&Leaf> {
        match self.root.form {
            Form::Leaf => self.leaves.first(),
            _ => None,
        }
    }

    /// Begins a batch of this many rows, whose leaves were read.
    /// Errors: the leaves do not belong together.
    pub(super) fn begin(&mut self, rows: usize) -> Result<(), &'static str> {
        self.not_in_json += self.leaves.iter().map(Leaf::not_in_json).sum::<u64>();
        (self.rows, self.made) = (rows, 0..0);
        match (&self.root.form, self.leaves.first()) {
            (Form::Leaf, Some(leaf)) => leaf.find_values(&mut self.numbers),
            _ => self.make_json()?,
        }
        Ok(())
    }

    /// Makes the JSON of the next rows, as many as have room.
    fn make_json(&mut self) -> Result<(), &'static str> {
        self.ends.clear();
        self.rejects.clear();
        let mut out = std::mem::take(&mut self.text).into_bytes();
        out.clear();
        self.made = self.made.end..self.made.end;
        let mut writer = Writer::new(&mut self.leaves, out);
        while self.made.end < self.rows && writer.len() < TEXT_BYTES {
            if let Some(reject) = writer.write_row(&self.root)? {
                self.rejects.insert(self.made.end, reject);
            }
            self.ends.push(writer.len());
            self.made.end += 1;
        }
        self.text = writer.end(self.made.end == self.rows)?;
        Ok(())
    }

    /// Goes to the next row, which has this number in the batch.
    /// Errors: the leaves do not belong together.
    #[inline]
    pub(super) fn step(&mut self, row: usize) -> Result<(), &'static str> {
        let (Form::Leaf, Some(leaf)) = (&self.root.form, self.leaves.first()) else {
            return if row < self.made.end { Ok(()) } else { self.make_json() };
        };
        if leaf.kind.is_said()
            && let Some(value) = self.numbers.get(row).filter(|value| **value != NULL)
        {
            self.text.clear();
            self.said = leaf.say(*value, &mut self.text);
        }
        Ok(())
    }

    /// Puts the value of the present row, which has this number in the batch, into its slot.
    /// Errors: [`RowReject`]: it cannot be said.
    #[inline]
    pub(super) fn put<'a>(&'a self, number: usize, row: &mut Row<'a>) -> Result<(), RowReject> {
        let Some(leaf) = self.single() else {
            row.set(self.slot, self.json(number)?);
            return Ok(());
        };
        let at = self.numbers.get(number).copied().unwrap_or(NULL);
        let value = match leaf.kind {
            _ if at == NULL => Value::Null,
            Kind::Nothing => Value::Null,
            Kind::Bool => Value::Bool(leaf.values.is_true(at)),
            Kind::Int => Value::Int(leaf.values.whole(at)),
            Kind::Unsigned32 => Value::Int(leaf.values.whole(at) & 0xFFFF_FFFF),
            Kind::Unsigned64 => Value::of_int(i128::from(leaf.values.whole(at).cast_unsigned())),
            Kind::Float16 | Kind::Float64 => match leaf.values.double(at) {
                float if float.is_finite() => Value::Float(float),
                _ => Value::Null,
            },
            Kind::Text => match str::from_utf8(leaf.values.bytes(at)) {
                Ok(text) => Value::Text(Cow::Borrowed(text)),
                Err(_) => return Err(not_text(&self.name)),
            },
            Kind::Float32
            | Kind::Decimal(_)
            | Kind::Date
            | Kind::Time(_)
            | Kind::Timestamp(_)
            | Kind::Uuid
            | Kind::Bytes => {
                let text = Cow::Borrowed(self.text.as_str());
                match self.said {
                    Said::Nothing => Value::Null,
                    Said::Number => Value::Number(text),
                    Said::Text => Value::Text(text),
                    Said::TooLong => return Err(too_long(&self.name)),
                }
            }
        };
        row.set(self.slot, value);
        Ok(())
    }

    /// The value of a row that was written as JSON.
    fn json(&self, row: usize) -> Result<Value<'_>, RowReject> {
        if let Some(reject) = self.rejects.get(&row) {
            let message = format!("column {}: {}", self.name, reject.message);
            return Err(RowReject::new(reject.code, message));
        }
        let text = self.text_of(row);
        Ok(match text.as_bytes().first() {
            Some(b'{') => Value::Object(Cow::Borrowed(text)),
            Some(b'[') => Value::List(Cow::Borrowed(text)),
            _ => Value::Null,
        })
    }

    fn text_of(&self, row: usize) -> &str {
        let end = |index: usize| self.ends.get(index).copied();
        let Some(index) = row.checked_sub(self.made.start) else { return "" };
        let from = index.checked_sub(1).and_then(end).unwrap_or(0);
        end(index).and_then(|end| self.text.get(from..end)).unwrap_or_default()
    }
}

fn not_text(column: &str) -> RowReject {
    RowReject::new("bad-text", format!("column {column}: the text is not UTF-8"))
}

fn too_long(column: &str) -> RowReject {
    RowReject::new("bad-decimal", format!("column {column}: the number has too many bytes"))
}
