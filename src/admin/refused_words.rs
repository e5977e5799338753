//! Refused requests in words. Pure.

use super::status::Status;
use crate::live::mask::HIDDEN;
use crate::live::{RefusedGroup, RefusedKind};
use crate::log::{LOCATION_FULL, SPOOL_FULL};
use crate::sources::SourceId;
use crate::words::{about_seconds, counted, outside_message, outside_text};

/// The groups that the status has.
pub const IN_STATUS_MAX: usize = 5;
/// Of these, the groups that a text shows: more would push the sources off a small screen.
const IN_TEXT_MAX: usize = 3;
/// How long refused requests are shown in the status after the last one, in seconds.
const SHOWN_FOR: u64 = 600;
/// Codes of requests that were refused for lack of space: there are alarms about them.
const FOR_SPACE: [&str; 2] = [SPOOL_FULL, LOCATION_FULL];

impl RefusedGroup {
    /// The answer, the route and the client: `401 unknown_write_key, POST /v1/batch, key ab…, curl/8.5.0 from
    /// 192.0.2.7`.
    pub fn in_words(&self) -> String {
        let Self { status, cause, method, route, .. } = self;
        let (cause, method, route) = (outside_text(cause), outside_text(method), outside_text(route));
        let mut words = format!("{status} {cause}, {method} {route}");
        for (name, value) in [("source", &self.source), ("key", &self.key)] {
            words.extend(value.iter().map(|value| format!(", {name} {}", outside_text(value))));
        }
        let agent = self.agent.as_deref().unwrap_or("a client without a name");
        words.push_str(&format!(", {}", outside_text(agent)));
        words.extend(self.address.iter().map(|address| format!(" from {}", outside_text(address))));
        words
    }

    /// Why, and what to change. A message's first part is enough: the list of all routes is for programs.
    pub fn advice(&self) -> String {
        let message = self.message.split("; ").next().unwrap_or_default();
        let (message, remedy) = (outside_message(message), outside_message(&self.remedy));
        format!("{message}. To change: {remedy}")
    }

    /// All of it as one text. `known`: what is constant about the group was said before.
    pub fn text(&self, known: bool) -> String {
        let requests = counted(self.requests, "request", "requests");
        match known {
            true => format!("{}: {requests} now", self.in_words()),
            false => format!("{}, {requests}: {}", self.in_words(), self.advice()),
        }
    }
}

impl Status {
    /// The requests that were refused lately, one text a line: those of one source and those of no known
    /// source, or all. Requests that were refused for lack of space have an alarm.
    pub fn refused_lately(&self, source: Option<&SourceId>) -> Vec<String> {
        let ago = |last_ms: i64| u64::try_from(self.now_ms.saturating_sub(last_ms) / 1_000).unwrap_or(0);
        let shows = |code: &str, last_ms| !FOR_SPACE.contains(&code) && ago(last_ms) < SHOWN_FOR;
        let list = &self.refused_requests;
        let groups = list.groups.iter().filter(|group| shows(&group.code, group.last.0));
        let wanted = |group: &&RefusedGroup| {
            source.is_none_or(|id| group.source.as_ref().is_none_or(|other| other == id.as_str()))
        };
        let groups: Vec<&RefusedGroup> = groups.filter(wanted).collect();
        let mut lines: Vec<String> = groups
            .iter()
            .take(IN_TEXT_MAX)
            .flat_map(|group| {
                let requests = counted(group.requests, "request", "requests");
                let last = about_seconds(ago(group.last.0));
                [format!("{requests} with {}, the last {last} ago", group.in_words()), group.advice()]
            })
            .collect();
        let is_hidden = |group: &&RefusedGroup| group.address.as_deref() == Some(HIDDEN);
        if groups.iter().take(IN_TEXT_MAX).any(is_hidden) {
            let hint =
                "addresses of clients are hidden: admin.live_view = \"full\" shows those of later requests";
            lines.push(hint.to_owned());
        }
        let more = list.more.saturating_add(groups.len().saturating_sub(IN_TEXT_MAX) as u64);
        if groups.is_empty() {
            // Nodes without groups have the kinds alone, and others have no group here if those for lack of
            // space are the newest.
            let kinds = self.refusals.iter().filter(|kind| shows(&kind.code, kind.last.0));
            lines.extend(kinds.map(|kind| of_kind(kind, ago(kind.last.0))));
        } else if more > 0 {
            let more = counted(more, "more group", "more groups");
            lines.push(format!("and {more}: `forebay tail --type refused`, the console, or /api/refused"));
        }
        lines
    }
}

fn of_kind(kind: &RefusedKind, ago: u64) -> String {
    let RefusedKind { code, status, message, requests, .. } = kind;
    let requests = counted(*requests, "request", "requests");
    let (code, message) = (outside_text(code), outside_text(message));
    format!("{requests} with {status} {code} ({message}), the last {} ago", about_seconds(ago))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::RefusedList;
    use crate::time::UnixMillis;

    fn group(code: &str, source: Option<&str>, last: i64) -> RefusedGroup {
        RefusedGroup {
            cause: "unknown_write_key".into(),
            code: code.to_owned().into(),
            status: 401,
            method: "POST".into(),
            route: "/v1/batch".into(),
            address: Some("192.0.2.7".into()),
            agent: Some("curl/8.5.0\u{1b}[31m".into()),
            source: source.map(str::to_owned),
            key: Some("my…".into()),
            message: "no source has the key; and more".into(),
            remedy: "correct it".into(),
            requests: 1_234,
            last: UnixMillis(last),
            ..RefusedGroup::default()
        }
    }

    #[test]
    fn the_status_shows_the_groups_of_late_and_what_to_change() {
        let groups = vec![
            group("invalid_write_key", None, 995_000),
            group("invalid_json", Some("web"), 990_000),
            group("spool_full", None, 990_000),
            group("invalid_json", Some("web"), 0),
        ];
        let list = RefusedList { groups, more: 7, ..RefusedList::default() };
        let status = Status { now_ms: 1_000_000, refused_requests: list, ..Status::default() };
        let words = "401 unknown_write_key, POST /v1/batch, key my…, curl/8.5.0\\u{1b}[31m from 192.0.2.7";
        let advice = "no source has the key. To change: correct it";
        let all = status.refused_lately(None);
        assert_eq!(all[0], format!("1,234 requests with {words}, the last 5 s ago"));
        assert_eq!((all[1].as_str(), all.len()), (advice, 5), "{all:?}");
        assert!(all[2].contains(", source web, ") && all[4].starts_with("and 7 more groups"), "{all:?}");
        let id = SourceId::new("ios").unwrap();
        assert_eq!(status.refused_lately(Some(&id)).len(), 3);
        let hidden =
            RefusedGroup { address: Some(HIDDEN.to_owned()), ..group("invalid_json", None, 990_000) };
        let list = RefusedList { groups: vec![hidden], ..RefusedList::default() };
        let lines =
            Status { now_ms: 1_000_000, refused_requests: list, ..Status::default() }.refused_lately(None);
        assert!(lines[2].contains("admin.live_view = \"full\""), "{lines:?}");
    }

    #[test]
    fn a_group_that_is_known_says_its_count() {
        let mut group = group("invalid_write_key", None, 0);
        group.agent = None;
        let words = "401 unknown_write_key, POST /v1/batch, key my…, a client without a name from 192.0.2.7";
        assert_eq!(group.text(true), format!("{words}: 1,234 requests now"));
        let whole = group.text(false);
        assert!(whole.starts_with(words) && whole.ends_with("To change: correct it"), "{whole}");
    }
}
