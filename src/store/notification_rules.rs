//! The rules by which a bucket sends notifications, and which of them S3 refuses beside each other. Pure.
//!
//! S3 keeps one list of rules for a bucket, and a put replaces all of them. Two rules may not have an event
//! in common for the same key, whatever they send to ("Configuring event notifications using object key name
//! filtering", S3 User Guide).

use std::fmt;

use serde::Serialize;

use crate::words::outside_text;

/// What a rule sends to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SendsTo {
    /// A queue of SQS.
    Queue,
    /// A topic of SNS.
    Topic,
    /// A function of Lambda.
    Function,
}

/// A rule: which events of which keys are sent where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct NotificationRule {
    /// What it sends to.
    pub to: SendsTo,
    /// Its id, unique in the bucket; empty if the store gives none.
    pub id: String,
    /// The ARN that it sends to.
    pub arn: String,
    /// The events, such as `s3:ObjectCreated:*`.
    pub events: Vec<String>,
    /// The names and values of its filters. Names are in lower case: `prefix` and `suffix`.
    pub filters: Vec<(String, String)>,
}

impl NotificationRule {
    /// What keys begin with of which it sends.
    pub fn prefix(&self) -> &str {
        self.filter("prefix")
    }

    /// What these keys end with.
    pub fn suffix(&self) -> &str {
        self.filter("suffix")
    }

    fn filter(&self, name: &str) -> &str {
        self.filters.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// Whether an event of a key may be one of both rules, so that S3 refuses them beside each other.
    pub fn overlaps(&self, other: &Self) -> bool {
        let has_events =
            self.events.iter().any(|one| other.events.iter().any(|another| in_common(one, another)));
        let (one, another) = (self.prefix(), other.prefix());
        let has_begin = one.starts_with(another) || another.starts_with(one);
        let (one, another) = (self.suffix(), other.suffix());
        has_events && has_begin && (one.ends_with(another) || another.ends_with(one))
    }

    /// Whether it sends whatever `other` sends.
    pub fn covers(&self, other: &Self) -> bool {
        let has_event =
            |event: &String| self.events.iter().any(|own| own == event || begins(own, event).is_some());
        other.events.iter().all(has_event)
            && other.prefix().starts_with(self.prefix())
            && other.suffix().ends_with(self.suffix())
            && self.filters.iter().all(|(name, _)| matches!(name.as_str(), "prefix" | "suffix"))
    }
}

/// Whether two names of events mean an event in common: `s3:ObjectCreated:*` means each that begins so.
fn in_common(one: &str, another: &str) -> bool {
    one == another || begins(one, another).is_some() || begins(another, one).is_some()
}

/// What `event` has after the beginning that a name with a `*` at its end means.
fn begins<'e>(name: &str, event: &'e str) -> Option<&'e str> {
    event.strip_prefix(name.strip_suffix('*')?)
}

