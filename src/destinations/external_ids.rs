//! The external ids that a destination sends with `AssumeRole`: one for all calls, or one for each source.
//! Pure.

use std::collections::BTreeMap;

use crate::object::ExternalId;
use crate::sources::SourceId;

/// What the role's trust policy asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExternalIds {
    /// One external id for the calls of every source.
    OneForAll(ExternalId),
    /// An external id for each source. A source that is not listed uses its own id.
    OfSources(BTreeMap<SourceId, ExternalId>),
}

impl Default for ExternalIds {
    fn default() -> Self {
        Self::OfSources(BTreeMap::new())
    }
}

impl ExternalIds {
    /// The external id for calls of a source.
    /// Errors: the source's own id would be used, and cannot be an external id.
    pub fn of(&self, source: &SourceId) -> Result<ExternalId, String> {
        match self {
            Self::OneForAll(id) => Ok(id.clone()),
            Self::OfSources(listed) => match listed.get(source) {
                Some(id) => Ok(id.clone()),
                None => ExternalId::parse(source.as_str())
                    .map_err(|what| format!("the source id {source} cannot be the external id: {what}")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(id: &str) -> SourceId {
        SourceId::new(id).unwrap()
    }

    #[test]
    fn a_source_has_the_external_id_that_is_listed_for_it_else_its_own_id() {
        let id = |text: &str| ExternalId::parse(text).unwrap();
        let of = |ids: &ExternalIds, of: &str| ids.of(&source(of)).map(|id| id.to_string());
        assert_eq!(of(&ExternalIds::default(), "web"), Ok("web".to_owned()));
        let listed = ExternalIds::OfSources(BTreeMap::from([(source("web"), id("shop-7"))]));
        assert_eq!((of(&listed, "web"), of(&listed, "ios")), (Ok("shop-7".to_owned()), Ok("ios".to_owned())));
        assert!(
            of(&listed, "w").unwrap_err().starts_with("the source id w cannot be the external id: expected")
        );
        assert_eq!(of(&ExternalIds::OneForAll(id("crm-1")), "w"), Ok("crm-1".to_owned()));
    }
}
