//! A person's decision about a conflict of a partition: another object has the key of a sealed one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::query_parameters::QueryParameters;
use crate::log::Decision;
use crate::words::{first_few, if_any, outside_key, outside_text};

/// The path of the request.
pub(super) const RESOLVE: &str = "/api/kafka/resolve";
/// How long an answer may take: a note waits for brokers that are away.
pub const RESOLVE_WAIT: Duration = Duration::from_secs(60);
/// The most numbers that a refusal names.
const NAMED_MAX: usize = 20;

/// What a person decided: `POST /api/kafka/resolve?partition=N&seal=N&action=ACTION`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskedDecision {
    /// The partition.
    pub partition: u32,
    /// The number of the seal.
    pub seal: u64,
    /// What becomes of the two objects.
    pub action: Decision,
}

/// A decision that is noted. Whoever owns the partition follows it, also after a loss of this process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resolved {
    /// The partition.
    pub partition: u32,
    /// The number of the seal.
    pub seal: u64,
    /// `overwrite` or `keep-theirs`.
    pub action: String,
    /// The bucket.
    pub bucket: String,
    /// The key that both objects have.
    pub object_key: String,
    /// The key under which the sealed object is put, if the other one stays.
    pub put_as: Option<String>,
}

/// Why a decision is not noted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotResolved {
    /// The process is no writer of a log over Kafka.
    #[error(
        "this process owns no partitions: ask a writer with --admin; for a spool, stop Forebay and use \
         `forebay spool resolve`"
    )]
    NoPartitions,
    /// Another writer owns the partition, or none does.
    #[error(
        "this writer does not own partition {partition}{}: ask the writer whose `forebay status` lists it, with --admin",
        owned_words(.owned)
    )]
    NotOwned {
        /// The partition.
        partition: u32,
        /// Those that it owns.
        owned: Vec<u32>,
    },
    /// The seal has no conflict.
    #[error("seal {seal} of partition {partition} has no conflict; {}", waiting_words(.waiting))]
    NoConflict {
        /// The partition.
        partition: u32,
        /// The seal.
        seal: u64,
        /// The seals of the partition that have one.
        waiting: Vec<u64>,
    },
    /// The partition is not worked on at present, or stopped being so before the decision was noted.
    #[error("partition {partition} is not delivered now, so nothing may be decided: {why}")]
    NotNow {
        /// The partition.
        partition: u32,
        /// Why, and what to do.
        why: String,
    },
}

fn owned_words(owned: &[u32]) -> String {
    if_any(owned.len() as u64, |_| format!(" (it owns {})", first_few(owned.iter(), NAMED_MAX)))
}

fn waiting_words(waiting: &[u64]) -> String {
    match waiting {
        [] => "no seal of this partition has one".to_owned(),
        some => format!("seals with a conflict: {}", first_few(some.iter(), NAMED_MAX)),
    }
}

impl AskedDecision {
    /// Path and query of the request.
    pub fn path(&self) -> String {
        let Self { partition, seal, action } = self;
        format!("{RESOLVE}?partition={partition}&seal={seal}&action={}", action.slug())
    }

    pub(super) fn of_query(query: &str) -> Result<Self, String> {
        let mut parameters = QueryParameters::of(query, &["partition", "seal", "action"])?;
        Ok(Self {
            partition: parameters.must("partition", |text| text.parse().ok())?,
            seal: parameters.must("seal", |text| text.parse().ok())?,
            action: parameters.must("action", Decision::of_slug)?,
        })
    }
}

impl Resolved {
    /// What happens now, for people.
    pub fn text(&self) -> String {
        let Self { partition, seal, .. } = self;
        let (bucket, object_key) = (outside_text(&self.bucket), outside_key(&self.object_key));
        let of = format!("seal {seal} of partition {partition}");
        match &self.put_as {
            None => format!("{of}: the sealed object replaces {object_key} in {bucket}\n"),
            Some(put_as) => format!(
                "{of}: {object_key} in {bucket} stays as it is\n\
                 the lines of the sealed object are put to {} in the same bucket, and count as delivered then\n",
                outside_key(put_as)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_to_do() {
        let check = |why: &NotResolved, expected: &str| assert_eq!(why.to_string(), expected);
        let seal =
            |waiting: &[u64]| NotResolved::NoConflict { partition: 3, seal: 7, waiting: waiting.to_vec() };
        check(&seal(&[]), "seal 7 of partition 3 has no conflict; no seal of this partition has one");
        check(&seal(&[8, 9]), "seal 7 of partition 3 has no conflict; seals with a conflict: 8, 9");
        let owned = |owned: &[u32]| NotResolved::NotOwned { partition: 3, owned: owned.to_vec() };
        let ask = "ask the writer whose `forebay status` lists it, with --admin";
        check(&owned(&[]), &format!("this writer does not own partition 3: {ask}"));
        check(&owned(&[0]), &format!("this writer does not own partition 3 (it owns 0): {ask}"));
    }

    #[test]
    fn a_decision_says_what_becomes_of_both_objects() {
        let replaced = Resolved {
            partition: 3,
            seal: 7,
            bucket: "lake".into(),
            object_key: "segment-logs/a.gz".into(),
            ..Resolved::default()
        };
        assert_eq!(
            replaced.text(),
            "seal 7 of partition 3: the sealed object replaces segment-logs/a.gz in lake\n"
        );
        let kept = Resolved { put_as: Some("segment-logs/_conflicts/a.gz".into()), ..replaced };
        assert_eq!(
            kept.text(),
            "seal 7 of partition 3: segment-logs/a.gz in lake stays as it is\n\
             the lines of the sealed object are put to segment-logs/_conflicts/a.gz in the same bucket, and count as \
             delivered then\n"
        );
    }
}
