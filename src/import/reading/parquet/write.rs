//! Writes the values of nested columns as JSON.

use std::str;

use super::kind::Kind;
use super::leaf::{Leaf, Said};
use super::shape::{Form, Node, Repeated};
use crate::convert::RowReject;
use crate::json::{quoted, write_float, write_number};
use crate::words::about_bytes;

/// The leaves of a column do not say the same of a row.
const TORN: &str = "its levels do not agree";

/// The most bytes of a row's JSON. No call may be so long.
const ROW_TEXT_MAX: usize = 64 * 1024 * 1024;

/// Writes the rows of a batch, one after the other.
pub(super) struct Writer<'l> {
    leaves: &'l mut [Leaf],
    out: Vec<u8>,
    /// A value in text, before its quotes are known.
    text: String,
    /// Where the row begins.
    row_start: usize,
    reject: Option<RowReject>,
}

impl<'l> Writer<'l> {
    /// A writer that appends to `out`.
    pub(super) fn new(leaves: &'l mut [Leaf], out: Vec<u8>) -> Self {
        Self { leaves, out, text: String::new(), row_start: 0, reject: None }
    }

    /// How many bytes were written.
    pub(super) fn len(&self) -> usize {
        self.out.len()
    }

    /// What was written, up to the end of the batch if it `is_last`.
    /// Errors: the leaves have values that belong to no row.
    pub(super) fn end(self, is_last: bool) -> Result<String, &'static str> {
        if is_last && !self.leaves.iter().all(Leaf::is_at_end) {
            return Err(TORN);
        }
        // Texts were checked before they were written.
        String::from_utf8(self.out).map_err(|_| TORN)
    }

    /// Writes a row. Returns why it cannot be used, if it has a value that cannot be written.
    /// Errors: the leaves do not belong together.
    pub(super) fn write_row(&mut self, root: &Node) -> Result<Option<RowReject>, &'static str> {
        self.row_start = self.out.len();
        self.write(root, 0)?;
        if self.leaves.iter().any(|leaf| leaf.repetition() != 0) {
            return Err(TORN);
        }
        Ok(self.reject.take())
    }

    fn leaves_of(&mut self, node: &Node) -> &mut [Leaf] {
        self.leaves.get_mut(node.leaves.clone()).unwrap_or_default()
    }

    /// The definition level at a part. `least`: the level of what it is in.
    fn level(&self, node: &Node, least: i16) -> Result<i16, &'static str> {
        let leaf = self.leaves.get(node.leaves.start).ok_or(TORN)?;
        leaf.definition().filter(|level| (least..=leaf.max.definition).contains(level)).ok_or(TORN)
    }

    /// Takes the level of a part that has no values. All its leaves must be in the same levels.
    fn take_null(&mut self, node: &Node, level: i16) -> Result<(), &'static str> {
        for leaf in self.leaves_of(node) {
            if leaf.definition() != Some(level) {
                return Err(TORN);
            }
            leaf.take_null();
        }
        Ok(())
    }

    fn write(&mut self, node: &Node, least: i16) -> Result<(), &'static str> {
        let level = self.level(node, least)?;
        if level < node.present {
            self.out.extend_from_slice(b"null");
            return self.take_null(node, level);
        }
        match &node.form {
            Form::Leaf => {
                self.write_leaf(node);
                Ok(())
            }
            Form::Struct(members) => {
                let mut before = b'{';
                for (name, member) in members {
                    self.out.push(before);
                    before = b',';
                    self.out.extend_from_slice(name);
                    self.write(member, node.present)?;
                }
                self.out.push(b'}');
                Ok(())
            }
            Form::List(repeated, element) => {
                self.out.push(b'[');
                if level < repeated.some {
                    self.take_null(node, level)?;
                } else {
                    self.write_each(node, *repeated, |writer| writer.write(element, repeated.some))?;
                }
                self.out.push(b']');
                Ok(())
            }
            Form::Map(repeated, key, value) => {
                self.out.push(b'{');
                if level < repeated.some {
                    self.take_null(node, level)?;
                } else {
                    self.write_each(node, *repeated, |writer| {
                        writer.write_key(key, repeated.some)?;
                        writer.out.push(b':');
                        match value {
                            Some(value) => writer.write(value, repeated.some),
                            None => {
                                writer.out.extend_from_slice(b"null");
                                Ok(())
                            }
                        }
                    })?;
                }
                self.out.push(b'}');
                Ok(())
            }
        }
    }

    /// Writes the elements of a list or a map that has at least one.
    fn write_each(
        &mut self,
        node: &Node,
        repeated: Repeated,
        mut write: impl FnMut(&mut Self) -> Result<(), &'static str>,
    ) -> Result<(), &'static str> {
        loop {
            write(self)?;
            if self.out.len() - self.row_start > ROW_TEXT_MAX {
                // The values are still taken from the leaves, and the row is rejected.
                self.out.truncate(self.row_start);
                let text =
                    format!("a list or map takes more than {} as JSON", about_bytes(ROW_TEXT_MAX as u64));
                self.reject = Some(RowReject::new("too-long", text));
            }
            let mut next = self.leaves_of(node).iter().map(|leaf| leaf.repetition());
            let first = next.next().unwrap_or(0);
            // A higher level would belong to a list that is over.
            if first > repeated.again || next.any(|level| level != first) {
                return Err(TORN);
            }
            if first < repeated.again {
                return Ok(());
            }
            self.out.push(b',');
        }
    }

    fn write_leaf(&mut self, node: &Node) {
        let Some(leaf) = self.leaves.get_mut(node.leaves.start) else { return };
        let at = leaf.take_value();
        let out = &mut self.out;
        match leaf.kind {
            Kind::Nothing => out.extend_from_slice(b"null"),
            Kind::Bool => out.extend_from_slice(if leaf.values.is_true(at) { b"true" } else { b"false" }),
            Kind::Int => {
                let number = leaf.values.whole(at);
                if number < 0 {
                    out.push(b'-');
                }
                write_number(out, number.unsigned_abs());
            }
            Kind::Unsigned32 => write_number(out, leaf.values.whole(at).cast_unsigned() & 0xFFFF_FFFF),
            Kind::Unsigned64 => write_number(out, leaf.values.whole(at).cast_unsigned()),
            Kind::Float16 | Kind::Float64 => match leaf.values.double(at) {
                float if float.is_finite() => write_float(out, float),
                _ => out.extend_from_slice(b"null"),
            },
            Kind::Text => {
                let text = leaf.values.bytes(at);
                if str::from_utf8(text).is_ok() {
                    quoted::write(text, quoted::is_plain(text), out);
                } else {
                    out.extend_from_slice(b"null");
                    self.reject = Some(RowReject::new("bad-text", "a text is not UTF-8".to_owned()));
                }
            }
            _ => {
                self.text.clear();
                match leaf.say(at, &mut self.text) {
                    Said::Nothing => out.extend_from_slice(b"null"),
                    Said::Number => out.extend_from_slice(self.text.as_bytes()),
                    Said::Text => quoted::write(self.text.as_bytes(), true, out),
                    Said::TooLong => {
                        out.extend_from_slice(b"null");
                        let text = "a number has too many bytes".to_owned();
                        self.reject = Some(RowReject::new("bad-decimal", text));
                    }
                }
            }
        }
    }

    /// Writes the key of a map as a string.
    fn write_key(&mut self, node: &Node, least: i16) -> Result<(), &'static str> {
        let level = self.level(node, least)?;
        let start = self.out.len();
        if level < node.present {
            self.out.extend_from_slice(b"null");
            self.take_null(node, level)?;
        } else {
            self.write_leaf(node);
        }
        let written = self.out.split_off(start);
        match written.as_slice() {
            b"null" => {
                self.out.extend_from_slice(b"\"\"");
                self.reject = Some(RowReject::new("bad-key", "a key of a map is null".to_owned()));
            }
            [b'"', ..] => self.out.extend_from_slice(&written),
            bare => quoted::write(bare, true, &mut self.out),
        }
        Ok(())
    }
}
