//! Server-sent events, read from a stream in pieces of any length. Pure.
//!
//! The format (WHATWG HTML, section 9.2.6): lines end with CR, LF or CRLF; a line `name: value` is a field, a
//! line that begins with `:` a comment, and an empty line ends an event. Several `data` fields are joined by
//! LF. An event that the stream ends within is dropped.

/// The most bytes of one line. At the limit the whole event is dropped and counted: the collector sends one
/// line for each event, with at most a second's calls of 64 KiB.
pub const LINE_BYTES_MAX: usize = 32 << 20;
/// The most bytes of the data of one event. At the limit the event is dropped and counted.
pub const DATA_BYTES_MAX: usize = LINE_BYTES_MAX;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// The event's type; `message` if the stream names none.
    pub kind: String,
    /// The event's data.
    pub data: String,
}

/// A parser of one stream.
#[derive(Debug, Default)]
pub struct EventParser {
    /// The line so far.
    line: Vec<u8>,
    kind: String,
    data: String,
    has_data: bool,
    /// Whether the last byte was CR: an LF that follows belongs to the same line end.
    after_cr: bool,
    /// Whether the line is too long, so that the rest of it is skipped.
    long_line: bool,
    /// Whether the event is too long, so that it is dropped at its end.
    long_event: bool,
    began: bool,
    dropped: u64,
}

impl EventParser {
    /// Takes the next bytes, and adds the events that they complete.
    pub fn take(&mut self, mut bytes: &[u8], events: &mut Vec<Event>) {
        while !bytes.is_empty() {
            if std::mem::take(&mut self.after_cr)
                && let Some(rest) = bytes.strip_prefix(b"\n")
            {
                bytes = rest;
                continue;
            }
            let Some(end) = memchr::memchr2(b'\r', b'\n', bytes) else {
                self.add(bytes);
                return;
            };
            let (line, rest) = bytes.split_at(end);
            self.add(line);
            self.after_cr = rest.first() == Some(&b'\r');
            bytes = rest.get(1..).unwrap_or_default();
            self.end_line(events);
        }
    }

    /// Events that were dropped since the last call, because they were too long.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    fn add(&mut self, part: &[u8]) {
        if self.long_line || self.line.len() + part.len() > LINE_BYTES_MAX {
            self.long_line = true;
            self.line.clear();
        } else {
            self.line.extend_from_slice(part);
        }
    }

    fn end_line(&mut self, events: &mut Vec<Event>) {
        if std::mem::take(&mut self.long_line) {
            self.long_event = true;
            return;
        }
        let line = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&line);
        // A byte order mark may begin the stream.
        let text = if std::mem::replace(&mut self.began, true) {
            &*text
        } else {
            text.strip_prefix('\u{feff}').unwrap_or(&text)
        };
        if text.is_empty() {
            self.end_event(events);
        } else {
            let (name, value) = text.split_once(':').unwrap_or((text, ""));
            self.field(name, value.strip_prefix(' ').unwrap_or(value));
        }
        // The next line uses the same memory, unless this one was unusually long.
        self.line = line;
        self.line.clear();
        self.line.shrink_to(1 << 20);
    }

    fn field(&mut self, name: &str, value: &str) {
        match name {
            "event" => value.clone_into(&mut self.kind),
            "data" if self.data.len() + value.len() >= DATA_BYTES_MAX => self.long_event = true,
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.data.push('\n');
                }
                self.data.push_str(value);
            }
            // A comment, or a field for clients that resume.
            _ => {}
        }
    }

    fn end_event(&mut self, events: &mut Vec<Event>) {
        let kind = std::mem::take(&mut self.kind);
        let data = std::mem::take(&mut self.data);
        let has_data = std::mem::take(&mut self.has_data);
        if std::mem::take(&mut self.long_event) {
            self.dropped += 1;
        } else if has_data {
            let kind = if kind.is_empty() { "message".to_owned() } else { kind };
            events.push(Event { kind, data });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, data: &str) -> Event {
        Event { kind: kind.to_owned(), data: data.to_owned() }
    }

    /// Parses a text in pieces of every length.
    fn check(text: &str, expected: &[Event]) {
        for size in 1..=text.len() {
            let (mut parser, mut events) = (EventParser::default(), Vec::new());
            for piece in text.as_bytes().chunks(size) {
                parser.take(piece, &mut events);
            }
            assert_eq!(events, expected, "{text:?} in pieces of {size}");
            assert_eq!(parser.take_dropped(), 0);
        }
    }

    #[test]
    fn an_event_ends_at_an_empty_line() {
        check("event: hello\ndata: {}\n\n", &[event("hello", "{}")]);
        check("data: a\n\ndata: b\n\n", &[event("message", "a"), event("message", "b")]);
        check("data: cut off\n", &[]);
        check("\n\n\n", &[]);
        check("data: ü😀\n\n", &[event("message", "ü😀")]);
    }

    #[test]
    fn lines_end_with_lf_crlf_or_cr() {
        for end in ["\n", "\r\n", "\r"] {
            let text = ["event: calls", "data: 1", "", "data: 2", "", ""].join(end);
            check(&text, &[event("calls", "1"), event("message", "2")]);
        }
        check("data: 1\r\n\ndata: 2\n\r\n", &[event("message", "1"), event("message", "2")]);
    }

    #[test]
    fn comments_and_unknown_fields_are_ignored() {
        check(": heartbeat\n\n: another\ndata: 1\n:\n\n", &[event("message", "1")]);
        check("id: 7\nretry: 1000\ndata: 1\nno colon\n\n", &[event("message", "1")]);
        check("\u{feff}data: 1\n\n", &[event("message", "1")]);
    }

    #[test]
    fn data_may_have_several_lines_and_one_space_before_it() {
        check("data: a\ndata: b\ndata:\ndata:  c\n\n", &[event("message", "a\nb\n\n c")]);
        check("data\n\n", &[event("message", "")]);
        check("event: no data\n\ndata: 1\n\n", &[event("message", "1")]);
    }

    #[test]
    fn an_event_that_is_too_long_is_dropped_and_the_next_one_is_read() {
        let piece = vec![b'x'; 1 << 20];
        let (mut parser, mut events) = (EventParser::default(), Vec::new());
        parser.take(b"event: calls\ndata: ", &mut events);
        for _ in 0..2 * LINE_BYTES_MAX / piece.len() {
            parser.take(&piece, &mut events);
            assert!(parser.line.capacity() <= 2 * LINE_BYTES_MAX, "{}", parser.line.capacity());
        }
        parser.take(b"\n\ndata: next\n\n", &mut events);
        assert_eq!(events, [event("message", "next")]);
        assert_eq!((parser.take_dropped(), parser.take_dropped()), (1, 0));

        // Many lines of one event.
        let line = [b"data: ".as_slice(), &piece, b"\n"].concat();
        for _ in 0..2 * DATA_BYTES_MAX / piece.len() {
            parser.take(&line, &mut events);
            assert!(parser.data.len() <= DATA_BYTES_MAX);
        }
        parser.take(b"\ndata: next\n\n", &mut events);
        assert_eq!(events.len(), 2);
        assert_eq!(parser.take_dropped(), 1);
    }
}
