//! Sources: where calls come from. Finds the source of a write key.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::words::outside_text_within;

/// The id of a source: `[A-Za-z0-9-][A-Za-z0-9_-]{0,63}`.
///
/// It is part of every object key. Folders there that are not sources (`_rejected`, `_check`, …) begin with
/// an underscore, which a source id cannot.
#[derive(Clone, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SourceId(Arc<str>);

impl PartialEq for SourceId {
    fn eq(&self, other: &Self) -> bool {
        // Most that are compared are clones of one: the frames of a request. `Arc<str>` compares their texts.
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Hash for SourceId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

/// The longest source id, in bytes.
pub const SOURCE_ID_MAX: usize = 64;
/// How much of an invalid source id is shown, in bytes.
const SHOWN_MAX: usize = 80;

impl SourceId {
    /// Checks that `text` is a source id. Errors: [`SourceIdError`] with the text and the expected form.
    pub fn new(text: &str) -> Result<Self, SourceIdError> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if text.is_empty() || text.len() > SOURCE_ID_MAX || text.starts_with('_') || !text.bytes().all(legal)
        {
            return Err(SourceIdError(outside_text_within(text, SHOWN_MAX).to_string()));
        }
        Ok(Self(text.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

shown_as_text!(SourceId);

impl fmt::Debug for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceId({})", self.0)
    }
}

text_form!(SourceId, SourceIdError, SourceId::new);

/// A text is not a source id.
#[derive(Debug, thiserror::Error)]
#[error(
    "source id \"{0}\" must be 1 to 64 characters of A-Z a-z 0-9 - _, beginning with a letter, digit or -"
)]
pub struct SourceIdError(String);

/// The longest write key, in bytes.
pub const WRITE_KEY_MAX: usize = 1_024;

/// The SHA-256 of a write key. The key itself is never stored, logged or shown.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct WriteKeyHash([u8; 32]);

impl WriteKeyHash {
    /// Hashes a write key. `None` if it cannot be one: empty, over [`WRITE_KEY_MAX`] bytes, or with control
    /// characters.
    pub fn of(write_key: &str) -> Option<Self> {
        let legal = !write_key.is_empty()
            && write_key.len() <= WRITE_KEY_MAX
            && !write_key.chars().any(char::is_control);
        legal.then(|| Self(Sha256::digest(write_key.as_bytes()).into()))
    }

    /// The first 16 hexadecimal digits, which form a source id in dev mode.
    pub fn hex16(&self) -> String {
        hex::encode(self.0).chars().take(16).collect()
    }
}

/// The first 8 hexadecimal digits: logs show no more of a write key.
impl fmt::Display for WriteKeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.8}", hex::encode(self.0))
    }
}

impl fmt::Debug for WriteKeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WriteKeyHash({self})")
    }
}

/// The most characters of a write key that people are shown.
const KEY_SHOWN_MAX: usize = 6;

/// How a write key begins: enough to recognise it beside others, never more than a quarter of it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KeyBeginning(Box<str>);

impl KeyBeginning {
    /// The beginning of a key: at most six characters, and of a key with fewer than four none.
    pub fn of(write_key: &str) -> Self {
        // A key may be as long as a request, so no more characters are counted than matter.
        let shown = write_key.chars().take(4 * KEY_SHOWN_MAX).count() / 4;
        Self(write_key.chars().take(shown).collect())
    }
}

impl fmt::Display for KeyBeginning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", self.0)
    }
}

impl fmt::Debug for KeyBeginning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyBeginning({self})")
    }
}

/// The result of looking up a write key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The key belongs to this source.
    Source(SourceId),
    /// No source has this key, or it cannot be a key: 401 `invalid_write_key`.
    Unknown,
    /// Dev mode has reached its limit of sources: 401 `too_many_sources`.
    TooManySources,
    /// No source has this key, and the configuration says to answer 200 and store nothing (`unknown_key =
    /// "accept"`).
    Discard,
}

/// Finds the source of a write key. Cheap: called once or twice per request.
pub trait SourceLookup: Send + Sync + fmt::Debug {
    /// The source of `write_key`. Implementations look it up by hash and compare in constant time.
    fn find(&self, write_key: &str) -> Found;

    /// Whether calls with this key would be accepted. Creates no source, because anyone may request a
    /// settings document.
    fn is_taken(&self, write_key: &str) -> bool {
        matches!(self.find(write_key), Found::Source(_) | Found::Discard)
    }

    /// Whether a source has this key, or would have it at its first call. Creates no source.
    fn is_source(&self, write_key: &str) -> bool {
        matches!(self.find(write_key), Found::Source(_))
    }

    /// The configured source whose id this text is: a client may send the id in place of a write key.
    fn with_id(&self, _text: &str) -> Option<SourceId> {
        None
    }

    /// The source that has this key already. Creates no source.
    fn known(&self, write_key: &str) -> Option<SourceId> {
        match self.find(write_key) {
            Found::Source(source) => Some(source),
            Found::Unknown | Found::TooManySources | Found::Discard => None,
        }
    }
}

/// The configured sources of `serve`.
#[derive(Clone, Debug, Default)]
pub struct ConfiguredSources {
    by_hash: HashMap<WriteKeyHash, SourceId>,
    ids: HashSet<SourceId>,
    accept_unknown: bool,
}

impl ConfiguredSources {
    /// A table of write keys. A later source with the same key replaces an earlier one; `config` refuses such
    /// a file.
    pub fn new(keys: impl IntoIterator<Item = (WriteKeyHash, SourceId)>, accept_unknown: bool) -> Self {
        let by_hash: HashMap<WriteKeyHash, SourceId> = keys.into_iter().collect();
        let ids = by_hash.values().cloned().collect();
        Self { by_hash, ids, accept_unknown }
    }
}

impl SourceLookup for ConfiguredSources {
    fn find(&self, write_key: &str) -> Found {
        let found = WriteKeyHash::of(write_key).and_then(|hash| {
            let (stored, id) = self.by_hash.get_key_value(&hash)?;
            bool::from(stored.0.ct_eq(&hash.0)).then(|| id.clone())
        });
        match found {
            Some(id) => Found::Source(id),
            None if self.accept_unknown => Found::Discard,
            None => Found::Unknown,
        }
    }

    fn with_id(&self, text: &str) -> Option<SourceId> {
        SourceId::new(text).ok().filter(|id| self.ids.contains(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_source_is_told_from_other_unknown_keys() {
        let id = SourceId::new("checkout-web").unwrap();
        let keys = [(WriteKeyHash::of("a-key").unwrap(), id.clone())];
        let sources = ConfiguredSources::new(keys, false);
        assert_eq!(sources.find("checkout-web"), Found::Unknown);
        assert_eq!(sources.with_id("checkout-web"), Some(id));
        assert!(
            ["a-key", "checkout", "", "checkout-web "].iter().all(|text| sources.with_id(text).is_none())
        );
    }

    #[test]
    fn a_key_shows_a_quarter_of_itself_and_six_characters_at_most() {
        let check = |key: &str, shown: &str| assert_eq!(KeyBeginning::of(key).to_string(), shown, "{key}");
        check("", "…");
        check("key", "…");
        check("web1", "w…");
        check("my-app-1", "my…");
        check("0123456789abcdef0123", "01234…");
        check("0123456789abcdef01234567", "012345…");
        check(&"k".repeat(60_000), "kkkkkk…");
        check("üüüüüüüü", "üü…");
        assert_eq!(format!("{:?}", KeyBeginning::of("my-app-1")), "KeyBeginning(my…)");
    }
}
