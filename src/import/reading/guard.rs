//! Stops a file that expands beyond reason, and keeps a failed reader from being read further.

use std::io::{self, Read};

use super::Limits;
use super::counted::RawBytes;

/// A file expanded beyond [`Limits::ratio_max`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "E-BOMB: {raw} bytes expand to more than {decoded}, over {ratio_max} times as many; \
     if this is right, pass --allow-expansion"
)]
pub struct ExpansionError {
    /// Raw bytes read so far.
    pub raw: u64,
    /// Decoded bytes so far.
    pub decoded: u64,
    /// The limit.
    pub ratio_max: u64,
}

/// The outermost reader below the text. The guard compares the decoded bytes with the raw ones, across all
/// layers of compression.
#[derive(Debug)]
pub struct Guard<R> {
    inner: R,
    raw: RawBytes,
    decoded: u64,
    limits: Limits,
    failed: Option<(io::ErrorKind, String)>,
}

impl<R> Guard<R> {
    /// Guards `inner`, whose raw bytes are counted in `raw`.
    pub fn new(inner: R, raw: RawBytes, limits: Limits) -> Self {
        Self { inner, raw, decoded: 0, limits, failed: None }
    }

    fn check(&self) -> Result<(), ExpansionError> {
        let (raw, ratio_max) = (self.raw.get(), self.limits.ratio_max);
        let many = self.decoded > self.limits.ratio_from_bytes;
        if many && !self.limits.allow_expansion && self.decoded > raw.saturating_mul(ratio_max) {
            return Err(ExpansionError { raw, decoded: self.decoded, ratio_max });
        }
        Ok(())
    }
}

impl<R: Read> Read for Guard<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // The output of a decoder after an error is undefined. Such output must not look like the end.
        if let Some((kind, text)) = &self.failed {
            return Err(io::Error::new(*kind, text.clone()));
        }
        let read = match self.inner.read(buf) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Ok(read) => {
                self.decoded = self.decoded.saturating_add(read as u64);
                self.check().map(|()| read).map_err(|bomb| io::Error::new(io::ErrorKind::InvalidData, bomb))
            }
            Err(error) => Err(error),
        };
        if let Err(error) = &read {
            self.failed = Some((error.kind(), error.to_string()));
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use super::super::counted::Counted;
    use super::super::test_bytes::FailsAfter;
    use super::super::typed;
    use super::*;

    fn limits() -> Limits {
        Limits { ratio_max: 10, ratio_from_bytes: 1_000, ..Limits::default() }
    }

    /// How many bytes are read of a decoder that makes `decoded` bytes from `raw`.
    fn read(raw: u64, decoded: u64, limits: Limits) -> io::Result<u64> {
        let count = RawBytes::default();
        io::copy(&mut Counted::new(io::repeat(0).take(raw), count.clone()), &mut io::sink()).unwrap();
        let mut guard = Guard::new(io::repeat(0).take(decoded), count, limits);
        let mut buf = [0; 100];
        let mut total = 0;
        loop {
            match guard.read(&mut buf)? {
                0 => return Ok(total),
                read => total += read as u64,
            }
        }
    }

    #[test]
    fn a_file_that_expands_beyond_reason_is_refused() {
        assert_eq!(read(10, 1_000, limits()).unwrap(), 1_000);
        assert_eq!(read(200, 2_000, limits()).unwrap(), 2_000);
        let refused = read(10, u64::MAX, limits()).unwrap_err();
        assert!(refused.to_string().starts_with("E-BOMB: 10 bytes expand"), "{refused}");
        assert_eq!(typed::<ExpansionError>(&refused).unwrap().decoded, 1_100);
        let allowed = Limits { allow_expansion: true, ..limits() };
        assert_eq!(read(10, 50_000, allowed).unwrap(), 50_000);
    }

    #[test]
    fn a_reader_that_failed_keeps_failing() {
        let fails = FailsAfter(io::Cursor::new(vec![1]));
        let mut guard = Guard::new(fails, RawBytes::default(), limits());
        let mut buf = [0; 4];
        assert_eq!(guard.read(&mut buf).unwrap(), 1);
        let first = guard.read(&mut buf).unwrap_err();
        let second = guard.read(&mut buf).unwrap_err();
        assert_eq!(first.to_string(), second.to_string());
        assert_eq!(first.kind(), second.kind());
    }
}
