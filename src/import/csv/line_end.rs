//! How the lines of a text end.

/// What ends a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineEnd {
    /// LF
    #[error("a line feed")]
    LineFeed,
    /// CR without an LF after it
    #[error("a carriage return")]
    CarriageReturn,
    /// CRLF
    #[error("a carriage return with a line feed")]
    Both,
}
