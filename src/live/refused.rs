//! Requests that were refused as a whole: counted by their cause, and shown in groups. None of their calls is
//! shown. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::mask::HIDDEN;
use super::refused_groups::{Group, RefusedGroups};
use super::refused_request::RefusedRequest;
use crate::time::UnixMillis;

/// The word by which refused requests are filtered.
pub const REFUSED: &str = "refused";

/// Requests since the process started, by cause, and the groups that they form. The causes are a closed list.
#[derive(Debug, Default)]
pub(super) struct RefusedRequests {
    kinds: BTreeMap<&'static str, Kind>,
    pub(super) groups: RefusedGroups,
}

#[derive(Debug)]
struct Kind {
    code: &'static str,
    status: u16,
    message: Arc<str>,
    requests: u64,
    last: UnixMillis,
}

/// The requests that were refused as a whole for one cause, as the status has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RefusedKind {
    /// The error code in the answers, such as `invalid_write_key`.
    pub code: Cow<'static, str>,
    /// The cause, such as `unknown_write_key`; several causes may have one code. Empty from older nodes.
    pub cause: Cow<'static, str>,
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

/// Refused requests of one cause and one client, as viewers get them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RefusedGroup {
    /// The group's number, which grows within the process.
    pub id: u64,
    /// Always `refused`: among calls it distinguishes the group.
    #[serde(rename = "type")]
    pub kind: Cow<'static, str>,
    /// The cause.
    pub cause: Cow<'static, str>,
    /// The error code in the answers.
    pub code: Cow<'static, str>,
    /// The HTTP status of the answers.
    pub status: u16,
    /// The method.
    pub method: String,
    /// The path, with nothing of a write key but its beginning.
    pub route: String,
    /// The client's address; hidden unless everything is shown.
    pub address: Option<String>,
    /// The client's `User-Agent`; hidden if it may be personal, unless everything is shown.
    pub agent: Option<String>,
    /// The source, if it is known.
    pub source: Option<String>,
    /// The beginning of the write key, if there is one.
    pub key: Option<String>,
    /// The message of the last answer.
    pub message: String,
    /// What to change, so that such requests are taken.
    pub remedy: Cow<'static, str>,
    /// How many.
    pub requests: u64,
    /// When the first one came.
    #[serde(rename = "first_ms")]
    pub first: UnixMillis,
    /// When the last one came.
    #[serde(rename = "last_ms")]
    pub last: UnixMillis,
}

/// Groups of refused requests, the one with the last request first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RefusedList {
    /// The groups.
    pub groups: Vec<RefusedGroup>,
    /// Further groups that fit, and are left out here.
    pub more: u64,
    /// Groups that newer ones displaced, of all sources, since the process started.
    pub dropped_groups: u64,
    /// The requests in these groups.
    pub dropped_requests: u64,
}

impl RefusedRequests {
    /// Counts one.
    pub(super) fn count(&mut self, request: RefusedRequest<'_>, at: UnixMillis) {
        let message: Arc<str> = request.message.into();
        let RefusedRequest { status, code, cause, .. } = request;
        let kind = self.kinds.entry(cause).or_insert_with(|| Kind {
            code,
            status,
            message: Arc::clone(&message),
            requests: 0,
            last: at,
        });
        kind.requests = kind.requests.saturating_add(1);
        (kind.status, kind.last, kind.message) = (status, at, Arc::clone(&message));
        self.groups.add(request, message, at);
    }

    /// All kinds, the last one first.
    pub(super) fn kinds(&self) -> Vec<RefusedKind> {
        let kinds = self.kinds.iter().map(|(cause, kind)| RefusedKind {
            code: kind.code.into(),
            cause: (*cause).into(),
            status: kind.status,
            message: kind.message.as_ref().to_owned(),
            requests: kind.requests,
            last: kind.last,
        });
        let mut kinds: Vec<RefusedKind> = kinds.collect();
        kinds.sort_by_key(|kind| std::cmp::Reverse(kind.last));
        kinds
    }
}

