//! The id of an import that has a name: it stays the same when the name changes.

use std::fmt;

use crate::random::Random;

/// 128 random bits. As text: 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ImportId(u128);

impl ImportId {
    /// A new id, which no other import has.
    pub fn new(random: &dyn Random) -> Self {
        Self(random.next_u128())
    }

    /// The id with these bits.
    pub const fn of_bits(bits: u128) -> Self {
        Self(bits)
    }

    /// The bytes that keys are made of.
    pub(super) fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for ImportId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

text_form!(ImportId, std::num::ParseIntError, |text: &str| u128::from_str_radix(text, 16).map(ImportId));
