//! Does for all objects of an import what is to be done once they are imported, and counts those that wait.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::act::{Acted, act};
use super::action::{After, next};
use super::entry::{AfterEntry, Kept, Read};
use super::report::{AfterReport, AfterWaits};
use super::settle::settle_stored;
use super::tally::Tally;
use crate::import::bucket_import::object_import::ObjectImport;
use crate::import::bucket_import::scan::Scan;
use crate::import::journal::{Journal, JournalError};
use crate::store::changer::StoreChanger;
use crate::words::Told;

/// The keys that are read from the journal at once.
const AT_ONCE: usize = 1_000;

/// What an import does with objects, and what does it.
fn wanted(objects: &ObjectImport) -> Option<(&After, &dyn StoreChanger)> {
    objects.import.after.as_ref().zip(objects.deps.changer.as_deref())
}

/// Does with an object whose import has just ended what is to be done. What fails is left to the end of the
/// pass.
pub(in super::super) async fn after_import(objects: &ObjectImport, key: &str) {
    let Some(wanted) = wanted(objects).filter(|_| objects.tally.may_try()) else { return };
    if objects.deps.stop.is_cancelled() {
        return;
    }
    match act(objects, wanted, key).await {
        Ok(acted) => objects.tally.note(acted.done(), acted.has_failed()),
        Err(error) => tracing::warn!(%error, "what is to be done with an imported object waits"),
    }
}

/// What the journal shows of the objects that wait.
struct Survey {
    report: AfterReport,
    due: u64,
    /// One of the keys that are due, each as likely as the others. So objects that fail again and again do
    /// not keep others from their turn.
    pivot: String,
}

/// Does with each object that waits what is to be done, and counts those that wait then.
/// Errors: [`JournalError`]: the journal cannot be used; a later pass does it.
pub(in super::super) async fn sweep(objects: &Arc<ObjectImport>) -> Result<AfterReport, JournalError> {
    if wanted(objects).is_none() {
        return Ok(AfterReport::default());
    }
    if objects.deps.scan == Scan::Full {
        // A retry that was killed may have stored all rejected rows of a file, and not said so.
        settle_stored(objects, true).await?;
    }
    let Survey { mut report, due, pivot } = surveyed(objects).await?;
    let mut failed = Vec::new();
    if due > 0 && !objects.deps.stop.is_cancelled() {
        let sweep_tally = Tally::default();
        try_from(objects, (&pivot, None), &sweep_tally, &mut failed).await?;
        if !pivot.is_empty() {
            try_from(objects, ("", Some(&pivot)), &sweep_tally, &mut failed).await?;
        }
        report = surveyed(objects).await?.report;
    }
    for (key, why, error) in failed {
        report.wait_instead(objects.name_of(&key), why, error);
    }
    report.done = objects.tally.take();
    Ok(report)
}

type Failed = (String, AfterWaits, Option<Told>);

/// Tries objects from a key on, up to another one.
async fn try_from(
    objects: &Arc<ObjectImport>,
    (from, until): (&str, Option<&str>),
    tally: &Tally,
    failed: &mut Vec<Failed>,
) -> Result<(), JournalError> {
    let (mut tasks, parallel) = (JoinSet::new(), objects.import.parallel.max(1));
    let mut next_from = Some(from.to_owned());
    while let Some(from) = next_from.take() {
        let (of, until) = (Arc::clone(objects), until.map(str::to_owned));
        let read = move |journal: &dyn Journal| due_keys(&of, journal, &from, until.as_deref());
        let (keys, more) = objects.on_disk(read).await?;
        next_from = more;
        for key in keys {
            while tasks.len() >= parallel
                && let Some(ended) = tasks.join_next().await
            {
                count(ended, objects, tally, failed)?;
            }
            if objects.deps.stop.is_cancelled() || !tally.may_try() {
                next_from = None;
                break;
            }
            let objects = Arc::clone(objects);
            tasks.spawn(async move {
                let acted = match wanted(&objects) {
                    Some(wanted) => act(&objects, wanted, &key).await,
                    None => Ok(Acted::Nothing),
                };
                (key, acted)
            });
        }
    }
    while let Some(ended) = tasks.join_next().await {
        count(ended, objects, tally, failed)?;
    }
    Ok(())
}

type Ended = Result<(String, Result<Acted, JournalError>), tokio::task::JoinError>;

fn count(
    ended: Ended,
    objects: &ObjectImport,
    tally: &Tally,
    failed: &mut Vec<Failed>,
) -> Result<(), JournalError> {
    let (key, acted) = ended.map_err(JournalError::of)?;
    let acted = acted?;
    tally.note(None, acted.has_failed());
    objects.tally.note(acted.done(), false);
    if acted.has_failed()
        && let Acted::Waits(why, error) = acted
    {
        failed.push((key, why, error));
    }
    Ok(())
}

/// The next keys for which something can be done, and the key from which others follow.
fn due_keys(
    objects: &ObjectImport,
    journal: &dyn Journal,
    from: &str,
    until: Option<&str>,
) -> Result<(Vec<String>, Option<String>), JournalError> {
    let Some((after, _)) = wanted(objects) else { return Ok(Default::default()) };
    let (mut keys, mut more) = (Vec::new(), None);
    AfterEntry::each_from(journal, objects.id, from, &mut |key, entry| {
        if until.is_some_and(|until| key >= until) {
            return false;
        }
        if keys.len() == AT_ONCE {
            more = Some(key.to_owned());
            return false;
        }
        let waits = waits(after, objects, key, &entry);
        keys.extend((waits == AfterWaits::Due).then(|| key.to_owned()));
        true
    })?;
    Ok((keys, more))
}

/// Why nothing is done with an object, as far as its entry shows.
fn waits(after: &After, objects: &ObjectImport, key: &str, entry: &Read) -> AfterWaits {
    match entry.as_ref().map(|entry| next(after, &objects.import.prefix, key, entry)) {
        Ok(Err(why)) => why,
        Ok(Ok(_)) => AfterWaits::Due,
        Err(_) => AfterWaits::Unreadable,
    }
}

/// Counts the objects that wait. Their number does not matter to memory.
async fn surveyed(objects: &Arc<ObjectImport>) -> Result<Survey, JournalError> {
    let of = Arc::clone(objects);
    let survey = move |journal: &dyn Journal| {
        let (mut report, mut due, mut pivot) = (AfterReport::default(), 0, String::new());
        let Some((after, _)) = wanted(&of) else { return Ok(Survey { report, due, pivot }) };
        AfterEntry::each_from(journal, of.id, "", &mut |key, entry| {
            let why = waits(after, &of, key, &entry);
            if why == AfterWaits::Due {
                due += 1;
                if of.deps.random.next_u64().is_multiple_of(due) {
                    key.clone_into(&mut pivot);
                }
            }
            if let Ok(AfterEntry { kept: Some(Kept::Rejected(rows)), .. }) = &entry {
                report.rejected_rows += rows;
            }
            report.wait(|| of.name_of(key), why, entry.err().map(Told::plain));
            true
        })?;
        Ok(Survey { report, due, pivot })
    };
    objects.on_disk(survey).await
}
