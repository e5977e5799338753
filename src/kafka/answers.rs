//! What errors of the library mean.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::partition::answer::TransactionError;

/// The meaning of an error of a transaction's call, or of a report of one of its records.
pub fn of_transaction(error: &KafkaError) -> TransactionError {
    match error {
        KafkaError::Transaction(error) if error.is_retriable() => TransactionError::Retriable,
        KafkaError::Transaction(error) => of_code(error.code()),
        error => error.rdkafka_error_code().map_or(TransactionError::Unknown, of_code),
    }
}

/// The meaning of a code that is not retriable. Every code that is not known to be a fence is unknown: either
/// ends the term.
pub(super) fn of_code(code: RDKafkaErrorCode) -> TransactionError {
    match code {
        RDKafkaErrorCode::Fenced
        | RDKafkaErrorCode::ProducerFenced
        | RDKafkaErrorCode::InvalidProducerEpoch
        | RDKafkaErrorCode::TransactionCoordinatorFenced => TransactionError::Fenced,
        _ => TransactionError::Unknown,
    }
}

/// Brokers reported no setting of a topic, as they do if the right DescribeConfigs is missing: the library leaves
/// out what they say of it.
pub(super) const NOT_REPORTED: KafkaError = KafkaError::AdminOp(RDKafkaErrorCode::TopicAuthorizationFailed);

/// The code of an error, if it has one.
pub(super) fn code(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    match error {
        // The library's own method leaves these out.
        KafkaError::AdminOp(code) => Some(*code),
        error => error.rdkafka_error_code(),
    }
}

/// Whether brokers refuse because a right is missing, or the name and password are wrong.
pub(super) fn is_denied(error: &KafkaError) -> bool {
    matches!(
        code(error),
        Some(
            RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed
                | RDKafkaErrorCode::TransactionalIdAuthorizationFailed
                | RDKafkaErrorCode::SaslAuthenticationFailed
                | RDKafkaErrorCode::Authentication
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_is_known_and_everything_else_is_unknown() {
        let check = |error: &KafkaError, expected| assert_eq!(of_transaction(error), expected, "{error}");
        let report = |code| KafkaError::MessageProduction(code);
        check(&report(RDKafkaErrorCode::Fenced), TransactionError::Fenced);
        check(&report(RDKafkaErrorCode::InvalidProducerEpoch), TransactionError::Fenced);
        check(&report(RDKafkaErrorCode::MessageTimedOut), TransactionError::Unknown);
        check(&report(RDKafkaErrorCode::PurgeQueue), TransactionError::Unknown);
        check(&KafkaError::Canceled, TransactionError::Unknown);
    }

    #[test]
    fn a_missing_right_is_known_however_the_library_says_it() {
        let denied = RDKafkaErrorCode::TopicAuthorizationFailed;
        assert!(is_denied(&KafkaError::AdminOp(denied)) && is_denied(&KafkaError::MetadataFetch(denied)));
        assert!(!is_denied(&KafkaError::AdminOp(RDKafkaErrorCode::RequestTimedOut)));
        assert!(!is_denied(&KafkaError::Canceled));
    }
}
