//! Reads the rows of parquet files, from local files and from objects, in ranges.
//!
//! The library decodes pages. Values are put together here, from the definition and repetition levels of
//! their leaves: its own rows panic on some types, and lose the form of others. Only columns that are needed
//! are read, a batch of rows at a time, so memory does not depend on the file's size.
//!
//! Rows are known by their number. The footer says how many each row group has, so going on at a row costs no
//! more than going on at a row of a row group would: whole row groups are passed over unread.
//!
//! A file that is cut off or damaged is an error, never an end: the rows of each column must be as many as
//! the footer says.
//!
//! | type | value |
//! |---|---|
//! | BOOLEAN, whole numbers | the same, with all digits |
//! | FLOAT, DOUBLE, FLOAT16 | a number with the shortest digits; infinity and NaN are null, and counted |
//! | DECIMAL | a number with its own digits; a text if a 64-bit float does not keep them |
//! | DATE, TIME, TIMESTAMP | ISO 8601, with the digits of its unit; without a zone it is taken as UTC |
//! | STRING, ENUM, JSON, UUID | a text |
//! | BSON, INT96, GEOMETRY, GEOGRAPHY, bytes without a type | base64 |
//! | struct, map | an object; keys that are no texts become texts |
//! | list, in each of its forms | a list |
//! | INTERVAL, VARIANT, FILE, what is encrypted | refused by name if it is needed |

mod chunk;
mod column;
mod delta;
mod fault;
mod footer;
mod group;
mod kind;
mod leaf;
mod needed;
mod pages;
mod ranges;
mod rows;
mod said;
mod shape;
mod thrift;
mod write;

pub use fault::ParquetFault;
pub use footer::{HEAD_BYTES, MAGIC, MAGIC_ENCRYPTED};
pub use ranges::Ranges;
pub use rows::{ParquetRows, RowRead, WholeRows};

#[cfg(test)]
mod tests;
