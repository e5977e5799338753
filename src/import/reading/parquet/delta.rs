//! Looks through lists of numbers that are stored as differences.
//!
//! The library reserves memory for as many numbers as such a list claims, which may be any number.

/// Whether `bytes` begin with this many lists. None of them may claim more than `most` numbers.
pub(super) fn claim_at_most(mut bytes: &[u8], lists: usize, most: u64) -> bool {
    (0..lists).all(|_| match list(bytes, most) {
        Some(rest) => {
            bytes = rest;
            true
        }
        None => false,
    })
}

/// Passes over a list. Returns what follows it.
fn list(mut bytes: &[u8], most: u64) -> Option<&[u8]> {
    let block = varint(&mut bytes)?;
    let parts = varint(&mut bytes)?;
    let count = varint(&mut bytes)?;
    varint(&mut bytes)?;
    if count > most || parts == 0 || block == 0 || block % parts != 0 {
        return None;
    }
    let in_part = block / parts;
    // The first number stands in the head of the list.
    let mut left = count.saturating_sub(1);
    while left > 0 {
        varint(&mut bytes)?;
        let (widths, rest) = bytes.split_at_checked(usize::try_from(parts).ok()?)?;
        bytes = rest;
        for width in widths {
            if left == 0 {
                break;
            }
            let bits = u64::from(*width).checked_mul(in_part)?;
            let len = usize::try_from(bits.div_ceil(8)).ok()?;
            bytes = match bytes.get(len..) {
                Some(rest) => rest,
                // Some writers leave out what follows the last number.
                None if left <= in_part => return Some(&[]),
                None => return None,
            };
            left = left.saturating_sub(in_part);
        }
    }
    Some(bytes)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7F) << shift;
        if *first < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_claims_no_more_than_it_may() {
        // Blocks of 128 in four parts; five numbers from 1, each one more than that before.
        let list = [0x80, 0x01, 4, 5, 2, 2, 0, 0, 0, 0];
        assert!(claim_at_most(&list, 1, 5));
        assert!(!claim_at_most(&list, 1, 4));
        assert!(claim_at_most(&[list, list].concat(), 2, 5));
        assert!(!claim_at_most(&list, 2, 5));
        assert!(!claim_at_most(&[0x80, 0x01, 0, 5, 2], 1, 5));
        for len in 0..list.len() {
            assert!(!claim_at_most(&list[..len], 1, 5), "{len}");
        }
        // Parts of 32 numbers of 8 bits. Only the last one may be cut off.
        assert!(claim_at_most(&[0x80, 0x01, 4, 5, 2, 2, 8, 0, 0, 0, 1, 1, 1, 1], 1, 5));
        assert!(!claim_at_most(&[0x80, 0x01, 4, 40, 2, 2, 8, 8, 0, 0, 1, 1, 1, 1], 1, 40));
    }
}
