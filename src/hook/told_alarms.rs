//! Which alarms have been told, and what is to be told next. Pure.
//!
//! A file keeps it, so that an alarm which ends with a restart is told to have ended, and one that still stands
//! is not told twice. Its first line is `forebay-told-alarms 1 CRC`, with the CRC-32 of all that follows; then
//! there is one JSON object a line.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::alarm_notice::{Notice, NoticeEvent};
use crate::alarms::{Alarm, AlarmKind};
use crate::time::UnixMillis;

/// Begins the file.
const MAGIC: &str = "forebay-told-alarms 1 ";
/// The most alarms that are told. Further ones are in the status and in the log.
pub(super) const TOLD_MAX: usize = 1_000;
/// The most bytes of a subject in the file. An alarm with a longer one is not told.
const SUBJECT_BYTES_MAX: usize = 1_024;
/// The most bytes of the file.
pub(super) const FILE_BYTES_MAX: usize = 4 << 20;
/// The subject of the alarm of the teller itself, which cannot tell of itself.
pub(super) const OWN_SUBJECT: &str = "alarm.webhook";

/// An alarm in the file.
#[derive(Serialize, Deserialize)]
struct Line {
    kind: String,
    subject: String,
    since_ms: i64,
}

/// The alarms whose beginning was told, and whose end was not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ToldAlarms(BTreeMap<(AlarmKind, String), UnixMillis>);

impl ToldAlarms {
    /// Reads the file. Errors: what is wrong with it.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, &'static str> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8")?;
        let (first, rest) = text.split_once('\n').ok_or("its first line is not complete")?;
        let crc = first.strip_prefix(MAGIC).ok_or("its first line is of another program or version")?;
        if crc != checksum(rest) {
            return Err("its checksum does not match");
        }
        let mut told = BTreeMap::new();
        for line in rest.lines() {
            let Line { kind, subject, since_ms } =
                serde_json::from_str(line).map_err(|_| "one of its lines is no alarm")?;
            // A kind of a later release has no alarm here.
            if let Some(kind) = AlarmKind::ALL.iter().find(|known| known.slug() == kind) {
                told.insert((*kind, subject), UnixMillis(since_ms));
            }
        }
        Ok(Self(told))
    }

    /// The file.
    pub(super) fn written(&self) -> Vec<u8> {
        let line = |((kind, subject), since): (&(AlarmKind, String), &UnixMillis)| {
            let line = Line { kind: kind.slug().to_owned(), subject: subject.clone(), since_ms: since.0 };
            serde_json::to_string(&line).map(|line| line + "\n").unwrap_or_default()
        };
        let rest: String = self.0.iter().map(line).collect();
        format!("{MAGIC}{}\n{rest}", checksum(&rest)).into_bytes()
    }

    /// What is to be told next; `None` if everything is. `may_end`: whether alarms may be told to have ended,
    /// which a process that has just started does not know.
    pub(super) fn next(
        &self,
        standing: &[Alarm],
        may_end: bool,
        node: &str,
        now: UnixMillis,
    ) -> Option<Notice> {
        let stands: BTreeSet<_> = standing.iter().map(|alarm| (alarm.kind, alarm.subject.as_str())).collect();
        let told: BTreeSet<_> = self.0.keys().map(|(kind, subject)| (*kind, subject.as_str())).collect();
        let is_own = |alarm: &Alarm| alarm.kind == AlarmKind::Hook && alarm.subject == OWN_SUBJECT;
        let ended = self.0.iter().find(|((kind, subject), _)| !stands.contains(&(*kind, subject.as_str())));
        if let Some(((kind, subject), since)) = ended.filter(|_| may_end) {
            let alarm = Alarm { kind: *kind, subject: subject.clone(), what: String::new(), since: *since };
            return Some(Notice::of(NoticeEvent::Cleared, node, &alarm, now, standing.len()));
        }
        if self.0.len() >= TOLD_MAX {
            return None;
        }
        let fits = |alarm: &&Alarm| alarm.subject.len() <= SUBJECT_BYTES_MAX && !is_own(alarm);
        let new = standing
            .iter()
            .filter(fits)
            .find(|alarm| !told.contains(&(alarm.kind, alarm.subject.as_str())))?;
        Some(Notice::of(NoticeEvent::Raised, node, new, now, standing.len().saturating_sub(1)))
    }

    /// Notes that this was told.
    pub(super) fn note(&mut self, notice: &Notice) {
        let Some(kind) = AlarmKind::ALL.iter().find(|known| known.slug() == notice.kind) else { return };
        let key = (*kind, notice.subject.clone());
        match notice.event {
            NoticeEvent::Raised => {
                self.0.insert(key, notice.since);
            }
            NoticeEvent::Cleared => {
                self.0.remove(&key);
            }
            NoticeEvent::Test => {}
        }
    }
}

