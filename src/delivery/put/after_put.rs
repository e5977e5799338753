//! Decides the next step after a put: a pure function of the store's answer.

use crate::store::{Fault, PutMode};

/// The next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The object is in the store.
    Commit,
    /// An object with this key exists: ask whether it is ours.
    AskWhose,
    /// Retry after a backoff, in this mode.
    Retry(PutMode),
    /// Retry after the longest wait: a person has to change something first.
    RetryAtCap,
    /// The store received other bytes: make the object again from the spool, then retry.
    Rebuild,
    /// The object's bytes could not be read: read them again, from the spool where they are staged, then
    /// retry.
    ReadAgain,
    /// Another object has the key: wait for a person.
    Conflict,
}

/// The next step after a put that failed with `fault`.
pub(crate) fn after_put(fault: Fault, mode: PutMode) -> Next {
    match fault {
        Fault::Exists if mode == PutMode::CreateOnly => Next::AskWhose,
        // A plain put replaces whatever has the key, so this answer makes no sense: retry.
        Fault::Exists | Fault::NotFound => Next::Retry(mode),
        Fault::Busy | Fault::Transient | Fault::Region | Fault::Expired => Next::Retry(mode),
        Fault::Refused | Fault::NoAccess => Next::RetryAtCap,
        Fault::Digest => Next::Rebuild,
        Fault::Local => Next::ReadAgain,
    }
}

/// The next step after the HEAD that follows a 412. `found` is the content hash in the object's metadata,
/// `ours` are the hashes that an object of ours may have. `may_replace` is set if the put holds everything
/// that was sealed, or if a person allowed it to replace an object.
pub(crate) fn after_head(found: Result<Option<&str>, Fault>, ours: &[&str], may_replace: bool) -> Next {
    match found {
        Ok(Some(hash)) if ours.contains(&hash) => Next::Commit,
        Ok(_) => Next::Conflict,
        // The key was taken a moment ago and is free now: a delete marker, or another client's transaction.
        // The conditional put settles it.
        Err(Fault::NotFound) => Next::Retry(PutMode::CreateOnly),
        // The plain bucket policy grants no right to read. The same key has the same content, so a plain put
        // is as good.
        Err(Fault::Refused) if may_replace => Next::Retry(PutMode::Overwrite),
        // The existing object may be whole, and the put holds less.
        Err(Fault::Refused) => Next::Conflict,
        Err(_) => Next::Retry(PutMode::CreateOnly),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_leads_to_one_next_step() {
        use PutMode::{CreateOnly, Overwrite};
        let check = |fault, mode, next| assert_eq!(after_put(fault, mode), next, "{fault:?} {mode:?}");
        check(Fault::Exists, CreateOnly, Next::AskWhose);
        check(Fault::Exists, Overwrite, Next::Retry(Overwrite));
        check(Fault::Busy, CreateOnly, Next::Retry(CreateOnly));
        check(Fault::Transient, Overwrite, Next::Retry(Overwrite));
        check(Fault::Region, CreateOnly, Next::Retry(CreateOnly));
        check(Fault::Refused, CreateOnly, Next::RetryAtCap);
        check(Fault::NoAccess, CreateOnly, Next::RetryAtCap);
        check(Fault::Digest, CreateOnly, Next::Rebuild);
        check(Fault::NotFound, CreateOnly, Next::Retry(CreateOnly));
        check(Fault::Local, CreateOnly, Next::ReadAgain);
    }

    #[test]
    fn an_object_in_the_way_is_ours_or_a_conflict() {
        let check = |found, next| assert_eq!(after_head(found, &["aa", "bb"], true), next, "{found:?}");
        check(Ok(Some("aa")), Next::Commit);
        check(Ok(Some("bb")), Next::Commit);
        check(Ok(Some("cc")), Next::Conflict);
        check(Ok(None), Next::Conflict);
        check(Err(Fault::NotFound), Next::Retry(PutMode::CreateOnly));
        check(Err(Fault::Refused), Next::Retry(PutMode::Overwrite));
        // Only a refusal by the store means that this question will never be answered.
        for passing in [Fault::Transient, Fault::Expired, Fault::NoAccess, Fault::Region] {
            check(Err(passing), Next::Retry(PutMode::CreateOnly));
        }
        assert_eq!(
            after_head(Err(Fault::Refused), &["aa"], false),
            Next::Conflict,
            "an object with fewer lines never replaces a whole one"
        );
    }
}
