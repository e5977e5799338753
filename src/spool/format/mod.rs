//! The byte formats of the spool's files: contents, checks, and how to read them without a running spool.

mod cursor;
pub(super) mod ident;
pub(super) mod runs;
pub(super) mod scan;
pub(super) mod seen_file;
pub(super) mod segment;
pub(super) mod segment_index;

pub use ident::{Ident, IdentError};
pub use scan::{FoundBlock, scan};
pub use segment::{
    BLOCK_HEADER, Block, SEGMENT_HEADER, index_name, number_in, seen_name, segment_name, spare_name,
};

/// The file of a parked object. Nothing else builds its name.
pub fn parked_name(seal: u64) -> String {
    format!("parked/{seal:020}.gz")
}
