//! Copies of a few lines of one request.

use crate::object::Stream;
use crate::sources::SourceId;
use crate::time::UnixMillis;

use super::head::Head;

/// The longest line that is copied, in bytes. Of a longer one only the head is shown.
pub const LINE_MAX: usize = 64 * 1_024;

/// Copies of a few lines of one request, before they are stored.
#[derive(Debug)]
pub struct Sample {
    pub(super) source: SourceId,
    pub(super) at: UnixMillis,
    pub(super) lines: Vec<SampledLine>,
}

/// A copy of one line.
#[derive(Debug)]
pub(super) struct SampledLine {
    pub(super) stream: Stream,
    pub(super) bytes: usize,
    pub(super) head: Head,
    /// The line and the item it was made from, if both are short enough.
    pub(super) texts: Option<(Box<str>, Box<str>)>,
}

impl Sample {
    /// An empty sample of a request.
    pub fn new(source: SourceId, at: UnixMillis) -> Self {
        Self { source, at, lines: Vec::new() }
    }

    /// Copies a line, and the item that it was made from, as the client sent it.
    pub fn push(&mut self, stream: Stream, line: &[u8], item: Option<&[u8]>) {
        let (rejected, object_set) = (stream == Stream::Rejected, matches!(stream, Stream::Objects(_)));
        let text = std::str::from_utf8(line).unwrap_or_default();
        let item = item.and_then(|item| std::str::from_utf8(item).ok()).unwrap_or_default();
        let fits = text.len() <= LINE_MAX && item.len() <= LINE_MAX;
        self.lines.push(SampledLine {
            stream,
            bytes: line.len(),
            head: Head::of(text, rejected, object_set),
            texts: fits.then(|| (text.into(), item.into())),
        });
    }
}
