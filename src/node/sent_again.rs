//! How many dead letters of a node were sent again, as the notes of replays in its buckets say.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::archive_view::NodeArchive;
use super::read_notes::{Read, SentAgain, UNFINISHED};
use crate::admin::{AllDestinations, NotShown};
use crate::object::replay_note::ReplayNote;
use crate::object::{ObjectKey, ParsedObjectKey, S3Location};
use crate::sources::SourceId;
use crate::store::reader::{ByteRange, ListFrom, Listed, StoreReader as _};
use crate::store::{Fault, Reason, StoreError};

/// How long people wait for notes to be read. The next request goes on with those that are left.
const PATIENCE: Duration = Duration::from_secs(3);
/// The most notes of a destination that are counted.
const NOTES_MAX: usize = 10_000;
/// The most notes that are remembered: beyond it all are read again.
const KNOWN_MAX: usize = 4 * NOTES_MAX;
/// The longest note that is read for a count, in bytes. Those of objects with millions of lines are longer.
const NOTE_BYTES_MAX: u64 = 1 << 20;

impl NodeArchive {
    /// Adds to destinations how many of their dead letters were sent again. An answer counts for `fresh`.
    pub(super) async fn with_sent_again(&self, mut all: AllDestinations, fresh: Duration) -> AllDestinations {
        if all.destinations.iter().all(|one| one.dead_stored == 0) {
            return all;
        }
        let Ok(mut known) = timeout(PATIENCE, self.sent_again.lock()).await else {
            let waits = all.destinations.iter_mut().filter(|one| one.dead_stored > 0);
            waits.for_each(|one| one.dead_unknown = Some(UNFINISHED.to_owned()));
            return all;
        };
        let letters = self.node.dead_letters_by_source();
        let until = Instant::now() + PATIENCE;
        if known.notes.len() > KNOWN_MAX {
            known.notes.clear();
        }
        for one in all.destinations.iter_mut().filter(|one| one.dead_stored > 0) {
            let known_now = known.by_destination.get(&one.name).filter(|(at, _)| at.elapsed() < fresh);
            let found = match known_now.map(|(_, found)| found.clone()) {
                Some(found) => found,
                None => {
                    let sources = letters.get(one.name.as_str()).map(Vec::as_slice).unwrap_or_default();
                    let read = self.read_notes(&one.name, sources, &mut known.notes);
                    let read = tokio::time::timeout_at(until, read).await;
                    let found = read.unwrap_or_else(|_| known.so_far(&one.name));
                    known.by_destination.insert(one.name.clone(), (Instant::now(), found.clone()));
                    found
                }
            };
            found.into_status(one);
        }
        all
    }

    /// Reads the notes about dead letters of these sources, as far as they are not known.
    async fn read_notes(
        &self,
        destination: &str,
        sources: &[SourceId],
        notes: &mut HashMap<ObjectKey, Read>,
    ) -> SentAgain {
        let (mut all, mut seen, spool) = (SentAgain::default(), 0, self.node.log.spool_id());
        for source in sources {
            let to = match self.location(source) {
                Ok(to) => to,
                Err(error) => {
                    all.unknown = Some(error.to_string());
                    continue;
                }
            };
            let folder = format!("{}{destination}/{source}/", ReplayNote::folder(&to.bucket));
            let mut next: Option<String> = None;
            loop {
                let from = ListFrom { prefix: &folder, next: next.as_deref(), ..ListFrom::default() };
                let page = match self.ask(self.store.list(&to, from)).await {
                    Ok(Ok(page)) => page,
                    Ok(Err(error)) => {
                        all.unknown = Some(self.unread(&to, &error));
                        break;
                    }
                    Err(error) => {
                        all.unknown = Some(error.to_string());
                        break;
                    }
                };
                for listed in page.objects {
                    seen += 1;
                    if seen > NOTES_MAX {
                        all.unknown = Some(format!("only {NOTES_MAX} notes of replays are counted"));
                        return all;
                    }
                    // Other spools count their dead letters themselves.
                    let object = ReplayNote::object_of(&to.bucket, &listed.key);
                    let parsed = object.and_then(|key| ParsedObjectKey::of(&to.bucket, key.as_str()));
                    if parsed.is_none_or(|parsed| parsed.spool_id != spool) {
                        continue;
                    }
                    match self.sent_of(destination, &to, listed, notes).await {
                        Ok(sent) => all.count += sent,
                        Err(why) => all.unknown = Some(why),
                    }
                }
                next = page.next;
                if next.is_none() {
                    break;
                }
            }
        }
        all
    }

    /// How many dead letters a note says were sent. Errors: why it does not.
    async fn sent_of(
        &self,
        destination: &str,
        to: &S3Location,
        listed: Listed,
        notes: &mut HashMap<ObjectKey, Read>,
    ) -> Result<u64, String> {
        let version = (listed.etag, listed.len);
        if let Some(read) = notes.get(&listed.key).filter(|read| read.version == version) {
            return read.sent.clone();
        }
        let wanted = ByteRange { from: 0, len: NOTE_BYTES_MAX };
        let text = match self.ask(self.store.range(to, &listed.key, None, wanted)).await {
            Ok(Ok(text)) => text,
            Ok(Err(error)) if error.fault == Fault::NotFound => return Ok(0),
            Ok(Err(error)) => return Err(self.unread(to, &error)),
            Err(error) => return Err(error.to_string()),
        };
        if !text.is_whole() {
            let what =
                if version.1 > NOTE_BYTES_MAX { "is too long to be counted" } else { "was not read whole" };
            return Err(format!("the note {} {what}", listed.key));
        }
        let about = |note: &ReplayNote| ReplayNote::key(&to.bucket, &ObjectKey::listed(note.object.clone()));
        let sent = match ReplayNote::read(&text.bytes) {
            Ok(note) if about(&note).as_ref() != Some(&listed.key) => {
                Err(format!("the note {} is about another object, {}", listed.key, note.object))
            }
            Ok(note) => note.sent.ok_or_else(|| {
                format!("the note {} is of an earlier version, which did not count", listed.key)
            }),
            Err(why) => Err(format!("the note {} cannot be used: {why}", listed.key)),
        };
        let destination = destination.to_owned();
        notes.insert(listed.key, Read { destination, version, sent: sent.clone() });
        sent
    }

    /// Why notes in a bucket cannot be read.
    fn unread(&self, to: &S3Location, error: &StoreError) -> String {
        if error.fault == Fault::Refused && matches!(error.reason, Reason::Denied(_)) {
            return format!(
                "this node may not read the notes of replays in {}: `forebay policy reader` prints the statements",
                to.bucket
            );
        }
        NotShown::Store(error.with_remedy().shown(self.shows_all()).to_owned()).to_string()
    }
}
