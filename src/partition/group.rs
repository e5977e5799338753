//! What an owner commits to the group, for people, tools and collectors. It decides nothing: a member that
//! lost a partition can still overwrite it.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::position::before;
use crate::sources::SourceId;
use crate::time::UnixMillis;

/// The longest metadata of an offset, in bytes.
pub const METADATA_BYTES_MAX: usize = 4_096;
/// Sources in it.
pub const REFUSED_MAX: usize = 390;
/// Characters of a source's hash.
const HASH_LEN: usize = 8;
/// Stands before the hashes if the whole partition is refused.
const ALL: &str = "*";
/// The longest name of an owner, in bytes: that of a DNS name.
const OWNER_BYTES_MAX: usize = 253;
/// Stands for the name of a host that has none.
const NO_NAME: &str = "unknown";

/// The metadata of the offset that an owner commits, which is [`State::kept_from`](super::state::State).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The log id.
    pub log_id: String,
    /// The offset of the last base note.
    pub base_at: Option<u64>,
    /// Whether collectors refuse whatever would go to this partition: what it has is not read, so nobody knows whose it is,
    /// or more sources are to be refused than can be named.
    pub refuses_all: bool,
    /// Hashes of the sources that collectors refuse, the one that waits longest first.
    pub refused: Vec<String>,
    /// What the owner says of itself. `None` in what releases before it wrote.
    pub owner: Option<OwnerSays>,
}

/// What the owner of a partition says to people who look at another process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnerSays {
    /// The name of its host.
    pub host: String,
    /// When it said so, by its clock.
    pub at: UnixMillis,
    /// How old the record is that was read last, while more is to be read; 0 at the log's end.
    pub lag_seconds: Option<u64>,
    /// How long Kafka keeps the first record with calls that are not delivered.
    pub left_seconds: Option<u64>,
    /// The source whose calls are oldest, and when the first of them was received.
    pub pin: Option<(String, UnixMillis)>,
    /// The first record with calls that are not delivered, or the next one. `None` in what releases before it wrote.
    pub needed_from: Option<u64>,
}

impl OwnerSays {
    /// Fields that an earlier release takes for hashes of no source.
    fn fields(&self) -> impl Iterator<Item = String> {
        let host: String = self.host.chars().filter(char::is_ascii_graphic).take(OWNER_BYTES_MAX).collect();
        let host = if host.is_empty() { NO_NAME.to_owned() } else { host };
        let number = |name: &str, value: Option<u64>| value.map(|value| format!("{name}={value}"));
        let pin = self
            .pin
            .iter()
            .flat_map(|(source, UnixMillis(since))| [format!("pin={source}"), format!("since={since}")]);
        let numbers = [
            number("lag", self.lag_seconds),
            number("left", self.left_seconds),
            number("needed", self.needed_from),
        ];
        [format!("owner={host}"), format!("at={}", self.at.0)]
            .into_iter()
            .chain(numbers.into_iter().flatten())
            .chain(pin)
    }

    /// Takes the fields of an owner out of all. `None` if there is none.
    fn taken_of(fields: &mut Vec<String>) -> Option<Self> {
        let of_owner: BTreeMap<String, String> = fields
            .extract_if(.., |field| field.contains('='))
            .filter_map(|field| {
                field.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
            })
            .collect();
        let text = |name: &str| of_owner.get(name).cloned();
        let number = |name: &str| of_owner.get(name)?.parse().ok();
        let millis = |name: &str| of_owner.get(name)?.parse().ok().map(UnixMillis);
        Some(Self {
            host: text("owner")?,
            at: millis("at")?,
            lag_seconds: number("lag"),
            left_seconds: number("left"),
            pin: text("pin").zip(millis("since")),
            needed_from: number("needed"),
        })
    }
}

impl Metadata {
    /// Its text: at most [`METADATA_BYTES_MAX`] bytes.
    pub fn encode(&self) -> String {
        let base = self.base_at.map_or_else(|| "-".to_owned(), |at| at.to_string());
        let all = self.refuses_all.then(|| ALL.to_owned());
        let refused = self.refused.iter().take(REFUSED_MAX);
        let fields = [self.log_id.clone(), base].into_iter().chain(all).chain(refused.cloned());
        let of_owner = self.owner.iter().flat_map(OwnerSays::fields);
        fields.chain(of_owner).collect::<Vec<_>>().join(" ")
    }

