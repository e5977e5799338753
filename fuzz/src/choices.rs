//! Choices read from a fuzzer's bytes, so that a changed byte is a changed choice.

/// The rest of an input. After its end every choice is 0, so inputs may be short.
#[derive(Clone, Debug)]
pub struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    /// The choices of a whole input.
    pub fn of(input: &'a [u8]) -> Self {
        Self(input)
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One byte.
    pub fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    /// A number below `count`, which is at most 256.
    pub fn below(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count.max(1)
    }

    /// One of a few.
    pub fn one<T: Copy>(&mut self, of: &[T]) -> T {
        *of.get(self.below(of.len())).expect("a choice needs options")
    }

    /// Yes or no.
    pub fn yes(&mut self) -> bool {
        self.byte() % 2 == 1
    }

    /// Two bytes as a number.
    pub fn short(&mut self) -> usize {
        usize::from(self.byte()) | (usize::from(self.byte()) << 8)
    }

    /// A number: small, at an edge, or any.
    pub fn number(&mut self) -> u64 {
        match self.byte() {
            byte @ 0..=223 => u64::from(byte % 16),
            224..=231 => u64::MAX - u64::from(self.byte() % 4),
            232..=239 => (1 << 63) - 2 + u64::from(self.byte() % 4),
            _ => (0..8).fold(0, |number, _| (number << 8) | u64::from(self.byte())),
        }
    }

    /// The next `len` bytes, or as many as are left.
    pub fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Everything that is left.
    pub fn rest(self) -> &'a [u8] {
        self.0
    }
}
