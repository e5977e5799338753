//! Looks through a footer, and at the header of each page, before the library reads it.
//!
//! The library does not say which columns are encrypted, and reads them as if they were not.
//!
//! The library follows the schema by recursion and reserves memory for as many children as a group claims. So
//! a footer with a few flipped bits could end the process, which no catch prevents. The same is true of the
//! bytes that a page claims to have.

use std::collections::BTreeSet;

use super::fault::ParquetFault;

/// The most groups of a schema within each other. JSON of [`crate::convert::VALUE_DEPTH_MAX`] levels takes at
/// most three of them for each.
const SCHEMA_DEPTH_MAX: usize = 256;

/// The most nested structures of a footer.
const THRIFT_DEPTH_MAX: usize = 32;

/// The types of Thrift's compact form that have a place here.
mod kind {
    pub(super) const STOP: u8 = 0;
    pub(super) const I32: u8 = 5;
    pub(super) const LIST: u8 = 9;
    pub(super) const STRUCT: u8 = 12;
}

/// Checks the depth of the schema, and that no group claims more children than there are. Returns the numbers
/// of the columns that are encrypted.
/// Errors: [`ParquetFault::Damaged`], [`ParquetFault::Refused`].
pub(super) fn check(footer: &[u8]) -> Result<BTreeSet<usize>, ParquetFault> {
    let Found { children, encrypted } =
        look_through(footer).ok_or_else(|| ParquetFault::damaged("its footer makes no sense"))?;
    let mut open: Vec<usize> = Vec::new();
    for (at, children_of_this) in children.iter().enumerate() {
        while open.last() == Some(&0) {
            open.pop();
        }
        if let Some(left) = open.last_mut() {
            *left -= 1;
        }
        let left = children.len() - at - 1;
        match usize::try_from(*children_of_this) {
            Ok(0) => {}
            Ok(count) if count <= left => open.push(count),
            _ => return Err(ParquetFault::damaged("its schema is incomplete")),
        }
        if open.len() > SCHEMA_DEPTH_MAX {
            let text = format!("its columns are nested deeper than {SCHEMA_DEPTH_MAX} levels");
            return Err(ParquetFault::refused(text));
        }
    }
    Ok(encrypted)
}

/// How many bytes a page claims to have once it is unpacked; its header begins like this. `None`: the header
/// makes no sense.
pub(super) fn page_bytes(header: &[u8]) -> Option<u64> {
    let mut scan = Scan { bytes: header };
    let mut id = 0;
    // Before it is only the type of the page.
    while let Some(field) = scan.field(&mut id)? {
        if (id, field) == (2, kind::I32) {
            return u64::try_from(scan.zigzag()?).ok();
        }
        scan.skip(field, 0)?;
    }
    None
}

#[derive(Default)]
struct Found {
    /// The number of children of each element of the schema, in order.
    children: Vec<i64>,
    encrypted: BTreeSet<usize>,
}

/// `None` if the footer makes no sense.
fn look_through(footer: &[u8]) -> Option<Found> {
    let mut scan = Scan { bytes: footer };
    let mut found = Found::default();
    let mut id = 0;
    while let Some(field) = scan.field(&mut id)? {
        match (id, field) {
            // The schema.
            (2, kind::LIST) => {
                let (count, element) = scan.list()?;
                for _ in 0..count {
                    let mut children = 0;
                    scan.fields(element, |scan, id, field| match (id, field) {
                        (5, kind::I32) => scan.zigzag().map(|count| children = count),
                        _ => scan.skip(field, 0),
                    })?;
                    found.children.push(children);
                }
            }
            // The row groups, each with its columns.
            (4, kind::LIST) => {
                let (count, element) = scan.list()?;
                for _ in 0..count {
                    scan.fields(element, |scan, id, field| match (id, field) {
                        (1, kind::LIST) => scan.columns(&mut found.encrypted),
                        _ => scan.skip(field, 0),
                    })?;
                }
            }
            _ => scan.skip(field, 0)?,
        }
    }
    Some(found)
}

/// Reads Thrift's compact form. `None` is the answer to anything that it does not allow.
struct Scan<'a> {
    bytes: &'a [u8],
}

