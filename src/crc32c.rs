//! CRC-32C (Castagnoli), the checksum of frames, blocks and small files.

use crc_fast::{CrcAlgorithm, Digest};

/// The checksum of these bytes.
pub fn crc32c(bytes: &[u8]) -> u32 {
    append(0, bytes)
}

/// Continues a checksum over more bytes.
pub fn append(crc: u32, bytes: &[u8]) -> u32 {
    let mut digest = Digest::new_with_init_state(CrcAlgorithm::Crc32Iscsi, u64::from(!crc));
    digest.update(bytes);
    // It has 32 bits.
    u32::try_from(digest.finalize()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3720, appendix B.4.
    #[test]
    fn the_examples_of_the_rfc() {
        let upwards: Vec<u8> = (0..32).collect();
        let downwards: Vec<u8> = (0..32).rev().collect();
        let all: [(&[u8], u32); 6] = [
            (&[], 0),
            (&[0; 32], 0x8a91_36aa),
            (&[0xff; 32], 0x62a8_ab43),
            (&upwards, 0x46dd_794e),
            (&downwards, 0x113f_db5c),
            (b"123456789", 0xe306_9283),
        ];
        for (bytes, expected) in all {
            assert_eq!(crc32c(bytes), expected, "{bytes:?}");
        }
    }

    /// The library takes other ways for short and long input. Bit by bit there is one.
    #[test]
    fn every_length_and_every_cut_is_as_bit_by_bit() {
        let bit_by_bit = |bytes: &[u8]| {
            let shift = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
            !bytes.iter().fold(!0, |crc: u32, byte| (0..8).fold(crc ^ u32::from(*byte), shift))
        };
        let bytes: Vec<u8> = (0..5_000_u32).map(|n| (n * n / 7).to_le_bytes()[0]).collect();
        for len in (0..700).chain([1_023, 1_024, 1_300, 4_095, 4_097, 5_000]) {
            let expected = bit_by_bit(&bytes[..len]);
            assert_eq!(crc32c(&bytes[..len]), expected, "{len} bytes");
            let (first, second) = bytes[..len].split_at(len / 3);
            assert_eq!(append(crc32c(first), second), expected, "{len} bytes, cut");
        }
    }
}