    /// Reads a text. `None` if it is none of these.
    pub fn decode(text: &str) -> Option<Self> {
        let mut fields = text.split(' ');
        let log_id = fields.next().filter(|id| id.len() == 32)?.to_owned();
        let base_at = match fields.next()? {
            "-" => None,
            at => Some(at.parse().ok()?),
        };
        let mut refused: Vec<String> = fields.map(str::to_owned).collect();
        let refuses_all = refused.first().is_some_and(|first| first == ALL);
        if refuses_all {
            refused.remove(0);
        }
        let owner = OwnerSays::taken_of(&mut refused);
        Some(Self { log_id, base_at, refuses_all, refused, owner })
    }

    /// Whether a collector refuses a source.
    pub fn refuses(&self, source: &SourceId) -> bool {
        self.refused.contains(&hash(source))
    }

    /// What the next owner tells while it does not know for how long the log is kept. It refuses the sources that this owner
    /// refused, as long as their calls wait: `waits` refuses every source whose calls do.
    pub fn still_refuses(self, waits: Self) -> Self {
        let is_refused = |one: &String| self.refuses_all || self.refused.contains(one);
        let refused = match waits.refuses_all {
            // More wait than can be named.
            true => self.refused,
            false => waits.refused.into_iter().filter(is_refused).collect(),
        };
        Self { refuses_all: self.refuses_all && waits.refuses_all, refused, ..waits }
    }
}

/// What the last owners of all partitions say, without those that say nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owners {
    /// When this process heard it, by its clock.
    pub heard_at: UnixMillis,
    /// By partition.
    pub of: BTreeMap<u32, OwnerSays>,
}

impl Owners {
    /// What is heard at this time.
    pub fn heard<'m>(heard_at: UnixMillis, all: impl IntoIterator<Item = (u32, &'m Metadata)>) -> Self {
        let owner = |(partition, metadata): (u32, &Metadata)| Some((partition, metadata.owner.clone()?));
        Self { heard_at, of: all.into_iter().filter_map(owner).collect() }
    }
}

/// What collectors refuse, by what the owners of all partitions say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    sources: BTreeSet<String>,
    partitions: BTreeSet<u32>,
}

impl Refusals {
    /// Sources of all partitions: a source that was spread, or whose partition has changed, may wait in any.
    pub fn of<'m>(all: impl IntoIterator<Item = (u32, &'m Metadata)>) -> Self {
        let mut refusals = Self::default();
        for (partition, metadata) in all {
            refusals.sources.extend(metadata.refused.iter().cloned());
            refusals.partitions.extend(metadata.refuses_all.then_some(partition));
        }
        refusals
    }

    /// Whether a collector refuses a source.
    pub fn refuses(&self, source: &SourceId) -> bool {
        // Nearly always nobody is refused, and this is asked for each request.
        !self.sources.is_empty() && self.sources.contains(&hash(source))
    }

    /// The partitions that are refused whole.
    pub fn partitions(&self) -> &BTreeSet<u32> {
        &self.partitions
    }

    /// Whether a collector refuses what would go to this partition.
    pub fn refuses_all_of(&self, partition: u32) -> bool {
        self.partitions.contains(&partition)
    }
}

