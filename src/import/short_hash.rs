//! Makes a short name for settings, which distinguishes them from others.

/// The first 16 hexadecimal digits of the BLAKE3 hash.
pub fn short_hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().chars().take(16).collect()
}
