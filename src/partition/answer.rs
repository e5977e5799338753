//! What an answer of the broker to a transaction means for a term.

use crate::planted_bugs::{PlantedBug, planted};

/// Why a call of a transaction did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// The library says that it can be repeated.
    #[error("the broker asks to repeat the call")]
    Retriable,
    /// Another process has taken the transactional id.
    #[error("another process owns the partition")]
    Fenced,
    /// Anything else: a time-out, a lost answer, an error of the broker. The transaction may count.
    #[error("it is not known whether the transaction counts")]
    Unknown,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The notes count.
    Counts,
    /// The same call is made again.
    Again,
    /// The term is over: nothing is done on the strength of these notes, and the state is forgotten. If the
    /// partition is still assigned, a new term reads which notes counted.
    TermOver,
    /// The notes do not count and the term goes on: only with a planted bug.
    Dropped,
}

/// What follows from an answer. Calls are repeated for at most the transaction's time-out: `may_repeat` says
/// whether it has not passed.
pub fn then(answer: Result<(), TransactionError>, may_repeat: bool) -> Then {
    match answer {
        Ok(()) => Then::Counts,
        Err(TransactionError::Retriable) if may_repeat => Then::Again,
        Err(TransactionError::Retriable | TransactionError::Fenced | TransactionError::Unknown) => {
            Then::TermOver
        }
    }
}

/// The same for notes of a term that has begun.
pub fn then_of_notes(answer: Result<(), TransactionError>, may_repeat: bool) -> Then {
    match answer {
        Err(TransactionError::Unknown) if planted(PlantedBug::UnknownTakenAsCommitted) => Then::Counts,
        Err(TransactionError::Unknown) if planted(PlantedBug::UnknownTakenAsAborted) => Then::Dropped,
        answer => then(answer, may_repeat),
    }
}

/// Whether a process may begin a term. Without being assigned the partition, two would fence each other for
/// ever.
pub fn may_begin(is_assigned: bool) -> bool {
    is_assigned || planted(PlantedBug::TermWithoutAssignment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_success_counts_and_only_what_is_retriable_is_repeated() {
        let check = |answer, may_repeat, expected| {
            assert_eq!(then(answer, may_repeat), expected);
            assert_eq!(then_of_notes(answer, may_repeat), expected);
        };
        check(Ok(()), false, Then::Counts);
        check(Err(TransactionError::Retriable), true, Then::Again);
        check(Err(TransactionError::Retriable), false, Then::TermOver);
        check(Err(TransactionError::Fenced), true, Then::TermOver);
        check(Err(TransactionError::Unknown), true, Then::TermOver);
        assert!(may_begin(true) && !may_begin(false));
    }
}
