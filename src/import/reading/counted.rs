//! Counts the raw bytes of a file as they are read.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The raw bytes read so far. Clones share the count, so another thread may show the progress.
#[derive(Clone, Debug, Default)]
pub struct RawBytes(Arc<AtomicU64>);

impl RawBytes {
    /// The number of bytes.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A reader whose bytes are counted. The reader also knows whether the source itself failed: a decoder above
/// must not report a broken connection as a broken file.
#[derive(Debug)]
pub struct Counted<R> {
    inner: R,
    bytes: RawBytes,
    failed: bool,
}

impl<R> Counted<R> {
    /// Counts the bytes of `inner` in `bytes`.
    pub fn new(inner: R, bytes: RawBytes) -> Self {
        Self { inner, bytes, failed: false }
    }

    /// Whether the source returned an error.
    pub fn failed(&self) -> bool {
        self.failed
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.inner.read(buf) {
                Ok(read) => {
                    self.bytes.0.fetch_add(read as u64, Ordering::Relaxed);
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.failed = true;
                    return Err(error);
                }
            }
        }
    }
}
