//! The parameters of a query. Pure.

use std::collections::BTreeMap;

use form_urlencoded::parse;

/// The parameters of a query that are not used yet.
pub(super) struct QueryParameters {
    values: BTreeMap<String, String>,
    names: &'static [&'static str],
}

impl QueryParameters {
    /// Parses a query. Unknown parameters are refused: `?sorce=web` must not show everything.
    pub(super) fn of(query: &str, names: &'static [&'static str]) -> Result<Self, String> {
        let mut values = BTreeMap::new();
        for (name, value) in parse(query.as_bytes()) {
            if !names.contains(&&*name) {
                return Err(format!("the parameters are {}", names.join(", ")));
            }
            if values.insert(name.clone().into_owned(), value.into_owned()).is_some() {
                return Err(format!("{name} is given twice"));
            }
        }
        Ok(Self { values, names })
    }

    /// A parameter that may be left out.
    pub(super) fn may<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, String> {
        debug_assert!(self.names.contains(&name), "{name}");
        let Some(value) = self.values.remove(name) else { return Ok(None) };
        read(&value).map(Some).ok_or_else(|| format!("the value of {name} is not valid"))
    }

    /// A parameter that must be there.
    pub(super) fn must<T>(&mut self, name: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<T, String> {
        self.may(name, read)?.ok_or_else(|| format!("{name} is missing"))
    }

    /// The parameter `limit`.
    pub(super) fn limit(&mut self, default: usize, max: usize) -> Result<usize, String> {
        let number = |text: &str| text.parse().ok().filter(|limit| (1..=max).contains(limit));
        let limit = self.may("limit", number).map_err(|_| format!("limit is a number from 1 to {max}"))?;
        Ok(limit.unwrap_or(default))
    }
}
