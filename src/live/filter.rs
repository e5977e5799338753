//! Which calls and refused requests a viewer gets. Pure.

use super::live_call::LiveCall;
use super::refused::{REFUSED, RefusedGroup};
use crate::sources::SourceId;

/// Which calls a viewer gets. Unset members let every call pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this source.
    pub source: Option<SourceId>,
    /// With this type: a call's type, `object`, `rejected` or `refused`.
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

    /// Whether a group of refused requests passes.
    pub fn passes_refused(&self, group: &RefusedGroup) -> bool {
        self.source.as_ref().is_none_or(|source| Some(source.as_str()) == group.source.as_deref())
            && self.kind.as_ref().is_none_or(|kind| kind == REFUSED)
            && self.text.as_ref().is_none_or(|text| group.has(text))
    }
}
