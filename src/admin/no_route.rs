//! Why the admin listener has no route for a request.

/// Why there is no route for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoRoute {
    /// No such path.
    Path,
    /// The path needs another method.
    Method { allow: &'static str },
    /// The query is not understood.
    Query(String),
}
