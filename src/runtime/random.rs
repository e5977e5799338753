//! The production random numbers.

use rand::Rng;

use crate::random::Random;

/// A separate generator for each thread, seeded by the operating system and fit for cryptography.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn next_u64(&self) -> u64 {
        rand::rng().next_u64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_do_not_repeat() {
        let drawn: std::collections::HashSet<u128> = (0..1_000).map(|_| SystemRandom.next_u128()).collect();
        assert_eq!(drawn.len(), 1_000);
    }
}
