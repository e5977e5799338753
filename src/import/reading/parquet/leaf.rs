//! The values of one leaf of a column, a batch at a time.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use ::parquet::column::reader::{ColumnReader, get_column_reader};
use ::parquet::data_type::{ByteArray, FixedLenByteArray, Int96};
use ::parquet::errors::{ParquetError, Result};
use ::parquet::file::metadata::ColumnChunkMetaData;
use ::parquet::file::serialized_reader::SerializedPageReader;

use super::chunk::Chunk;
use super::kind::Kind;
use super::pages::{MaxLevels, Pages};
use super::said;

/// A leaf of a column, and the batch of its values that was read last.
pub(super) struct Leaf {
    /// Its number in the file.
    pub(super) column: usize,
    pub(super) kind: Kind,
    pub(super) max: MaxLevels,
    reader: Option<ColumnReader>,
    definitions: Vec<i16>,
    repetitions: Vec<i16>,
    pub(super) values: Values,
    /// How many levels the batch has; without levels, how many values.
    len: usize,
    /// The level that is next.
    at: usize,
    /// The value that is next.
    value_at: usize,
}

/// Values, without those that are null.
pub(super) enum Values {
    Bools(Vec<bool>),
    Ints(Vec<i32>),
    Longs(Vec<i64>),
    Int96s(Vec<Int96>),
    Floats(Vec<f32>),
    Doubles(Vec<f64>),
    Texts(Vec<ByteArray>),
    Fixed(Vec<FixedLenByteArray>),
}

/// How a value is said in text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It has no form: it is null in JSON.
    Nothing,
    Number,
    Text,
    /// It has too many bytes for a number.
    TooLong,
}

/// In place of the number of a value: it is null.
pub(super) const NULL: usize = usize::MAX;

/// The most bytes of a decimal number; 32 have 77 digits.
const DECIMAL_BYTES_MAX: usize = 512;

impl Leaf {
    pub(super) fn new(column: usize, kind: Kind, max: MaxLevels) -> Self {
        Self {
            column,
            kind,
            max,
            reader: None,
            definitions: Vec::new(),
            repetitions: Vec::new(),
            values: Values::Bools(Vec::new()),
            len: 0,
            at: 0,
            value_at: 0,
        }
    }

    /// Begins a row group. `rows`: how many it has.
    pub(super) fn begin(
        &mut self,
        chunk: Chunk,
        about: &ColumnChunkMetaData,
        rows: usize,
        in_batch: &Arc<AtomicU64>,
    ) -> Result<()> {
        let values = u64::try_from(about.num_values())
            .map_err(|_| ParquetError::General("its number of values is negative".to_owned()))?;
        let pages = SerializedPageReader::new(Arc::new(chunk), about, rows, None)?;
        let pages = Pages::new(pages, values, self.max, in_batch);
        let reader = get_column_reader(about.column_descr_ptr(), Box::new(pages));
        self.values.become_those_of(&reader);
        self.reader = Some(reader);
        Ok(())
    }

    /// Reads the values of the next rows. Returns how many rows there were.
    pub(super) fn read(&mut self, rows: usize) -> Result<usize> {
        self.definitions.clear();
        self.repetitions.clear();
        (self.len, self.at, self.value_at) = (0, 0, 0);
        let (definitions, repetitions) = (Some(&mut self.definitions), Some(&mut self.repetitions));
        macro_rules! read {
            ($($reader:ident, $values:ident;)*) => {
                match (&mut self.reader, &mut self.values) {
                    $((Some(ColumnReader::$reader(reader)), Values::$values(values)) => {
                        values.clear();
                        reader.read_records(rows, definitions, repetitions, values)?
                    })*
                    _ => return Err(ParquetError::General("its type changes".to_owned())),
                }
            };
        }
        let (rows, values, levels) = read! {
            BoolColumnReader, Bools;
            Int32ColumnReader, Ints;
            Int64ColumnReader, Longs;
            Int96ColumnReader, Int96s;
            FloatColumnReader, Floats;
            DoubleColumnReader, Doubles;
            ByteArrayColumnReader, Texts;
            FixedLenByteArrayColumnReader, Fixed;
        };
        self.len = levels;
        let has_levels = |max: i16, found: &[i16]| max == 0 || found.len() == levels;
        let is_whole = has_levels(self.max.definition, &self.definitions)
            && has_levels(self.max.repetition, &self.repetitions)
            && self.repetitions.first().is_none_or(|first| *first == 0)
            && self.values.len() == values;
        if is_whole { Ok(rows) } else { Err(ParquetError::General("its levels make no sense".to_owned())) }
    }

