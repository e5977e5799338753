//! Why a request of a queue failed.

use crate::store::{Outlook, StoreError};
use crate::words::Told;

/// What can be done about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueFault {
    /// Nothing until a person gives access, or credentials.
    Denied,
    /// Nothing until a person makes the queue, or names another one.
    NoQueue,
    /// Nothing: the message shows again, or is gone.
    ReceiptEnded,
    /// Nothing until a person does something else.
    Refused,
    /// Send the same request later: it may succeed.
    Passing,
}

/// Why a request of a queue failed. The `Display` is for the people who own the queue.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", message.full())]
pub struct QueueError {
    /// What can be done about it.
    pub fault: QueueFault,
    /// What happened.
    pub message: Told,
}

/// Codes of a receipt that no longer counts.
const RECEIPT_ENDED: &[&str] = &["ReceiptHandleIsInvalid", "MessageNotInflight", "InvalidParameterValue"];
/// Codes of a queue that does not exist.
const NO_QUEUE: &[&str] = &["QueueDoesNotExist", "NonExistentQueue", "InvalidAddress"];

impl QueueError {
    /// The failure of a request. `of_receipt`: whether it named a message that was received before.
    pub(super) fn of(error: &StoreError, of_receipt: bool) -> Self {
        // The older protocol writes `AWS.SimpleQueueService.` before a code.
        let code = error.code.as_deref().and_then(|code| code.rsplit('.').next()).unwrap_or_default();
        let fault = if NO_QUEUE.contains(&code) {
            QueueFault::NoQueue
        } else if of_receipt && RECEIPT_ENDED.contains(&code) {
            QueueFault::ReceiptEnded
        } else if code.contains("AccessDenied") {
            // SQS answers this with 400 or 403, and that its key is denied in the same way.
            QueueFault::Denied
        } else {
            match error.outlook() {
                Outlook::Denied => QueueFault::Denied,
                Outlook::Passing => QueueFault::Passing,
                Outlook::Missing | Outlook::Changed | Outlook::Refused => QueueFault::Refused,
            }
        };
        Self { fault, message: error.told() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Fault;
    use crate::store::fault::{Asked, Ending, classify};

    #[test]
    fn each_answer_says_what_can_be_done() {
        let check = |status, code: &str, of_receipt, expected| {
            let fault = classify(Asked::List, Ending::Answer { status, code: Some(code) });
            let error = StoreError::answered(fault, status, Some(code), "no");
            assert_eq!(QueueError::of(&error, of_receipt).fault, expected, "{status} {code}");
        };
        for prefix in ["", "AWS.SimpleQueueService."] {
            check(400, &format!("{prefix}QueueDoesNotExist"), true, QueueFault::NoQueue);
            check(400, &format!("{prefix}NonExistentQueue"), false, QueueFault::NoQueue);
            check(400, &format!("{prefix}MessageNotInflight"), true, QueueFault::ReceiptEnded);
        }
        check(404, "ReceiptHandleIsInvalid", true, QueueFault::ReceiptEnded);
        check(400, "InvalidParameterValue", true, QueueFault::ReceiptEnded);
        check(400, "InvalidParameterValue", false, QueueFault::Refused);
        for (status, code) in
            [(400, "AccessDeniedException"), (403, "AccessDenied"), (400, "KmsAccessDenied"), (403, "Other")]
        {
            check(status, code, true, QueueFault::Denied);
        }
        for (status, code) in
            [(503, "ServiceUnavailable"), (500, "InternalError"), (400, "ThrottlingException")]
        {
            check(status, code, true, QueueFault::Passing);
        }
        let no_answer = StoreError::local(Fault::Transient, "cannot connect");
        assert_eq!(QueueError::of(&no_answer, true).fault, QueueFault::Passing);
    }
}
