//! The wishes beside a job: small files that other processes make, and that the holder of the job obeys in
//! order.
//!
//! The holder writes the change of a wish with its id into the log, then the answer, then it removes the
//! wish. After a crash between these steps the log says that the wish was obeyed, so that it is not obeyed
//! twice.

use std::io;

use super::sealed::{Kind, SealError, read_sealed, seal};
use super::state::JobState;
use super::wish::{Answer, Wish, WishId};
use crate::disk::{Disk, is_no_space, temporary_name, write_durably};
use crate::random::Random;
use crate::time::{Clock, UnixMillis};

/// Wishes that may wait beside a job. A further one is refused.
pub const WISHES_MAX: usize = 1_000;
/// Answers that are kept for processes that have not read them yet. The oldest are removed first.
pub const ANSWERS_MAX: usize = 1_000;
/// A file that was begun and never published is removed after this time, in milliseconds.
const UNFINISHED_MS: u64 = 3_600_000;

const WISH: Kind = Kind { name: "wish", version: 1 };
const ANSWER: Kind = Kind { name: "answer", version: 1 };
const WISH_PREFIX: &str = "wish-";
const ANSWER_PREFIX: &str = "answer-";
/// The end of the name of a file that is being written (`disk::temporary_name`).
const UNFINISHED: &str = ".tmp";

/// What to do if there is no space for a wish.
const FULL: &str = ", so that nothing is asked: free space on its disk, and give the command again";

/// Why a wish cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum WishError {
    /// The disk reported an error.
    #[error("write the request beside the job{}", if is_no_space(.0) { FULL } else { "" })]
    Disk(#[from] io::Error),
    /// Too many wait.
    #[error(
        "{WISHES_MAX} requests wait beside the job already: no process obeys them; go on with the job by `forebay \
         batch run --job ID`"
    )]
    TooMany,
}

/// The wishes that wait.
#[derive(Debug, Default)]
pub struct Waiting {
    /// The wishes, in the order in which they are to be obeyed.
    pub wishes: Vec<(WishId, Wish)>,
    /// Files that are no wishes, and why. They are removed.
    pub broken: Vec<(String, SealError)>,
}

/// Makes a wish, durably. Errors: [`WishError`].
pub fn make_wish(
    disk: &dyn Disk,
    clock: &dyn Clock,
    random: &dyn Random,
    wish: &Wish,
) -> Result<WishId, WishError> {
    let waiting = ids(disk, WISH_PREFIX)?;
    if waiting.len() >= WISHES_MAX {
        return Err(WishError::TooMany);
    }
    // Behind the wishes that wait, even if the clock was set back.
    let after = waiting.last().map_or(0, |last| last.order.saturating_add(1));
    let id = WishId { order: millis(clock.wall()).max(after), random: random.next_u64() };
    let name = wish_name(id);
    if let Err(error) = write_durably(disk, &name, &seal(WISH, wish)?) {
        // Nobody finishes it. If it cannot be removed, the holder of the job does that after an hour.
        _ = disk.remove(&temporary_name(&name));
        return Err(error.into());
    }
    Ok(id)
}

/// The wishes that wait. What is no wish is removed and named; files that were never finished are removed.
/// Errors: the disk's error.
pub fn waiting(disk: &dyn Disk, now: UnixMillis) -> io::Result<Waiting> {
    let mut waiting = Waiting::default();
    for (name, _) in disk.list("")? {
        let Some(rest) = name.strip_prefix(WISH_PREFIX) else { continue };
        if let Some(unfinished) = rest.strip_suffix(UNFINISHED) {
            // A process that still writes it would not find it at its rename, and reports that.
            let old = millis(now).saturating_sub(UNFINISHED_MS);
            if WishId::parse(unfinished).map_or(true, |id| id.order < old) {
                disk.remove(&name)?;
            }
            continue;
        }
        match read_wish(disk, &name, rest) {
            Ok(wish) => waiting.wishes.push(wish),
            // Another process may have removed it: a job has one holder, and a person a shell.
            Err(SealError::Missing) => {}
            Err(SealError::Disk(error)) => return Err(error),
            Err(error) => {
                disk.remove(&name)?;
                waiting.broken.push((name, error));
            }
        }
    }
    // A process may have ended after it removed a wish or made one, and before that was durable. What is obeyed from
    // here on must find the same wishes after a power cut.
    if !waiting.wishes.is_empty() {
        disk.sync_dir("")?;
    }
    Ok(waiting)
}

/// The wishes that wait, in the order in which they are to be obeyed, as far as they can be read. Nothing is changed.
/// Errors: the disk's error.
pub fn seen(disk: &dyn Disk) -> io::Result<Vec<Wish>> {
    let files = disk.list("")?;
    // The holder of the job reports one that is broken.
    let wish = |name: &str| Some(read_wish(disk, name, name.strip_prefix(WISH_PREFIX)?).ok()?.1);
    Ok(files.iter().filter_map(|(name, _)| wish(name)).collect())
}