    /// Passes over rows. Returns how many there were.
    pub(super) fn skip(&mut self, rows: usize) -> Result<usize> {
        match &mut self.reader {
            Some(ColumnReader::BoolColumnReader(reader)) => reader.skip_records(rows),
            Some(ColumnReader::Int32ColumnReader(reader)) => reader.skip_records(rows),
            Some(ColumnReader::Int64ColumnReader(reader)) => reader.skip_records(rows),
            Some(ColumnReader::Int96ColumnReader(reader)) => reader.skip_records(rows),
            Some(ColumnReader::FloatColumnReader(reader)) => reader.skip_records(rows),
            Some(ColumnReader::DoubleColumnReader(reader)) => reader.skip_records(rows),
            Some(ColumnReader::ByteArrayColumnReader(reader)) => reader.skip_records(rows),
            Some(ColumnReader::FixedLenByteArrayColumnReader(reader)) => reader.skip_records(rows),
            None => Ok(0),
        }
    }

    /// Ends the row group. Its memory is freed.
    pub(super) fn end(&mut self) {
        self.reader = None;
        self.definitions.clear();
        self.repetitions.clear();
        self.values.clear();
        self.len = 0;
    }

    /// The definition level that is next. `None` after the last.
    #[inline]
    pub(super) fn definition(&self) -> Option<i16> {
        if self.max.definition == 0 {
            return (self.at < self.len).then_some(0);
        }
        self.definitions.get(self.at).copied()
    }

    /// The repetition level that is next; after the last it is 0, since a batch has whole rows.
    #[inline]
    pub(super) fn repetition(&self) -> i16 {
        self.repetitions.get(self.at).copied().unwrap_or(0)
    }

    /// Takes a level that has no value.
    #[inline]
    pub(super) fn take_null(&mut self) {
        self.at += 1;
    }

    /// Takes a level with a value. Returns its number among the values.
    #[inline]
    pub(super) fn take_value(&mut self) -> usize {
        self.at += 1;
        self.value_at += 1;
        self.value_at - 1
    }

    /// Finds the value of each row of the batch: its number among the values, or [`NULL`]. Only for a leaf that is not
    /// repeated.
    pub(super) fn find_values(&self, numbers: &mut Vec<usize>) {
        numbers.clear();
        if self.max.definition == 0 {
            numbers.extend(0..self.len);
            return;
        }
        let mut next = 0;
        numbers.extend(self.definitions.iter().map(|level| {
            let is_there = *level == self.max.definition;
            let number = if is_there { next } else { NULL };
            next += usize::from(is_there);
            number
        }));
    }

