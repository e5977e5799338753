//! How the lines of a text end.

use std::fmt;

/// What ends a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineEnd {
    /// LF
    LineFeed,
    /// CR without an LF after it
    CarriageReturn,
    /// CRLF
    Both,
}

impl fmt::Display for LineEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LineFeed => "a line feed",
            Self::CarriageReturn => "a carriage return",
            Self::Both => "a carriage return with a line feed",
        })
    }
}
