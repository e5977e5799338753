//! Why a policy cannot be printed.

use super::Template;

/// Why a policy cannot be filled in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Something that the template needs is not there.
    #[error("policy {}: {what} is missing: give {give}", .template.name())]
    Missing {
        /// The template.
        template: Template,
        /// What is missing.
        what: &'static str,
        /// The flag or setting that gives it.
        give: &'static str,
    },
    /// There are several, and the policy is for one.
    #[error("policy {} is for one {what}: pick one by {flag} ({})", .template.name(), .among.join(", "))]
    Several {
        /// The template.
        template: Template,
        /// Of what.
        what: &'static str,
        /// The flag that picks.
        flag: &'static str,
        /// What there is.
        among: Vec<String>,
    },
    /// What is there cannot be used.
    #[error("policy {}: {what}", .template.name())]
    Unusable {
        /// The template.
        template: Template,
        /// What is wrong with it, and what to give in its place.
        what: String,
    },
    /// There is no statement of that name.
    #[error("policy {} has no statement {sid}", .template.name())]
    NoStatement {
        /// The template.
        template: Template,
        /// Its name.
        sid: String,
    },
}
