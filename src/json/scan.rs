//! A strict, single-pass scanner of JSON text (RFC 8259).
//!
//! It checks the whole grammar and returns spans. It neither recurses nor allocates per value: open brackets
//! are a stack of one flag per level, bounded by the depth limit. The text must already be UTF-8; bytes of
//! 0x80 and above are accepted inside strings and are errors everywhere else.

use super::bytes::{end_of_plain_text, unicode_escape};

/// A piece of the scanned text, in bytes from its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// The whole of the text `{}`.
    pub const EMPTY_OBJECT: Self = Self { start: 0, end: 2 };

    /// The piece from `start` up to `end`.
    pub fn new(start: usize, end: usize) -> Self {
        Self { start: offset(start), end: offset(end) }
    }

    /// Where the piece begins.
    pub fn start(self) -> usize {
        self.start as usize
    }

    /// Where the piece ends: the first byte after it.
    pub fn end(self) -> usize {
        self.end as usize
    }

    /// Its length.
    pub fn len(self) -> usize {
        self.end().saturating_sub(self.start())
    }

    /// Whether the piece is empty.
    pub fn is_empty(self) -> bool {
        self.start >= self.end
    }

    /// The piece's bytes. Empty if `text` is not the scanned text.
    pub fn of(self, text: &[u8]) -> &[u8] {
        text.get(self.start()..self.end()).unwrap_or_default()
    }
}

/// Halves the memory of each span compared with `usize`; [`Cursor::TEXT_MAX`] keeps the conversion exact.
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// A string without its quotes, still escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Text {
    /// The text between the quotes.
    pub span: Span,
    /// Whether it contains an escape.
    pub escaped: bool,
}

/// The kind of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ValueKind {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// A string without escapes.
    Plain,
    /// A string with escapes.
    Escaped,
    /// A number.
    Number,
    /// `true`
    True,
    /// `false`
    False,
    /// `null`
    #[default]
    Null,
}

/// The place and kind of a value. The span of a string includes its quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Value {
    /// The value's place.
    pub span: Span,
    /// The value's kind.
    pub kind: ValueKind,
}

impl Value {
    /// The value's text if it is a string.
    pub fn text(self) -> Option<Text> {
        let inner = Span { start: self.span.start + 1, end: self.span.end.saturating_sub(1) };
        match self.kind {
            ValueKind::Plain => Some(Text { span: inner, escaped: false }),
            ValueKind::Escaped => Some(Text { span: inner, escaped: true }),
            _ => None,
        }
    }
}

/// Why a text cannot be scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// Not JSON.
    #[error("{what} at byte {at}")]
    Syntax {
        /// What was wrong.
        what: &'static str,
        /// Where.
        at: usize,
    },
    /// Arrays and objects are nested too deeply.
    #[error("nested too deeply at byte {at}")]
    TooDeep {
        /// The place of the first bracket beyond the limit.
        at: usize,
    },
}

/// Moves through a text once, from value to value.
#[derive(Debug)]
pub struct Cursor<'t> {
    text: &'t [u8],
    at: usize,
    depth_max: usize,
    /// One flag for each open bracket: whether it opened an object.
    open: Vec<bool>,
    /// The most brackets that were open at once since [`Cursor::at_any_depth`] began.
    deepest: usize,
    /// Whether the last thing read was an opening bracket: only then may a closing bracket follow without a
    /// value.
    fresh: bool,
    untidy: u32,
}

// What is forced in line here runs for every token: calls of it were a twelfth of the instructions of a line.
impl<'t> Cursor<'t> {
    /// The longest text that spans can point into.
    pub const TEXT_MAX: usize = u32::MAX as usize - 1;

    /// Starts before the first byte of `text`; allows `depth_max` brackets to be open at once.
    pub fn new(text: &'t [u8], depth_max: usize) -> Self {
        Self { text, at: 0, depth_max, open: Vec::new(), deepest: 0, fresh: false, untidy: 0 }
    }

