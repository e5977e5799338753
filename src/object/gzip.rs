//! Writes lines into one gzip member of bounded size.
//!
//! The object must be one member: readers that stop after the first would silently lose the lines of a second
//! one.

use std::io::{self, Write};

use flate2::write::GzEncoder;
use flate2::{Compress, Compression, FlushCompress, GzBuilder};
use sha2::{Digest, Sha256};

/// Lines are handed to the compressor in pieces of this size: line by line would cost a fifth to a third
/// more.
const PIECE_BYTES: usize = 32 * 1_024;
/// Bytes at the end of a member: the last block, checksum and length.
const TRAILER_MAX: u64 = 32;
/// "Unknown", so that the same lines make the same object on any machine.
const OS_UNKNOWN: u8 = 255;

/// Whether a line was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// The line is in the object.
    Taken,
    /// With the line, the object might exceed `max_bytes`; the line is not in it.
    Full,
}

/// Writes lines into one gzip member of at most `max_bytes`.
pub struct GzipLines<W: Write> {
    encoder: GzEncoder<Counted<W>>,
    piece: Vec<u8>,
    sha256: Sha256,
    max_bytes: u64,
    /// Line bytes since the last point at which the compressor's output was known exactly.
    since_flush: u64,
    bytes: u64,
    lines: u64,
}

/// A finished member.
#[derive(Debug)]
pub struct Gzipped<W> {
    /// The output.
    pub out: W,
    /// Lines.
    pub lines: u64,
    /// Bytes of the lines, including their `\n`.
    pub bytes: u64,
    /// SHA-256 of the lines, in hexadecimal.
    pub sha256: String,
}

struct Counted<W> {
    out: W,
    len: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.len += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl<W: Write> GzipLines<W> {
    /// An empty member at compression `level` (0 to 9).
    pub fn new(out: W, level: u32, max_bytes: u64) -> Self {
        let encoder = GzBuilder::new()
            .mtime(0)
            .operating_system(OS_UNKNOWN)
            .write(Counted { out, len: 0 }, Compression::new(level));
        Self {
            encoder,
            piece: Vec::with_capacity(PIECE_BYTES),
            sha256: Sha256::new(),
            max_bytes,
            since_flush: 0,
            bytes: 0,
            lines: 0,
        }
    }

    /// Adds a line (without its `\n`) if the object stays within `max_bytes`. The first line is always
    /// accepted, because no object can be smaller than a line.
    pub fn push(&mut self, line: &[u8]) -> io::Result<Fit> {
        let len = line.len() as u64 + 1;
        if self.lines > 0 && !self.fits(len) {
            // The bound assumes that everything since the last flush is incompressible. A flush gives the
            // exact size.
            self.drain()?;
            self.encoder.flush()?;
            self.since_flush = 0;
            if !self.fits(len) {
                return Ok(Fit::Full);
            }
        }
        self.piece.extend_from_slice(line);
        self.piece.push(b'\n');
        self.since_flush += len;
        self.bytes += len;
        self.lines += 1;
        if self.piece.len() >= PIECE_BYTES {
            self.drain()?;
        }
        Ok(Fit::Taken)
    }

    /// Whether `more` bytes certainly fit: the fixed code of the fastest levels spends at most 9 bits on a
    /// byte.
    fn fits(&self, more: u64) -> bool {
        let pending = self.since_flush + more;
        let known = self.encoder.get_ref().len;
        // Before a flush, the compressor may still hold bytes that `known` lacks. `since_flush` counts them,
        // so the sum is never too low.
        known.saturating_add(pending + pending / 8 + TRAILER_MAX) <= self.max_bytes
    }

    fn drain(&mut self) -> io::Result<()> {
        self.sha256.update(&self.piece);
        self.encoder.write_all(&self.piece)?;
        self.piece.clear();
        Ok(())
    }

    /// Lines taken so far.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Ends the member.
    pub fn finish(mut self) -> io::Result<Gzipped<W>> {
        self.drain()?;
        let counted = self.encoder.finish()?;
        Ok(Gzipped {
            out: counted.out,
            lines: self.lines,
            bytes: self.bytes,
            sha256: hex::encode(self.sha256.finalize()),
        })
    }
}

/// What the compressor looks back on.
const LOOKS_BACK: usize = 32 * 1_024;
/// Bytes of a flush that has nothing to write.
const EMPTY_FLUSH: u64 = 5;

/// Measures how many bytes lines add to a member.
#[derive(Debug)]
pub struct Cost {
    compress: Compress,
    out: Vec<u8>,
}

impl Cost {
    /// Measures at a compression level.
    pub fn new(level: u32) -> Self {
        Self { compress: Compress::new(Compression::new(level), false), out: vec![0; PIECE_BYTES] }
    }

    /// The bytes that `lines` add to a gzip member that ends with `before`. Only the last 32 KiB of `before`
    /// matter. `after` is called with the bytes of each piece of work.
    pub fn of(&mut self, before: &[u8], lines: &[u8], after: &mut dyn FnMut(usize)) -> u64 {
        self.compress.reset();
        // As a dictionary it is only looked back on. To compress it too would take four times as long for lines of 4 KB.
        // If it is refused, the result is too high, never too low.
        let seen = before.get(before.len().saturating_sub(LOOKS_BACK)..).unwrap_or(before);
        let known = self.compress.set_dictionary(seen);
        debug_assert!(known.is_ok(), "a compressor that was reset takes a dictionary: {known:?}");
        for piece in lines.chunks(PIECE_BYTES) {
            self.take(piece, FlushCompress::None);
            after(piece.len());
        }
        self.take(&[], FlushCompress::Sync).saturating_sub(EMPTY_FLUSH)
    }

