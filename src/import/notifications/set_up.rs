//! What is to be changed in a bucket, so that it sends the notifications of an import to its queue, or sends
//! them no longer. Pure.

use crate::store::notification_rules::{NotificationRule, SendsTo};

/// What an import needs to know of.
const CREATED: &str = "s3:ObjectCreated:*";
/// What the ids begin with of rules that Forebay makes.
const ID: &str = "forebay-";

/// What is to be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing: this rule sends what is wanted.
    IsThere(NotificationRule),
    /// Rules of the queue, removed, and one put in their place.
    Put {
        /// Those that are removed.
        removed: Vec<NotificationRule>,
        /// The one that is put.
        added: NotificationRule,
    },
}

/// A rule of the bucket that does not let the wanted one be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The rule that is there.
    pub rule: Box<NotificationRule>,
    /// Why S3 would refuse, and what to do.
    pub what: String,
}

/// The rule that sends what an import of `prefix` needs to the queue with this ARN.
///
/// Two collectors may have imports of one name in one bucket, so the id depends on the queue, too.
pub fn wanted_rule(import: &str, queue: &str, prefix: &str) -> NotificationRule {
    let prefix = sent_prefix(prefix);
    let filters = (!prefix.is_empty()).then(|| ("prefix".to_owned(), prefix.to_owned()));
    NotificationRule {
        to: SendsTo::Queue,
        id: format!("{ID}{import}-{:08x}", crc32fast::hash(queue.as_bytes())),
        arn: queue.to_owned(),
        events: vec![CREATED.to_owned()],
        filters: filters.into_iter().collect(),
    }
}

/// The beginning of a prefix that means the same in every store.
///
/// S3 compares with the URL-encoded key, other stores with the key itself, so a filter ends before the first
/// character that is encoded ("Safe characters", S3 User Guide), and before a `*`, which it does not allow.
/// The import passes over what is not below its prefix.
fn sent_prefix(prefix: &str) -> &str {
    let is_safe =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '!' | '-' | '_' | '.' | '\'' | '(' | ')');
    prefix.split(|c| !is_safe(c)).next().unwrap_or_default()
}

/// Whether Forebay made a rule for the queue with this ARN, under whatever name of its import.
fn is_ours(rule: &NotificationRule, queue: &str) -> bool {
    rule.to == SendsTo::Queue && rule.arn == queue && rule.id.starts_with(ID)
}

/// What is to be changed so that the bucket sends what is wanted.
/// Errors: [`Conflict`]: S3 would refuse it beside this rule.
pub fn set_up(present: &[NotificationRule], wanted: NotificationRule) -> Result<Change, Conflict> {
    let (ours, others): (Vec<_>, Vec<_>) = present.iter().partition(|rule| is_ours(rule, &wanted.arn));
    let same = |rule: &NotificationRule| rule.events == wanted.events && rule.filters == wanted.filters;
    let of_queue = |rule: &&&NotificationRule| rule.to == SendsTo::Queue && rule.arn == wanted.arn;
    match ours.as_slice() {
        [only] if same(only) => return Ok(Change::IsThere((*only).clone())),
        [] => {
            // One that a person made sends the same, or more than that.
            if let Some(rule) = others.iter().filter(of_queue).find(|rule| rule.covers(&wanted)) {
                return Ok(Change::IsThere((*rule).clone()));
            }
        }
        _ => {}
    }
    for rule in others {
        if rule.id == wanted.id {
            let what = "has the id that the rule of this import gets, and another queue: give it another id, or remove it";
            return Err(Conflict { rule: Box::new(rule.clone()), what: what.to_owned() });
        }
        if !rule.overlaps(&wanted) {
            continue;
        }
        let what = if rule.to == SendsTo::Queue && rule.arn == wanted.arn {
            "sends a part of it to the same queue: remove this rule, and try again"
        } else if rule.to == SendsTo::Queue && rule.id.starts_with(ID) {
            "is of another import, or of this one with another queue_url. If that queue is no longer read, remove this rule \
             (`forebay import setup-notifications NAME --undo` with that queue_url does so); if both read the same files, let the bucket send to a topic of SNS or to \
             EventBridge instead, with a queue for each"
        } else if rule.to == SendsTo::Topic {
            "has keys and events in common: let it send s3:ObjectCreated:* of all keys of this import to its topic, and subscribe the \
             queue to that topic. The bucket then needs no rule for the queue"
        } else {
            "has keys and events in common: let the bucket send to a topic of SNS or to EventBridge instead, which sends to both, or use \
             another prefix"
        };
        return Err(Conflict { rule: Box::new(rule.clone()), what: what.to_owned() });
    }
    Ok(Change::Put { removed: ours.into_iter().cloned().collect(), added: wanted })
}

/// The rules that Forebay made for the queue with this ARN, also if a person changed them.
pub fn ours(present: &[NotificationRule], queue: &str) -> Vec<NotificationRule> {
    present.iter().filter(|rule| is_ours(rule, queue)).cloned().collect()
}

