//! The ledger's report, and the differences between its two sides.

use std::collections::BTreeMap;
use std::fmt;

use super::account_key::AccountKey;
use super::hours::{Hour, Row};
use crate::batch::BatchKey;
use crate::object::Stream;
use crate::sources::SourceId;
use crate::words::rfc3339;

/// Counts that should be equal and differ: a call is missing, was counted twice, or Forebay counts wrongly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The items received are not those stored, rejected, repeated or suppressed.
    Received {
        /// The account.
        account: AccountKey,
        /// The hour; `None` for the folded hours.
        hour: Option<Hour>,
        /// The counts.
        row: Row,
    },
    /// More was delivered or lost than stored.
    Delivered {
        /// The source.
        source: SourceId,
        /// The hour; `None` for the folded hours.
        hour: Option<Hour>,
        /// The stream with the excess.
        stream: Stream,
        /// The counts.
        row: Row,
    },
    /// The open frames in the rows of a batch differ from those in the spool.
    Open {
        /// The batch.
        batch: BatchKey,
        /// Open frames in the ledger. Negative if more was sealed than stored.
        ledger: i128,
        /// Open frames in the spool's index.
        spool: u64,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = |hour: &Option<Hour>| hour.map_or("earlier".to_owned(), |hour| rfc3339(hour.start()));
        match self {
            Self::Received { account, hour, row } => write!(
                f,
                "{account}, {}: {} received, but {} stored + {} rejected + {} repeated + {} suppressed = {}",
                when(hour),
                row.received,
                row.stored,
                row.rejected,
                row.repeated,
                row.suppressed,
                row.accounted()
            ),
            Self::Delivered { source, hour, stream, row } => {
                let (stored, delivered, lost) = row.of(stream);
                let of = if *stream == Stream::Rejected { "rejected" } else { "stored" };
                let account = AccountKey::new(source.clone(), stream);
                write!(
                    f,
                    "{account}, {}: {stored} {of}, but {delivered} of them delivered + {lost} lost",
                    when(hour)
                )
            }
            Self::Open { batch, ledger, spool } => {
                write!(f, "batch {batch}: {ledger} pending by the counts, but {spool} in the spool")
            }
        }
    }
}

/// Which rows of the ledger a report has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows<'a> {
    /// None: the differences are enough.
    None,
    /// The total of each account.
    Totals,
    /// All rows of the accounts of one source.
    Of(&'a SourceId),
    /// All rows of every account.
    All,
}

/// The ledger's rows of one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountReport {
    /// The account.
    pub account: AccountKey,
    /// The total.
    pub total: Row,
    /// The sum of the folded hours. Zero if only totals were asked for.
    pub earlier: Row,
    /// By hour, oldest first. Empty if only totals were asked for.
    pub hours: Vec<(Hour, Row)>,
}

/// A report of the ledger at one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Accounts in order: each source's calls and rejected items, followed by its other streams.
    pub accounts: Vec<AccountReport>,
    /// Differences of all accounts.
    pub differences: Vec<Difference>,
    /// Positions ever noted as lost, or as many frames where it is known how many stood there.
    pub lost_positions: u64,
    /// Further lost positions. Nobody knows whether they held frames. 0 in a log that counts its frames.
    pub lost_uncounted: u64,
    /// What is left of sources that were forgotten. Part of every report, whichever rows are wanted.
    pub removed: Removed,
}

/// The counts of sources that were forgotten ([`Accounts::forget`](super::Accounts::forget)). With them, the
/// sums over all sources stay what they were.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Removed {
    /// How often a source was forgotten.
    pub sources: u64,
    /// Their calls and rejected items.
    pub calls: Row,
    /// Their object sets.
    pub objects: Row,
    /// Their dead letters, by destination.
    pub dead: BTreeMap<SourceId, Row>,
}

impl Removed {
    /// Whether no source was forgotten.
    pub fn is_none(&self) -> bool {
        self.sources == 0
    }

    /// Takes over the counts of an account.
    pub fn add(&mut self, account: &AccountKey, counts: &Row) {
        match account.stream() {
            Stream::Calls | Stream::Rejected => self.calls.add(counts),
            Stream::Objects(_) => self.objects.add(counts),
            Stream::Dead(destination) => self.dead.entry(destination.clone()).or_default().add(counts),
        }
    }

    /// All counts.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        [&self.calls, &self.objects].into_iter().chain(self.dead.values())
    }

    /// The dead letters of all destinations.
    pub fn all_dead(&self) -> Row {
        let mut all = Row::default();
        self.dead.values().for_each(|row| all.add(row));
        all
    }
}
