//! The acknowledgement that a caller gets once its lines are on stable storage.

use super::receipts::Receipts;
use crate::log::ImportProgress;

/// A durable acknowledgement: everything that it counts is on stable storage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ack {
    /// Calls in the request, repeats included.
    pub calls: u32,
    /// Items that are not valid calls, stored in the rejected stream.
    pub rejected: u32,
    /// Calls that were stored before and are not stored again.
    pub repeats: u32,
    /// Where the stored lines are, if receipts are on and any were stored.
    pub receipts: Option<Receipts>,
    /// The file's progress, if the request was a step of an import.
    pub import: Option<ImportProgress>,
}
