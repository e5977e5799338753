//! Cells that mean no value, such as `\N` and `NA`: they are read as empty ones.

use super::record::Record;

/// The texts that mean no value, in all columns and in some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Nulls {
    everywhere: Vec<Vec<u8>>,
    /// The texts of each column, by its index.
    of_columns: Vec<Vec<Vec<u8>>>,
}

impl Nulls {
    /// The texts of all columns, and those of each; `None`: there are none.
    pub(super) fn of<'t>(
        everywhere: &[String],
        of_columns: impl IntoIterator<Item = &'t [String]>,
    ) -> Option<Box<Self>> {
        let bytes = |texts: &[String]| texts.iter().map(|text| text.as_bytes().to_vec()).collect();
        let of_columns: Vec<Vec<Vec<u8>>> = of_columns.into_iter().map(bytes).collect();
        let nulls = Self { everywhere: bytes(everywhere), of_columns };
        let has_any = !nulls.everywhere.is_empty() || nulls.of_columns.iter().any(|texts| !texts.is_empty());
        has_any.then(|| Box::new(nulls))
    }

    /// Whether a cell means no value. White space around it does not count.
    fn is_null(&self, column: usize, cell: &[u8]) -> bool {
        let cell = cell.trim_ascii();
        let of_column = self.of_columns.get(column).map_or(&[][..], Vec::as_slice);
        self.everywhere.iter().chain(of_column).any(|null| null == cell)
    }

    /// Empties the cells of a record that mean no value.
    pub(super) fn empty(&self, record: &mut Record) {
        record.empty_cells(|column, cell| self.is_null(column, cell));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_that_mean_no_value_are_emptied() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let (everywhere, third) = (texts(&["\\N", "NA"]), texts(&["-"]));
        let nulls = Nulls::of(&everywhere, [&[][..], &[][..], &third]).unwrap();
        let check = |cells: &[&str], expected: &[&str]| {
            let mut record = Record::of_fields(cells);
            nulls.empty(&mut record);
            let found: Vec<&str> = record.iter().map(|cell| std::str::from_utf8(cell).unwrap()).collect();
            assert_eq!(found, expected, "{cells:?}");
        };
        check(&["a", "b", "c", "d"], &["a", "b", "c", "d"]);
        check(&["NA", "-", "-", " \\N "], &["", "-", "", ""]);
        check(&["NAN", "na", "--", "NA NA", ""], &["NAN", "na", "--", "NA NA", ""]);
        check(&["NA", "NA"], &["", ""]);
        check(&[], &[]);
        assert_eq!(Nulls::of(&[], [&[][..]]), None);
    }
}
