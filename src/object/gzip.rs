//! Lines become one gzip member that never passes a size.
//!
//! One member: readers that stop at the first would lose the lines of a second without a word.

use std::io::{self, Write};

use flate2::write::GzEncoder;
use flate2::{Compress, Compression, FlushCompress, GzBuilder};
use sha2::{Digest, Sha256};

/// Lines are handed to the compressor in pieces of this size: line by line costs a fifth to a third more.
const PIECE_BYTES: usize = 32 * 1_024;
/// Bytes that end a member: the last block, checksum and length.
const TRAILER_MAX: u64 = 32;
/// "Unknown", so that the same lines make the same object on any machine.
const OS_UNKNOWN: u8 = 255;

/// Whether a line was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It is in the object.
    Taken,
    /// With it the object could pass `max_bytes`; it is not in it.
    Full,
}

/// Writes lines into one gzip member of at most `max_bytes`.
pub struct GzipLines<W: Write> {
    encoder: GzEncoder<Counted<W>>,
    piece: Vec<u8>,
    sha256: Sha256,
    max_bytes: u64,
    /// Line bytes taken since the compressor's output was last known to the byte.
    since_flush: u64,
    bytes: u64,
    lines: u64,
}

/// A finished member.
#[derive(Debug)]
pub struct Gzipped<W> {
    /// What was written to.
    pub out: W,
    /// Lines.
    pub lines: u64,
    /// Their bytes, with their `\n`.
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

    /// Takes a line (without its `\n`) if the object stays within `max_bytes` with it. The first line is always taken: an
    /// object smaller than a line cannot be had.
    ///
    /// # Errors
    /// What the writer says.
    pub fn push(&mut self, line: &[u8]) -> io::Result<Fit> {
        let len = line.len() as u64 + 1;
        if self.lines > 0 && !self.fits(len) {
            // The bound counts everything since the last flush as incompressible. A flush makes the output known.
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

    /// Whether `more` bytes surely fit: the fixed code that the fastest levels use spends at most 9 bits on a byte.
    fn fits(&self, more: u64) -> bool {
        let pending = self.since_flush + more;
        let known = self.encoder.get_ref().len;
        // Before a flush `known` may lag behind what `since_flush` counts; together they never count too little.
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
    ///
    /// # Errors
    /// What the writer says.
    pub fn finish(mut self) -> io::Result<Gzipped<W>> {
        self.drain()?;
        let counted = self.encoder.finish()?;
        let digest = self.sha256.finalize();
        let sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Gzipped { out: counted.out, lines: self.lines, bytes: self.bytes, sha256 })
    }
}

/// What lines cost as a part of a member.
#[derive(Debug)]
pub struct Cost {
    compress: Compress,
    out: Vec<u8>,
}

impl Cost {
    /// At a compression level.
    pub fn new(level: u32) -> Self {
        Self { compress: Compress::new(Compression::new(level), false), out: vec![0; PIECE_BYTES] }
    }

    /// How many bytes `lines` add to a member that ends with `before`, of which the last 32 KiB matter. `after` is called after
    /// each piece of work, with its bytes.
    pub fn of(&mut self, before: &[u8], lines: &[u8], after: &mut dyn FnMut(usize)) -> u64 {
        // Each time one block that ends where the bytes do: what that block costs by itself, some 80 bytes, cancels out.
        let without = self.alone(&[before], after);
        self.alone(&[before, lines], after).saturating_sub(without)
    }

    fn alone(&mut self, all: &[&[u8]], after: &mut dyn FnMut(usize)) -> u64 {
        self.compress.reset();
        for piece in all.iter().flat_map(|bytes| bytes.chunks(PIECE_BYTES)) {
            self.take(piece, FlushCompress::None);
            after(piece.len());
        }
        self.take(&[], FlushCompress::Sync)
    }

    /// Takes bytes, to the last one. Returns how many bytes have come out then.
    fn take(&mut self, mut bytes: &[u8], flush: FlushCompress) -> u64 {
        loop {
            let (taken, made) = (self.compress.total_in(), self.compress.total_out());
            // Memory to memory it cannot fail; where it does nothing, nothing more would come out.
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
            Sha256::digest(n.to_le_bytes())
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
                .into_bytes()
        } else {
            format!(
                "{{\"type\":\"track\",\"event\":\"Order Completed\",\"n\":{n},\"context\":{{\"a\":[1,2,3]}}}}"
            )
            .into_bytes()
        }
    }

    #[test]
    fn an_object_never_passes_its_size_and_is_nearly_full() {
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
                    // One member: a reader that stops at the first has everything.
                    flate2::read::GzDecoder::new(done.out.as_slice()).read_to_end(&mut read).unwrap();
                    assert_eq!(read, plain, "{what}");
                }
            }
        }
    }

    #[test]
    fn the_same_lines_make_the_same_bytes_and_the_header_tells_nothing_of_the_machine() {
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
                    assert!(off <= 3, "level {level} random {random}: {told} bytes told, {added} added");
                }
                assert_eq!(cost.of(&lines(0, 10), &[], &mut |_| ()), 0);
            }
        }
    }

    #[test]
    fn the_first_line_is_taken_even_where_it_is_longer_than_the_object_may_be() {
        let mut gzip = GzipLines::new(Vec::new(), 6, 10);
        assert_eq!(gzip.push(&line(1, true)).unwrap(), Fit::Taken);
        assert_eq!(gzip.push(&line(2, true)).unwrap(), Fit::Full);
        assert_eq!(gzip.finish().unwrap().lines, 1);
    }
}
