//! The six kinds of call, and the shapes of a request.

/// The kind of a call: the tracking API's `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallKind {
    /// What a user did.
    Track,
    /// Who a user is.
    Identify,
    /// A page viewed.
    Page,
    /// A screen viewed.
    Screen,
    /// A group that a user belongs to.
    Group,
    /// Two ids of one user.
    Alias,
}

impl CallKind {
    /// The name in the `type` field.
    pub fn name(self) -> &'static str {
        match self {
            Self::Track => "track",
            Self::Identify => "identify",
            Self::Page => "page",
            Self::Screen => "screen",
            Self::Group => "group",
            Self::Alias => "alias",
        }
    }

    /// The kind with this name, compared case-sensitively.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Track, Self::Identify, Self::Page, Self::Screen, Self::Group, Self::Alias]
            .into_iter()
            .find(|kind| kind.name() == name)
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