/// The rule for people: what it is, its id, what it sends, and where to.
impl fmt::Display for NotificationRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to = match self.to {
            SendsTo::Queue => "queue",
            SendsTo::Topic => "topic",
            SendsTo::Function => "function",
        };
        let (id, arn, events) = (outside_text(&self.id), outside_text(&self.arn), self.events.join(", "));
        write!(f, "{id} ({} ", outside_text(&events))?;
        match self.prefix() {
            "" => f.write_str("of all keys")?,
            prefix => write!(f, "of keys that begin with {}", outside_text(prefix))?,
        }
        if !self.suffix().is_empty() {
            write!(f, " and end with {}", outside_text(self.suffix()))?;
        }
        write!(f, ", to the {to} {arn})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(to: SendsTo, id: &str, events: &[&str], [prefix, suffix]: [&str; 2]) -> NotificationRule {
        let filters = [("prefix", prefix), ("suffix", suffix)];
        let filters = filters.into_iter().filter(|(_, value)| !value.is_empty());
        NotificationRule {
            to,
            id: id.to_owned(),
            arn: format!("arn:aws:sqs:eu-west-1:111122223333:{id}"),
            events: events.iter().map(|event| (*event).to_owned()).collect(),
            filters: filters.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        }
    }

    const CREATED: &str = "s3:ObjectCreated:*";

    #[test]
    fn rules_with_an_event_of_a_key_in_common_overlap() {
        let check = |events: [&[&str]; 2], one: [&str; 2], another: [&str; 2], expected: bool| {
            for to in [SendsTo::Queue, SendsTo::Topic, SendsTo::Function] {
                let (one, another) =
                    (rule(SendsTo::Queue, "a", events[0], one), rule(to, "b", events[1], another));
                assert_eq!(one.overlaps(&another), expected, "{one} {another}");
                assert_eq!(another.overlaps(&one), expected, "{another} {one}");
            }
        };
        let created: [&[&str]; 2] = [&[CREATED], &[CREATED]];
        // Prefixes: equal, one within the other, one beside the other, none.
        check(created, ["in/", ""], ["in/", ""], true);
        check(created, ["in/", ""], ["in/a/", ""], true);
        check(created, ["in", ""], ["in-old/", ""], true);
        check(created, ["in/", ""], ["out/", ""], false);
        check(created, ["in/a", ""], ["in/b", ""], false);
        check(created, ["", ""], ["in/", ""], true);
        check(created, ["", ""], ["", ""], true);
        // Suffixes: a key can have any prefix and any suffix, so a rule with one of both meets the other.
        check(created, ["in/", ""], ["in/", ".json"], true);
        check(created, ["in/", ""], ["", ".json"], true);
        check(created, ["in/", ""], ["out/", ".json"], false);
        check(created, ["in/", ".gz"], ["in/", ".json"], false);
        check(created, ["in/", ".json.gz"], ["in/", ".gz"], true);
        check(created, ["in/", ".gz"], ["out/", ".gz"], false);
        // Events: the same, one that another one means, others, several.
        let put: &[&str] = &["s3:ObjectCreated:Put"];
        let removed: &[&str] = &["s3:ObjectRemoved:*", "s3:ObjectRemoved:Delete"];
        check([&[CREATED], put], ["in/", ""], ["in/", ""], true);
        check([put, put], ["in/", ""], ["in/", ""], true);
        check([put, &["s3:ObjectCreated:Copy"]], ["in/", ""], ["in/", ""], false);
        check([&[CREATED], removed], ["in/", ""], ["in/", ""], false);
        check([&[CREATED], &["s3:ObjectRemoved:*", put[0]]], ["in/", ""], ["in/", ""], true);
        check([&[CREATED], &["s3:ObjectTagging:*", "s3:Replication:*"]], ["", ""], ["", ""], false);
        check([&[CREATED], &["s3:ObjectCreatedLater"]], ["", ""], ["", ""], false);
        check([&[CREATED], &[]], ["", ""], ["", ""], false);
    }

    #[test]
    fn a_rule_covers_what_it_sends_as_well() {
        let check = |events: &[&str], filters: [&str; 2], expected: bool| {
            let wanted = rule(SendsTo::Queue, "a", &[CREATED], ["in/a/", ""]);
            assert_eq!(rule(SendsTo::Queue, "b", events, filters).covers(&wanted), expected, "{filters:?}");
        };
        check(&[CREATED], ["in/a/", ""], true);
        check(&[CREATED, "s3:ObjectRemoved:*"], ["in/", ""], true);
        check(&[CREATED], ["", ""], true);
        check(&["s3:ObjectCreated:Put"], ["", ""], false);
        check(&[CREATED], ["in/a/b", ""], false);
        check(&[CREATED], ["in/", ".json"], false);
        check(&[CREATED], ["out/", ""], false);
    }

    #[test]
    fn a_rule_is_shown_with_its_keys() {
        let shown = |filters| rule(SendsTo::Topic, "b\u{1b}", &[CREATED], filters).to_string();
        assert_eq!(
            shown(["in/", ".gz"]),
            "b\\u{1b} (s3:ObjectCreated:* of keys that begin with in/ and end with .gz, to the topic \
             arn:aws:sqs:eu-west-1:111122223333:b\\u{1b})"
        );
        assert!(shown(["", ""]).contains("s3:ObjectCreated:* of all keys, to"));
    }
}