impl Scan<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*first)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn zigzag(&mut self) -> Option<i64> {
        let value = self.varint()?;
        let half = i64::try_from(value >> 1).ok()?;
        Some(if value & 1 == 0 { half } else { -half - 1 })
    }

    /// The type of the next field of a structure, whose number is left in `id`; the inner `None` at its end.
    fn field(&mut self, id: &mut i64) -> Option<Option<u8>> {
        let byte = self.byte()?;
        let kind = byte & 0x0F;
        if kind == kind::STOP {
            return Some(None);
        }
        *id = match byte >> 4 {
            0 => self.zigzag()?,
            more => id.checked_add(i64::from(more))?,
        };
        Some(Some(kind))
    }

    /// Reads the fields of a structure.
    fn fields(&mut self, kind: u8, mut read: impl FnMut(&mut Self, i64, u8) -> Option<()>) -> Option<()> {
        let mut id = 0;
        if kind != kind::STRUCT {
            return None;
        }
        while let Some(field) = self.field(&mut id)? {
            read(self, id, field)?;
        }
        Some(())
    }

    /// Reads the columns of a row group: which are encrypted.
    fn columns(&mut self, encrypted: &mut BTreeSet<usize>) -> Option<()> {
        let (count, element) = self.list()?;
        for column in 0..count {
            self.fields(element, |scan, id, field| {
                // How the column is encrypted, and what is kept of it elsewhere.
                if matches!(id, 8 | 9) {
                    encrypted.insert(usize::try_from(column).ok()?);
                }
                scan.skip(field, 0)
            })?;
        }
        Some(())
    }

    /// The length of a list or a set, and the type of its elements.
    fn list(&mut self) -> Option<(u64, u8)> {
        let byte = self.byte()?;
        let count = match byte >> 4 {
            15 => self.varint()?,
            few => u64::from(few),
        };
        // Each element has at least a byte.
        (count <= self.bytes.len() as u64).then_some((count, byte & 0x0F))
    }

    fn pass(&mut self, len: u64) -> Option<()> {
        self.bytes = self.bytes.get(usize::try_from(len).ok()?..)?;
        Some(())
    }

    /// Passes over the value of a field.
    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        match kind {
            1 | 2 => Some(()),
            _ => self.skip_element(kind, depth),
        }
    }

    /// Passes over an element of a list, where a boolean has a byte of its own.
    fn skip_element(&mut self, kind: u8, depth: usize) -> Option<()> {
        if depth > THRIFT_DEPTH_MAX {
            return None;
        }
        match kind {
            1..=3 => self.pass(1),
            4..=6 => self.varint().map(drop),
            7 => self.pass(8),
            8 => self.varint().and_then(|len| self.pass(len)),
            9 | 10 => {
                let (count, element) = self.list()?;
                (0..count).try_for_each(|_| self.skip_element(element, depth + 1))
            }
            11 => {
                let count = self.varint()?;
                if count == 0 {
                    return Some(());
                }
                let kinds = self.byte()?;
                (0..count).try_for_each(|_| {
                    self.skip_element(kinds >> 4, depth + 1)?;
                    self.skip_element(kinds & 0x0F, depth + 1)
                })
            }
            12 => {
                let mut id = 0;
                while let Some(field) = self.field(&mut id)? {
                    self.skip(field, depth + 1)?;
                }
                Some(())
            }
            13 => self.pass(16),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A footer whose schema has these numbers of children.
    fn footer(children: &[u8]) -> Vec<u8> {
        // The version, and a list of structures with a length of two bytes.
        let mut bytes = vec![0x15, 2, 0x19, 0xFC];
        bytes.push(u8::try_from(children.len() % 128).unwrap() | 0x80);
        bytes.push(u8::try_from(children.len() / 128).unwrap());
        for count in children {
            bytes.extend([0x55, count * 2, 0]);
        }
        bytes.push(0);
        bytes
    }

    #[test]
    fn a_page_says_how_many_bytes_it_has() {
        assert_eq!(page_bytes(&[0x15, 4, 0x15, 200, 1, 0x15]), Some(100));
        assert_eq!(page_bytes(&[0x25, 200, 1]), Some(100));
        for nothing in [&[][..], &[0x15, 4], &[0x15, 4, 0x15, 1], &[0x15, 4, 0], &[0x15, 4, 0x15, 0x80]] {
            assert_eq!(page_bytes(nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn a_schema_is_checked_before_it_is_read() {
        assert!(check(&footer(&[2, 0, 1, 0])).unwrap().is_empty());
        check(&footer(&[])).unwrap();
        let refused = |children: &[u8]| check(&footer(children)).unwrap_err().to_string();
        assert_eq!(refused(&[4, 0, 1, 0]), "its schema is incomplete");
        let mut deep = vec![1; 300];
        deep.push(0);
        assert_eq!(refused(&deep), "its columns are nested deeper than 256 levels");
        let whole = footer(&[2, 0, 1, 0]);
        for len in 0..whole.len() {
            assert!(check(&whole[..len]).is_err(), "{len}");
        }
    }
}
