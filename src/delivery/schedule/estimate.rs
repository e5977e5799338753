//! Estimates how large an object a batch would become. This is measured, not assumed: how well lines compress
//! differs a hundredfold between sources, and may change within a batch.
//!
//! A measurement compresses a few pieces of the lines that came since the last one. It is due as soon as
//! these lines could fill the object even if they did not compress at all, so the unmeasured lines never
//! exceed one object, whatever was sent before. A batch whose lines hardly compress is measured once or
//! twice; one whose lines compress twelvefold about fifty times, each time on a smaller stretch of it.
//!
//! At most 2.5 % of the lines are compressed a second time, 3.2 % for objects of 1 MB (the model of the unit tests).
//!
//! Each joint between two pieces costs some bytes that an object does not have. That matters only if lines
//! are nearly the same: an object whose lines compress fiftyfold is overestimated by 10 to 20 %. It is then
//! encoded too early, found not to be full, and encoded again once it is full, based on exact figures. No
//! object becomes smaller.

/// A measurement reads one in this many bytes of lines.
const READ_PART: u64 = 40;
/// Maximum number of pieces of a measurement.
const PIECES_MAX: u64 = 32;
/// Minimum bytes of a piece. Neighbouring lines are often more alike than distant ones.
const PIECE_MIN: u64 = 4 * 1_024;
/// Pieces grow up to this many bytes before another piece is added, because each read has a fixed cost.
const PIECE_BYTES: u64 = 32 * 1_024;
/// Minimum and maximum bytes of lines before the first piece that the compressor looks back on. The maximum is as far
/// as it can look.
const BEFORE_BYTES: (u64, u64) = (16 * 1_024, 32 * 1_024);
/// Steps per full object; a step is measured in bytes of lines. A measurement waits for at least one step of
/// new lines, and takes at least one piece of every four steps.
const STEPS: u64 = 20;
const STEPS_OF_PIECE: u64 = 4;
/// Minimum bytes of a step. Estimates of objects below 320 KB are less exact.
const STEP_MIN: u64 = 16 * 1_024;
/// Line bytes per object byte until the first measurement.
const RATIO_AT_FIRST: f64 = 12.0;

/// The estimate of the object that a batch would become.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::delivery) struct Estimate {
    /// The batch's last sealed position. After a later seal this estimate no longer applies.
    pub(in crate::delivery) sealed_through: u64,
    /// Bytes of measured lines after it.
    lines: u64,
    /// Bytes of the object that these lines become.
    object: u64,
    /// Line bytes per object byte in the last measurement.
    ratio: Option<f64>,
}

/// Pieces of lines to be compressed one after the other, so that the compressor looks back on the piece
/// before, as it would look back on lines of the batch in an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::delivery) struct Pieces {
    /// Bytes of the batch's lines before each piece.
    pub(in crate::delivery) offsets: Vec<u64>,
    /// Bytes of each.
    pub(in crate::delivery) len: u64,
    /// Bytes before the first piece that the compressor looks back on.
    pub(in crate::delivery) before: u64,
}

/// The outcome of a measurement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::delivery) struct Sampled {
    /// Bytes of lines.
    pub(in crate::delivery) lines: u64,
    /// What they add to an object, in bytes.
    pub(in crate::delivery) object: u64,
}

/// Bytes of lines in one step.
fn step(max_bytes: u64) -> u64 {
    (max_bytes / STEPS).max(STEP_MIN)
}

#[expect(clippy::cast_precision_loss, reason = "an estimate; the encoder measures")]
pub(super) fn ratio(lines: u64, object: u64) -> f64 {
    lines as f64 / object.max(1) as f64
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate; the encoder measures"
)]
fn at_ratio(lines: u64, ratio: f64) -> u64 {
    (lines as f64 / ratio) as u64
}

impl Estimate {
    /// The estimate of a batch without any measurement since its last seal.
    pub(in crate::delivery) fn unknown_after(sealed_through: u64) -> Self {
        Self { sealed_through, ..Self::default() }
    }

    /// The estimate of a batch whose `lines` bytes of lines were encoded into `object` bytes.
    pub(in crate::delivery) fn encoded(sealed_through: u64, lines: u64, object: u64) -> Self {
        Self { sealed_through, lines, object, ratio: Some(ratio(lines, object)) }
    }

    /// Bytes of the object that `bytes` of lines become. `learnt` is the ratio of the source's last object.
    pub(in crate::delivery) fn object_bytes(&self, bytes: u64, learnt: Option<f64>) -> u64 {
        let ratio = self.ratio.or(learnt).unwrap_or(RATIO_AT_FIRST);
        self.object.saturating_add(at_ratio(bytes.saturating_sub(self.lines), ratio))
    }

    /// Whether the lines since the last measurement could fill the object, or nearly.
    pub(in crate::delivery) fn is_stale(&self, bytes: u64, max_bytes: u64) -> bool {
        let left = max_bytes.saturating_sub(self.object);
        let step = step(max_bytes);
        // An eighth is kept for lines that come during the measurement.
        left > 0 && bytes.saturating_sub(self.lines) >= (left - left / 8).max(step)
    }

    /// The pieces to measure, evenly spread over the lines since the last measurement.
    pub(in crate::delivery) fn pieces(&self, bytes: u64, max_bytes: u64) -> Pieces {
        let new = bytes.saturating_sub(self.lines);
        // For a long backlog it is enough to know that it fills an object.
        let read = new.min(max_bytes) / READ_PART;
        // At least one piece for so many steps, so that a change in how lines compress is noticed wherever it
        // begins. To read a piece costs as much as some 100 KB of lines.
        let steps = new.div_ceil(step(max_bytes) * STEPS_OF_PIECE);
        let count = steps.max(read / PIECE_BYTES).clamp(1, PIECES_MAX);
        let len = (read / count).max(PIECE_MIN).min(new);
        let offset = |n: u64| {
            let middle = new / (2 * count) * (2 * n + 1);
            self.lines + middle.saturating_sub(len / 2).min(new - len)
        };
        let offsets: Vec<u64> = (0..count).map(offset).collect();
        let before = (read / 4).clamp(BEFORE_BYTES.0, BEFORE_BYTES.1);
        Pieces { before: before.min(offsets.first().copied().unwrap_or(0)), len, offsets }
    }

    /// Whether this covers more of the same lines than `other`, or lines after a later seal.
    pub(in crate::delivery) fn knows_more_than(&self, other: &Self) -> bool {
        (self.sealed_through, self.lines) > (other.sealed_through, other.lines)
    }

    /// Adds the measurement of pieces of the lines up to `bytes`.
    pub(in crate::delivery) fn measured(&mut self, bytes: u64, sampled: Sampled) {
        let new = bytes.saturating_sub(self.lines);
        self.lines += new;
        // Lines that cannot be read will not be in the object.
        if sampled.lines > 0 {
            let ratio = ratio(sampled.lines, sampled.object);
            self.object = self.object.saturating_add(at_ratio(new, ratio));
            self.ratio = Some(ratio);
        }
    }
}

#[cfg(test)]
mod tests;
