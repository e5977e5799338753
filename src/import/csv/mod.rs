//! Turns CSV text into calls: text -> records -> one JSON object for each row, or the error of that row.
//!
//! Nothing here opens files. The header is compiled once into a [`Plan`] of literal JSON and typed writers,
//! so that no tree is built for a row.

mod blanks;
pub mod call_type;
mod delimiter;
pub mod dialect;
mod doubt;
mod find_line_end;
mod header;
mod layout;
mod options;
mod path;
pub mod plan;
pub mod record;
pub mod records;
mod reject_rows;
pub mod row_error;
mod rows;
mod scanner;
pub mod schema;
mod value;
mod watch;

pub(in crate::import) use blanks::check_blanks;
pub(in crate::import) use delimiter::detect_delimiter as delimiter_of;
pub(in crate::import) use find_line_end::detect as line_end_of;
pub(in crate::import) use rows::{format_of, sample_of};

pub use call_type::{FileType, TypeSaid, of_name};
pub use dialect::{BadDialect, Dialect, MAX_FIELD};
pub use options::{CsvOptions, Empty, IdFrom, MessageIds, Types};
pub use plan::Plan;
pub use record::Record;
pub use records::{BROKEN_RAW_MAX, Item, Records};
pub use reject_rows::RejectRows;
pub use row_error::{Needed, QuoteSign, RowError};
pub use rows::{CsvRows, OpenedCsv, of_io};
pub use scanner::FIELD_LINE_BREAKS_MAX;
pub use schema::{ColumnType, SchemaError, parse_schema};
