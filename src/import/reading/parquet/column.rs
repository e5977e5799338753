//! A column: its leaves, and the values that they make.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::str;

use super::kind::Kind;
use super::leaf::{Leaf, Said};
use super::shape::{Form, Node};
use super::write::Writer;
use crate::convert::{RowReject, Value};

/// A column that is needed, and the batch of its values that was read last.
pub(super) struct Column {
    /// The slot of its values in a row.
    pub(super) slot: usize,
    /// Its name, for people.
    pub(super) name: String,
    root: Node,
    pub(super) leaves: Vec<Leaf>,
    /// The value of the present row, if the column is a single leaf and not null.
    current: Option<usize>,
    /// The texts of the batch: of each value of a leaf that is said in text, or of each row's JSON.
    text: String,
    /// Where each text ends.
    ends: Vec<(usize, Said)>,
    /// Rows of the batch with a value that cannot be said.
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
            current: None,
            text: String::new(),
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

    /// Makes the values of a batch of this many rows, whose leaves were read.
    /// Errors: the leaves do not belong together.
    pub(super) fn make(&mut self, rows: usize) -> Result<(), &'static str> {
        self.not_in_json += self.leaves.iter().map(Leaf::not_in_json).sum::<u64>();
        self.text.clear();
        self.ends.clear();
        self.rejects.clear();
        let (Form::Leaf, Some(leaf)) = (&self.root.form, self.leaves.first()) else {
            return self.write_json(rows);
        };
        let is_said = match leaf.kind {
            Kind::Date | Kind::Time(_) | Kind::Timestamp(_) | Kind::Float32 => true,
            Kind::Decimal(_) | Kind::Uuid | Kind::Bytes => true,
            Kind::Nothing | Kind::Bool | Kind::Int | Kind::Unsigned32 | Kind::Unsigned64 => false,
            Kind::Float16 | Kind::Float64 | Kind::Text => false,
        };
        if is_said {
            for value in 0..leaf.values.len() {
                let said = leaf.say(value, &mut self.text);
                self.ends.push((self.text.len(), said));
            }
        }
        Ok(())
    }

    fn write_json(&mut self, rows: usize) -> Result<(), &'static str> {
        let out = std::mem::take(&mut self.text).into_bytes();
        let mut writer = Writer::new(&mut self.leaves, out);
        for row in 0..rows {
            let reject = writer.write_row(&self.root)?;
            self.ends.push((writer.len(), Said::Text));
            if let Some(reject) = reject {
                self.rejects.insert(row, reject);
            }
        }
        self.text = writer.end()?;
        Ok(())
    }

    /// Goes to the next row.
    #[inline]
    pub(super) fn step(&mut self) {
        if let (Form::Leaf, Some(leaf)) = (&self.root.form, self.leaves.first_mut()) {
            self.current = if leaf.definition().is_some_and(|level| level == leaf.max.definition) {
                Some(leaf.take_value())
            } else {
                leaf.take_null();
                None
            };
        }
    }

    /// The value in the present row, which has this number in the batch.
    /// Errors: [`RowReject`]: it cannot be said.
    #[inline]
    pub(super) fn value(&self, row: usize) -> Result<Value<'_>, RowReject> {
        let Some(leaf) = self.single() else { return self.json(row) };
        let Some(at) = self.current else { return Ok(Value::Null) };
        let value = match leaf.kind {
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
                let (text, said) = self.text_of(at);
                match said {
                    Said::Nothing => Value::Null,
                    Said::Number => Value::Number(Cow::Borrowed(text)),
                    Said::Text => Value::Text(Cow::Borrowed(text)),
                    Said::TooLong => return Err(too_long(&self.name)),
                }
            }
        };
        Ok(value)
    }

    /// The value of a row that was written as JSON.
    fn json(&self, row: usize) -> Result<Value<'_>, RowReject> {
        if let Some(reject) = self.rejects.get(&row) {
            let message = format!("column {}: {}", self.name, reject.message);
            return Err(RowReject::new(reject.code, message));
        }
        let (text, _) = self.text_of(row);
        Ok(match text.as_bytes().first() {
            Some(b'{') => Value::Object(Cow::Borrowed(text)),
            Some(b'[') => Value::List(Cow::Borrowed(text)),
            _ => Value::Null,
        })
    }

    fn text_of(&self, at: usize) -> (&str, Said) {
        let from = at.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |(end, _)| *end);
        let Some((end, said)) = self.ends.get(at) else { return ("", Said::Nothing) };
        (self.text.get(from..*end).unwrap_or_default(), *said)
    }
}

fn not_text(column: &str) -> RowReject {
    RowReject::new("bad-text", format!("column {column}: the text is not UTF-8"))
}

fn too_long(column: &str) -> RowReject {
    RowReject::new("bad-decimal", format!("column {column}: the number has too many bytes"))
}