    /// Compresses all of `bytes`. Returns the size of the output so far.
    fn take(&mut self, mut bytes: &[u8], flush: FlushCompress) -> u64 {
        loop {
            let (taken, made) = (self.compress.total_in(), self.compress.total_out());
            // Compression from memory to memory cannot fail. If it makes no progress, no more output would
            // come.
            let failed = self.compress.compress(bytes, &mut self.out, flush).is_err();
            let taken = usize::try_from(self.compress.total_in() - taken).unwrap_or(usize::MAX);
            let made = usize::try_from(self.compress.total_out() - made).unwrap_or(usize::MAX);
            bytes = bytes.get(taken..).unwrap_or(&[]);
            if failed || (bytes.is_empty() && made < self.out.len()) {
                return self.compress.total_out();
            }
        }
    }
}

impl<W: Write> std::fmt::Debug for GzipLines<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GzipLines")
            .field("lines", &self.lines)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn line(n: u64, random: bool) -> Vec<u8> {
        if random {
            // Hex of a hash: compresses to about half.
            hex::encode(Sha256::digest(n.to_le_bytes())).into_bytes()
        } else {
            format!(
                "{{\"type\":\"track\",\"event\":\"Order Completed\",\"n\":{n},\"context\":{{\"a\":[1,2,3]}}}}"
            )
            .into_bytes()
        }
    }

    #[test]
    fn an_object_never_exceeds_its_size_and_is_nearly_full() {
        for level in [1, 3, 6] {
            for max in [20_000, 1_000_000] {
                for random in [false, true] {
                    let mut gzip = GzipLines::new(Vec::new(), level, max);
                    let mut plain = Vec::new();
                    let mut n = 0;
                    while gzip.push(&line(n, random)).unwrap() == Fit::Taken {
                        plain.extend_from_slice(&line(n, random));
                        plain.push(b'\n');
                        n += 1;
                    }
                    let done = gzip.finish().unwrap();
                    let len = done.out.len() as u64;
                    let what = format!("level {level} max {max} random {random}: {len}");
                    assert!(len <= max && len * 100 >= max * 95, "{what}");
                    assert_eq!((done.lines, done.bytes), (n, plain.len() as u64));
                    let mut read = Vec::new();
                    // One member: a reader that stops after the first gets everything.
                    flate2::read::GzDecoder::new(done.out.as_slice()).read_to_end(&mut read).unwrap();
                    assert_eq!(read, plain, "{what}");
                }
            }
        }
    }

    #[test]
    fn the_same_lines_give_the_same_bytes_on_any_machine() {
        let make = || {
            let mut gzip = GzipLines::new(Vec::new(), 6, u64::MAX);
            (0..1_000).for_each(|n| assert_eq!(gzip.push(&line(n, false)).unwrap(), Fit::Taken));
            gzip.finish().unwrap()
        };
        let (one, two) = (make(), make());
        assert_eq!((&one.out, &one.sha256), (&two.out, &two.sha256));
        assert_eq!(one.out[..4], [0x1f, 0x8b, 8, 0]);
        assert_eq!(one.out[4..8], [0; 4], "no time");
        assert_eq!(one.out[9], 255, "no operating system");
    }

    #[test]
    fn pieces_cost_what_they_add_to_a_member() {
        for level in [1, 3, 6] {
            for random in [false, true] {
                let lines = |from: u64, to: u64| {
                    (from..to).flat_map(|n| line(n, random).into_iter().chain(*b"\n")).collect::<Vec<u8>>()
                };
                let member = |to: u64| {
                    let mut gzip = GzipLines::new(Vec::new(), level, u64::MAX);
                    (0..to).for_each(|n| assert_eq!(gzip.push(&line(n, random)).unwrap(), Fit::Taken));
                    gzip.finish().unwrap().out.len() as u64
                };
                let added = member(3_000) - member(2_000);
                let mut cost = Cost::new(level);
                for _ in 0..2 {
                    let told = cost.of(&lines(1_400, 2_000), &lines(2_000, 3_000), &mut |_| ());
                    let off = told.abs_diff(added) * 100 / added;
                    assert!(off <= 3, "level {level} random {random}: {told} bytes measured, {added} added");
                }
                assert_eq!(cost.of(&lines(0, 10), &[], &mut |_| ()), 0);
                let (alone, header_and_trailer) = (cost.of(&[], &lines(0, 40), &mut |_| ()), 18);
                let off = alone.abs_diff(member(40) - header_and_trailer);
                assert!(off <= 5, "level {level} random {random}: {alone} bytes, {} in a member", member(40));
            }
        }
    }

    #[test]
    fn the_first_line_is_accepted_even_if_it_exceeds_the_size() {
        let mut gzip = GzipLines::new(Vec::new(), 6, 10);
        assert_eq!(gzip.push(&line(1, true)).unwrap(), Fit::Taken);
        assert_eq!(gzip.push(&line(2, true)).unwrap(), Fit::Full);
        assert_eq!(gzip.finish().unwrap().lines, 1);
    }
}
