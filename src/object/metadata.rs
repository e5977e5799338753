//! The user metadata of an object. It describes the content, so that the object's place in a day can be
//! proved without reading the object.

use std::collections::BTreeMap;

use crate::time::UnixMillis;
use crate::words::date::{parse_rfc3339, rfc3339};
use crate::words::outside_text_within;

/// SHA-256 of the lines. Objects with the same value are the same.
pub const SHA256: &str = "forebay-sha256";

const CALLS: &str = "forebay-calls";
const FIRST_RECEIVED_AT: &str = "forebay-first-received-at";
const LAST_RECEIVED_AT: &str = "forebay-last-received-at";
const NODE: &str = "forebay-node";
const FIRST_POSITION: &str = "forebay-first-position";
const LAST_POSITION: &str = "forebay-last-position";
const BYTES: &str = "forebay-bytes";
const PREVIOUS_LAST_POSITION: &str = "forebay-previous-last-position";
const LOST_CALLS: &str = "forebay-lost-calls";

/// A line has at least two bytes: one character and the `\n`.
const CROWDED: &str = "there are more calls than their bytes can hold";

/// The content of an object's metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata<'a> {
    /// Lines.
    pub calls: u64,
    /// The earliest `receivedAt`.
    pub first_received_at: UnixMillis,
    /// The latest `receivedAt`.
    pub last_received_at: UnixMillis,
    /// The node id.
    pub node: &'a str,
    /// First position.
    pub first_position: u64,
    /// Last position.
    pub last_position: u64,
    /// Bytes of lines.
    pub bytes: u64,
    /// SHA-256 of the lines, in hexadecimal.
    pub sha256: &'a str,
    /// The last position of the object before it.
    pub previous_last_position: Option<u64>,
    /// Lines that were sealed for this object and damaged on the spool's disk before the put; omitted if
    /// zero.
    pub lost_calls: u64,
}

/// Metadata that [`Metadata::pairs`] would not write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// A member is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A member cannot be parsed.
    #[error("{name} is \"{value}\", not {form}")]
    Illegible {
        /// Its name.
        name: &'static str,
        /// The beginning of its value.
        value: String,
        /// The expected form.
        form: &'static str,
    },
    /// Two members contradict each other.
    #[error("{0}")]
    Contradiction(&'static str),
}

impl<'a> Metadata<'a> {
    /// Parses what [`Metadata::pairs`] wrote, from names (without `x-amz-meta-`) and values.
    /// Errors: [`MetadataError`] for the first wrong member.
    pub fn read(values: &'a BTreeMap<String, String>) -> Result<Self, MetadataError> {
        let fields = Fields(values);
        let metadata = Self {
            calls: fields.number(CALLS)?,
            first_received_at: fields.instant(FIRST_RECEIVED_AT)?,
            last_received_at: fields.instant(LAST_RECEIVED_AT)?,
            node: fields.text(NODE)?,
            first_position: fields.number(FIRST_POSITION)?,
            last_position: fields.number(LAST_POSITION)?,
            bytes: fields.number(BYTES)?,
            sha256: fields.sha256()?,
            previous_last_position: fields.optional(PREVIOUS_LAST_POSITION)?,
            lost_calls: fields.optional(LOST_CALLS)?.unwrap_or(0),
        };
        metadata.contradiction().map_or(Ok(metadata), |what| Err(MetadataError::Contradiction(what)))
    }

