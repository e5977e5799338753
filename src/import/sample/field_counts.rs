//! What the values of a field are.

/// How many rows have a value of each type in one field of a converter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct FieldCounts {
    /// The field's name.
    pub name: &'static str,
    /// Rows without a value.
    pub no_value: u64,
    /// Rows with null.
    pub null: u64,
    /// Rows with a text.
    pub string: u64,
    /// Rows with a number.
    pub number: u64,
    /// Rows with true or false.
    pub bool: u64,
    /// Rows with an object.
    pub dict: u64,
    /// Rows with a list.
    pub list: u64,
}

impl FieldCounts {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, ..Self::default() }
    }

    /// Adds the value of a row, as JSON.
    pub(super) fn add(&mut self, json: Option<&str>) {
        let count = match json.and_then(|json| json.bytes().next()) {
            None => &mut self.no_value,
            Some(b'"') => &mut self.string,
            Some(b'{') => &mut self.dict,
            Some(b'[') => &mut self.list,
            Some(b't' | b'f') => &mut self.bool,
            Some(b'n') => &mut self.null,
            Some(_) => &mut self.number,
        };
        *count += 1;
    }

    /// The types and how many rows have each, without those that none has.
    pub fn mix(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let all = [
            ("string", self.string),
            ("number", self.number),
            ("bool", self.bool),
            ("dict", self.dict),
            ("list", self.list),
            ("null", self.null),
            ("no value", self.no_value),
        ];
        all.into_iter().filter(|(_, count)| *count > 0)
    }
}
