//! What to do after a try to put: a function from the store's answer. Pure.

use crate::store::{Fault, PutMode};

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The object is in the store.
    Commit,
    /// An object with this key is there: ask whose it is.
    AskWhose,
    /// Try again after a backoff, in this mode.
    Retry(PutMode),
    /// Try again at the longest wait: somebody has to change something first.
    RetryAtCap,
    /// The store received other bytes: make the object again from the spool, then retry.
    Rebuild,
    /// The object's bytes could not be read: read them again, from the spool where they are staged, then retry.
    ReadAgain,
    /// Another object has the key: stop, and wait for a person.
    Conflict,
}

/// After a put that failed with `fault`.
pub fn after_put(fault: Fault, mode: PutMode) -> Next {
    match fault {
        Fault::Exists if mode == PutMode::CreateOnly => Next::AskWhose,
        // A plain put that finds something in its way cannot be: treat it as an answer that is not understood.
        Fault::Exists | Fault::NotFound => Next::Retry(mode),
        Fault::Busy | Fault::Transient | Fault::Region | Fault::Expired => Next::Retry(mode),
        Fault::Refused | Fault::NoAccess => Next::RetryAtCap,
        Fault::Digest => Next::Rebuild,
        Fault::Local => Next::ReadAgain,
    }
}

/// After the HEAD that follows a 412: `found` is the content hash in the object's metadata, `ours` those that the seal
/// may have left there. `may_replace`: what would be put is all that was sealed, or a person said so.
pub fn after_head(found: Result<Option<&str>, Fault>, ours: &[&str], may_replace: bool) -> Next {
    match found {
        Ok(Some(hash)) if ours.contains(&hash) => Next::Commit,
        Ok(_) => Next::Conflict,
        // It was there a moment ago: a delete marker, or another's transaction. The conditional put settles it.
        Err(Fault::NotFound) => Next::Retry(PutMode::CreateOnly),
        // The plain bucket policy grants no right to read. Same name, same content: a plain put is as good.
        Err(Fault::Refused) if may_replace => Next::Retry(PutMode::Overwrite),
        // What is there may be the whole object, and what would be put is less.
        Err(Fault::Refused) => Next::Conflict,
        Err(_) => Next::Retry(PutMode::CreateOnly),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_its_answer() {
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
        // Only the store's own no to this question says that it will not be answered.
        for passing in [Fault::Transient, Fault::Expired, Fault::NoAccess, Fault::Region] {
            check(Err(passing), Next::Retry(PutMode::CreateOnly));
        }
        assert_eq!(
            after_head(Err(Fault::Refused), &["aa"], false),
            Next::Conflict,
            "less never replaces the whole"
        );
    }
}