    /// Combinations that no object can have.
    fn contradiction(&self) -> Option<&'static str> {
        if self.last_position < self.first_position {
            return Some("the last position is before the first");
        }
        if self.last_received_at < self.first_received_at {
            return Some("the last call was received before the first");
        }
        if self.previous_last_position.is_some_and(|previous| previous >= self.first_position) {
            return Some("the previous object ends at or after the first position of this one");
        }
        let positions = (self.last_position - self.first_position).saturating_add(1);
        if self.calls.saturating_add(self.lost_calls) > positions {
            return Some("there are more calls than positions");
        }
        (self.bytes / 2 < self.calls).then_some(CROWDED)
    }

    /// Names (without `x-amz-meta-`) and values.
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = vec![
            (CALLS, self.calls.to_string()),
            (FIRST_RECEIVED_AT, rfc3339(self.first_received_at)),
            (LAST_RECEIVED_AT, rfc3339(self.last_received_at)),
            (NODE, self.node.to_owned()),
            (FIRST_POSITION, self.first_position.to_string()),
            (LAST_POSITION, self.last_position.to_string()),
            (BYTES, self.bytes.to_string()),
            (SHA256, self.sha256.to_owned()),
        ];
        if let Some(previous) = self.previous_last_position {
            pairs.push((PREVIOUS_LAST_POSITION, previous.to_string()));
        }
        if self.lost_calls > 0 {
            pairs.push((LOST_CALLS, self.lost_calls.to_string()));
        }
        pairs
    }
}

/// The content of the metadata of a part of an import, which no spool has delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedMetadata<'a> {
    /// Lines.
    pub calls: u64,
    /// The `receivedAt` of all of them.
    pub received_at: UnixMillis,
    /// Bytes of lines.
    pub bytes: u64,
    /// SHA-256 of the lines, in hexadecimal.
    pub sha256: &'a str,
}

impl<'a> ImportedMetadata<'a> {
    /// Parses what [`ImportedMetadata::pairs`] wrote, from names (without `x-amz-meta-`) and values.
    /// Errors: [`MetadataError`] for the first wrong member.
    pub fn read(values: &'a BTreeMap<String, String>) -> Result<Self, MetadataError> {
        let fields = Fields(values);
        let received_at = fields.instant(FIRST_RECEIVED_AT)?;
        let metadata = Self {
            calls: fields.number(CALLS)?,
            received_at,
            bytes: fields.number(BYTES)?,
            sha256: fields.sha256()?,
        };
        if fields.instant(LAST_RECEIVED_AT)? != received_at {
            return Err(MetadataError::Contradiction("the first and the last call have different times"));
        }
        if metadata.bytes / 2 < metadata.calls {
            return Err(MetadataError::Contradiction(CROWDED));
        }
        Ok(metadata)
    }

    /// Names (without `x-amz-meta-`) and values.
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        vec![
            (CALLS, self.calls.to_string()),
            (FIRST_RECEIVED_AT, rfc3339(self.received_at)),
            (LAST_RECEIVED_AT, rfc3339(self.received_at)),
            (BYTES, self.bytes.to_string()),
            (SHA256, self.sha256.to_owned()),
        ]
    }
}

/// User metadata as a store returns them.
struct Fields<'a>(&'a BTreeMap<String, String>);

/// How much of an unparsable value is shown, in bytes.
const SHOWN_MAX: usize = 40;

impl<'a> Fields<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).map(String::as_str)
    }

    fn text(&self, name: &'static str) -> Result<&'a str, MetadataError> {
        self.get(name).ok_or(MetadataError::Missing(name))
    }

    fn number(&self, name: &'static str) -> Result<u64, MetadataError> {
        self.optional(name)?.ok_or(MetadataError::Missing(name))
    }

    fn optional(&self, name: &'static str) -> Result<Option<u64>, MetadataError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let number = value.parse::<u64>().ok().filter(|number| number.to_string() == value);
        number.map(Some).ok_or_else(|| illegible(name, value, "a number"))
    }

    fn instant(&self, name: &'static str) -> Result<UnixMillis, MetadataError> {
        let value = self.text(name)?;
        parse_rfc3339(value)
            .ok_or_else(|| illegible(name, value, "an RFC 3339 time in UTC with milliseconds"))
    }

    fn sha256(&self) -> Result<&'a str, MetadataError> {
        let value = self.text(SHA256)?;
        let legal =
            value.len() == 64 && value.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        legal.then_some(value).ok_or_else(|| illegible(SHA256, value, "64 hexadecimal digits"))
    }
}

