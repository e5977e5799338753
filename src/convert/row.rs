//! A row: the values of the columns that a converter needs.

use super::columns::Columns;
use super::outcome::RowReject;
use super::value::{VALUE_DEPTH_MAX, Value};
use crate::json::{Cursor, ScanError, unescape};
use crate::words::outside_text_within;

/// One value, or none, for each slot of [`Columns`].
#[derive(Clone, Debug, Default)]
pub struct Row<'a> {
    slots: Vec<Option<Value<'a>>>,
}

impl<'a> Row<'a> {
    /// A row without values.
    pub fn new(columns: &Columns) -> Self {
        let mut row = Self::default();
        row.slots.resize_with(columns.len(), || None);
        row
    }

    /// Sets the value of a slot: the row has this column. Other slots than those of the columns are ignored.
    #[inline]
    pub fn set(&mut self, slot: usize, value: Value<'a>) {
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(value);
        }
    }

    /// The value of a slot; `None` if the row does not have the column.
    #[inline]
    pub fn get(&self, slot: usize) -> Option<&Value<'a>> {
        self.slots.get(slot)?.as_ref()
    }

    /// Appends the row as one JSON object: the columns that it has, by their names.
    pub fn write(&self, columns: &Columns, out: &mut Vec<u8>) {
        let start = out.len();
        for (fragment, value) in columns.fragments().zip(&self.slots) {
            let Some(value) = value else { continue };
            out.extend_from_slice(fragment);
            value.write(out);
        }
        // The bracket takes the place of the first comma.
        match out.get_mut(start) {
            Some(comma) => *comma = b'{',
            None => out.push(b'{'),
        }
        out.push(b'}');
    }

    /// The same row without values, for the next row of the file: it keeps the memory.
    #[must_use]
    pub fn cleared<'b>(mut self) -> Row<'b> {
        let len = self.slots.len();
        self.slots.clear();
        // Collecting a vector's own elements, of which there are none, reuses its memory, whatever the lifetime.
        let mut slots: Vec<_> = self.slots.into_iter().map(|_| None).collect();
        slots.resize_with(len, || None);
        Row { slots }
    }

    /// Reads the columns of a line, one JSON object. Of equal names the last counts.
    /// Errors: [`RowReject`]: the line is not one JSON object, or is nested too deeply.
    pub fn read_json(&mut self, columns: &Columns, line: &'a str) -> Result<(), RowReject> {
        self.slots.iter_mut().for_each(|slot| *slot = None);
        let bytes = line.as_bytes();
        if bytes.len() > Cursor::TEXT_MAX {
            return Err(RowReject::new("too-large", "the line is longer than 4 GiB".to_owned()));
        }
        let mut cursor = Cursor::new(bytes, VALUE_DEPTH_MAX + 1);
        if cursor.peek() != Some(b'{') {
            let shown = outside_text_within(line, 64);
            return Err(RowReject::new("bad-json", format!("the line is not a JSON object: {shown}")));
        }
        self.read_members(columns, line, &mut cursor).map_err(|error| match error {
            ScanError::Syntax { what, at } => {
                RowReject::new("bad-json", format!("the line is not JSON: {what} at byte {at}"))
            }
            ScanError::TooDeep { at } => RowReject::new(
                "too-deep",
                format!("a value is nested deeper than {VALUE_DEPTH_MAX} levels at byte {at}"),
            ),
        })
    }

    fn read_members(
        &mut self,
        columns: &Columns,
        line: &'a str,
        cursor: &mut Cursor<'a>,
    ) -> Result<(), ScanError> {
        cursor.enter()?;
        while let Some(name) = cursor.next_name()? {
            let slot = if name.escaped {
                columns.slot(&unescape(name, line.as_bytes()))
            } else {
                columns.slot(name.span.of(line.as_bytes()))
            };
            let value = cursor.value()?;
            if let Some(slot) = slot {
                self.set(slot, Value::scanned(line, value));
            }
        }
        cursor.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Columns {
        let mut columns = Columns::default();
        ["a", "b", "c"].iter().for_each(|name| {
            columns.need(name);
        });
        columns
    }

    #[test]
    fn needed_columns_are_read_and_the_last_of_equal_names_counts() {
        let columns = columns();
        let mut row = Row::new(&columns);
        row.read_json(&columns, r#" {"x":[1,{"a":2}],"b":1.10,"\u0062":"last","c":null} "#).unwrap();
        assert_eq!(row.get(0), None);
        assert_eq!(row.get(1).unwrap().text().unwrap(), "last");
        assert_eq!(row.get(2), Some(&Value::Null));
        let mut written = Vec::new();
        row.write(&columns, &mut written);
        assert_eq!(written, br#"{"b":"last","c":null}"#);
        row.read_json(&columns, "{}").unwrap();
        written.clear();
        row.write(&columns, &mut written);
        assert_eq!(written, b"{}");
        assert_eq!(row.get(1), None, "nothing stays of the row before");
        let mut next: Row<'_> = row.cleared();
        let line = String::from(r#"{"a":true}"#);
        next.read_json(&columns, &line).unwrap();
        assert_eq!(next.get(0), Some(&Value::Bool(true)));
    }

    #[test]
    fn other_lines_are_rejected() {
        let check = |line: &str, code: &str| {
            let columns = columns();
            assert_eq!(Row::new(&columns).read_json(&columns, line).unwrap_err().code, code, "{line}");
        };
        check("", "bad-json");
        check("[1]", "bad-json");
        check("{\"a\":1,}", "bad-json");
        check("{} {}", "bad-json");
        check(&format!("{{\"x\":{}1{}}}", "[".repeat(65), "]".repeat(65)), "too-deep");
        let fits = format!("{{\"x\":{}1{}}}", "[".repeat(64), "]".repeat(64));
        assert!(Row::new(&columns()).read_json(&columns(), &fits).is_ok());
    }
}
