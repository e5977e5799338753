//! Counts requests that were refused as a whole, by error code. None of their calls is shown. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::time::UnixMillis;

/// Requests since the process started, by the error code in their answers. The codes are a closed list.
#[derive(Debug, Default)]
pub struct RefusedRequests(BTreeMap<&'static str, RefusedKind>);

/// The requests that were refused as a whole with one code, as the status has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RefusedKind {
    /// The error code in the answers, such as `invalid_write_key`.
    pub code: Cow<'static, str>,
    /// The HTTP status of the last answer.
    pub status: u16,
    /// The message of the last answer.
    pub message: String,
    /// How many.
    pub requests: u64,
    /// When the last one came.
    #[serde(rename = "last_ms")]
    pub last: UnixMillis,
}

impl RefusedRequests {
    /// Counts one.
    pub fn count(&mut self, status: u16, code: &'static str, message: String, at: UnixMillis) {
        let requests = self.0.get(code).map_or(1, |kind| kind.requests.saturating_add(1));
        self.0.insert(code, RefusedKind { code: code.into(), status, message, requests, last: at });
    }

    /// All kinds, the last one first.
    pub fn kinds(&self) -> Vec<RefusedKind> {
        let mut kinds: Vec<RefusedKind> = self.0.values().cloned().collect();
        kinds.sort_by_key(|kind| std::cmp::Reverse(kind.last));
        kinds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_code_and_the_last_message_is_kept() {
        let mut refused = RefusedRequests::default();
        refused.count(400, "invalid_json", "at byte 1".to_owned(), UnixMillis(1));
        refused.count(401, "invalid_write_key", "unknown".to_owned(), UnixMillis(2));
        refused.count(400, "invalid_json", "at byte 9".to_owned(), UnixMillis(3));
        let kinds = refused.kinds();
        let seen: Vec<_> =
            kinds.iter().map(|kind| (&*kind.code, kind.requests, kind.message.as_str())).collect();
        assert_eq!(seen, [("invalid_json", 2, "at byte 9"), ("invalid_write_key", 1, "unknown")]);
    }
}
