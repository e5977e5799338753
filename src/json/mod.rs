//! Reads JSON text as spans, and edits it by copying everything else byte for byte.
//!
//! Digits, escapes and key order reach the output unchanged, because no numbers and no tree are ever built.

mod bytes;
mod members;
mod merge;
pub mod quoted;
mod raw_members;
mod scan;
mod splice;
mod text;

pub use members::{Member, mark_shadowed};
pub use merge::Merger;
pub use raw_members::Members;
pub use scan::{Cursor, ScanError, Span, Text, Value, ValueKind};
pub use splice::{ObjectSplice, Splice};
pub use text::{text_within, tidy_into, unescape, without_escapes, write_float, write_number, write_text};
