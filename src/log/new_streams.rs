//! Which streams of objects and dead letters may begin in a log.

use super::account_key::AccountKey;
use super::append::AppendError;
use crate::object::stream::NAMED_STREAMS_MAX;

/// The rule that a log is given. Who acknowledges calls refuses the streams that are too many, by its own
/// count. Who takes what others acknowledged refuses none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewStreams {
    /// So many, of all sources together.
    UpTo(usize),
    /// Any number.
    Any,
}

impl Default for NewStreams {
    fn default() -> Self {
        Self::UpTo(NAMED_STREAMS_MAX)
    }
}

/// The streams that a log knows, as it counts them.
pub trait KnownStreams {
    /// Whether the log has, or had, lines of an account.
    fn knows(&self, account: &AccountKey) -> bool;

    /// The number of accounts of object and dead-letter streams.
    fn named_streams(&self) -> usize;
}

impl NewStreams {
    /// Whether the first line of an account begins a stream. Calls and rejected items begin none.
    /// Errors: [`AppendError::TooManyStreams`]: it would be one too many.
    pub fn begins(self, account: &AccountKey, known: &impl KnownStreams) -> Result<bool, AppendError> {
        if account.is_of_calls() || known.knows(account) {
            return Ok(false);
        }
        match self {
            Self::UpTo(max) if known.named_streams() >= max => Err(AppendError::TooManyStreams),
            Self::UpTo(_) | Self::Any => Ok(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::object::Stream;
    use crate::sources::SourceId;

    struct Counted(BTreeSet<AccountKey>);

    impl KnownStreams for Counted {
        fn knows(&self, account: &AccountKey) -> bool {
            self.0.contains(account)
        }

        fn named_streams(&self) -> usize {
            self.0.len()
        }
    }

    #[test]
    fn only_the_streams_that_are_too_many_are_refused() {
        let web = || SourceId::new("web").unwrap();
        let dead = |name: &str| AccountKey::new(web(), &Stream::Dead(SourceId::new(name).unwrap()));
        let known = Counted([dead("a"), dead("b")].into());
        let check = |rule: NewStreams, account: AccountKey, expected| {
            assert_eq!(rule.begins(&account, &known), expected, "{rule:?} {account}");
        };
        check(NewStreams::UpTo(3), dead("c"), Ok(true));
        check(NewStreams::UpTo(2), dead("c"), Err(AppendError::TooManyStreams));
        check(NewStreams::UpTo(2), dead("b"), Ok(false));
        check(NewStreams::UpTo(0), AccountKey::of_calls(web()), Ok(false));
        check(NewStreams::Any, dead("c"), Ok(true));
    }
}