fn checksum(rest: &str) -> String {
    format!("{:08x}", crc32fast::hash(rest.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alarm(kind: AlarmKind, subject: &str) -> Alarm {
        Alarm { kind, subject: subject.to_owned(), what: "x".to_owned(), since: UnixMillis(5) }
    }

    /// Tells all that is to be told; the events and subjects.
    fn told(state: &mut ToldAlarms, standing: &[Alarm], may_end: bool) -> Vec<(NoticeEvent, String)> {
        let mut all = Vec::new();
        while let Some(notice) = state.next(standing, may_end, "n1", UnixMillis(9)) {
            state.note(&notice);
            all.push((notice.event, notice.subject));
            assert!(all.len() <= 2 * TOLD_MAX, "it never ends");
        }
        all
    }

    #[test]
    fn each_alarm_is_told_once_when_it_begins_and_once_when_it_ends() {
        use NoticeEvent::{Cleared, Raised};
        let mut state = ToldAlarms::default();
        let lake = alarm(AlarmKind::Refused, "lake");
        let both = [lake.clone(), alarm(AlarmKind::Damage, "lake")];
        assert_eq!(told(&mut state, &both, true), [(Raised, "lake".to_owned()), (Raised, "lake".to_owned())]);
        assert_eq!(told(&mut state, &both, true), []);
        assert_eq!(told(&mut state, &[], false), [], "nobody knows yet whether they ended");
        assert_eq!(told(&mut state, std::slice::from_ref(&lake), true), [(Cleared, "lake".to_owned())]);
        assert_eq!(told(&mut state, &[], true), [(Cleared, "lake".to_owned())]);
        assert_eq!(told(&mut state, &[lake], true), [(Raised, "lake".to_owned())], "it began once more");
    }

    #[test]
    fn its_own_alarm_and_too_many_are_not_told() {
        let mut state = ToldAlarms::default();
        assert_eq!(told(&mut state, &[alarm(AlarmKind::Hook, OWN_SUBJECT)], true), []);
        assert_eq!(told(&mut state, &[alarm(AlarmKind::Refused, &"s".repeat(2_000))], true), []);
        let many: Vec<Alarm> =
            (0..3 * TOLD_MAX).map(|n| alarm(AlarmKind::Refused, &format!("bucket-{n}"))).collect();
        assert_eq!(told(&mut state, &many, true).len(), TOLD_MAX);
        assert!(state.written().len() < FILE_BYTES_MAX);
        assert_eq!(told(&mut state, &[], true).len(), TOLD_MAX, "all of them end");
    }

    #[test]
    fn the_file_gives_back_what_was_told_and_damage_is_named() {
        let mut state = ToldAlarms::default();
        told(&mut state, &[alarm(AlarmKind::Refused, "ünï\n\"x\""), alarm(AlarmKind::Closing, "")], true);
        let file = state.written();
        assert_eq!(ToldAlarms::read(&file), Ok(state.clone()));
        assert_eq!(ToldAlarms::read(&ToldAlarms::default().written()), Ok(ToldAlarms::default()));
        for at in 0..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 1;
            ToldAlarms::read(&damaged).unwrap_err();
            ToldAlarms::read(&file[..at]).unwrap_err();
        }
    }
}
