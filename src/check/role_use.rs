//! The use of a role, as a check sees it.

use crate::object::Role;

use super::finding::{Outcome, Remedy};

/// A role that is assumed, and what fixes it.
#[derive(Clone, Debug)]
pub struct RoleUse<'a> {
    /// The role.
    pub role: &'a Role,
    /// What it is assumed for: `write`, `invoke`.
    pub purpose: &'static str,
    /// The outcome if it can be assumed without its external id.
    pub without_external_id: Outcome,
    /// The statement that its trust policy needs.
    pub trust: Remedy,
    /// What else may be wrong if it cannot be assumed.
    pub others: Vec<Remedy>,
}
