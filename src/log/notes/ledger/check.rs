//! Compares the two sides of the ledger, and makes its report.

use std::collections::BTreeMap;

use super::{Account, Ledger};
use crate::batch::BatchKey;
use crate::log::{AccountKey, AccountReport, Difference, Report, Row, Rows};
use crate::object::Stream;
use crate::sources::SourceId;
use crate::time::ReceivedDay;

impl Account {
    pub(super) fn total(&self) -> Row {
        let mut total = self.earlier;
        self.hours.iter().for_each(|(_, entry)| total.add(&entry.row));
        total
    }

    /// Open frames in the rows, by batch.
    fn open(&self, key: &AccountKey) -> BTreeMap<(ReceivedDay, Stream), i128> {
        let mut open = BTreeMap::new();
        for (hour, entry) in &self.hours {
            for stream in key.streams() {
                let frames = entry.open(&stream);
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
        let total_of = |(key, account): (&AccountKey, &Account)| AccountReport {
            account: key.clone(),
            total: account.total(),
            earlier: Row::default(),
            hours: Vec::new(),
        };
        let of = |(key, account): (&AccountKey, &Account)| AccountReport {
            earlier: account.earlier,
            hours: account.hours.iter().map(|(hour, entry)| (*hour, entry.row)).collect(),
            ..total_of((key, account))
        };
        let accounts = match rows {
            Rows::None => Vec::new(),
            Rows::Totals => self.accounts.iter().map(total_of).collect(),
            Rows::Of(source) => self.of_source(source).map(of).collect(),
            Rows::All => self.accounts.iter().map(of).collect(),
        };
        let (lost_positions, lost_uncounted) = (self.lost_positions, self.lost_uncounted);
        let removed = self.removed.clone();
        Report { accounts, differences: Vec::new(), lost_positions, lost_uncounted, removed }
    }

    /// The accounts of a source.
    pub(super) fn of_source<'l>(
        &'l self,
        source: &'l SourceId,
    ) -> impl Iterator<Item = (&'l AccountKey, &'l Account)> {
        let first = AccountKey::of_calls(source.clone());
        self.accounts.range(first..).take_while(move |(account, _)| account.source == *source)
    }

    /// All differences. `open` lists the open frames of each batch in the index, sorted by batch.
    pub(crate) fn differences<'a>(&self, open: impl Iterator<Item = (&'a BatchKey, u64)>) -> Vec<Difference> {
        let mut found = Vec::new();
        let mut open = open.peekable();
        let unknown = |(batch, spool): (&BatchKey, u64)| {
            (spool > 0).then(|| Difference::Open { batch: batch.clone(), ledger: 0, spool })
        };
        let mut accounts = self.accounts.iter().peekable();
        while let Some((AccountKey { source, .. }, _)) = accounts.peek() {
            while let Some(batch) = open.next_if(|(batch, _)| batch.source < *source) {
                found.extend(unknown(batch));
            }
            // A batch of a source may belong to any of its accounts.
            let mut of_ledger = BTreeMap::new();
            while let Some((key, account)) = accounts.next_if(|(key, _)| key.source == *source) {
                rows_of(key, account, &mut found);
                of_ledger.append(&mut account.open(key));
            }
            let mut of_index = BTreeMap::new();
            while let Some((batch, frames)) = open.next_if(|(batch, _)| batch.source == *source) {
                of_index.insert((batch.day, batch.stream.clone()), frames);
                of_ledger.entry((batch.day, batch.stream.clone())).or_default();
            }
            for ((day, stream), ledger) in of_ledger {
                let spool = of_index.get(&(day, stream.clone())).copied().unwrap_or(0);
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
fn rows_of(key: &AccountKey, account: &Account, found: &mut Vec<Difference>) {
    let hours = account.hours.iter().map(|(hour, entry)| (Some(*hour), entry.row));
    for (hour, row) in std::iter::once((None, account.earlier)).chain(hours) {
        if row.received != row.accounted() {
            found.push(Difference::Received { account: key.clone(), hour, row });
        }
        for stream in key.streams() {
            if row.pending(&stream).is_none() {
                found.push(Difference::Delivered { source: key.source.clone(), hour, stream, row });
            }
        }
    }
}
