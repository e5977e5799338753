//! The six kinds of call, and the shapes of a request.

closed_list! {
    /// The kind of a call, by its name in the tracking API's `type`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum CallKind by name and from_name {
        /// What a user did.
        Track = "track",
        /// Who a user is.
        Identify = "identify",
        /// A page viewed.
        Page = "page",
        /// A screen viewed.
        Screen = "screen",
        /// A group that a user belongs to.
        Group = "group",
        /// Two ids of one user.
        Alias = "alias",
    }
}

/// What a route expects in the body. Each route of calls also accepts the other shape (an envelope is
/// recognised by its `batch` array).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `{"batch":[…]}`: each item has its own `type`.
    Envelope,
    /// One call; the route decides its `type`.
    Single(CallKind),
    /// `{"collection":"…","objects":[…]}`: objects that are set.
    ObjectSets,
}
