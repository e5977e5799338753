//! Turns CSV text into calls: text -> records -> one JSON object for each row, or the error of that row.
//!
//! Nothing here opens files. The header is compiled once into a [`Plan`] of literal JSON and typed writers,
//! so that no tree is built for a row.

mod beside_traits;
mod blanks;
pub mod call_type;
mod column_kind;
mod column_rule;
mod date_format;
mod date_proposals;
mod decimal_comma;
mod delimiter;
pub mod dialect;
mod doubt;
mod find_line_end;
mod found_type;
mod header;
mod header_error;
mod how_written;
mod layout;
mod letters;
mod nulls;
mod options;
mod path;
pub mod plan;
pub mod record;
pub mod records;
mod reject_rows;
mod required;
pub mod row_error;
mod rows;
mod said;
mod sample_rows;
mod scanner;
pub mod schema;
mod sep_line;
mod typed;
mod value;
mod watch;

pub(in crate::import) use blanks::check_blanks;
pub(in crate::import) use delimiter::detect_delimiter as delimiter_of;
pub(in crate::import) use find_line_end::detect as line_end_of;
pub(in crate::import) use rows::{format_of, sample_of};

pub use call_type::{FileType, TypeSaid, of_name};
pub use column_rule::{ColumnRule, ColumnRules, TypedDate, TypedMap, add_typed};
pub use date_format::DateFormat;
pub use dialect::{BadDialect, Dialect, MAX_FIELD};
pub use found_type::FoundTypes;
pub use options::{CsvOptions, Empty, IdFrom, MessageIds, Types};
pub use plan::Plan;
pub use record::Record;
pub use records::{BROKEN_RAW_MAX, Item, Records};
pub use reject_rows::RejectRows;
pub use row_error::{Needed, QuoteSign, RowError};
pub use rows::{CsvRows, OpenedCsv, of_io};
pub use scanner::FIELD_LINE_BREAKS_MAX;
pub use schema::{ColumnType, Schema, SchemaError, parse_schema};
pub use typed::{TypedByte, TypedDelimiter, byte_or_none};
