//! What is said of an alarm, in the form that its receiver understands. Pure.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::alarms::Alarm;
use crate::time::UnixMillis;
use crate::words::date::rfc3339;
use crate::words::outside_text_within;

/// The most bytes of an alarm's text in a notice. PagerDuty takes 1,024 characters of a summary.
const TEXT_BYTES_MAX: usize = 640;
/// The most bytes of an alarm's subject in a sentence.
const SUBJECT_BYTES_MAX: usize = 160;
/// The most characters of a key of PagerDuty.
const KEY_LEN_MAX: usize = 255;
/// Where PagerDuty takes events (Events API v2).
pub const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";

/// What happened to an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeEvent {
    /// It was raised.
    Raised,
    /// It was cleared.
    Cleared,
    /// Nothing: somebody tests whether notices arrive.
    Test,
}

/// The form of a notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoticeForm {
    /// One object with every member.
    Json,
    /// What an incoming webhook of Slack takes: `text`.
    Slack,
    /// What a workflow of Teams takes: a card.
    Teams,
    /// An event of PagerDuty.
    PagerDuty {
        /// The key of the integration, a secret.
        routing_key: RoutingKey,
    },
}

impl NoticeForm {
    /// Its name in the configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Slack => "slack",
            Self::Teams => "teams",
            Self::PagerDuty { .. } => "pagerduty",
        }
    }
}

/// The key of an integration of PagerDuty. Its text is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct RoutingKey(String);

impl RoutingKey {
    /// 32 letters and digits. Errors: what is wrong, without the key.
    pub fn of(text: &str) -> Result<Self, &'static str> {
        let is_key = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if is_key {
            Ok(Self(text.to_owned()))
        } else {
            Err("expected the 32 letters and digits of an integration key")
        }
    }
}

impl std::fmt::Debug for RoutingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RoutingKey(hidden)")
    }
}

/// What is said of one alarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What happened.
    pub event: NoticeEvent,
    /// The node.
    pub node: String,
    /// The kind of the alarm.
    pub kind: String,
    /// Its subject.
    pub subject: String,
    /// What happened and what to do.
    pub what: String,
    /// When the alarm was raised.
    pub since: UnixMillis,
    /// When this notice was made.
    pub at: UnixMillis,
    /// How many other alarms stand.
    pub others: usize,
}

impl Notice {
    /// A notice that tests whether notices arrive.
    pub fn test(node: &str, at: UnixMillis) -> Self {
        let what = "this is a test: alarms of this node arrive here; nothing is wrong";
        Self {
            event: NoticeEvent::Test,
            node: node.to_owned(),
            kind: "test".to_owned(),
            subject: "webhook".to_owned(),
            what: what.to_owned(),
            since: at,
            at,
            others: 0,
        }
    }

    /// A notice about an alarm.
    pub(super) fn of(event: NoticeEvent, node: &str, alarm: &Alarm, at: UnixMillis, others: usize) -> Self {
        Self {
            event,
            node: node.to_owned(),
            kind: alarm.kind.slug().to_owned(),
            subject: alarm.subject.clone(),
            what: alarm.what.clone(),
            since: alarm.since,
            at,
            others,
        }
    }

    /// The bodies to post, in this order. A test of PagerDuty opens an incident and ends it.
    pub fn bodies(&self, form: &NoticeForm) -> Vec<Vec<u8>> {
        let value = |value: Value| value.to_string().into_bytes();
        match form {
            NoticeForm::Json => vec![value(self.json())],
            NoticeForm::Slack => vec![value(json!({ "text": escaped_for_slack(&self.text()) }))],
            NoticeForm::Teams => vec![value(self.card())],
            NoticeForm::PagerDuty { routing_key } => {
                let actions: &[&str] = match self.event {
                    NoticeEvent::Raised => &["trigger"],
                    NoticeEvent::Cleared => &["resolve"],
                    NoticeEvent::Test => &["trigger", "resolve"],
                };
                actions.iter().map(|action| value(self.incident(routing_key, action))).collect()
            }
        }
    }

    fn what(&self) -> String {
        outside_text_within(&self.what, TEXT_BYTES_MAX).to_string()
    }

    /// The notice in one sentence.
    fn text(&self) -> String {
        let Self { node, kind, subject, .. } = self;
        let about = outside_text_within(subject, SUBJECT_BYTES_MAX);
        let others = match self.others {
            0 => String::new(),
            1 => " One other alarm stands.".to_owned(),
            others => format!(" {others} other alarms stand."),
        };
        match self.event {
            NoticeEvent::Raised => {
                format!(
                    "Forebay {node}, alarm {kind} ({about}): {}.{others} See `forebay status`.",
                    self.what()
                )
            }
            NoticeEvent::Cleared => {
                format!(
                    "Forebay {node}, alarm {kind} ({about}) has ended: it stood since {}.{others}",
                    rfc3339(self.since)
                )
            }
            NoticeEvent::Test => format!("Forebay {node}: {}.", self.what()),
        }
    }

    fn json(&self) -> Value {
        let event = match self.event {
            NoticeEvent::Raised => "alarm_raised",
            NoticeEvent::Cleared => "alarm_cleared",
            NoticeEvent::Test => "alarm_test",
        };
        json!({
            "event": event,
            "key": self.key(),
            "node": self.node,
            "kind": self.kind,
            "subject": self.subject,
            "what": self.what(),
            "text": self.text(),
            "since": rfc3339(self.since),
            "at": rfc3339(self.at),
            "others": self.others,
        })
    }