/// The hashes of the sources to refuse: those whose oldest undelivered position lies before the record that
/// the broker names for half of the retention ago. What was answered with success has the other half. `None` if they are
/// more than can be named: then the whole partition is to be refused.
pub fn refused(oldest: impl IntoIterator<Item = (SourceId, u64)>, half_ago: u64) -> Option<Vec<String>> {
    let mut waiting: Vec<(u64, SourceId)> = oldest
        .into_iter()
        .filter(|(_, position)| *position < before(half_ago))
        .map(|(source, position)| (position, source))
        .collect();
    waiting.sort();
    (waiting.len() <= REFUSED_MAX).then(|| waiting.iter().map(|(_, source)| hash(source)).collect())
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
        let long = OwnerSays {
            host: "h".repeat(OWNER_BYTES_MAX),
            at: UnixMillis(i64::MAX),
            lag_seconds: Some(u64::MAX),
            left_seconds: Some(u64::MAX),
            pin: Some(("s".repeat(crate::sources::SOURCE_ID_MAX), UnixMillis(i64::MAX))),
            needed_from: Some(u64::MAX),
        };
        let short = OwnerSays { host: "writer-2".to_owned(), at: UnixMillis(7), ..OwnerSays::default() };
        for (refuses_all, owner) in [(false, None), (true, Some(long)), (true, Some(short))] {
            let metadata = Metadata {
                log_id: "ab".repeat(16),
                base_at: Some(u64::MAX),
                refuses_all,
                refused: refused.clone(),
                owner,
            };
            let text = metadata.encode();
            assert!(text.len() <= METADATA_BYTES_MAX, "{}", text.len());
            let read = Metadata::decode(&text).unwrap();
            let cut = Metadata { refused: refused[..REFUSED_MAX].to_vec(), ..metadata };
            assert_eq!(read, cut);
        }
        for text in ["", "x -", "another tool"] {
            assert_eq!(Metadata::decode(text), None);
        }
    }

    #[test]
    fn a_name_of_a_host_is_one_field_and_what_is_unknown_is_passed_over() {
        let owner = OwnerSays { host: "a b\n=c\u{e4}".to_owned(), at: UnixMillis(7), ..OwnerSays::default() };
        let text = Metadata { log_id: "ab".repeat(16), owner: Some(owner), ..Metadata::default() }.encode();
        let nameless = OwnerSays { host: " \u{e4}".to_owned(), ..OwnerSays::default() };
        assert!(nameless.fields().any(|field| field == "owner=unknown"));
        let read = Metadata::decode(&format!("{text} 01234567 later=9 lag=x")).unwrap();
        assert_eq!(
            read.owner,
            Some(OwnerSays { host: "ab=c".to_owned(), at: UnixMillis(7), ..OwnerSays::default() })
        );
        assert_eq!(read.refused, ["01234567"]);
    }

    /// A new owner that could not ask for how long the log is kept took all sources again.
    #[test]
    fn an_owner_that_does_not_know_the_retention_refuses_whom_the_last_one_did_while_they_wait() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let says = |refuses_all, refused: &[&str]| Metadata {
            refuses_all,
            refused: names(refused),
            ..Metadata::default()
        };
        let check = |before: &Metadata, waits: &Metadata, expected: &Metadata| {
            let waits = Metadata { base_at: Some(9), ..waits.clone() };
            let told = before.clone().still_refuses(waits);
            assert_eq!(told, Metadata { base_at: Some(9), ..expected.clone() });
        };
        check(&says(false, &["a", "b"]), &says(false, &["b", "c"]), &says(false, &["b"]));
        check(&says(false, &["a"]), &says(true, &[]), &says(false, &["a"]));
        check(&says(true, &["a"]), &says(true, &[]), &says(true, &["a"]));
        check(&says(true, &["a"]), &says(false, &["b"]), &says(false, &["b"]));
    }

    #[test]
    fn sources_that_wait_for_half_of_the_retention_are_refused() {
        let [web, ios, tv] = ["web", "ios", "tv"].map(|name| SourceId::new(name).unwrap());
        let oldest =
            [(web.clone(), position(9, 1)), (ios.clone(), position(3, 1)), (tv.clone(), position(10, 1))];
        let refused = super::refused(oldest, 10).unwrap();
        assert_eq!(refused, [hash(&ios), hash(&web)]);
        let metadata = Metadata { refused, ..Metadata::default() };
        assert!(metadata.refuses(&web) && !metadata.refuses(&tv));
        let unread = Metadata { refuses_all: true, ..Metadata::default() };
        let all = Refusals::of([(0, &metadata), (4, &unread)]);
        assert!(all.refuses(&web) && !all.refuses(&tv) && !Refusals::default().refuses(&web));
        assert!(all.refuses_all_of(4) && !all.refuses_all_of(0));
    }

    /// The source after those that can be named was answered with success on, although Kafka might delete its calls.
    #[test]
    fn who_cannot_be_named_is_refused_with_its_partition() {
        let many =
            |count: usize| (0..count).map(|n| (SourceId::new(&format!("s{n}")).unwrap(), position(9, 1)));
        assert_eq!(super::refused(many(REFUSED_MAX), 10).unwrap().len(), REFUSED_MAX);
        assert_eq!(super::refused(many(REFUSED_MAX + 1), 10), None);
        assert_eq!(super::refused(many(REFUSED_MAX + 1), 9), Some(Vec::new()));
    }
}