/// The state once the wishes that wait are obeyed, as far as they can be read. Nothing is changed.
/// Errors: the disk's error.
pub fn state_after(disk: &dyn Disk, state: &JobState, now: UnixMillis) -> io::Result<JobState> {
    let obeyed = |state: JobState, wish: Wish| wish.obey(&state, now).unwrap_or(state);
    Ok(seen(disk)?.into_iter().fold(state.clone(), obeyed))
}

/// The wish in a file, with the id that `rest` of its name has. The names are in the order of the wishes.
fn read_wish(disk: &dyn Disk, name: &str, rest: &str) -> Result<(WishId, Wish), SealError> {
    let id = WishId::parse(rest).map_err(SealError::Damaged)?;
    Ok((id, read_sealed(disk, name, WISH)?))
}

/// Writes the answer to a wish, and removes the wish. Call it once the log has the change durably.
/// Errors: the disk's error. The wish may then still wait.
pub fn answer_wish(disk: &dyn Disk, id: WishId, answer: &Answer) -> io::Result<()> {
    let answers = ids(disk, ANSWER_PREFIX)?;
    let surplus = (answers.len() + 1).saturating_sub(ANSWERS_MAX);
    for old in answers.into_iter().take(surplus) {
        disk.remove(&answer_name(old))?;
    }
    write_durably(disk, &answer_name(id), &seal(ANSWER, answer)?)?;
    disk.remove(&wish_name(id))?;
    // The log names the last wish alone: this one must not come back after a power cut, once another is
    // obeyed.
    disk.sync_dir("")
}

/// The answer to a wish, if there is one. It is removed: only the process that made the wish reads it.
/// Errors: [`SealError`] if it cannot be read.
pub fn take_answer(disk: &dyn Disk, id: WishId) -> Result<Option<Answer>, SealError> {
    let name = answer_name(id);
    match read_sealed(disk, &name, ANSWER) {
        Err(SealError::Missing) => Ok(None),
        Err(error) => Err(error),
        Ok(answer) => {
            disk.remove(&name).map_err(SealError::Disk)?;
            Ok(Some(answer))
        }
    }
}

fn millis(at: UnixMillis) -> u64 {
    u64::try_from(at.0).unwrap_or(0)
}

fn wish_name(id: WishId) -> String {
    format!("{WISH_PREFIX}{id}")
}

fn answer_name(id: WishId) -> String {
    format!("{ANSWER_PREFIX}{id}")
}

/// The ids of the files with a prefix, in their order. Others are left out.
fn ids(disk: &dyn Disk, prefix: &str) -> io::Result<Vec<WishId>> {
    let files = disk.list("")?;
    let mut ids: Vec<WishId> =
        files.iter().filter_map(|(name, _)| WishId::parse(name.strip_prefix(prefix)?).ok()).collect();
    ids.sort();
    Ok(ids)
}