/// Other rules that send to this queue.
pub fn by_others(present: &[NotificationRule], queue: &str) -> Vec<NotificationRule> {
    let others = present.iter().filter(|rule| rule.arn == queue && !is_ours(rule, queue));
    others.cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUEUE: &str = "arn:aws:sqs:eu-west-1:111122223333:files";
    const OTHER: &str = "arn:aws:sqs:eu-west-1:111122223333:other";

    fn wanted() -> NotificationRule {
        wanted_rule("orders", QUEUE, "in/")
    }

    fn rule(to: SendsTo, id: &str, arn: &str, event: &str, prefix: &str) -> NotificationRule {
        let filters = (!prefix.is_empty()).then(|| ("prefix".to_owned(), prefix.to_owned()));
        NotificationRule {
            to,
            id: id.to_owned(),
            arn: arn.to_owned(),
            events: vec![event.to_owned()],
            filters: filters.into_iter().collect(),
        }
    }

    #[test]
    fn the_wanted_rule_follows_from_import_and_queue() {
        let first = wanted();
        assert!(first.id.starts_with("forebay-orders-") && first.id.len() == 23, "{first:?}");
        assert_eq!(first, wanted());
        assert_ne!(first.id, wanted_rule("orders", OTHER, "in/").id);
        assert_eq!(first.filters, [("prefix".to_owned(), "in/".to_owned())]);
        let check = |prefix: &str, sent: &str| {
            let rule = wanted_rule("orders", QUEUE, prefix);
            assert_eq!(
                (rule.prefix(), rule.filters.len()),
                (sent, usize::from(!sent.is_empty())),
                "{prefix}"
            );
        };
        check("", "");
        check("in/a-b_c.d!'()/9", "in/a-b_c.d!'()/9");
        check("in/größe/", "in/gr");
        check("in/two words/", "in/two");
        check("dt=2026/", "dt");
        check("a*b", "a");
        check("é/", "");
    }

    #[test]
    fn what_is_there_decides_what_is_changed() {
        let put =
            |removed: &[NotificationRule]| Ok(Change::Put { removed: removed.to_vec(), added: wanted() });
        let is_there = |rule: &NotificationRule| Ok(Change::IsThere(rule.clone()));
        let check = |present: &[NotificationRule], expected: Result<Change, &str>| match (
            set_up(present, wanted()),
            expected,
        ) {
            (Ok(change), Ok(expected)) => assert_eq!(change, expected, "{present:?}"),
            (Err(conflict), Err(said)) => {
                assert!(conflict.what.contains(said), "{said}: {conflict:?}");
                assert!(present.contains(&conflict.rule));
            }
            (got, expected) => panic!("{got:?} {expected:?} {present:?}"),
        };
        check(&[], put(&[]));
        check(&[wanted()], is_there(&wanted()));
        // Others stay: another prefix, other events.
        let beside = [
            rule(SendsTo::Topic, "t", "topic", CREATED, "out/"),
            rule(SendsTo::Function, "f", "function", "s3:ObjectRemoved:*", ""),
        ];
        check(&beside, put(&[]));
        check(&[beside[0].clone(), wanted()], is_there(&wanted()));
        // Ours, changed by hand; of an earlier name; twice.
        let mut changed = wanted();
        changed.filters.clear();
        check(std::slice::from_ref(&changed), put(std::slice::from_ref(&changed)));
        let renamed = NotificationRule { id: "forebay-sales-00000000".to_owned(), ..wanted() };
        check(std::slice::from_ref(&renamed), is_there(&renamed));
        check(&[wanted(), renamed.clone()], put(&[wanted(), renamed]));
        // Made by hand for the same queue: as much as is wanted, more, less.
        for prefix in ["in/", "", "i"] {
            let by_hand = rule(SendsTo::Queue, "mine", QUEUE, CREATED, prefix);
            check(std::slice::from_ref(&by_hand), is_there(&by_hand));
        }
        check(&[rule(SendsTo::Queue, "mine", QUEUE, CREATED, "in/a")], Err("to the same queue"));
        check(&[rule(SendsTo::Queue, "mine", QUEUE, "s3:ObjectCreated:Put", "")], Err("to the same queue"));
        // In the way.
        check(&[rule(SendsTo::Queue, "q", OTHER, CREATED, "in/")], Err("SNS or to EventBridge"));
        check(&[rule(SendsTo::Topic, "t", "topic", "s3:ObjectCreated:Put", "")], Err("subscribe the queue"));
        check(&[rule(SendsTo::Function, "f", "function", CREATED, "in/a/b")], Err("SNS or to EventBridge"));
        let elsewhere = wanted_rule("orders", OTHER, "in/");
        check(std::slice::from_ref(&elsewhere), Err("another queue_url"));
        check(&[rule(SendsTo::Queue, &wanted().id, OTHER, CREATED, "out/")], Err("another id"));
        // In the way also of a rule of ours that a person changed.
        check(&[changed, rule(SendsTo::Topic, "t", "topic", CREATED, "in/")], Err("subscribe the queue"));
    }

    #[test]
    fn only_ours_are_undone() {
        let mut changed = wanted();
        changed.events = vec!["s3:ObjectCreated:Put".to_owned()];
        let by_hand = rule(SendsTo::Queue, "mine", QUEUE, CREATED, "out/");
        let elsewhere = wanted_rule("orders", OTHER, "out/");
        let present = [changed.clone(), by_hand.clone(), elsewhere];
        assert_eq!(ours(&present, QUEUE), [changed]);
        assert_eq!(by_others(&present, QUEUE), [by_hand]);
        assert_eq!(ours(&present[1..2], QUEUE), []);
    }
}
