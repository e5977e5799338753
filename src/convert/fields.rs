//! The fields of one row, evaluated where they are needed.

use std::borrow::Cow;

use super::evaluate::Evaluation;
use super::field::Field;
use super::outcome::RowReject;
use super::source::Source;
use super::value::{Value, shown};

/// The sources of all fields, by [`Field`]; `None`: the converter does not have the field.
#[derive(Clone, Debug)]
pub(super) struct FieldSources(pub(super) [Option<Source>; Field::ALL.len()]);

impl FieldSources {
    pub(super) fn get(&self, field: Field) -> Option<&Source> {
        self.0.get(field as usize)?.as_ref()
    }
}

/// The fields of one row.
#[derive(Debug)]
pub(super) struct Fields<'r, 'e> {
    pub(super) evaluation: &'r Evaluation<'e>,
    pub(super) sources: &'e FieldSources,
}

impl<'e> Fields<'_, 'e> {
    /// The value of a field, if it has one.
    #[inline]
    pub(super) fn value(&self, field: Field) -> Option<Value<'e>> {
        self.evaluation.value(self.sources.get(field)?)
    }

    /// Appends the value of a field. Returns whether there is one; if not, `out` is as it was.
    #[inline]
    pub(super) fn write(&self, field: Field, out: &mut Vec<u8>) -> bool {
        self.sources.get(field).is_some_and(|source| self.evaluation.write(source, out))
    }

    /// Appends a value that was looked at before. Returns true: there is one.
    pub(super) fn write_value(&self, value: &Value<'_>, out: &mut Vec<u8>) -> bool {
        value.write(out);
        true
    }

    /// The text of an id or name: of a number or boolean, too. `None` if it is missing, null or blank.
    /// Errors: [`RowReject`] `bad-type`: it is an object or a list.
    pub(super) fn text(&self, field: Field) -> Result<Option<Cow<'e, str>>, RowReject> {
        let Some(value) = self.value(field) else { return Ok(None) };
        match value {
            Value::Null => Ok(None),
            Value::Object(_) | Value::List(_) => Err(bad_type(field, "a text", &value)),
            other => Ok(other.into_said().filter(|text| !is_blank(text))),
        }
    }

    /// Appends a field that must be an object. Returns whether it has a value other than null; if not, `out`
    /// is as it was. Errors: [`RowReject`] `bad-type`: it is something else.
    pub(super) fn write_object(&self, field: Field, out: &mut Vec<u8>) -> Result<bool, RowReject> {
        let start = out.len();
        if !self.write(field, out) {
            return Ok(false);
        }
        let written = out.get(start..).unwrap_or_default();
        if written.first() == Some(&b'{') {
            return Ok(true);
        }
        let is_null = written == b"null";
        out.truncate(start);
        match self.value(field) {
            Some(value) if !is_null => Err(bad_type(field, "an object", &value)),
            _ => Ok(false),
        }
    }
}

/// Whether a text is white space only. Most texts show at their first byte that they are not.
fn is_blank(text: &str) -> bool {
    !text.as_bytes().first().is_some_and(u8::is_ascii_graphic) && text.trim().is_empty()
}

/// The rejection of a row with a field of another type.
pub(super) fn bad_type(field: Field, expected: &str, value: &Value<'_>) -> RowReject {
    let hint = match value.text() {
        Some(text) if expected == "an object" && text.trim_start().starts_with('{') => {
            " (for JSON in a text use parse_json_element)"
        }
        _ => "",
    };
    RowReject::new("bad-type", format!("{} is not {expected}: {}{hint}", field.name(), shown(value)))
}
