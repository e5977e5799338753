//! The columns that a converter needs, each with a slot in a row.

use std::collections::HashMap;

use super::object_text::fragment;

/// The names of the columns that a converter reads, in the order of their slots.
#[derive(Clone, Debug)]
pub struct Columns {
    names: Vec<Box<str>>,
    /// What precedes the value of each in an object: [`fragment`].
    fragments: Vec<Box<[u8]>>,
    /// The slots by [`mark`] of their names: most names of a row that are not needed share it with none.
    by_mark: Vec<Vec<usize>>,
    slots: HashMap<Box<str>, usize>,
}

impl Default for Columns {
    fn default() -> Self {
        Self {
            names: Vec::new(),
            fragments: Vec::new(),
            by_mark: vec![Vec::new(); MARKS],
            slots: HashMap::new(),
        }
    }
}

const MARKS: usize = 256;

/// A number below [`MARKS`], from the length and the ends of a name.
fn mark(name: &[u8]) -> usize {
    let (first, last) = (name.first().copied().unwrap_or(0), name.last().copied().unwrap_or(0));
    (name.len().wrapping_mul(31) ^ (usize::from(first) << 2) ^ usize::from(last).wrapping_mul(11)) % MARKS
}

impl<'n> FromIterator<&'n str> for Columns {
    /// The columns with these names. A name that comes again has the slot of the first.
    fn from_iter<I: IntoIterator<Item = &'n str>>(names: I) -> Self {
        let mut columns = Self::default();
        for name in names {
            columns.need(name);
        }
        columns
    }
}

impl Columns {
    /// The names, one for each slot.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }

    /// What precedes the values of the columns in an object.
    pub(super) fn fragments(&self) -> impl Iterator<Item = &[u8]> {
        self.fragments.iter().map(|fragment| &**fragment)
    }

    /// How many columns are needed.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether the converter reads nothing of a row.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The slot of the column with this name, if it is needed.
    #[inline]
    pub fn slot(&self, name: &[u8]) -> Option<usize> {
        let slots = self.by_mark.get(mark(name))?;
        slots.iter().copied().find(|slot| self.names.get(*slot).is_some_and(|known| known.as_bytes() == name))
    }

    /// The slot of a column that is needed from now on.
    pub(super) fn need(&mut self, name: &str) -> usize {
        if let Some(slot) = self.slots.get(name) {
            return *slot;
        }
        let slot = self.names.len();
        self.names.push(name.into());
        self.fragments.push(fragment(name));
        self.slots.insert(name.into(), slot);
        if let Some(slots) = self.by_mark.get_mut(mark(name.as_bytes())) {
            slots.push(slot);
        }
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_slot() {
        let mut columns = Columns::default();
        let slots: Vec<usize> = ["a", "b", "a", "é", ""].iter().map(|name| columns.need(name)).collect();
        assert_eq!(slots, [0, 1, 0, 2, 3]);
        assert_eq!(columns.names().collect::<Vec<_>>(), ["a", "b", "é", ""]);
        assert_eq!(
            [columns.slot(b"b"), columns.slot("é".as_bytes()), columns.slot(b"c")],
            [Some(1), Some(2), None]
        );
    }
}
