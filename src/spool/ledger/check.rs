//! Whether the ledger's two sides meet, and what it shows.

use std::collections::BTreeMap;
use std::fmt;

use super::{Account, Hour, Ledger, Row};
use crate::batch::BatchKey;
use crate::object::Stream;
use crate::object::metadata::rfc3339;
use crate::sources::SourceId;
use crate::time::ReceivedDay;

/// Counts that should be equal and are not: a call went missing, was counted twice, or Forebay counts wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// What was received is not what was stored, rejected, repeated or suppressed.
    Received {
        /// The source.
        source: SourceId,
        /// The hour; `None` for what was folded.
        hour: Option<Hour>,
        /// What was counted.
        row: Row,
    },
    /// More is delivered or lost than was stored.
    Delivered {
        /// The source.
        source: SourceId,
        /// The hour; `None` for what was folded.
        hour: Option<Hour>,
        /// The stream.
        stream: Stream,
        /// What was counted.
        row: Row,
    },
    /// What the rows of a batch have open is not what the spool has open of it.
    Open {
        /// The batch.
        batch: BatchKey,
        /// Frames by the ledger. Below zero where more is sealed than was stored.
        ledger: i128,
        /// Frames by the index of the spool.
        spool: u64,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = |hour: &Option<Hour>| hour.map_or("earlier".to_owned(), |hour| rfc3339(hour.start()));
        match self {
            Self::Received { source, hour, row } => write!(
                f,
                "{source}, {}: {} received, but {} stored + {} rejected + {} repeated + {} suppressed = {}",
                when(hour),
                row.received,
                row.stored,
                row.rejected,
                row.repeated,
                row.suppressed,
                row.accounted()
            ),
            Self::Delivered { source, hour, stream, row } => {
                let (stored, delivered, lost) = row.of(*stream);
                let of = match stream {
                    Stream::Calls => "stored",
                    Stream::Rejected => "rejected",
                };
                write!(
                    f,
                    "{source}, {}: {stored} {of}, but {delivered} of them delivered + {lost} lost",
                    when(hour)
                )
            }
            Self::Open { batch, ledger, spool } => {
                write!(f, "batch {batch}: {ledger} pending by the counts, but {spool} in the spool")
            }
        }
    }
}

/// What the ledger shows of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceReport {
    /// The source.
    pub source: SourceId,
    /// Everything.
    pub total: Row,
    /// What was folded.
    pub earlier: Row,
    /// By hour, oldest first.
    pub hours: Vec<(Hour, Row)>,
}

/// What the ledger shows: all of one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Sources in order.
    pub sources: Vec<SourceReport>,
    /// All differences, of every source.
    pub differences: Vec<Difference>,
    /// Positions that were ever noted as lost.
    pub lost_positions: u64,
}

impl Account {
    fn total(&self) -> Row {
        let mut total = self.earlier;
        self.hours.iter().for_each(|(_, entry)| total.add(&entry.row));
        total
    }

    /// What the rows have open, by batch.
    fn open(&self) -> BTreeMap<(ReceivedDay, Stream), i128> {
        let mut open = BTreeMap::new();
        for (hour, entry) in &self.hours {
            for stream in [Stream::Calls, Stream::Rejected] {
                let frames = entry.open(stream);
                if frames != 0 {
                    *open.entry((hour.day(), stream)).or_default() += frames;
                }
            }
        }
        open
    }
}

impl Ledger {
    /// The totals of each source.
    pub fn totals(&self) -> Vec<(SourceId, Row)> {
        self.accounts.iter().map(|(source, account)| (source.clone(), account.total())).collect()
    }

    /// What there is of one source, or of every one. The differences are not filled in.
    pub fn report(&self, only: Option<&SourceId>) -> Report {
        let shown = self.accounts.iter().filter(|(source, _)| only.is_none_or(|only| only == *source));
        let source = |(source, account): (&SourceId, &Account)| SourceReport {
            source: source.clone(),
            total: account.total(),
            earlier: account.earlier,
            hours: account.hours.iter().map(|(hour, entry)| (*hour, entry.row)).collect(),
        };
        Report {
            sources: shown.map(source).collect(),
            differences: Vec::new(),
            lost_positions: self.lost_positions,
        }
    }

    /// Every difference. `open` tells what each batch of the index has open, in the order of batches.
    pub fn differences<'a>(&self, open: impl Iterator<Item = (&'a BatchKey, u64)>) -> Vec<Difference> {
        let mut found = Vec::new();
        let mut open = open.peekable();
        let unknown = |(batch, spool): (&BatchKey, u64)| {
            (spool > 0).then(|| Difference::Open { batch: batch.clone(), ledger: 0, spool })
        };
        for (source, account) in &self.accounts {
            while let Some(batch) = open.next_if(|(batch, _)| batch.source < *source) {
                found.extend(unknown(batch));
            }
            rows_of(source, account, &mut found);
            let mut of_ledger = account.open();
            let mut of_index = BTreeMap::new();
            while let Some((batch, frames)) = open.next_if(|(batch, _)| batch.source == *source) {
                of_index.insert((batch.day, batch.stream), frames);
                of_ledger.entry((batch.day, batch.stream)).or_default();
            }
            for ((day, stream), ledger) in of_ledger {
                let spool = of_index.get(&(day, stream)).copied().unwrap_or(0);
                if ledger != i128::from(spool) {
                    let batch = BatchKey { source: source.clone(), day, stream };
                    if !self.doubtful.contains(&batch) {
                        found.push(Difference::Open { batch, ledger, spool });
                    }
                }
            }
        }
        found.extend(open.filter_map(unknown));
        found
    }
}

/// The equations of each row.
fn rows_of(source: &SourceId, account: &Account, found: &mut Vec<Difference>) {
    let hours = account.hours.iter().map(|(hour, entry)| (Some(*hour), entry.row));
    for (hour, row) in std::iter::once((None, account.earlier)).chain(hours) {
        if row.received != row.accounted() {
            found.push(Difference::Received { source: source.clone(), hour, row });
        }
        for stream in [Stream::Calls, Stream::Rejected] {
            if row.pending(stream).is_none() {
                found.push(Difference::Delivered { source: source.clone(), hour, stream, row });
            }
        }
    }
}
