//! The operator's side, on a listener of its own: metrics, readiness, status, receipts and flush. None of it is on the public port.
//!
//! It asks for no password, so it listens on loopback unless told otherwise, checks by which name it was called (a web
//! page that rebinds its own name to this address is refused) and lets no other site make a browser post to it. It knows
//! no other room: what it shows and does comes in as an [`AdminView`].

mod answer;
mod connection;
pub mod days;
pub mod host;
pub mod ledger;
pub mod receipt_status;
mod route;
pub mod server;
pub mod status;
pub mod view;

pub use days::{Days, UnclosedDay};
pub use host::AllowedHosts;
pub use ledger::{Ledger, LedgerCounts, LedgerHour, LedgerSource, LedgerStatus};
pub use receipt_status::{PositionsStatus, ReceiptState, ReceiptStatus};
pub use server::AdminServer;
pub use status::{Alarm, Applied, LastObject, Refused, SourceStatus, SpoolStatus, Status, Totals};
pub use view::{AdminView, BoxFuture, FlushError, FlushOutcome, ReceiptUnread, UnknownSource};
