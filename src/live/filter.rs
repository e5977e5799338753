//! Which sampled calls a viewer gets. Pure.

use super::live_call::LiveCall;
use crate::sources::SourceId;

/// The longest text to search for, in bytes.
pub const TEXT_MAX: usize = 200;

/// Which calls a viewer gets. Unset members let every call pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this source.
    pub source: Option<SourceId>,
    /// With this type: a call's type, `object` or `rejected`.
    pub kind: Option<String>,
    /// With this text in what is shown of them, in lower case.
    pub text: Option<String>,
}

impl Filter {
    /// Whether a call passes.
    pub fn passes(&self, call: &LiveCall) -> bool {
        self.source.as_ref().is_none_or(|source| *source == call.source)
            && self.kind.as_ref().is_none_or(|kind| kind == call.filter_type())
            && self.text.as_ref().is_none_or(|text| call.searched().contains(text))
    }
}
