//! The byte formats of the spool's files: contents, checks, and how to read them without a running spool.

pub(super) mod ident;
pub(super) mod key_run;
pub(super) mod runs;
pub(super) mod scan;
pub(super) mod seen_file;
pub(super) mod segment;
pub(super) mod segment_index;

use std::io::{self, Read as _};

use sha2::{Digest as _, Sha256};

pub use ident::{Ident, IdentError};
pub use scan::{FoundBlock, scan};
pub use segment::{
    BLOCK_HEADER, Block, SEGMENT_HEADER, index_name, number_in, seen_name, segment_name, spare_name,
};

/// A range of bytes of a file: from `from` up to, but not including, `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct ByteRange {
    /// The first byte.
    pub from: u64,
    /// The first byte after it.
    pub to: u64,
}

/// The file of a parked object. Nothing else builds its name.
pub fn parked_name(seal: u64) -> String {
    format!("parked/{seal:020}.gz")
}

/// What is left of the bytes of a file. Reads little-endian fields one after the other.
#[derive(Debug)]
struct Cursor<'a> {
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(len)?;
        self.bytes = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        Some(*taken)
    }
}

/// The SHA-256 of the lines of a parked object, in hexadecimal.
pub(super) fn hash_lines(object: impl io::Read) -> io::Result<String> {
    let mut lines = flate2::read::GzDecoder::new(object);
    let (mut hash, mut piece) = (Sha256::new(), vec![0; 64 * 1_024]);
    loop {
        match lines.read(&mut piece)? {
            0 => return Ok(hex::encode(hash.finalize())),
            read => hash.update(piece.get(..read).unwrap_or(&[])),
        }
    }
}
