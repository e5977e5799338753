//! What a caller of the admin listener may do.

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// See everything, change nothing.
    Read,
    /// Everything.
    Admin,
}