    fn card(&self) -> Value {
        let text = json!({ "type": "TextBlock", "wrap": true, "text": self.text() });
        let content = json!({
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard",
            "version": "1.4",
            "body": [text],
        });
        let card = json!({ "contentType": "application/vnd.microsoft.card.adaptive", "content": content });
        json!({ "type": "message", "attachments": [card] })
    }

    fn incident(&self, routing_key: &RoutingKey, action: &str) -> Value {
        let mut event =
            json!({ "routing_key": routing_key.0, "event_action": action, "dedup_key": self.key() });
        if action == "trigger" {
            let severity = if self.event == NoticeEvent::Test { "info" } else { "critical" };
            let payload = json!({
                "summary": self.text(),
                "source": self.node,
                "severity": severity,
                "timestamp": rfc3339(self.since),
                "component": "forebay",
                "class": self.kind,
                "custom_details": { "subject": self.subject, "what": self.what() },
            });
            event.as_object_mut().map(|event| event.insert("payload".to_owned(), payload));
        }
        event
    }

    /// What a receiver recognises the alarm by: the same for its beginning and its end, also after a restart.
    fn key(&self) -> String {
        let key = format!("forebay/{}/{}/{}", self.node, self.kind, self.subject);
        if key.chars().count() <= KEY_LEN_MAX { key } else { hex::encode(Sha256::digest(key)) }
    }
}

/// Slack reads `<…>` and `&` as markup.
fn escaped_for_slack(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alarms::AlarmKind;

    fn notice(event: NoticeEvent) -> Notice {
        let alarm = Alarm {
            kind: AlarmKind::Refused,
            subject: "lake".to_owned(),
            what: "403 <AccessDenied> & more; grant s3:PutObject".to_owned(),
            since: UnixMillis(0),
        };
        Notice::of(event, "n1", &alarm, UnixMillis(61_000), 2)
    }

    fn posted(event: NoticeEvent, form: &NoticeForm) -> Vec<Value> {
        let bodies = notice(event).bodies(form);
        bodies.iter().map(|body| serde_json::from_slice(body).unwrap()).collect()
    }

    #[test]
    fn json_has_every_member_and_a_sentence() {
        let said = posted(NoticeEvent::Raised, &NoticeForm::Json).remove(0);
        assert_eq!(
            said,
            json!({
                "event": "alarm_raised",
                "key": "forebay/n1/refused/lake",
                "node": "n1",
                "kind": "refused",
                "subject": "lake",
                "what": "403 <AccessDenied> & more; grant s3:PutObject",
                "text": "Forebay n1, alarm refused (lake): 403 <AccessDenied> & more; grant s3:PutObject. 2 other alarms \
                         stand. See `forebay status`.",
                "since": "1970-01-01T00:00:00.000Z",
                "at": "1970-01-01T00:01:01.000Z",
                "others": 2,
            })
        );
        let ended = posted(NoticeEvent::Cleared, &NoticeForm::Json).remove(0);
        assert_eq!((&ended["event"], &ended["key"]), (&json!("alarm_cleared"), &said["key"]));
    }

    #[test]
    fn slack_and_teams_get_the_sentence() {
        let slack = posted(NoticeEvent::Raised, &NoticeForm::Slack).remove(0);
        assert_eq!(slack.as_object().unwrap().len(), 1);
        assert!(slack["text"].as_str().unwrap().contains("403 &lt;AccessDenied&gt; &amp; more"), "{slack}");
        let teams = posted(NoticeEvent::Cleared, &NoticeForm::Teams).remove(0);
        let text = &teams["attachments"][0]["content"]["body"][0]["text"];
        assert_eq!(
            text,
            "Forebay n1, alarm refused (lake) has ended: it stood since 1970-01-01T00:00:00.000Z. 2 other alarms stand."
        );
    }

    #[test]
    fn an_incident_ends_by_the_key_that_it_began_with() {
        let form = NoticeForm::PagerDuty { routing_key: RoutingKey::of(&"k".repeat(32)).unwrap() };
        let [raised, cleared] =
            [NoticeEvent::Raised, NoticeEvent::Cleared].map(|event| posted(event, &form).remove(0));
        assert_eq!(
            (&raised["event_action"], &cleared["event_action"]),
            (&json!("trigger"), &json!("resolve"))
        );
        assert_eq!(raised["dedup_key"], cleared["dedup_key"]);
        assert_eq!(raised["payload"]["severity"], "critical");
        let test = Notice::test("n1", UnixMillis(0)).bodies(&form);
        assert_eq!(test.len(), 2, "the incident of a test ends at once");
        assert!(!format!("{form:?}").contains("kkk"), "{form:?}");
        RoutingKey::of("too short").unwrap_err();
    }

    #[test]
    fn long_texts_and_keys_are_cut() {
        let mut long = notice(NoticeEvent::Raised);
        long.what = "w".repeat(10_000);
        long.subject = "s".repeat(300);
        let form = NoticeForm::PagerDuty { routing_key: RoutingKey::of(&"k".repeat(32)).unwrap() };
        let said: Value = serde_json::from_slice(&long.bodies(&form)[0]).unwrap();
        assert_eq!(said["dedup_key"].as_str().unwrap().len(), 64);
        long.subject = "s".repeat(100);
        let said: Value = serde_json::from_slice(&long.bodies(&form)[0]).unwrap();
        assert!(said["payload"]["summary"].as_str().unwrap().chars().count() <= 1_024, "{said}");
    }
}
