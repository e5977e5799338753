//! Copies a text with edits: what is not edited is copied in as few, as long pieces as there can be.

use super::tidy_into;

/// A copy of `text` under way. Edits come in the order of the text.
#[derive(Debug)]
pub struct Splice<'s> {
    out: &'s mut Vec<u8>,
    text: &'s [u8],
    at: usize,
    tidy: bool,
    replaced: u32,
}

impl<'s> Splice<'s> {
    /// Begins a copy at byte `at` of `text`, to the end of `out`. With `tidy`, white space between tokens is left out and
    /// lone surrogates are replaced (every edit must then be outside of strings).
    pub fn new(out: &'s mut Vec<u8>, text: &'s [u8], at: usize, tidy: bool) -> Self {
        Self { out, text, at, tidy, replaced: 0 }
    }

    /// Copies up to byte `end`. Nothing happens where the copy is already further.
    pub fn copy_to(&mut self, end: usize) {
        if let Some(piece) = self.text.get(self.at..end) {
            if self.tidy {
                self.replaced += tidy_into(self.out, piece);
            } else {
                self.out.extend_from_slice(piece);
            }
            self.at = end;
        }
    }

    /// Leaves out what is before byte `end`.
    pub fn skip_to(&mut self, end: usize) {
        self.at = self.at.max(end);
    }

    /// Where new text goes.
    pub fn out(&mut self) -> &mut Vec<u8> {
        self.out
    }

    /// How many lone surrogates were replaced.
    pub fn replaced(&self) -> u32 {
        self.replaced
    }

    /// Counts lone surrogates that were replaced in new text.
    pub fn add_replaced(&mut self, count: u32) {
        self.replaced += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_edited_is_copied() {
        let mut out = b"<".to_vec();
        let mut splice = Splice::new(&mut out, b"0123456789", 1, false);
        splice.copy_to(3);
        splice.out().push(b'x');
        splice.skip_to(5);
        splice.copy_to(2);
        splice.skip_to(4);
        splice.copy_to(8);
        assert_eq!(out, b"<12x567");
    }

    #[test]
    fn a_tidied_copy_counts_what_it_replaced() {
        let mut out = Vec::new();
        let mut splice = Splice::new(&mut out, b"{ \"a\" :\n\"\\ud800\" }", 0, true);
        splice.copy_to(7);
        splice.copy_to(18);
        assert_eq!(splice.replaced(), 1);
        assert_eq!(out, br#"{"a":"\ufffd"}"#);
    }
}
