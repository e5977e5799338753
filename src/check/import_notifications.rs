//! Whether the bucket of an import sends notifications to the queue of the import: from what it says to a
//! finding. Pure.

use super::finding::{CheckFinding, Remedy, Trial};

/// What the bucket of an import says of its notifications.
#[derive(Clone, Debug)]
pub enum SeenRules {
    /// This rule sends what the import needs to the queue.
    Sent(String),
    /// No rule does. This may get them there: a topic or EventBridge.
    NotSent(Option<&'static str>),
    /// The bucket does not say it, for this reason. A right to read the rules may be missing, and is granted
    /// so.
    NotSaid(String, Vec<Remedy>),
}

/// The finding about the notifications of a bucket. The import itself does not read its rules, so it works
/// also without the right.
pub fn test_notifications(import: &str, bucket: &str, seen: SeenRules) -> CheckFinding {
    let trial = Trial::new("notifications", format!("s3:GetBucketNotification, {bucket}"));
    match seen {
        SeenRules::Sent(rule) => trial.passed(format!("{bucket} sends to the queue: {rule}")),
        SeenRules::NotSent(Some(by_way_of)) => trial.not_tested(format!(
            "{bucket} sends nothing to the queue itself; whether {by_way_of} does is not known"
        )),
        SeenRules::NotSent(None) => trial.warning(
            format!("no rule of {bucket} sends to the queue, so no message names a new file"),
            vec![Remedy::say(format!("`forebay import setup-notifications {import}` adds the rule"))],
        ),
        SeenRules::NotSaid(why, grants) if grants.is_empty() => {
            trial.not_tested(format!("the bucket does not say it ({why})"))
        }
        SeenRules::NotSaid(why, grants) => trial.warning(
            format!(
                "it is not known whether {bucket} sends to the queue. The import works without this right, and `forebay import \
                 setup-notifications {import}` needs it ({why})"
            ),
            grants,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::Outcome;

    #[test]
    fn what_the_bucket_says_is_judged() {
        let check = |seen, outcome, said: &str| {
            let found = test_notifications("orders", "lake", seen);
            assert_eq!(found.outcome, outcome, "{found:?}");
            assert!(format!("{found:?}").contains(said), "{said}: {found:?}");
        };
        check(SeenRules::Sent("rule x".to_owned()), Outcome::Passed, "sends to the queue: rule x");
        check(SeenRules::NotSent(None), Outcome::Warning, "setup-notifications orders");
        check(SeenRules::NotSent(Some("a topic")), Outcome::NotTested, "whether a topic does");
        check(SeenRules::NotSaid("501".to_owned(), Vec::new()), Outcome::NotTested, "501");
        let grants = vec![Remedy::say("give the right")];
        check(SeenRules::NotSaid("403".to_owned(), grants), Outcome::Warning, "works without this right");
    }
}
