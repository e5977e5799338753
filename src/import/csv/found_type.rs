//! Decides the type of a column by the cells in the beginning of its file. The decision holds for the whole
//! file: a later cell of another type rejects its row.

/// What the cells of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FoundType {
    /// Whole numbers whose text shows exactly that.
    Int,
    /// Numbers, some with a fraction.
    Float,
    /// `true` and `false`, `yes` and `no`, in capitals or not.
    Bool,
    /// Texts, or nothing.
    String,
}

/// The types that were found for the columns of a file, in their order. The journal keeps them for a file that
/// grows, and the file beside rejected rows for corrections, as a text with a letter for each column.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FoundTypes(Vec<Option<FoundType>>);

text_form!(FoundTypes, &'static str, FoundTypes::parse);

/// The most columns whose types are kept: a file has no more.
const TYPES_MAX: usize = 10_000;

/// The letter of a column that needs no type.
const NONE: char = '-';

/// The most digits of a number with a fraction: each such number is kept as it is by every reader of JSON.
const DIGITS_MAX: usize = 15;

impl FoundTypes {
    /// The types of all columns.
    pub(super) fn of(types: Vec<Option<FoundType>>) -> Self {
        Self(types)
    }

    /// The types that were found, with the indexes of their columns.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, FoundType)> {
        self.0.iter().enumerate().filter_map(|(index, found)| Some((index, (*found)?)))
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() > TYPES_MAX {
            return Err("there are types of too many columns");
        }
        let type_of = |letter| match letter {
            NONE => Ok(None),
            letter => {
                let found = FoundType::ALL.into_iter().find(|found| found.letter() == letter);
                found.map(Some).ok_or("there is no type with this letter")
            }
        };
        text.chars().map(type_of).collect::<Result<_, _>>().map(Self)
    }
}

impl std::fmt::Display for FoundTypes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let letters: String = self.0.iter().map(|found| found.map_or(NONE, FoundType::letter)).collect();
        f.write_str(&letters)
    }
}

/// The largest whole number that every reader of JSON keeps exactly: 2^53 - 1. Longer numbers are ids.
const INFERRED_INT_MAX: i64 = (1 << 53) - 1;

impl FoundType {
    const ALL: [Self; 4] = [Self::Int, Self::Float, Self::Bool, Self::String];

    /// The letter under which the type is kept. A letter never changes.
    fn letter(self) -> char {
        match self {
            Self::Int => 'i',
            Self::Float => 'f',
            Self::Bool => 'b',
            Self::String => 's',
        }
    }

    /// The type's name, as files of types have it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Float => "float",
            Self::Bool => "bool",
            Self::String => "string",
        }
    }

    /// The JSON of a cell without white space around it. `None`: the cell is not of this type. A string has
    /// none of its own.
    #[inline]
    pub(super) fn json(self, cell: &[u8]) -> Option<&[u8]> {
        match self {
            Self::Int => is_whole(cell).then_some(cell),
            Self::Float => is_number(cell).then_some(cell),
            Self::Bool => truth(cell).map(|(is_true, _)| if is_true { &b"true"[..] } else { b"false" }),
            Self::String => None,
        }
    }
}

/// The cells of a column so far.
#[derive(Clone, Debug)]
pub(super) struct Cells {
    any: bool,
    whole: bool,
    numbers: bool,
    truths: bool,
    yes: bool,
    no: bool,
}

impl Default for Cells {
    fn default() -> Self {
        Self { any: false, whole: true, numbers: true, truths: true, yes: false, no: false }
    }
}

impl Cells {
    /// Adds a cell. One of white space only says nothing.
    pub(super) fn add(&mut self, cell: &[u8]) {
        let cell = cell.trim_ascii();
        if cell.is_empty() {
            return;
        }
        self.any = true;
        self.whole = self.whole && is_whole(cell);
        self.numbers = self.numbers && is_number(cell);
        match truth(cell) {
            None => self.truths = false,
            Some((_, false)) => {}
            Some((true, true)) => self.yes = true,
            Some((false, true)) => self.no = true,
        }
    }

    /// The type that all cells have. `no` alone may mean Norway, so `yes` and `no` are booleans only together.
    pub(super) fn found(&self) -> FoundType {
        match self {
            Self { any: false, .. } => FoundType::String,
            Self { whole: true, .. } => FoundType::Int,
            Self { numbers: true, .. } => FoundType::Float,
            Self { truths: true, yes, no, .. } if yes == no => FoundType::Bool,
            _ => FoundType::String,
        }
    }
}

/// What a word says, and whether it is yes or no.
fn truth(cell: &[u8]) -> Option<(bool, bool)> {
    let is = |word: &[u8]| cell.eq_ignore_ascii_case(word);
    match cell.len() {
        2 if is(b"no") => Some((false, true)),
        3 if is(b"yes") => Some((true, true)),
        4 if is(b"true") => Some((true, false)),
        5 if is(b"false") => Some((false, false)),
        _ => None,
    }
}