/// Whether a file is a wish that another process may still be writing.
pub fn is_unfinished_wish(name: &str) -> bool {
    name.strip_prefix(WISH_PREFIX).is_some_and(|rest| rest.ends_with(UNFINISHED))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::jobs::job::crash_disk::{CrashDisk, Dice};
    use crate::jobs::job::state::{JobState, Priority};
    use crate::jobs::job::status::{PausedBy, Status};

    #[derive(Debug)]
    struct At(i64);

    impl Clock for At {
        fn wall(&self) -> UnixMillis {
            UnixMillis(self.0)
        }
        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
    }

    fn wishes_of(disk: &CrashDisk) -> Vec<Wish> {
        let waiting = waiting(disk, UnixMillis(0)).unwrap();
        assert!(waiting.broken.is_empty(), "{waiting:?}");
        waiting.wishes.into_iter().map(|(_, wish)| wish).collect()
    }

    #[test]
    fn wishes_wait_in_their_order_whatever_the_clock_does() {
        let (disk, dice) = (CrashDisk::new(1), Dice::new(1));
        let priority = |n| Wish::Priority(Priority::new(n).unwrap());
        let made = [
            Wish::Pause,
            priority(3),
            Wish::Resume,
            Wish::Cancel(Some("why".to_owned())),
            Wish::Confirm(None),
        ];
        for (wish, at) in made.iter().zip([5_000, 5_000, 4_000, -1, 9_000]) {
            make_wish(&disk, &At(at), &dice, wish).unwrap();
        }
        assert_eq!(wishes_of(&disk), made);
    }

    #[test]
    fn the_wishes_that_wait_count_for_the_next_one() {
        let (disk, dice) = (CrashDisk::new(3), Dice::new(3));
        let state = JobState { status: Status::Active, ..JobState::new(Priority::default(), UnixMillis(0)) };
        assert_eq!(state_after(&disk, &state, UnixMillis(9)).unwrap(), state);
        let mut statuses = Vec::new();
        for wish in [Wish::Pause, Wish::Pause, Wish::Resume] {
            make_wish(&disk, &At(1), &dice, &wish).unwrap();
            statuses.push(state_after(&disk, &state, UnixMillis(9)).unwrap().status);
        }
        let (by_person, by_slots) = (PausedBy::Person, PausedBy::Preemption);
        assert_eq!(statuses, [by_person, by_person, by_slots].map(Status::Pausing));
        assert_eq!(wishes_of(&disk).len(), 3, "nothing is removed");
    }

    #[test]
    fn an_answer_says_what_was_done_or_names_state_and_request() {
        let (disk, dice) = (CrashDisk::new(2), Dice::new(2));
        let state = JobState { status: Status::Ready, ..JobState::new(Priority::default(), UnixMillis(0)) };
        for (wish, expected) in [
            (Wish::Cancel(None), Answer::Done("Cancelling".to_owned())),
            (
                Wish::Resume,
                Answer::Refused(
                    "the job is Ready and cannot be resumed: this is for jobs that are paused by a person; a preempted \
                     job goes on as soon as a slot is free"
                        .to_owned(),
                ),
            ),
        ] {
            let id = make_wish(&disk, &At(1), &dice, &wish).unwrap();
            assert_eq!(take_answer(&disk, id).unwrap(), None);
            answer_wish(&disk, id, &Answer::of(&wish.obey(&state, UnixMillis(2)))).unwrap();
            assert_eq!(take_answer(&disk, id).unwrap(), Some(expected));
            assert_eq!(disk.names(), Vec::<String>::new());
        }
    }

    #[test]
    fn a_broken_wish_is_named_and_removed_and_the_others_stay() {
        let (disk, dice) = (CrashDisk::new(3), Dice::new(3));
        let id = make_wish(&disk, &At(7), &dice, &Wish::Pause).unwrap();
        let name = wish_name(id);
        let sound = disk.bytes(&name);
        for at in 0..sound.len() {
            let mut flipped = sound.clone();
            flipped[at] ^= 0x20;
            disk.put(&name, &flipped);
            let found = waiting(&disk, UnixMillis(0)).unwrap();
            assert_eq!((found.wishes.len(), found.broken.len()), (0, 1), "byte {at}");
            assert_eq!((found.broken[0].0.as_str(), disk.names().len()), (name.as_str(), 0));
        }
        disk.put(&name, &sound);
        disk.put("wish-x", b"");
        disk.put("log", b"");
        let found = waiting(&disk, UnixMillis(0)).unwrap();
        assert_eq!((found.wishes, found.broken.len()), (vec![(id, Wish::Pause)], 1));
        assert_eq!(disk.names(), ["log", &name]);
    }

    #[test]
    fn a_full_disk_keeps_nothing_of_a_wish() {
        let (disk, dice) = (CrashDisk::new(6), Dice::new(6));
        disk.fill(true);
        let error = make_wish(&disk, &At(7), &dice, &Wish::Cancel(None)).unwrap_err();
        assert!(error.to_string().contains("free space"), "{error}");
        assert_eq!(disk.names(), Vec::<String>::new());
        disk.fill(false);
        make_wish(&disk, &At(8), &dice, &Wish::Cancel(None)).unwrap();
        assert_eq!(wishes_of(&disk), [Wish::Cancel(None)]);
    }

    #[test]
    fn wishes_and_answers_have_their_bounds() {
        let (disk, dice) = (CrashDisk::new(4), Dice::new(4));
        let ids: Vec<WishId> =
            (0..1_000).map(|_| make_wish(&disk, &At(1), &dice, &Wish::Pause).unwrap()).collect();
        let refused = make_wish(&disk, &At(1), &dice, &Wish::Pause).unwrap_err();
        assert!(matches!(refused, WishError::TooMany), "{refused}");
        for id in &ids {
            answer_wish(&disk, *id, &Answer::Done("Paused".to_owned())).unwrap();
        }
        assert_eq!(disk.names().len(), 1_000);
        let one_more = make_wish(&disk, &At(2_000), &dice, &Wish::Pause).unwrap();
        answer_wish(&disk, one_more, &Answer::Done("Paused".to_owned())).unwrap();
        assert_eq!(take_answer(&disk, ids[0]).unwrap(), None);
        assert!(
            take_answer(&disk, ids[1]).unwrap().is_some() && take_answer(&disk, one_more).unwrap().is_some()
        );
    }

    #[test]
    fn a_machine_that_stops_leaves_a_whole_wish_or_none() {
        let mut made = 0;
        for seed in 0..300 {
            let (disk, dice) = (CrashDisk::new(seed), Dice::new(seed));
            disk.stop_after(seed % 6);
            let outcome = make_wish(&disk, &At(10_000_000), &dice, &Wish::Pause);
            disk.restart(true);
            let found = waiting(&disk, UnixMillis(20_000_000)).unwrap();
            assert!(found.broken.is_empty(), "seed {seed}: {found:?}");
            if outcome.is_ok() {
                made += 1;
                assert_eq!(found.wishes.len(), 1, "seed {seed}");
            }
            // What was never finished is gone after an hour.
            assert!(
                disk.names().iter().all(|name| !is_unfinished_wish(name)),
                "seed {seed}: {:?}",
                disk.names()
            );
        }
        assert!(made > 20, "{made}");
    }
}
