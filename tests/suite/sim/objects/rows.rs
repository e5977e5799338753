//! The rows of a file, and what they become.

use std::fmt::Write as _;

/// What a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A call.
    Call,
    /// Two calls, which are stored together.
    Two,
    /// No call by the converter `a`, and a call by the converter `b`.
    Later,
    /// No call.
    Bad,
    /// Left out by the converter.
    LeftOut,
}

/// The rows of a file: an object, or an entry of an archive.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) version: usize,
    /// The number of the first row. A row has two messages: its event, and an identify call.
    pub(super) first: usize,
    pub(super) kinds: Vec<Kind>,
}

impl File {
    /// The calls of a row, if it has any.
    pub(super) fn calls(kind: Kind) -> u64 {
        match kind {
            Kind::Call | Kind::Later => 1,
            Kind::Two => 2,
            Kind::Bad | Kind::LeftOut => 0,
        }
    }

    /// The messages of a row that become calls.
    pub(super) fn messages(&self, row: usize) -> std::ops::Range<usize> {
        let first = self.first + 2 * row;
        first..first + usize::try_from(Self::calls(self.kinds[row])).unwrap()
    }

    /// The calls of the first rows, the rows that are a call by one converter alone, and the bad ones.
    pub(super) fn counts(&self, rows: u64) -> [u64; 3] {
        let rows = &self.kinds[..usize::try_from(rows).unwrap()];
        let count = |wanted| rows.iter().filter(|kind| **kind == wanted).count() as u64;
        let all: u64 = rows.iter().map(|kind| Self::calls(*kind)).sum();
        [all - count(Kind::Later), count(Kind::Later), count(Kind::Bad)]
    }

    pub(super) fn text(&self, is_csv: bool) -> String {
        let mut text = if is_csv { "e,u,v,no\n".to_owned() } else { String::new() };
        for (row, kind) in self.kinds.iter().enumerate() {
            let n = self.first + 2 * row;
            match (is_csv, kind) {
                (true, Kind::Bad) => writeln!(text, "{n},,,"),
                (true, Kind::Later) => writeln!(text, "{n},,u,"),
                (true, Kind::LeftOut) => writeln!(text, "{n},u,u,true"),
                (true, _) => writeln!(text, "{n},u,u,"),
                (false, Kind::Bad) => writeln!(text, "{{\"e\":\"{n}\","),
                (false, Kind::Later) => writeln!(text, "{{\"v\":\"u\",\"e\":\"{n}\"}}"),
                (false, Kind::LeftOut) => {
                    writeln!(text, "{{\"u\":\"u\",\"v\":\"u\",\"e\":\"{n}\",\"no\":true}}")
                }
                (false, Kind::Two) => writeln!(
                    text,
                    "{{\"u\":\"u\",\"v\":\"u\",\"e\":\"{n}\",\"props\":{{\"m\":{n}}},\"alone\":false}}"
                ),
                (false, Kind::Call) => writeln!(text, "{{\"u\":\"u\",\"v\":\"u\",\"e\":\"{n}\"}}"),
            }
            .unwrap();
        }
        text
    }
}
