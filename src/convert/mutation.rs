//! What a row of strategy mirror does to an earlier one.

use super::field::Field;
use super::fields::Fields;
use super::object_text::{begin, named, text_member};
use super::outcome::RowReject;
use super::place::RowPlace;
use super::value::{Value, shown};
use crate::json::quoted;

/// A row inserts, updates or deletes the row with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mutation {
    op: &'static str,
    /// The text of a JSON array: what names the row.
    key: String,
    /// The place among all mutations of the import.
    seq: String,
}

impl Mutation {
    /// Reads a row's mutation; without `mutation_type` it is an update.
    /// Errors: [`RowReject`] `bad-mutation`: another type than `INSERT`, `UPDATE` or `DELETE`.
    pub(super) fn read(
        fields: &Fields<'_, '_>,
        key: &[Option<&str>],
        place: &RowPlace<'_>,
    ) -> Result<Self, RowReject> {
        let bad = |value: &Value<'_>| {
            let what = format!("mutation_type is none of INSERT, UPDATE, DELETE: {}", shown(value));
            RowReject::new("bad-mutation", what)
        };
        let op = match fields.value(Field::MutationType) {
            None | Some(Value::Null) => "UPDATE",
            Some(value) => match value.text().as_deref() {
                Some("INSERT") => "INSERT",
                Some("UPDATE" | "") => "UPDATE",
                Some("DELETE") => "DELETE",
                _ => return Err(bad(&value)),
            },
        };
        let mut array = vec![b'['];
        for (index, part) in key.iter().flatten().enumerate() {
            if index > 0 {
                array.push(b',');
            }
            quoted::write(part.as_bytes(), false, &mut array);
        }
        array.push(b']');
        let key = String::from_utf8(array).unwrap_or_default();
        Ok(Self { op, key, seq: place.sequence() })
    }

    /// Appends the member `mutation` of a context.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        begin(named!("mutation"), out);
        out.push(b'{');
        text_member(named!("op"), self.op, out);
        text_member(named!("key"), &self.key, out);
        text_member(named!("seq"), &self.seq, out);
        out.push(b'}');
    }
}
