//! Forebay takes tracking-API calls from unmodified SDKs. It writes each call that it has acknowledged to S3
//! exactly once, as gzipped newline-delimited JSON under `segment-logs/<source-id>/<received-day>/`.
//!
//! An answer of 200 means that every call of the request is on stable storage. Everything after that depends
//! only on what is stored, so a crash at any instant loses and duplicates nothing.

#![warn(clippy::print_stderr)]

/// Implements `Debug` with these fields alone. The others have no `Debug`, are secret, or say nothing.
macro_rules! debug_fields {
    ($type:ident $(<$parameter:ident>)? { $($field:ident),* }) => {
        impl$(<$parameter>)? std::fmt::Debug for $type$(<$parameter>)? {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($type))
                    $(.field(stringify!($field), &self.$field))*
                    .finish_non_exhaustive()
            }
        }
    };
}

/// Lets serde read and write a type as its text, for `#[serde(try_from = "String", into = "String")]`.
macro_rules! text_form {
    ($type:ident, $error:ty, $parse:expr) => {
        impl TryFrom<String> for $type {
            type Error = $error;
            fn try_from(text: String) -> Result<Self, $error> {
                $parse(&text)
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
    };
}

/// Shows a type as its `as_str`.
macro_rules! shown_as_text {
    ($($type:ident),+) => {
        $(
            impl std::fmt::Display for $type {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str(self.as_str())
                }
            }
        )+
    };
}

/// Makes an enum whose values `ALL` lists. If each has a text, such as a label's value, `by` names the method
/// that gives it, and `and` the one that finds the value with a text.
macro_rules! closed_list {
    ($(#[$about:meta])* $visible:vis enum $list:ident { $($(#[$says:meta])* $value:ident,)+ }) => {
        $(#[$about])*
        $visible enum $list { $($(#[$says])* $value,)+ }

        impl $list {
            /// All values.
            $visible const ALL: [Self; [$(Self::$value),+].len()] = [$(Self::$value),+];
        }
    };
    (
        $(#[$about:meta])*
        $visible:vis enum $list:ident by $text:ident $(and $of:ident)? {
            $($(#[$says:meta])* $value:ident = $is:literal,)+
        }
    ) => {
        closed_list! { $(#[$about])* $visible enum $list { $($(#[$says])* $value,)+ } }

        impl $list {
            /// The value's text.
            pub const fn $text(self) -> &'static str {
                match self { $(Self::$value => $is,)+ }
            }

            $(
                /// The value with this text.
                pub fn $of(text: &str) -> Option<Self> {
                    Self::ALL.into_iter().find(|value| value.$text() == text)
                }
            )?
        }
    };
}

pub mod admin;
pub mod admin_client;
pub mod admin_token;
pub mod alarms;
pub mod archive;
pub mod arn;
pub mod batch;
pub mod boxed_future;
pub mod call;
pub mod check;
pub mod cli;
pub mod collector;
pub mod config;
pub mod connections;
pub mod convert;
pub mod crc32c;
pub mod deliveries;
pub mod delivery;
pub mod destinations;
#[cfg(feature = "dev")]
pub mod dev_s3;
pub mod disk;
pub mod give_way;
pub mod hook;
pub mod import;
pub mod ingest;
pub mod jobs;
pub mod json;
#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "lambda")]
pub mod lambda;
pub mod live;
pub mod lock;
pub mod log;
pub mod metrics;
pub mod node;
pub mod object;
pub mod once_a_minute;
pub mod partition;
pub mod planted_bugs;
pub mod policy;
pub mod process_group;
pub mod queue;
pub mod random;
pub mod reach;
pub mod receipt;
pub mod retry;
pub mod runtime;
pub mod sources;
pub mod spool;
pub mod store;
pub mod tasks;
pub mod time;
pub mod version;
pub mod words;
