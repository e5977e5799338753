//! Log lines that wait to be written. The queue is bounded; lines that do not fit are counted.
//! [`super::log_writer`] writes them.

use std::collections::VecDeque;

use crate::time::UnixMillis;

/// Lines that may wait. At the limit a new line is dropped and counted.
pub const LINES_MAX: usize = 8_192;
/// Bytes of lines that may wait. At the limit a new line is dropped and counted.
pub const BYTES_MAX: usize = 4 * 1_024 * 1_024;
/// Bytes of one line. A longer one is cut.
pub const LINE_BYTES_MAX: usize = 16 * 1_024;

/// The end of a line that was cut.
const CUT: &str = "…\n";

/// Lines that were dropped but not reported yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Their number.
    pub lines: u64,
    /// When the first of them was dropped.
    pub since: UnixMillis,
}

/// The waiting lines.
#[derive(Debug, Default)]
pub(super) struct LogQueue {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    unreported: Option<Dropped>,
    dropped: u64,
}

impl LogQueue {
    /// Adds a line, or counts it as dropped if the queue is full.
    pub(super) fn push(&mut self, line: &[u8], now: UnixMillis) {
        let line = cut(line);
        if self.lines.len() >= LINES_MAX || self.bytes + line.len() > BYTES_MAX {
            return self.count_dropped(now);
        }
        self.push_anyway(line);
    }

    /// Adds the report of dropped lines, which must not be dropped itself.
    pub(super) fn push_report(&mut self, line: &[u8]) {
        self.push_anyway(cut(line));
    }

    fn push_anyway(&mut self, line: Vec<u8>) {
        self.bytes += line.len();
        self.lines.push_back(line);
    }

    /// Takes the oldest line.
    pub(super) fn pop(&mut self) -> Option<Vec<u8>> {
        let line = self.lines.pop_front()?;
        self.bytes -= line.len();
        Some(line)
    }

    /// Whether no line waits.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Counts a line that did not fit or could not be written.
    pub(super) fn count_dropped(&mut self, now: UnixMillis) {
        self.dropped += 1;
        self.unreported.get_or_insert(Dropped { lines: 0, since: now }).lines += 1;
    }

    /// A line was written. Returns what must be reported: everything dropped, once the queue is empty.
    pub(super) fn written(&mut self) -> Option<Dropped> {
        if self.is_empty() { self.unreported.take() } else { None }
    }

    /// Lines dropped since the start.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// A line, cut to [`LINE_BYTES_MAX`].
fn cut(line: &[u8]) -> Vec<u8> {
    if line.len() <= LINE_BYTES_MAX {
        return line.to_vec();
    }
    let room = LINE_BYTES_MAX - CUT.len();
    // Never cut inside a character: all bytes of a character except its first begin with the bits 10.
    let end = (0..=room).rev().find(|at| line.get(*at).is_none_or(|byte| byte & 0xC0 != 0x80)).unwrap_or(0);
    [line.get(..end).unwrap_or_default(), CUT.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000);
    const LATER: UnixMillis = UnixMillis(2_000);

    #[test]
    fn lines_over_the_limit_are_dropped_and_reported_once_the_queue_is_empty() {
        let mut queue = LogQueue::default();
        for _ in 0..LINES_MAX {
            queue.push(b"line\n", NOW);
        }
        assert_eq!(queue.dropped(), 0);
        queue.push(b"one too many\n", NOW);
        queue.push(b"another\n", LATER);
        assert_eq!(queue.dropped(), 2);
        for _ in 0..LINES_MAX - 1 {
            assert_eq!(queue.pop().as_deref(), Some(&b"line\n"[..]));
            assert_eq!(queue.written(), None, "lines still wait");
        }
        queue.pop().unwrap();
        assert_eq!(queue.written(), Some(Dropped { lines: 2, since: NOW }));
        assert_eq!(queue.written(), None, "reported once");
        assert_eq!((queue.pop(), queue.dropped()), (None, 2));
        queue.count_dropped(LATER);
        assert_eq!(queue.written(), Some(Dropped { lines: 1, since: LATER }));
    }

    #[test]
    fn bytes_are_bounded_too_and_the_report_always_fits() {
        let mut queue = LogQueue::default();
        let line = vec![b'x'; LINE_BYTES_MAX];
        for _ in 0..BYTES_MAX / LINE_BYTES_MAX {
            queue.push(&line, NOW);
        }
        assert_eq!(queue.dropped(), 0);
        queue.push(b"x", NOW);
        assert_eq!(queue.dropped(), 1);
        queue.push_report(b"report");
        assert_eq!(queue.dropped(), 1);
        while queue.pop().is_some() {}
        assert_eq!(queue.bytes, 0);
        queue.push(b"x", NOW);
        assert_eq!(queue.pop().as_deref(), Some(&b"x"[..]));
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let check = |line: &str, expected: &str| {
            let line = cut(line.as_bytes());
            assert!(line.len() <= LINE_BYTES_MAX, "{}", line.len());
            assert_eq!(String::from_utf8(line).unwrap(), expected);
        };
        let whole = format!("{}\n", "x".repeat(LINE_BYTES_MAX - 1));
        check(&whole, &whole);
        let kept = LINE_BYTES_MAX - CUT.len();
        check(&"x".repeat(LINE_BYTES_MAX + 1), &format!("{}…\n", "x".repeat(kept)));
        check(&"ü".repeat(LINE_BYTES_MAX), &format!("{}…\n", "ü".repeat(kept / 2)));
        check(&format!("x{}", "ü".repeat(LINE_BYTES_MAX)), &format!("x{}…\n", "ü".repeat((kept - 1) / 2)));
    }
}
