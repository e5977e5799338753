//! Forms for values that people read: numbers, sizes, durations, dates, lists, tables, and text from outside.
//! Each kind has one form in all commands, log lines and pages.

pub mod causes;
pub mod columns;
pub mod commands;
pub mod count;
pub mod date;
pub mod duration;
pub mod list;
pub mod nearest;
pub mod outside;
pub mod percent;
pub mod shell_word;
pub mod size;
pub mod table;
pub mod told;
pub mod url;

pub use causes::with_causes;
pub use columns::{columns, within_columns};
pub use commands::{AddingOptions, TypedOptions};
pub use count::{counted, grouped, if_any, is_zero};
pub use date::{date, rfc3339};
pub use duration::{about_duration, about_seconds, seconds_since};
pub use list::first_few;
pub use nearest::nearest;
pub use outside::{outside_key, outside_message, outside_text, outside_text_within};
pub use shell_word::shell_word;
pub use size::about_bytes;
pub use told::{Told, in_view};
