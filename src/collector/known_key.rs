//! The write key that a connection sent last: kept-alive connections send the same one with every request.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use http::HeaderValue;
use subtle::ConstantTimeEq as _;

use super::settings::Policy;
use crate::sources::SourceId;

/// An `Authorization` header, the source that it was found to belong to, and under which policy.
#[derive(Debug)]
struct Known {
    /// A copy: the header itself would keep the connection's whole read buffer.
    header: Box<[u8]>,
    source: SourceId,
    policy: Weak<Policy>,
}

/// What one connection is known to send. It holds for as long as the policy does: a key that is withdrawn is looked up, and
/// refused, with the next request.
#[derive(Debug, Default)]
pub(super) struct KnownKey {
    last: Mutex<Option<Known>>,
}

impl KnownKey {
    /// The source of this header, where it is that of the request before. Compared in constant time: behind a proxy several
    /// clients may share a connection.
    pub(super) fn source(&self, header: &HeaderValue, policy: &Arc<Policy>) -> Option<SourceId> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let known = last.as_ref().filter(|known| std::ptr::eq(known.policy.as_ptr(), Arc::as_ptr(policy)))?;
        bool::from(known.header.ct_eq(header.as_bytes())).then(|| known.source.clone())
    }

    /// Takes in what was found of a header.
    pub(super) fn learn(&self, header: &HeaderValue, source: &SourceId, policy: &Arc<Policy>) {
        let known = Known {
            header: header.as_bytes().into(),
            source: source.clone(),
            policy: Arc::downgrade(policy),
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::ConfiguredSources;

    #[test]
    fn a_key_is_known_for_as_long_as_its_policy_holds() {
        let policy = || Arc::new(Policy::new(Arc::new(ConfiguredSources::default())));
        let (before, header) = (policy(), HeaderValue::from_static("Basic a2V5Og=="));
        let source = SourceId::new("web").unwrap();
        let known = KnownKey::default();
        assert_eq!(known.source(&header, &before), None);
        known.learn(&header, &source, &before);
        assert_eq!(known.source(&header, &before), Some(source));
        for other in ["Basic a2V5Og=", "Basic a2V5Og=-", "", "Basic a2V5Og==x"] {
            assert_eq!(known.source(&HeaderValue::from_static(other), &before), None, "{other}");
        }
        // A policy of the same content, made when the file was read again, is another.
        let after = policy();
        assert_eq!(known.source(&header, &after), None);
        drop(before);
        assert_eq!(known.source(&header, &after), None);
    }
}
