//! The lines of one object: what its seal records, and whether a rebuilt object is the sealed one.

use sha2::{Digest, Sha256};

use super::reader::ReadFrame;
use crate::log::{Encoded, Hour, Seal};
use crate::planted_bugs::{PlantedBug, planted};
use crate::time::UnixMillis;

/// Lines in the order of their positions.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    encoded: Encoded,
    hash: Sha256,
}

impl Lines {
    /// Adds the line of the next frame.
    pub fn push(&mut self, frame: &ReadFrame<'_>) {
        self.push_line(frame.position, frame.received_at, &frame.line());
    }

    /// Adds the next line, without its `\n`.
    pub fn push_line(&mut self, position: u64, received_at: UnixMillis, line: &[u8]) {
        let encoded = &mut self.encoded;
        if encoded.frames == 0 {
            (encoded.first, encoded.named_at) = (position, received_at);
            (encoded.first_received_at, encoded.last_received_at) = (received_at, received_at);
        }
        encoded.last = position;
        encoded.frames += 1;
        encoded.bytes += line.len() as u64 + 1;
        encoded.first_received_at = encoded.first_received_at.min(received_at);
        encoded.last_received_at = encoded.last_received_at.max(received_at);
        let hour = Hour::of(received_at);
        match encoded.hours.iter_mut().find(|(known, _)| *known == hour) {
            Some((_, frames)) => *frames += 1,
            None => encoded.hours.push((hour, 1)),
        }
        self.hash.update(line);
        self.hash.update(b"\n");
    }

    /// Bytes so far, with each `\n`.
    pub fn bytes(&self) -> u64 {
        self.encoded.bytes
    }

    /// What a seal of these lines records.
    pub fn encoded(&self) -> Encoded {
        Encoded { sha256: hex::encode(self.hash.clone().finalize()), ..self.encoded.clone() }
    }

    /// Whether these are the sealed lines. If not, they must not be put.
    pub fn are_those_of(&self, seal: &Seal) -> bool {
        planted(PlantedBug::RebuiltUnchecked) || self.encoded().sha256 == seal.sha256
    }
}