fn is_whole(cell: &[u8]) -> bool {
    !cell.contains(&b'.') && is_exact_number(cell)
}

/// Whether a cell is a number that JSON keeps: a whole one as above, or one with digits before and after its
/// point, such as `1.0` and `-0.50`.
fn is_number(cell: &[u8]) -> bool {
    let Some(point) = cell.iter().position(|byte| *byte == b'.') else { return is_whole(cell) };
    let (whole, fraction) = cell.split_at_checked(point).unwrap_or_default();
    let (whole, fraction) =
        (whole.strip_prefix(b"-").unwrap_or(whole), fraction.get(1..).unwrap_or_default());
    let are_digits = |digits: &[u8]| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let is_padded = whole.len() > 1 && whole.first() == Some(&b'0');
    are_digits(whole) && are_digits(fraction) && !is_padded && whole.len() + fraction.len() <= DIGITS_MAX
}

/// Whether a text is exactly the written form of its number, so that nothing is lost: not `007`, `+1`,
/// `1.10`, `1e5`, `-0` or an id of 20 digits.
pub(super) fn is_exact_number(cell: &[u8]) -> bool {
    /// The longest such text, in bytes: 17 digits, a sign, a point and a few zeros.
    const LEN_MAX: usize = 24;
    if cell.len() > LEN_MAX {
        return false;
    }
    let Ok(text) = std::str::from_utf8(cell) else { return false };
    if cell.contains(&b'.') {
        text.parse::<f64>().is_ok_and(|number| number.to_string() == text)
    } else {
        text.parse::<i64>().is_ok_and(|number| {
            (-INFERRED_INT_MAX..=INFERRED_INT_MAX).contains(&number) && number.to_string() == text
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_has_one_type() {
        let check = |cells: &[&str], expected: FoundType| {
            let mut found = Cells::default();
            cells.iter().for_each(|cell| found.add(cell.as_bytes()));
            assert_eq!(found.found(), expected, "{cells:?}");
            if expected != FoundType::String {
                for cell in cells.iter().map(|cell| cell.trim()).filter(|cell| !cell.is_empty()) {
                    let json = expected.json(cell.as_bytes()).unwrap();
                    serde_json::from_slice::<serde_json::Value>(json).unwrap();
                }
            }
        };
        use FoundType::{Bool, Float, Int, String};
        check(&[], String);
        check(&["", " "], String);
        check(&["1", "", "-20", " 3 "], Int);
        check(&["1", "2.0"], Float);
        check(&["1.0", "1.50", "-0.25"], Float);
        check(&["True", "FALSE", "true"], Bool);
        check(&["yes", "No"], Bool);
        check(&["yes", "no", "true"], Bool);
        check(&["NO"], String);
        check(&["yes", "true"], String);
        check(&["true", "1"], String);
        check(&["94103", "02134"], String);
        check(&["1", "NA"], String);
        check(&["1,5"], String);
        check(&["1e5"], String);
        check(&[".5", "5."], String);
        check(&["00.5"], String);
        check(&["9007199254740993"], String);
        check(&["0.1000000000000001"], String);
        check(&["1.2.3"], String);
        check(&["-", "."], String);
    }

    /// A golden text: it is in journals, and in files beside rejected rows.
    #[test]
    fn types_are_kept_as_letters() {
        use FoundType::{Bool, Float, Int, String};
        let types = FoundTypes::of(vec![None, Some(Int), Some(Float), Some(Bool), Some(String)]);
        assert_eq!(serde_json::to_string(&types).unwrap(), r#""-ifbs""#);
        assert_eq!(serde_json::from_str::<FoundTypes>(r#""-ifbs""#).unwrap(), types);
        assert_eq!(types.iter().next(), Some((1, Int)));
        for wrong in ["\"x\"".to_owned(), "1".to_owned(), format!("\"{}\"", "i".repeat(10_001))] {
            assert!(serde_json::from_str::<FoundTypes>(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_cell_of_another_type_has_no_json() {
        use FoundType::{Bool, Float, Int};
        for (found, cell) in [
            (Int, "1.0"),
            (Int, "007"),
            (Int, "x"),
            (Int, ""),
            (Float, "x"),
            (Float, "007.5"),
            (Float, "NaN"),
            (Bool, "1"),
            (Bool, "y"),
            (Bool, "maybe"),
        ] {
            assert_eq!(found.json(cell.as_bytes()), None, "{found:?}: {cell}");
        }
        assert_eq!(Bool.json(b"YES"), Some(&b"true"[..]));
    }
}
