//! Copies a text with edits. Unedited text is copied in as few and as long pieces as possible.

use super::scan::Span;
use super::text::tidy_into;

/// A copy in progress of `text`. Edits must come in the order of the text.
#[derive(Debug)]
pub struct Splice<'s> {
    out: &'s mut Vec<u8>,
    text: &'s [u8],
    at: usize,
    tidy: bool,
    replaced: u32,
}

impl<'s> Splice<'s> {
    /// Starts a copy at byte `at` of `text`, appended to `out`. With `tidy`, white space between tokens is
    /// dropped and lone surrogates are replaced (then every edit must be outside of strings).
    pub fn new(out: &'s mut Vec<u8>, text: &'s [u8], at: usize, tidy: bool) -> Self {
        Self { out, text, at, tidy, replaced: 0 }
    }

    /// Copies up to byte `end`. Does nothing if the copy is already further.
    pub fn copy_to(&mut self, end: usize) {
        if let Some(piece) = self.text.get(self.at..end) {
            self.insert(piece, self.tidy);
            self.at = end;
        }
    }

    /// Drops the text before byte `end`.
    pub fn skip_to(&mut self, end: usize) {
        self.at = self.at.max(end);
    }

    /// Copies up to `old` and drops it; the caller writes its replacement.
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

    /// Copies `piece` of another text, with the edits that `edit` makes in the copy.
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

    /// The output, for new text.
    pub fn out(&mut self) -> &mut Vec<u8> {
        self.out
    }

    /// How many lone surrogates were replaced.
    pub fn replaced(&self) -> u32 {
        self.replaced
    }
}

/// A copy in progress of an object, in which members are dropped, replaced or added.
#[derive(Debug)]
pub struct ObjectSplice<'s> {
    /// The copy. Edits to it must lie within the member kept last.
    pub splice: Splice<'s>,
    /// Where the last kept member ends.
    kept: Option<usize>,
    any: bool,
}

impl<'s> ObjectSplice<'s> {
    /// Starts a copy of the object `object` in `text`. For `tidy` see [`Splice::new`].
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

    /// Drops the next member, along with its comma.
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

    /// Ends the object. Returns how many lone surrogates were replaced.
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
    fn unedited_text_is_copied() {
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
    fn members_are_dropped_with_their_commas() {
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
