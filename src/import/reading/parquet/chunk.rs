//! The bytes of one column in one row group, a piece at a time.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use ::parquet::errors::{ParquetError, Result};
use ::parquet::file::reader::{ChunkReader, Length};
use bytes::Bytes;

use super::fault::ParquetFault;
use super::ranges::Ranges;
use super::thrift::page_bytes;
use crate::words::{Told, grouped};

/// The bytes of all pieces that are in memory at once.
const PIECES_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The bytes that are read at once, however many leaves there are: requests would be too many.
const PIECE_BYTES_MIN: usize = 128 * 1024;

/// The most bytes of a page, once it is unpacked. DuckDB makes pages of up to 100,000,000.
const PAGE_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// The bytes of a page's header that say how long the page is.
const PAGE_HEAD_BYTES: usize = 32;

/// The file, and why it could not be read: the library hides such an error in one of its own.
pub(super) struct Source {
    pub(super) ranges: Box<dyn Ranges>,
    /// How many bytes of a column are read at once; at least 1.
    pub(super) piece: usize,
    failed: Mutex<Option<ParquetFault>>,
}

impl Source {
    pub(super) fn new(ranges: Box<dyn Ranges>) -> Self {
        let piece = ranges.piece_bytes().max(1);
        Self { ranges, piece, failed: Mutex::new(None) }
    }

    /// Makes the pieces of so many leaves small enough for all of them to be in memory.
    pub(super) fn share_memory(&mut self, leaves: usize) {
        let share = (PIECES_BYTES_MAX / leaves.max(1)).max(PIECE_BYTES_MIN);
        self.piece = self.piece.min(share);
    }

    fn read(&self, from: u64, len: usize) -> io::Result<Bytes> {
        self.ranges.read(from, len).map_err(|error| {
            let shown = io::Error::from(error.kind());
            self.fails_with(ParquetFault::Unread(error));
            shown
        })
    }

    fn fails_with(&self, fault: ParquetFault) {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(fault);
    }

    /// Checks the header of a page that begins like this: the library reserves what it claims.
    fn check_page(&self, header: &[u8]) -> io::Result<()> {
        let fault = match page_bytes(header) {
            Some(bytes) if bytes <= PAGE_BYTES_MAX => return Ok(()),
            Some(bytes) => {
                let (bytes, most) = (grouped(bytes), grouped(PAGE_BYTES_MAX));
                ParquetFault::refused(format!(
                    "a page of it has {bytes} bytes, and at most {most} are read; write smaller pages"
                ))
            }
            None => ParquetFault::damaged("the header of a page makes no sense"),
        };
        self.fails_with(fault);
        Err(io::ErrorKind::InvalidData.into())
    }

    /// The fault that an error of the library stands for.
    pub(super) fn fault(&self, part: &Told, error: &ParquetError) -> ParquetFault {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        match failed {
            Some(fault @ ParquetFault::Damaged(_)) => {
                fault.of_part(&part.clone().and(&Told::plain(" is damaged:")))
            }
            Some(fault) => fault.of_part(&part.clone().and(&Told::plain(":"))),
            None => ParquetFault::of_library(part, error),
        }
    }
}

/// The bytes of a column in a row group. In memory are at most a piece, or a longer page.
#[derive(Clone)]
pub(super) struct Chunk(Arc<Inner>);

struct Inner {
    source: Arc<Source>,
    /// Where the column's bytes end in the file.
    end: u64,
    piece: Mutex<Piece>,
}

/// Bytes of the file, and where they begin.
#[derive(Default)]
pub(super) struct Piece {
    pub(super) from: u64,
    pub(super) bytes: Bytes,
}

impl Chunk {
    pub(super) fn new(source: Arc<Source>, end: u64, first: Piece) -> Self {
        Self(Arc::new(Inner { source, end, piece: Mutex::new(first) }))
    }

    /// The bytes in memory from `from`: `least` or more. Others are read first.
    fn from(&self, from: u64, least: usize) -> io::Result<Bytes> {
        let mut piece = self.0.piece.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(skipped) = from.checked_sub(piece.from).and_then(|skipped| usize::try_from(skipped).ok())
            && piece.bytes.len() >= skipped.saturating_add(least)
        {
            return Ok(piece.bytes.slice(skipped..));
        }
        let left = usize::try_from(self.0.end.saturating_sub(from)).unwrap_or(usize::MAX);
        if left < least {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // The piece before is freed first.
        *piece = Piece::default();
        let bytes = self.0.source.read(from, self.0.source.piece.max(least).min(left))?;
        *piece = Piece { from, bytes: bytes.clone() };
        Ok(bytes)
    }
}

impl Length for Chunk {
    fn len(&self) -> u64 {
        self.0.source.ranges.size()
    }
}

impl ChunkReader for Chunk {
    type T = ChunkRead;

    fn get_read(&self, start: u64) -> Result<ChunkRead> {
        Ok(ChunkRead { chunk: self.clone(), at: start, bytes: Bytes::new(), has_begun: false })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        match self.from(start, length) {
            Ok(bytes) => Ok(bytes.slice(..length)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(ParquetError::EOF("a page is longer than its column".to_owned()))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Reads a column's bytes from a place in the file: the library reads the headers of pages so, and nothing
/// else.
pub(super) struct ChunkRead {
    chunk: Chunk,
    at: u64,
    bytes: Bytes,
    has_begun: bool,
}

impl Read for ChunkRead {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.bytes.is_empty() {
            if self.at >= self.chunk.0.end {
                return Ok(0);
            }
            let inner = &self.chunk.0;
            let left = usize::try_from(inner.end - self.at).unwrap_or(usize::MAX);
            if self.has_begun {
                self.bytes = self.chunk.from(self.at, 1)?;
            } else {
                self.bytes = self.chunk.from(self.at, PAGE_HEAD_BYTES.min(left))?;
                let head = self.bytes.get(..PAGE_HEAD_BYTES).unwrap_or(&self.bytes);
                inner.source.check_page(head)?;
                self.has_begun = true;
            }
        }
        let len = buf.len().min(self.bytes.len());
        if let Some(to) = buf.get_mut(..len) {
            to.copy_from_slice(&self.bytes.split_to(len));
        }
        self.at += len as u64;
        Ok(len)
    }
}
