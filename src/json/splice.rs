//! Copies a text with edits: what is not edited is copied in as few, as long pieces as there can be.

use super::scan::Span;
use super::text::tidy_into;

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
            self.insert(piece, self.tidy);
            self.at = end;
        }
    }

    /// Leaves out what is before byte `end`.
    pub fn skip_to(&mut self, end: usize) {
        self.at = self.at.max(end);
    }

    /// Copies up to `old` and leaves that out; the caller writes what stands there instead.
    pub fn replace(&mut self, old: Span) -> &mut Vec<u8> {
        self.copy_to(old.start());
        self.skip_to(old.end());
        self.out
    }

    /// Copies a piece of another text.
    pub fn insert(&mut self, piece: &[u8], tidy: bool) {
        if tidy {
            self.replaced += tidy_into(self.out, piece);
        } else {
            self.out.extend_from_slice(piece);
        }
    }

    /// Copies the piece `piece` of another text, with the edits that `edit` makes in the copy.
    pub fn insert_edited(
        &mut self,
        text: &[u8],
        piece: Span,
        tidy: bool,
        edit: impl FnOnce(&mut Splice<'_>),
    ) {
        let mut copy = Splice::new(self.out, text, piece.start(), tidy);
        edit(&mut copy);
        copy.copy_to(piece.end());
        self.replaced += copy.replaced;
    }

    /// Where new text goes.
    pub fn out(&mut self) -> &mut Vec<u8> {
        self.out
    }

    /// How many lone surrogates were replaced.
    pub fn replaced(&self) -> u32 {
        self.replaced
    }
}

/// A copy of an object under way, of which some members are left out, some replaced and some added.
#[derive(Debug)]
pub struct ObjectSplice<'s> {
    /// The copy. Edits to it must lie within the member kept last.
    pub splice: Splice<'s>,
    /// Where the last kept member ends.
    kept: Option<usize>,
    any: bool,
}

impl<'s> ObjectSplice<'s> {
    /// Begins a copy of the object `object` in `text`. `tidy` is that of [`Splice::new`].
    pub fn new(out: &'s mut Vec<u8>, text: &'s [u8], object: Span, tidy: bool) -> Self {
        out.push(b'{');
        Self { splice: Splice::new(out, text, object.start() + 1, tidy), kept: None, any: false }
    }

    /// Keeps the next member.
    pub fn keep(&mut self, member: Span) {
        if !self.any {
            self.splice.skip_to(member.start());
        }
        self.any = true;
        self.kept = Some(member.end());
    }

    /// Leaves the next member out, with the comma that would be one too many.
    pub fn leave_out(&mut self, member: Span) {
        if let Some(end) = self.kept.take() {
            self.splice.copy_to(end);
        }
        self.splice.skip_to(member.end());
    }

    /// Adds a member after all others; the caller writes its value.
    pub fn add(&mut self, name: &str) -> &mut Splice<'s> {
        self.copy_kept();
        let comma: &[u8] = if self.any { b",\"" } else { b"\"" };
        self.any = true;
        for piece in [comma, name.as_bytes(), b"\":"] {
            self.splice.out.extend_from_slice(piece);
        }
        &mut self.splice
    }

    /// Ends the object. Answers how many lone surrogates were replaced.
    pub fn finish(mut self) -> u32 {
        self.copy_kept();
        self.splice.out.push(b'}');
        self.splice.replaced
    }

    fn copy_kept(&mut self) {
        if let Some(end) = self.kept.take() {
            self.splice.copy_to(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Member;
    use super::*;

    #[test]
    fn what_is_not_edited_is_copied() {
        let mut out = b"<".to_vec();
        let mut splice = Splice::new(&mut out, b"0123456789", 1, false);
        splice.replace(Span::new(3, 5)).push(b'x');
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

    #[test]
    fn members_are_left_out_with_their_commas() {
        let check = |text: &str, left_out: &str, expected: &str| {
            let text = text.as_bytes();
            let mut out = Vec::new();
            let mut copy = ObjectSplice::new(&mut out, text, Span::new(0, text.len()), false);
            for member in Member::all_of(text, 8).unwrap() {
                if left_out.as_bytes().contains(&member.name.span.of(text)[0]) {
                    copy.leave_out(member.span());
                } else {
                    copy.keep(member.span());
                }
            }
            for name in ["y", "z"] {
                copy.add(name).out().push(b'0');
            }
            assert_eq!(copy.finish(), 0);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "without {left_out}");
        };
        check("{}", "", r#"{"y":0,"z":0}"#);
        let text = r#"{"a": 1, "b":[2] ,"c":3, "d":4 }"#;
        check(text, "", r#"{"a": 1, "b":[2] ,"c":3, "d":4,"y":0,"z":0}"#);
        check(text, "a", r#"{"b":[2] ,"c":3, "d":4,"y":0,"z":0}"#);
        check(text, "ab", r#"{"c":3, "d":4,"y":0,"z":0}"#);
        check(text, "b", r#"{"a": 1 ,"c":3, "d":4,"y":0,"z":0}"#);
        check(text, "bc", r#"{"a": 1, "d":4,"y":0,"z":0}"#);
        check(text, "bd", r#"{"a": 1 ,"c":3,"y":0,"z":0}"#);
        check(text, "cd", r#"{"a": 1, "b":[2],"y":0,"z":0}"#);
        check(text, "acd", r#"{"b":[2],"y":0,"z":0}"#);
        check(text, "abcd", r#"{"y":0,"z":0}"#);
    }
}