    /// The scanned text.
    pub fn text(&self) -> &'t [u8] {
        self.text
    }

    /// The number of places so far that must not reach a line: line breaks and tabs between tokens, and lone
    /// surrogate escapes. If the count did not change while a text was read, the text can be copied
    /// unchanged.
    pub fn untidy(&self) -> u32 {
        self.untidy
    }

    /// Skips white space and returns the first byte of the next value. `None` at the end of the text.
    pub fn peek(&mut self) -> Option<u8> {
        self.whitespace();
        self.byte()
    }

    /// The cursor's place.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Reads a whole value, with everything in it.
    /// Errors: [`ScanError`] if the text is not JSON or is nested too deeply.
    #[inline]
    pub fn value(&mut self) -> Result<Value, ScanError> {
        self.whitespace();
        let start = self.at;
        let kind = match self.byte() {
            Some(b'{') => {
                self.container()?;
                ValueKind::Object
            }
            Some(b'[') => {
                self.container()?;
                ValueKind::Array
            }
            other => self.scalar(other)?,
        };
        Ok(Value { span: Span::new(start, self.at), kind })
    }

    /// Reads with no limit of depth. Also returns whether more brackets were open at once, counted from here,
    /// than the limit allows.
    ///
    /// Nothing here recurses, so depth costs a byte of memory for each bracket that is open.
    /// Errors: [`ScanError::Syntax`] if the text is not JSON.
    pub fn at_any_depth<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, ScanError>,
    ) -> Result<(T, bool), ScanError> {
        let depth_max = std::mem::replace(&mut self.depth_max, usize::MAX);
        let floor = self.open.len();
        self.deepest = floor;
        let read = read(self);
        self.depth_max = depth_max;
        Ok((read?, self.deepest - floor > depth_max))
    }

    /// Enters the array or object whose bracket is at the cursor.
    /// Errors: [`ScanError`] if there is no bracket, or one beyond the limit.
    pub fn enter(&mut self) -> Result<(), ScanError> {
        let object = match self.peek() {
            Some(b'{') => true,
            Some(b'[') => false,
            _ => return Err(self.syntax("expected an object or array")),
        };
        if self.open.len() >= self.depth_max {
            return Err(ScanError::TooDeep { at: self.at });
        }
        self.open.push(object);
        self.deepest = self.deepest.max(self.open.len());
        self.at += 1;
        self.fresh = true;
        Ok(())
    }

    /// The next name in the object that was entered last; the cursor then is before its value. `None` at the
    /// end of the object. Errors: [`ScanError`] if the text is not JSON.
    #[inline]
    pub fn next_name(&mut self) -> Result<Option<Text>, ScanError> {
        if self.ends(b'}')? {
            return Ok(None);
        }
        self.name().map(Some)
    }

    /// Whether the array that was entered last has another element; the cursor then is before it.
    /// Errors: [`ScanError`] if the text is not JSON.
    pub fn next_element(&mut self) -> Result<bool, ScanError> {
        Ok(!self.ends(b']')?)
    }

    /// Checks that only white space follows. Errors: [`ScanError`] if anything else follows.
    pub fn finish(&mut self) -> Result<(), ScanError> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.syntax("text after the end of the value")),
        }
    }

    #[inline(always)]
    fn byte(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    #[cold]
    fn syntax(&self, what: &'static str) -> ScanError {
        ScanError::Syntax { what, at: self.at }
    }

    #[inline(always)]
    fn whitespace(&mut self) {
        // Most bodies have no white space between tokens.
        if self.byte().is_none_or(|byte| byte > b' ') {
            return;
        }
        while let Some(byte @ (b' ' | b'\n' | b'\r' | b'\t')) = self.byte() {
            if byte != b' ' {
                self.untidy = self.untidy.saturating_add(1);
            }
            self.at += 1;
        }
    }

    /// Skips the comma before another entry, or the bracket after the last one.
    #[inline(always)]
    fn ends(&mut self, closing: u8) -> Result<bool, ScanError> {
        self.whitespace();
        let fresh = std::mem::take(&mut self.fresh);
        match self.byte() {
            Some(byte) if byte == closing => {
                self.at += 1;
                self.open.pop();
                Ok(true)
            }
            _ if fresh => Ok(false),
            Some(b',') => {
                self.at += 1;
                Ok(false)
            }
            None => Err(self.syntax("the text ends inside an array or object")),
            Some(_) => Err(self.syntax("expected a comma or a closing bracket")),
        }
    }

    #[inline(always)]
    fn name(&mut self) -> Result<Text, ScanError> {
        self.whitespace();
        if self.byte() != Some(b'"') {
            return Err(self.syntax("expected a name in double quotes"));
        }
        let start = self.at + 1;
        let escaped = self.string()?;
        let span = Span::new(start, self.at - 1);
        self.whitespace();
        if self.byte() != Some(b':') {
            return Err(self.syntax("expected a colon"));
        }
        self.at += 1;
        Ok(Text { span, escaped })
    }

    /// Reads the array or object at the cursor to its end. A loop, not a recursion: hostile nesting reaches
    /// the depth limit, never the end of the stack.
    fn container(&mut self) -> Result<(), ScanError> {
        let floor = self.open.len();
        self.enter()?;
        while self.open.len() > floor {
            let object = self.open.last().copied().unwrap_or(false);
            if self.ends(if object { b'}' } else { b']' })? {
                continue;
            }
            if object {
                self.name()?;
            }
            self.whitespace();
            match self.byte() {
                Some(b'{' | b'[') => self.enter()?,
                other => {
                    self.scalar(other)?;
                }
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn scalar(&mut self, first: Option<u8>) -> Result<ValueKind, ScanError> {
        match first {
            Some(b'"') => Ok(if self.string()? { ValueKind::Escaped } else { ValueKind::Plain }),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal(b"true", ValueKind::True),
            Some(b'f') => self.literal(b"false", ValueKind::False),
            Some(b'n') => self.literal(b"null", ValueKind::Null),
            Some(_) => Err(self.syntax("expected a value")),
            None => Err(self.syntax("the text ends where a value is expected")),
        }
    }

    fn literal(&mut self, word: &'static [u8], kind: ValueKind) -> Result<ValueKind, ScanError> {
        if !self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            return Err(self.syntax("expected true, false or null"));
        }
        self.at += word.len();
        Ok(kind)
    }

    fn number(&mut self) -> Result<ValueKind, ScanError> {
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        if self.byte() == Some(b'0') {
            self.at += 1;
            if matches!(self.byte(), Some(b'0'..=b'9')) {
                return Err(self.syntax("a number has a leading zero"));
            }
        } else {
            self.digits()?;
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.byte() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(ValueKind::Number)
    }

    #[inline]
    fn digits(&mut self) -> Result<(), ScanError> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.byte() {
            self.at += 1;
        }
        if self.at == start { Err(self.syntax("expected a digit")) } else { Ok(()) }
    }

    /// Reads the string whose opening quote is at the cursor. Returns whether it contains an escape.
    #[inline(always)]
    fn string(&mut self) -> Result<bool, ScanError> {
        self.at += 1;
        let mut escaped = false;
        loop {
            self.at = end_of_plain_text(self.text, self.at);
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return Err(self.syntax("unescaped control character in a string")),
                None => return Err(self.syntax("the text ends inside a string")),
            }
        }
    }

    // Escapes are rare: this stays out of the loop over plain text, to keep that loop small.
    #[inline(never)]
    fn escape(&mut self) -> Result<(), ScanError> {
        match self.text.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') => {
                let (len, lone) = unicode_escape(self.text, self.at)
                    .ok_or_else(|| self.syntax("expected four hexadecimal digits after \\u"))?;
                self.at += len;
                self.untidy = self.untidy.saturating_add(u32::from(lone));
                Ok(())
            }
            _ => Err(self.syntax("unknown escape in a string")),
        }
    }
}

#[cfg(test)]
mod tests;
