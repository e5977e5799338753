//! Compares the two sides of the ledger, and makes its report.

use std::collections::BTreeMap;

use super::{Account, Ledger};
use crate::batch::BatchKey;
use crate::log::{Difference, Report, Row, Rows, SourceReport};
use crate::object::Stream;
use crate::sources::SourceId;
use crate::time::ReceivedDay;

impl Account {
    fn total(&self) -> Row {
        let mut total = self.earlier;
        self.hours.iter().for_each(|(_, entry)| total.add(&entry.row));
        total
    }

    /// Open frames in the rows, by batch.
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
    /// The rows that are wanted. Differences are not filled in.
    pub(crate) fn report(&self, rows: Rows<'_>) -> Report {
        let of = |(source, account): (&SourceId, &Account)| SourceReport {
            source: source.clone(),
            total: account.total(),
            earlier: account.earlier,
            hours: account.hours.iter().map(|(hour, entry)| (*hour, entry.row)).collect(),
        };
        let total_of = |(source, account): (&SourceId, &Account)| SourceReport {
            source: source.clone(),
            total: account.total(),
            earlier: Row::default(),
            hours: Vec::new(),
        };
        let sources = match rows {
            Rows::None => Vec::new(),
            Rows::Totals => self.accounts.iter().map(total_of).collect(),
            Rows::Of(source) => self.accounts.get_key_value(source).map(of).into_iter().collect(),
            Rows::All => self.accounts.iter().map(of).collect(),
        };
        Report { sources, differences: Vec::new(), lost_positions: self.lost_positions }
    }

    /// All differences. `open` lists the open frames of each batch in the index, sorted by batch.
    pub(crate) fn differences<'a>(&self, open: impl Iterator<Item = (&'a BatchKey, u64)>) -> Vec<Difference> {
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
                    if !self.uncertain.contains(&batch) {
                        found.push(Difference::Open { batch, ledger, spool });
                    }
                }
            }
        }
        found.extend(open.filter_map(unknown));
        found
    }
}

/// Checks the two equations in each row.
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
