//! The key of the fingerprints by which repeats are found: every collector of a log must have the same one.

use sha2::{Digest, Sha256};

/// What the digest begins with, so that no other hash of the same texts is this key.
const PURPOSE: &[u8] = b"forebay fingerprints\0";

/// The key of a log with this name and topic. It follows from the configuration alone: a collector that starts
/// while the group has no offsets finds the same repeats as all others.
pub fn key(name: &str, topic: &str) -> [u8; 16] {
    let digest = Sha256::new().chain_update(PURPOSE).chain_update(name).chain_update([0]).chain_update(topic);
    // A digest has 32 bytes.
    digest.finalize().first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This value is part of the format: collectors of different releases must agree.
    #[test]
    fn the_key_of_a_log_is_always_the_same() {
        assert_eq!(hex::encode(key("shop", "calls")), "52c2604239ce78ad5e94f039895f4315");
        assert_ne!(key("shop", "calls"), key("shopc", "alls"));
    }
}
