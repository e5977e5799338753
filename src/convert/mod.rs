//! Turns rows of files into calls by rules that a person wrote: a converter file, as Amplitude has it.
//!
//! The file is compiled once to a tree whose first names are slots of columns, and a row is one value for
//! each slot. Values that only pass through are copied as they are, so digits and escapes survive, and no map
//! is built for a row.

mod columns;
mod compile;
mod context;
mod converter;
mod csv_settings;
mod decimal;
mod evaluate;
mod field;
mod fields;
mod file;
pub mod infer;
mod java_regex;
mod java_time;
mod members;
mod mutation;
mod node;
mod numbers;
mod object_text;
mod operator;
mod outcome;
mod pattern;
mod place;
mod problem;
mod row;
mod row_calls;
mod source;
mod structure;
mod texts;
mod times;
mod unread;
mod value;

pub use columns::Columns;
pub use converter::{Converter, RowFields};
pub use csv_settings::CsvSettings;
pub use evaluate::ROW_BYTES_MAX;
pub use field::{BadStrategy, DataType, Field, Strategy};
pub use file::{Compression, ConverterFile, ConverterId, FILE_BYTES_MAX, FileFormat};
pub use operator::Operator;
pub use outcome::{Calls, Outcome, RowReject};
pub use pattern::FilePattern;
pub use place::{RowPlace, sequence_prefix};
pub use problem::{ConvertError, Problem};
pub use row::Row;
pub use unread::Unread;
pub use value::{VALUE_DEPTH_MAX, Value};

#[cfg(test)]
mod tests;
