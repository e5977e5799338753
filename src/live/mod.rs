//! The live view: samples of what arrives, for people who watch.
//!
//! Intake asks [`LiveView::turn`] before it writes a request's lines, and hands over copies of a few of them
//! once they are stored. Which ones is a matter of [`pace`]: a fixed number a second, and of each source at
//! least the first of a second. Viewers read the copies from one bounded list ([`recent`]), each at its own
//! pace. Nothing on the way of a call waits for a viewer. Requests that are refused as a whole hold no call:
//! they are shown in groups by cause and client ([`refused`]).
//!
//! Copies hold personal data. Unless the mode is [`Mode::Full`], [`mask`] hides it before it leaves this
//! room.

pub mod difference;
pub mod filter;
pub mod head;
pub mod live_call;
pub mod mask;
pub mod pace;
pub mod recent;
pub mod refused;
pub mod refused_groups;
pub mod refused_request;
pub mod sample;
pub mod seen;
pub mod view;

pub use filter::Filter;
pub use pace::Turn;
pub use refused::{RefusedGroup, RefusedKind, RefusedList};
pub use refused_request::RefusedRequest;
pub use sample::Sample;
pub use seen::{Library, SeenSource};
pub use view::{LiveView, Mode, Unread, Viewer};
