//! JSON text that is read without being rebuilt: spans into the text, and edits that copy all the rest byte for byte.
//!
//! Digits, escapes and key order reach the output as they came, since nothing here ever makes a number or a tree of them.

mod bytes;
mod members;
mod merge;
mod scan;
mod splice;
mod text;

pub use members::{Member, mark_shadowed};
pub use merge::Merger;
pub use scan::{Cursor, Kind, ScanError, Span, Text, Value};
pub use splice::{ObjectSplice, Splice};
pub use text::{tidy_into, unescape, write_text};
