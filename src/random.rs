//! Randomness, passed in so that a simulation can replay it.

use std::fmt;

/// A source of random numbers. Production draws from the operating system's generator
/// (`runtime::SystemRandom`).
pub trait Random: Send + Sync + fmt::Debug {
    /// The next 64 random bits.
    fn next_u64(&self) -> u64;

    /// The next 128 random bits.
    fn next_u128(&self) -> u128 {
        (u128::from(self.next_u64()) << 64) | u128::from(self.next_u64())
    }
}
