//! The use of a role that is checked.

use crate::object::Role;

use super::finding::{Outcome, Remedy};

/// A role that is assumed, and the remedies if that fails.
#[derive(Clone, Debug)]
pub struct RoleUse<'a> {
    /// The role.
    pub role: &'a Role,
    /// The purpose for which the role is assumed: `write`, `invoke`.
    pub purpose: &'static str,
    /// The outcome if the role can be assumed without its external id.
    pub without_external_id: Outcome,
    /// The statement that the role's trust policy needs.
    pub trust: Remedy,
    /// What else may be wrong if the role cannot be assumed.
    pub others: Vec<Remedy>,
}