    /// Whether all levels were taken.
    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.len && self.value_at == self.values.len()
    }

    /// How many values are numbers that JSON does not have.
    pub(super) fn not_in_json(&self) -> u64 {
        let count = match (&self.values, self.kind) {
            (Values::Floats(values), _) => values.iter().filter(|value| !value.is_finite()).count(),
            (Values::Doubles(values), _) => values.iter().filter(|value| !value.is_finite()).count(),
            (Values::Fixed(values), Kind::Float16) => {
                values.iter().filter(|value| !said::float16(value.data()).is_finite()).count()
            }
            _ => 0,
        };
        count as u64
    }

    /// Appends a value as text. Only for values that are neither [`Kind::Text`] nor written without it.
    pub(super) fn say(&self, value: usize, out: &mut String) -> Said {
        use std::fmt::Write as _;
        let number = self.values.whole(value);
        match (self.kind, &self.values) {
            (Kind::Date, _) => said::date(number, out),
            (Kind::Time(fraction), _) => said::time(number, fraction, out),
            (Kind::Timestamp(fraction), _) => said::timestamp(number, fraction, out),
            (Kind::Float32, Values::Floats(floats)) => {
                let float = floats.get(value).copied().unwrap_or(f32::NAN);
                if !float.is_finite() {
                    return Said::Nothing;
                }
                // The shortest digits that give this float again. Writing to a string cannot fail.
                write!(out, "{float:?}").unwrap_or_default();
                return Said::Number;
            }
            (Kind::Decimal(scale), Values::Ints(_) | Values::Longs(_)) => {
                return Said::of_decimal(said::decimal(i128::from(number), scale, out));
            }
            (Kind::Decimal(_), _) if self.values.bytes(value).len() > DECIMAL_BYTES_MAX => {
                return Said::TooLong;
            }
            (Kind::Decimal(scale), _) => {
                return Said::of_decimal(said::decimal_of_bytes(self.values.bytes(value), scale, out));
            }
            (Kind::Uuid, _) => said::uuid(self.values.bytes(value), out),
            (Kind::Bytes, Values::Int96s(values)) => match values.get(value) {
                Some(value) => said::int96(value, out),
                None => return Said::Nothing,
            },
            (Kind::Bytes, _) => said::base64(self.values.bytes(value), out),
            _ => return Said::Nothing,
        }
        Said::Text
    }
}

impl Said {
    fn of_decimal(fits: bool) -> Self {
        if fits { Self::Number } else { Self::Text }
    }
}

impl Values {
    /// Makes these values of the type that a reader gives.
    fn become_those_of(&mut self, reader: &ColumnReader) {
        macro_rules! of {
            ($($reader:ident, $values:ident;)*) => {
                match (reader, &*self) {
                    $((ColumnReader::$reader(_), Self::$values(_)) => {})*
                    $((ColumnReader::$reader(_), _) => *self = Self::$values(Vec::new()),)*
                }
            };
        }
        of! {
            BoolColumnReader, Bools;
            Int32ColumnReader, Ints;
            Int64ColumnReader, Longs;
            Int96ColumnReader, Int96s;
            FloatColumnReader, Floats;
            DoubleColumnReader, Doubles;
            ByteArrayColumnReader, Texts;
            FixedLenByteArrayColumnReader, Fixed;
        }
    }

    fn clear(&mut self) {
        match self {
            Self::Bools(values) => values.clear(),
            Self::Ints(values) => values.clear(),
            Self::Longs(values) => values.clear(),
            Self::Int96s(values) => values.clear(),
            Self::Floats(values) => values.clear(),
            Self::Doubles(values) => values.clear(),
            Self::Texts(values) => values.clear(),
            Self::Fixed(values) => values.clear(),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Bools(values) => values.len(),
            Self::Ints(values) => values.len(),
            Self::Longs(values) => values.len(),
            Self::Int96s(values) => values.len(),
            Self::Floats(values) => values.len(),
            Self::Doubles(values) => values.len(),
            Self::Texts(values) => values.len(),
            Self::Fixed(values) => values.len(),
        }
    }

    /// A whole number, with its sign.
    #[inline]
    pub(super) fn whole(&self, at: usize) -> i64 {
        match self {
            Self::Ints(values) => values.get(at).copied().map_or(0, i64::from),
            Self::Longs(values) => values.get(at).copied().unwrap_or(0),
            _ => 0,
        }
    }

    /// A value's bytes.
    #[inline]
    pub(super) fn bytes(&self, at: usize) -> &[u8] {
        match self {
            Self::Texts(values) => values.get(at).map_or(&[], ByteArray::data),
            Self::Fixed(values) => values.get(at).map_or(&[], |value| value.data()),
            _ => &[],
        }
    }

    #[inline]
    pub(super) fn is_true(&self, at: usize) -> bool {
        matches!(self, Self::Bools(values) if values.get(at) == Some(&true))
    }

    /// A 64-bit float.
    #[inline]
    pub(super) fn double(&self, at: usize) -> f64 {
        match self {
            Self::Doubles(values) => values.get(at).copied().unwrap_or(f64::NAN),
            Self::Fixed(_) => said::float16(self.bytes(at)),
            _ => f64::NAN,
        }
    }
}
