//! Whether an import can read its queue: from the queue's answer to findings.

use std::sync::Arc;

use super::finding::{CheckFinding, Remedy, Trial};
use super::subject::statement;
use crate::arn::Arn;
use crate::policy::{PolicyImport, Template, Values};
use crate::queue::{Queue, QueueAddress, QueueError, QueueFacts, QueueFault};
use crate::words::counted;

/// The checks of a queue in their order, to report those that cannot be run.
pub(super) const OF_A_QUEUE: [&str; 3] = ["queue", "queue_redrive", "queue_receive"];

/// The queue of an import under test.
#[derive(Clone, Debug)]
pub struct ImportQueue {
    /// Where it is.
    pub address: QueueAddress,
    /// The queue.
    pub queue: Arc<dyn Queue>,
}

impl ImportQueue {
    /// Asks the queue for what it says of itself, and judges that. No message is taken. Returns the findings,
    /// and why the queue cannot be used.
    pub(super) async fn findings(&self, import: &str) -> (Vec<CheckFinding>, Option<QueueFault>) {
        let facts = self.queue.facts().await;
        let fault = facts.as_ref().err().map(|error| error.fault);
        (judged(&self.address, import, &facts), fault)
    }
}

/// The findings about a queue with this answer. Pure.
fn judged(address: &QueueAddress, import: &str, facts: &Result<QueueFacts, QueueError>) -> Vec<CheckFinding> {
    let url = address.url();
    let queue = Trial::new("queue", format!("sqs:GetQueueAttributes, {url}"));
    let redrive = Trial::new("queue_redrive", format!("the redrive policy of {url}"));
    let receive =
        Trial::new("queue_receive", "sqs:ReceiveMessage, sqs:ChangeMessageVisibility, sqs:DeleteMessage");
    // A test that received would take messages from the running import.
    let receive = receive.not_tested(
        "not tried, because it would take a message: if one of these rights is missing, the alarm of the import says so"
            .to_owned(),
    );
    match facts {
        Ok(facts) => {
            let waiting = facts
                .waiting
                .map_or_else(String::new, |n| format!(", {}", counted(n, "message waits", "messages wait")));
            let redrive = match facts.has_redrive {
                true => redrive.passed("messages of files that fail again and again go to another queue".to_owned()),
                false => redrive.warning(
                    "it has none: a message whose file is poison comes back until the queue drops it for its age".to_owned(),
                    vec![Remedy::say(
                        "set a redrive policy with a dead-letter queue, and a maxReceiveCount of 10 or more: a file is given \
                         up after three tries",
                    )],
                ),
            };
            vec![queue.passed(format!("{url} answers{waiting}")), redrive, receive]
        }
        Err(error) => {
            let remedies = match error.fault {
                QueueFault::Denied => vec![denied(address, import)],
                QueueFault::NoQueue => vec![Remedy::say("make the queue, or correct queue_url")],
                QueueFault::Passing => vec![Remedy::say("try again, and check the address and the network")],
                QueueFault::ReceiptEnded | QueueFault::Refused => {
                    vec![Remedy::say("check queue_url, region and role_arn")]
                }
            };
            let because = "the queue cannot be asked".to_owned();
            vec![queue.failed(error.message.full(), remedies), redrive.not_tested(because), receive]
        }
    }
}

/// The statement that lets an import read its queue.
fn denied(address: &QueueAddress, import: &str) -> Remedy {
    let Some(arn) = address.arn().and_then(|arn| arn.parse::<Arn>().ok()) else {
        return Remedy::say(format!(
            "the policy of who reads the queue needs the statement that `forebay policy import-sqs --import {import} --queue ARN` \
             prints"
        ));
    };
    let text = format!(
        "the policy of who reads the queue needs this statement (`forebay policy import-sqs --import {import}` prints it)"
    );
    let import = PolicyImport { name: import.to_owned(), queue: Some(arn), ..PolicyImport::default() };
    statement(
        Template::ImportSqs,
        "ImportReceives",
        &Values { imports: vec![import], ..Values::default() },
        text,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::Outcome;
    use crate::words::Told;

    #[test]
    fn what_the_queue_answers_is_judged() {
        let address = QueueAddress::parse("https://sqs.eu-west-1.amazonaws.com/111122223333/files").unwrap();
        let check = |facts: Result<QueueFacts, QueueError>, expected: [Outcome; 3], said: &str| {
            let found = judged(&address, "orders", &facts);
            assert_eq!(found.iter().map(|one| one.check).collect::<Vec<_>>(), OF_A_QUEUE);
            assert_eq!(found.iter().map(|one| one.outcome).collect::<Vec<_>>(), expected, "{found:?}");
            assert!(format!("{found:?}").contains(said), "{said}: {found:?}");
        };
        let facts = |has_redrive| QueueFacts { waiting: Some(3), has_redrive, ..QueueFacts::default() };
        let (passed, open) = (Outcome::Passed, Outcome::NotTested);
        check(Ok(facts(true)), [passed, passed, open], "3 messages wait");
        check(Ok(facts(false)), [passed, Outcome::Warning, open], "maxReceiveCount");
        let refused = |fault| Err(QueueError { fault, message: Told::plain("no") });
        let failed = [Outcome::Failed, open, open];
        check(refused(QueueFault::Denied), failed, "arn:aws:sqs:eu-west-1:111122223333:files");
        check(refused(QueueFault::NoQueue), failed, "make the queue");
        check(refused(QueueFault::Passing), failed, "the network");
    }
}
