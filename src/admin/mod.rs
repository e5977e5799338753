//! The operator's side, on a listener of its own: metrics, readiness, status, receipts and flush. None of it
//! is on the public port.
//!
//! On loopback the listener needs no password; on any other address [`Gate`] asks for a token or a session.
//! The host name of each request is checked: a web page that rebinds its own name to this address is refused,
//! and no other site can make a browser use the listener. This room knows neither the log nor delivery:
//! everything it shows and does comes through an [`AdminView`].

mod accepting;
pub mod access;
pub mod admin_view;
mod after_status;
mod answer;
pub mod archive;
mod archive_route;
pub mod archive_view;
pub mod asked_object;
pub mod bucket_imports;
mod bucket_imports_route;
mod claims;
pub mod conflicts;
pub mod connection;
mod console;
pub mod days;
pub mod deliveries;
mod destination_words;
pub mod destinations;
mod destinations_route;
pub mod file_not_done;
pub mod files_reset;
mod find_words;
pub mod found;
pub mod gate;
mod guesses;
pub mod history;
pub mod host;
mod import_bodies;
pub mod import_code;
mod import_words;
pub mod imports;
pub mod kafka_status;
pub mod kafka_words;
pub mod ledger;
mod live;
pub mod logins;
pub mod metrics_server;
mod no_route;
pub mod node_status;
pub mod notifications;
mod pass_words;
mod query_parameters;
pub mod receipt_status;
pub mod refused_words;
mod rejects_retried;
mod route;
pub mod sdks;
pub mod server;
mod session;
mod sessions;
pub mod status;
pub mod status_words;

pub use access::AccessSettings;
pub use admin_view::{AdminError, AdminView, FlushOutcome};
pub use after_status::{AfterStatus, FileWaits};
pub use archive::{ArchiveDay, ArchiveDays, ArchiveObject, ArchiveObjects, ArchivePlace, Denied, Peek};
pub use archive_view::{ArchiveView, AskedImports, AskedObjects, ImportStateName, NotShown};
pub use asked_object::{AskedObject, ObjectImported, WITHIN_MS_MAX};
pub use bucket_imports::{
    AskedPass, AskedReset, BucketImportError, BucketImportStatus, BucketImportsView, FilePlanned, FileReset,
    FilesInJournal, FilesReset, Grant, ImportTotals, PassFailure, PassPlanned, PassStatus, Paused,
    RejectsRetried, Renamed,
};
pub use claims::{ClaimsReleased, ClaimsStatus, WaitingStatus};
pub use conflicts::{AskedDecision, NotResolved, RESOLVE_WAIT, Resolved};
pub use days::{Days, DaysOfLog, UnclosedDay};
pub use deliveries::{DeliveredObject, Deliveries, MissingDeliveries, PendingObject};
pub use destinations::{
    AllDestinations, AskedAttempts, Attempt, Attempts, ClassCount, DestinationError, DestinationStatus,
    DestinationsView, FailureStatus, FunctionStatus,
};
pub use file_not_done::FileNotDone;
pub use found::{AskedCalls, FOUND_MAX, Found, FoundCall, FoundPlace, Searched};
pub use gate::Gate;
pub use history::{History, HistoryRing, Reading};
pub use host::AllowedHosts;
pub use imports::{ImportErrors, ImportStatus, Imports};
pub use kafka_status::{
    ElsewhereStatus, KafkaCacheStatus, KafkaStatus, PartitionStatus, PinStatus, SendingStatus,
};
pub use kafka_words::PartitionTable;
pub use ledger::{
    Ledger, LedgerCounts, LedgerHour, LedgerRows, LedgerSource, LedgerStatus, LedgerStream, RemovedCounts,
};
pub use node_status::{ClockStatus, ConfigValue, KindCount, NodeStatus, OpenFiles, StatusCount};
pub use notifications::{NotificationsStatus, QueueDepth};
pub use pass_words::{again, pass_lines};
pub use receipt_status::{PositionsStatus, ReceiptState, ReceiptStatus};
pub use sdks::SdkAddress;
pub use server::AdminServer;
pub use status::{
    Alarm, Applied, BatchStatus, DestinationBehind, LastObject, Refused, SourceStatus, SpoolStatus, Status,
    StreamStatus, Totals,
};
