//! The 128-bit fingerprint by which repeats are recognised.

use std::fmt;
use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::sources::SourceId;

/// Hashes what identifies a call: its source, `messageId`, `type` and the client's time, as sent.
///
/// The hash is keyed (the key is created with the spool and kept in it), so outsiders cannot make two calls
/// collide.
#[derive(Clone)]
pub struct Fingerprinter {
    keyed: SipHasher13,
}

impl Fingerprinter {
    /// A fingerprinter with the spool's key.
    pub fn new(key: [u8; 16]) -> Self {
        Self { keyed: SipHasher13::new_with_key(&key) }
    }

    /// The fingerprint of one call; never 0, which means "none".
    ///
    /// `message_id` is the unescaped id. `time` is the raw JSON text of the client's `timestamp`, or of its
    /// `originalTimestamp`, or empty.
    pub fn of(&self, source: &SourceId, message_id: &[u8], kind: &str, time: &[u8]) -> u128 {
        let mut hasher = self.keyed;
        // 0xFF occurs in no UTF-8 text, so the parts cannot run together.
        for part in [source.as_str().as_bytes(), message_id, kind.as_bytes(), time] {
            hasher.write(part);
            hasher.write(&[0xFF]);
        }
        hasher.finish128().as_u128().max(1)
    }

    /// The hash of an imported row of a source, by a hash of what names it.
    pub fn of_row(&self, source: &SourceId, row: u128) -> u128 {
        let mut hasher = self.keyed;
        hasher.write(source.as_str().as_bytes());
        // The rest has always the same length, so the parts cannot run together.
        hasher.write(&row.to_le_bytes());
        hasher.finish128().as_u128()
    }
}

impl fmt::Debug for Fingerprinter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprinter(keyed)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_distinguishes_calls_and_parts_do_not_run_together() {
        let prints = Fingerprinter::new([7; 16]);
        let (a, b) = (SourceId::new("a").unwrap(), SourceId::new("b").unwrap());
        let all = [
            prints.of(&a, b"m1", "track", b"1"),
            prints.of(&b, b"m1", "track", b"1"),
            prints.of(&a, b"m2", "track", b"1"),
            prints.of(&a, b"m1", "page", b"1"),
            prints.of(&a, b"m1", "track", b"2"),
            prints.of(&a, b"m1track", "", b"1"),
            Fingerprinter::new([8; 16]).of(&a, b"m1", "track", b"1"),
        ];
        for (i, x) in all.iter().enumerate() {
            assert!(all.iter().skip(i + 1).all(|y| x != y), "{i}");
        }
        assert_eq!(all[0], prints.of(&a, b"m1", "track", b"1"));
        let rows = [prints.of_row(&a, 1), prints.of_row(&a, 2), prints.of_row(&b, 1)];
        assert!(rows[0] != rows[1] && rows[0] != rows[2] && rows[0] == prints.of_row(&a, 1));
    }
}
