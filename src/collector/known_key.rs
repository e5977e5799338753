//! The write key that a connection sent last: kept-alive connections send the same key with every request.

use std::sync::{Arc, Mutex, Weak};

use http::HeaderValue;
use subtle::ConstantTimeEq as _;

use super::settings::Policy;
use crate::lock::lock;
use crate::sources::SourceId;

/// An `Authorization` header, the source that it was resolved to, and the policy used.
#[derive(Debug)]
struct Known {
    /// A copy, because the header itself would keep the connection's whole read buffer allocated.
    header: Box<[u8]>,
    source: SourceId,
    policy: Weak<Policy>,
}

/// The `Authorization` header of a connection's last request, and its source. It is valid only under the
/// policy that it was resolved with: after a reload, the next request looks its key up again, so a withdrawn
/// key is refused.
#[derive(Debug, Default)]
pub(super) struct KnownKey {
    last: Mutex<Option<Known>>,
}

impl KnownKey {
    /// The source of this header, if the header equals that of the previous request. Compared in constant
    /// time: several clients may share a connection of a proxy.
    pub(super) fn source(&self, header: &HeaderValue, policy: &Arc<Policy>) -> Option<SourceId> {
        let last = lock(&self.last);
        let known = last.as_ref().filter(|known| std::ptr::eq(known.policy.as_ptr(), Arc::as_ptr(policy)))?;
        bool::from(known.header.ct_eq(header.as_bytes())).then(|| known.source.clone())
    }

    /// Remembers the source of a header.
    pub(super) fn learn(&self, header: &HeaderValue, source: &SourceId, policy: &Arc<Policy>) {
        let known = Known {
            header: header.as_bytes().into(),
            source: source.clone(),
            policy: Arc::downgrade(policy),
        };
        *lock(&self.last) = Some(known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::ConfiguredSources;

    #[test]
    fn a_key_is_known_only_under_its_policy() {
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
        // A reloaded policy is a different one, even with the same content.
        let after = policy();
        assert_eq!(known.source(&header, &after), None);
        drop(before);
        assert_eq!(known.source(&header, &after), None);
    }
}