fn illegible(name: &'static str, value: &str, form: &'static str) -> MetadataError {
    MetadataError::Illegible { name, value: outside_text_within(value, SHOWN_MAX).to_string(), form }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_chain_is_absent_in_the_first_object() {
        let mut metadata = Metadata {
            calls: 2,
            first_received_at: UnixMillis(1_432_684_812_345),
            last_received_at: UnixMillis(1_432_684_812_400),
            node: "n1",
            first_position: 7,
            last_position: 9,
            bytes: 20,
            sha256: "ab",
            previous_last_position: None,
            lost_calls: 0,
        };
        assert!(metadata.pairs().iter().all(|(name, _)| *name != "forebay-previous-last-position"));
        metadata.previous_last_position = Some(6);
        let pairs = metadata.pairs();
        assert!(pairs.contains(&("forebay-first-received-at", "2015-05-27T00:00:12.345Z".into())));
        assert!(pairs.contains(&("forebay-previous-last-position", "6".into())));
    }

    fn of(metadata: &Metadata<'_>) -> BTreeMap<String, String> {
        metadata.pairs().into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn sound() -> Metadata<'static> {
        Metadata {
            calls: 2,
            first_received_at: UnixMillis(1_432_684_812_345),
            last_received_at: UnixMillis(1_432_684_812_400),
            node: "n1",
            first_position: 7,
            last_position: 9,
            bytes: 20,
            sha256: "00000000000000000000000000000000000000000000000000000000000000ab",
            previous_last_position: Some(6),
            lost_calls: 0,
        }
    }

    proptest! {
        #[test]
        fn written_metadata_can_be_parsed(
            first in any::<u64>(), more in 0_u64..1_000_000, lost in 0_u64..3, previous in prop::option::of(any::<u64>()),
            at in any::<i64>(), later in 0_i64..86_400_000,
        ) {
            let last_position = first.saturating_add(more);
            let metadata = Metadata {
                calls: (last_position - first).saturating_sub(lost),
                first_received_at: UnixMillis(at),
                last_received_at: UnixMillis(at.saturating_add(later)),
                first_position: first,
                last_position,
                bytes: u64::MAX,
                previous_last_position: previous.filter(|previous| *previous < first),
                lost_calls: lost.min(last_position - first),
                ..sound()
            };
            let pairs = of(&metadata);
            prop_assert_eq!(Metadata::read(&pairs), Ok(metadata));
        }
    }

    #[test]
    fn impossible_metadata_give_the_reason() {
        let check = |name: &str, value: Option<&str>, said: &str| {
            let mut pairs = of(&sound());
            pairs.remove(name);
            pairs.extend(value.map(|value| (name.to_owned(), value.to_owned())));
            let error = Metadata::read(&pairs).unwrap_err().to_string();
            assert!(error.contains(said), "{name} {value:?}: {error}");
        };
        check(CALLS, None, "forebay-calls is missing");
        check(SHA256, None, "forebay-sha256 is missing");
        check(CALLS, Some("2.0"), "forebay-calls is \"2.0\", not a number");
        check(CALLS, Some("+2"), "not a number");
        check(CALLS, Some("4"), "more calls than positions");
        check(LOST_CALLS, Some("2"), "more calls than positions");
        check(BYTES, Some("3"), "more calls than their bytes");
        check(SHA256, Some("AB"), "not 64 hexadecimal digits");
        check(FIRST_RECEIVED_AT, Some("2015-05-27"), "not an RFC 3339 time in UTC with milliseconds");
        check(FIRST_RECEIVED_AT, Some("2015-05-27T00:00:13.000Z"), "received before the first");
        check(LAST_POSITION, Some("6"), "before the first");
        check(PREVIOUS_LAST_POSITION, Some("7"), "after the first position");
    }
}