impl RefusedGroup {
    /// A group as it is shown. `full`: nothing is hidden.
    pub(super) fn of(group: &Group, full: bool) -> Self {
        let address = group.address.map(|address| address.to_string());
        let agent = Some(&group.agent).filter(|agent| !agent.is_empty());
        let hidden = |text: String, shows: bool| if shows { text } else { HIDDEN.to_owned() };
        Self {
            id: group.id,
            kind: REFUSED.into(),
            cause: group.cause.into(),
            code: group.code.into(),
            status: group.status,
            method: group.method.to_string(),
            route: group.route.to_string(),
            address: address.map(|address| hidden(address, full)),
            agent: agent.map(|agent| hidden(agent.to_string(), full || is_of_a_program(agent))),
            source: group.source.as_ref().map(ToString::to_string),
            key: group.key.as_ref().map(ToString::to_string),
            message: group.message.as_ref().to_owned(),
            remedy: group.remedy.into(),
            requests: group.requests,
            first: group.first,
            last: group.last,
        }
    }

    /// Whether a text in lower case is in what is shown.
    pub(super) fn has(&self, text: &str) -> bool {
        let optional = [&self.address, &self.agent, &self.source, &self.key].into_iter().flatten();
        let others = [&*self.cause, &*self.code, &self.method, &self.route, &self.message, &*self.remedy];
        let mut texts = optional.map(String::as_str).chain(others);
        texts.any(|shown| shown.to_lowercase().contains(text))
    }
}

/// Whether a text could be the user agent of a program or a browser: a client may write anything there, such
/// as the e-mail address of its user.
fn is_of_a_program(agent: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "/._+- ();:,".contains(c);
    // An `@` only begins the scope of a package.
    agent.strip_prefix('@').unwrap_or(agent).chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::super::refused_request::tests::request;
    use super::*;

    #[test]
    fn requests_are_counted_by_cause_and_the_last_message_is_kept() {
        let mut refused = RefusedRequests::default();
        let json = |message| RefusedRequest {
            status: 400,
            code: "invalid_json",
            cause: "invalid_json",
            message,
            ..request()
        };
        refused.count(json("at byte 1"), UnixMillis(1));
        refused.count(RefusedRequest { cause: "bearer_token", ..request() }, UnixMillis(2));
        refused.count(request(), UnixMillis(3));
        refused.count(json("at byte 9"), UnixMillis(4));
        let kinds = refused.kinds();
        let seen: Vec<_> =
            kinds.iter().map(|kind| (&*kind.cause, &*kind.code, kind.requests, &*kind.message)).collect();
        assert_eq!(
            seen,
            [
                ("invalid_json", "invalid_json", 2, "at byte 9"),
                ("unknown_write_key", "invalid_write_key", 1, "no source has it"),
                ("bearer_token", "invalid_write_key", 1, "no source has it"),
            ]
        );
    }

    #[test]
    fn a_group_hides_who_the_client_is_unless_everything_is_shown() {
        let shown = |agent: &str, full: bool| {
            let mut refused = RefusedRequests::default();
            refused.count(RefusedRequest { agent, ..request() }, UnixMillis(1));
            RefusedGroup::of(&refused.groups.newest()[0], full)
        };
        let full = shown("ann@example.com", true);
        assert_eq!(
            (full.address.as_deref(), full.agent.as_deref()),
            (Some("192.0.2.7"), Some("ann@example.com"))
        );
        let masked = shown("ann@example.com", false);
        assert_eq!((masked.address.as_deref(), masked.agent.as_deref()), (Some(HIDDEN), Some(HIDDEN)));
        assert_eq!((masked.route.as_str(), masked.key.as_deref()), ("/v1/batch", Some("my…")));
        let agent = "@segment/analytics-node/2.1.3 (linux; x64)";
        assert_eq!(shown(agent, false).agent.as_deref(), Some(agent));
        assert_eq!(shown("", true).agent, None);
    }
}
