//! What an owner commits to the group, for people, tools and collectors. It decides nothing: a member that
//! lost a partition can still overwrite it.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::position::before;
use crate::sources::SourceId;

/// The longest metadata of an offset, in bytes.
pub const METADATA_BYTES_MAX: usize = 4_096;
/// Sources in it.
pub const REFUSED_MAX: usize = 400;
/// Characters of a source's hash.
const HASH_LEN: usize = 8;

/// The metadata of the offset that an owner commits, which is [`State::kept_from`](super::state::State).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The log id.
    pub log_id: String,
    /// The offset of the last base note.
    pub base_at: Option<u64>,
    /// Hashes of the sources that collectors refuse, the one that waits longest first.
    pub refused: Vec<String>,
}

impl Metadata {
    /// Its text: at most [`METADATA_BYTES_MAX`] bytes.
    pub fn encode(&self) -> String {
        let base = self.base_at.map_or_else(|| "-".to_owned(), |at| at.to_string());
        let refused = self.refused.iter().take(REFUSED_MAX);
        let fields = [self.log_id.clone(), base].into_iter().chain(refused.cloned());
        fields.collect::<Vec<_>>().join(" ")
    }

    /// Reads a text. `None` if it is none of these.
    pub fn decode(text: &str) -> Option<Self> {
        let mut fields = text.split(' ');
        let log_id = fields.next().filter(|id| id.len() == 32)?.to_owned();
        let base_at = match fields.next()? {
            "-" => None,
            at => Some(at.parse().ok()?),
        };
        let refused = fields.map(str::to_owned).collect();
        Some(Self { log_id, base_at, refused })
    }

    /// Whether a collector refuses a source.
    pub fn refuses(&self, source: &SourceId) -> bool {
        self.refused.contains(&hash(source))
    }
}

/// The sources that collectors refuse, by what the owners of all partitions say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusals(BTreeSet<String>);

impl Refusals {
    /// Those of all partitions: a source that was spread, or whose partition has changed, may wait in any.
    pub fn of<'m>(all: impl IntoIterator<Item = &'m Metadata>) -> Self {
        Self(all.into_iter().flat_map(|metadata| metadata.refused.iter().cloned()).collect())
    }

    /// Whether a collector refuses a source.
    pub fn refuses(&self, source: &SourceId) -> bool {
        // Nearly always nobody is refused, and this is asked for each request.
        !self.0.is_empty() && self.0.contains(&hash(source))
    }
}

/// The hashes of the sources to refuse: those whose oldest undelivered position lies before the record that
/// the broker names for half of the retention ago. What was answered with success has the other half.
pub fn refused(oldest: impl IntoIterator<Item = (SourceId, u64)>, half_ago: u64) -> Vec<String> {
    let mut waiting: Vec<(u64, SourceId)> = oldest
        .into_iter()
        .filter(|(_, position)| *position < before(half_ago))
        .map(|(source, position)| (position, source))
        .collect();
    waiting.sort();
    waiting.iter().take(REFUSED_MAX).map(|(_, source)| hash(source)).collect()
}

fn hash(source: &SourceId) -> String {
    let mut text = hex::encode(Sha256::digest(source.as_str()));
    text.truncate(HASH_LEN);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::position::position;

    #[test]
    fn metadata_reads_back_and_fits() {
        let refused: Vec<String> = (0..500).map(|n| format!("{n:08}")).collect();
        let metadata = Metadata { log_id: "ab".repeat(16), base_at: Some(u64::MAX), refused };
        let text = metadata.encode();
        assert!(text.len() <= METADATA_BYTES_MAX, "{}", text.len());
        let read = Metadata::decode(&text).unwrap();
        assert_eq!((read.log_id, read.base_at), (metadata.log_id, metadata.base_at));
        assert_eq!(read.refused, metadata.refused[..REFUSED_MAX]);
        for text in ["", "x -", "another tool"] {
            assert_eq!(Metadata::decode(text), None);
        }
    }

    #[test]
    fn sources_that_wait_for_half_of_the_retention_are_refused() {
        let [web, ios, tv] = ["web", "ios", "tv"].map(|name| SourceId::new(name).unwrap());
        let oldest =
            [(web.clone(), position(9, 1)), (ios.clone(), position(3, 1)), (tv.clone(), position(10, 1))];
        let refused = refused(oldest, 10);
        assert_eq!(refused, [hash(&ios), hash(&web)]);
        let metadata = Metadata { refused, ..Metadata::default() };
        assert!(metadata.refuses(&web) && !metadata.refuses(&tv));
        let all = Refusals::of([&metadata, &Metadata::default()]);
        assert!(all.refuses(&web) && !all.refuses(&tv) && !Refusals::default().refuses(&web));
    }
}
