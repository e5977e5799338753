//! Results and failed attempts, many in one frame: what they have in common with their neighbours is left out.
//!
//! ```text
//! entry   := flags u8 | row | [attempts] | [status u16] | [code_len u8 | code] | text_len | text
//!          | 32 | row                   a result like the last one, of another row
//!          | 64 | count                 so many results like the last one, of the rows after it
//! flags   := 1 the task succeeded | 2 status 200 | 4 another status | 8 a code | 16 an attempt, no result
//! row     := the difference to the row after that of the entry before, as a zigzag number; the first to row 0
//! numbers := 7 bits a byte, the lowest first, with the bit 128 in all but the last (LEB128)
//! ```

use std::ops::Range;

use super::frame::BODY_MAX;
use super::logged::{ERROR_CODE_MAX, LoggedAttempt, LoggedResult, LoggedText, Visit, first_bytes};
use crate::jobs::task::{MESSAGE_MAX, TaskResult};

const SUCCEEDED: u8 = 1;
const STATUS_200: u8 = 2;
const OTHER_STATUS: u8 = 4;
const HAS_CODE: u8 = 8;
const ATTEMPT: u8 = 16;
const ALIKE: u8 = 32;
const RUN: u8 = 64;

/// The most entries of a body: so many tasks run again if its frame is damaged.
const ENTRIES_MAX: u64 = 1_024;

/// More than a body of the version before can hold: what claims more has no form that is known.
const GROUP_ENTRIES_MAX: u64 = BODY_MAX as u64;

/// Begins the body of a group.
pub(super) const GROUP: u8 = 5;

/// The most bytes that one entry takes.
pub(super) const ENTRY_BYTES_MAX: usize = 1 + 10 + 5 + 2 + 1 + ERROR_CODE_MAX + 2 + MESSAGE_MAX;

/// Entries that are being collected, as the bodies of frames.
#[derive(Default)]
pub struct Entries {
    /// The bodies, one after the other. Each begins with [`GROUP`], and its rows are counted anew.
    bytes: Vec<u8>,
    bodies: Vec<Body>,
    /// The row after that of the last entry.
    next_row: u64,
    /// The last result of the body: its flags, and where that of it stands that has no row.
    last: Option<(u8, Range<usize>)>,
    /// The run at the end of the bytes: where its count stands, and the count.
    run: Option<(usize, u64)>,
    /// A result without its row, while it is compared.
    rest: Vec<u8>,
}

debug_fields!(Entries { bodies });

/// A body of [`Entries`].
#[derive(Clone, Copy, Debug)]
struct Body {
    begin: usize,
    counts: EntryCounts,
}

/// How many entries there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EntryCounts {
    /// Results of tasks that succeeded.
    pub succeeded: u64,
    /// Results of tasks that failed.
    pub failed: u64,
    /// Attempts that failed.
    pub tried: u64,
}

impl EntryCounts {
    /// All of them.
    pub fn all(self) -> u64 {
        self.succeeded.saturating_add(self.failed).saturating_add(self.tried)
    }
}

impl Entries {
    /// Adds a result. Code and message are cut at a character.
    pub fn result(&mut self, result: &TaskResult) {
        self.count(|counts| {
            *(if result.succeeded { &mut counts.succeeded } else { &mut counts.failed }) += 1
        });
        let flags = self.write_rest(result);
        let is_alike = |(last, at): &(u8, Range<usize>)| {
            *last == flags && self.bytes.get(at.clone()) == Some(self.rest.as_slice())
        };
        if !self.last.as_ref().is_some_and(is_alike) {
            self.run = None;
            self.bytes.push(flags);
            self.row(result.row);
            let begin = self.bytes.len();
            self.bytes.extend_from_slice(&self.rest);
            self.last = Some((flags, begin..self.bytes.len()));
        } else if result.row == self.next_row {
            let (at, count) = match self.run {
                Some((at, count)) => (at, count + 1),
                None => {
                    self.bytes.push(RUN);
                    (self.bytes.len(), 1)
                }
            };
            self.bytes.truncate(at);
            push_number(&mut self.bytes, count);
            (self.run, self.next_row) = (Some((at, count)), result.row.wrapping_add(1));
        } else {
            self.run = None;
            self.bytes.push(ALIKE);
            self.row(result.row);
        }
    }

    /// Writes the parts of a result that follow its row, and gives its flags.
    fn write_rest(&mut self, result: &TaskResult) -> u8 {
        self.rest.clear();
        let code = first_bytes(&result.error_code, ERROR_CODE_MAX);
        let other = result.http_status.filter(|status| *status != 200);
        if let Some(status) = other {
            self.rest.extend_from_slice(&status.to_le_bytes());
        }
        if !code.is_empty() {
            self.rest.push(u8::try_from(code.len()).unwrap_or(u8::MAX));
            self.rest.extend_from_slice(code.as_bytes());
        }
        push_text(&mut self.rest, &result.message);
        let flag = |has: bool, flag: u8| if has { flag } else { 0 };
        flag(result.succeeded, SUCCEEDED)
            | flag(result.http_status == Some(200), STATUS_200)
            | flag(other.is_some(), OTHER_STATUS)
            | flag(!code.is_empty(), HAS_CODE)
    }

    /// Adds a failed attempt. The cause is cut at a character.
    pub fn attempt(&mut self, row: u64, attempts: u32, cause: &str) {
        self.count(|counts| counts.tried += 1);
        self.run = None;
        self.bytes.push(ATTEMPT);
        self.row(row);
        push_number(&mut self.bytes, attempts.into());
        push_text(&mut self.bytes, cause);
    }

    /// How many there are.
    pub fn counts(&self) -> EntryCounts {
        self.bodies.iter().fold(EntryCounts::default(), |all, Body { counts, .. }| EntryCounts {
            succeeded: all.succeeded + counts.succeeded,
            failed: all.failed + counts.failed,
            tried: all.tried + counts.tried,
        })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.bodies.is_empty()
    }

    /// Begins once more, with the memory that there is.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bodies.clear();
        self.begin_body();
    }

    fn begin_body(&mut self) {
        (self.next_row, self.last, self.run) = (0, None, None);
    }

    /// Each entry, as a log has it.
    pub fn iter(&self) -> impl Iterator<Item = Visit<'_>> {
        self.bodies(0).flat_map(|(body, _)| Group::of(body.get(1..).unwrap_or_default()).flatten())
    }

    /// The bodies from this one on, and what is in them.
    pub(super) fn bodies(&self, from: usize) -> impl Iterator<Item = (&[u8], EntryCounts)> {
        let ends = self.bodies.iter().skip(1).map(|next| next.begin).chain([self.bytes.len()]);
        let bodies = self.bodies.iter().zip(ends).skip(from);
        bodies.map(|(body, end)| (self.bytes.get(body.begin..end).unwrap_or_default(), body.counts))
    }

    /// Counts one more entry, in the body that takes it.
    fn count(&mut self, count: impl Fn(&mut EntryCounts)) {
        let begin = self.bytes.len();
        match self.bodies.last_mut() {
            Some(last)
                if begin - last.begin + ENTRY_BYTES_MAX <= BODY_MAX && last.counts.all() < ENTRIES_MAX =>
            {
                count(&mut last.counts);
            }
            _ => {
                let mut counts = EntryCounts::default();
                count(&mut counts);
                self.bodies.push(Body { begin, counts });
                self.bytes.push(GROUP);
                self.begin_body();
            }
        }
    }

    fn row(&mut self, row: u64) {
        push_number(&mut self.bytes, zigzag(row.wrapping_sub(self.next_row).cast_signed()));
        self.next_row = row.wrapping_add(1);
    }
}

fn push_text(to: &mut Vec<u8>, text: &str) {
    let text = first_bytes(text, MESSAGE_MAX);
    push_number(to, text.len() as u64);
    to.extend_from_slice(text.as_bytes());
}

/// The entries of a frame, one after the other. `Some(None)`: what follows has no form that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group<'a> {
    bytes: &'a [u8],
    next_row: u64,
    /// The last result.
    last: Option<LoggedResult<'a>>,
    /// How many entries may still come.
    left: u64,
}

impl<'a> Group<'a> {
    /// The entries of these bytes.
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, next_row: 0, last: None, left: GROUP_ENTRIES_MAX }
    }

    /// So many results like the last one, from the next row but `difference` on.
    fn alike(&mut self, difference: u64, count: u64) -> Option<Visit<'a>> {
        let row = self.next_row.wrapping_add(difference);
        self.next_row = row.wrapping_add(count);
        Some(Visit::Results(LoggedResult { row, ..self.last? }, count))
    }

    fn result(&mut self, result: LoggedResult<'a>) -> Visit<'a> {
        self.last = Some(result);
        Visit::Results(result, 1)
    }

    /// The most frequent entries: a result like the last one, and a success with status 200, near the row before and with a
    /// short text.
    fn read_short(&mut self) -> Option<Visit<'a>> {
        if let Some((&[ALIKE, row], rest)) = self.bytes.split_first_chunk()
            && row < 0x80
        {
            self.bytes = rest;
            return self.alike(unzigzag(row.into()).cast_unsigned(), 1);
        }
        let (&[flags, row, len], rest) = self.bytes.split_first_chunk()?;
        if flags != SUCCEEDED | STATUS_200 || row >= 0x80 || len >= 0x80 {
            return None;
        }
        let (text, rest) = rest.split_at_checked(len.into())?;
        let row = self.next_row.wrapping_add(unzigzag(row.into()).cast_unsigned());
        (self.bytes, self.next_row) = (rest, row.wrapping_add(1));
        Some(self.result(LoggedResult {
            row,
            succeeded: true,
            http_status: Some(200),
            error_code: LoggedText::default(),
            message: LoggedText(text),
        }))
    }

    fn read(&mut self) -> Option<Visit<'a>> {
        let flags = *self.take(1)?.first()?;
        if flags == RUN {
            let count = self.number()?;
            return if count == 0 { None } else { self.alike(0, count) };
        }
        if flags == ALIKE {
            let difference = unzigzag(self.number()?).cast_unsigned();
            return self.alike(difference, 1);
        }
        let row = self.next_row.wrapping_add(unzigzag(self.number()?).cast_unsigned());
        self.next_row = row.wrapping_add(1);
        if flags == ATTEMPT {
            let attempts = u32::try_from(self.number()?).ok()?;
            return Some(Visit::Attempt(LoggedAttempt { row, attempts, cause: self.text()? }));
        }
        if flags & !(SUCCEEDED | STATUS_200 | OTHER_STATUS | HAS_CODE) != 0 {
            return None;
        }
        let http_status = match flags & (STATUS_200 | OTHER_STATUS) {
            0 => None,
            STATUS_200 => Some(200),
            OTHER_STATUS => Some(u16::from_le_bytes(self.take(2)?.try_into().ok()?)),
            _ => return None,
        };
        let error_code = match flags & HAS_CODE {
            0 => LoggedText::default(),
            _ => {
                let len = *self.take(1)?.first()?;
                LoggedText(self.take(len.into())?)
            }
        };
        let succeeded = flags & SUCCEEDED != 0;
        let message = self.text()?;
        Some(self.result(LoggedResult { row, succeeded, http_status, error_code, message }))
    }

    fn text(&mut self) -> Option<LoggedText<'a>> {
        let len = usize::try_from(self.number()?).ok()?;
        self.take(len).map(LoggedText)
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(len)?;
        self.bytes = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for (at, byte) in (0_u32..10).zip(self.bytes) {
            number |= u64::from(byte & 0x7f).checked_shl(7 * at)?;
            if byte & 0x80 == 0 {
                self.take(at as usize + 1)?;
                return Some(number);
            }
        }
        None
    }
}

impl<'a> Iterator for Group<'a> {
    type Item = Option<Visit<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.bytes.is_empty() {
            return None;
        }
        let read = self.read_short().or_else(|| self.read());
        let count = if let Some(Visit::Results(_, count)) = read { count } else { 1 };
        let read = read.filter(|_| count <= self.left);
        self.left = self.left.saturating_sub(count);
        if read.is_none() {
            self.bytes = &[];
        }
        Some(read)
    }
}

fn push_number(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    to.push(number.to_le_bytes()[0]);
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An entry as a test has it: a result, or the attempts and the cause of an attempt.
    type Given = (TaskResult, Option<u32>);

    fn given() -> impl Strategy<Value = Given> {
        let row = prop_oneof![any::<u64>(), 0_u64..10];
        let status = prop::option::of(prop_oneof![Just(200_u16), any::<u16>()]);
        let message = prop_oneof![".{0,400}", Just("done".to_owned())];
        let code = prop_oneof![".{0,80}", Just(String::new())];
        (row, any::<bool>(), status, code, message, prop::option::of(any::<u32>())).prop_map(
            |(row, succeeded, http_status, error_code, message, attempts)| {
                (TaskResult { row, succeeded, http_status, error_code, message }, attempts)
            },
        )
    }

    /// Results that are alike, in rows one after the other and apart, with attempts between them.
    fn alike() -> impl Strategy<Value = Vec<Given>> {
        let step = prop_oneof![8 => Just(0_u64), 1 => 1_u64..200, 1 => any::<u64>()];
        let entry = (step, prop_oneof![9 => Just("done"), 1 => Just("")], prop::bool::weighted(0.05));
        prop::collection::vec(entry, 0..2_500).prop_map(|all| {
            let mut row = 0_u64;
            let given = |(step, message, is_attempt): (u64, &str, bool)| {
                row = row.wrapping_add(step).wrapping_add(1);
                let (http_status, error_code) = (Some(200), String::new());
                let message = message.to_owned();
                (
                    TaskResult { row, succeeded: true, http_status, error_code, message },
                    is_attempt.then_some(2),
                )
            };
            all.into_iter().map(given).collect()
        })
    }

    proptest! {
        #[test]
        fn entries_read_back(all in prop_oneof![prop::collection::vec(given(), 0..80), alike()]) {
            let mut group = Entries::default();
            for (result, attempts) in &all {
                let before = group.bytes.len();
                match attempts {
                    None => group.result(result),
                    Some(attempts) => group.attempt(result.row, *attempts, &result.message),
                }
                prop_assert!(group.bytes.len() - before <= 1 + ENTRY_BYTES_MAX);
            }
            prop_assert_eq!(group.counts().all(), all.len() as u64);
            prop_assert!(group.bodies(0).all(|(body, _)| body.len() <= BODY_MAX && body[0] == GROUP));
            let read: Vec<Given> = group.iter().flat_map(|entry| match entry {
                Visit::Results(result, count) => result.of_rows(count).map(|result| (result.to_result(), None)).collect(),
                Visit::Attempt(LoggedAttempt { row, attempts, cause }) => {
                    let message = cause.to_string();
                    vec![(
                        TaskResult { row, succeeded: false, http_status: None, error_code: String::new(), message },
                        Some(attempts),
                    )]
                }
            }).collect::<Vec<Given>>();
            let kept: Vec<Given> = all.into_iter().map(|(result, attempts)| {
                let cut = |text: &str, max| first_bytes(text, max).to_owned();
                let message = cut(&result.message, MESSAGE_MAX);
                match attempts {
                    None => (TaskResult { error_code: cut(&result.error_code, ERROR_CODE_MAX), message, ..result }, None),
                    Some(_) => (
                        TaskResult {
                            row: result.row, succeeded: false, http_status: None, error_code: String::new(), message,
                        },
                        attempts,
                    ),
                }
            }).collect();
            prop_assert_eq!(read, kept);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let ended = Group::of(&bytes).count();
            prop_assert!(ended as u64 <= GROUP_ENTRIES_MAX);
        }
    }

    fn done(row: u64) -> TaskResult {
        let (http_status, error_code) = (Some(200), String::new());
        TaskResult { row, succeeded: true, http_status, error_code, message: "done".to_owned() }
    }

    fn rows(group: Group<'_>) -> Vec<Option<u64>> {
        let of = |entry: Option<Visit<'_>>| match entry {
            Some(Visit::Results(result, count)) => {
                let row =
                    |result: LoggedResult<'_>| (result.to_result() == done(result.row)).then_some(result.row);
                result.of_rows(count).map(row).collect()
            }
            Some(Visit::Attempt(_)) | None => vec![None],
        };
        group.flat_map(of).collect()
    }

    #[test]
    fn results_that_are_alike_take_two_bytes_and_a_run_of_them_three() {
        let mut group = Entries::default();
        (0..1_000).for_each(|row| group.result(&done(row)));
        assert_eq!(group.bytes, [&[GROUP, 3, 0, 4], &b"done"[..], &[RUN, 0xe7, 0x07]].concat());
        assert_eq!(rows(Group::of(&group.bytes[1..])), (0..1_000).map(Some).collect::<Vec<_>>());
        group.clear();
        (0..100).for_each(|row| group.result(&done(2 * row)));
        assert_eq!(group.bytes.len(), 8 + 99 * 2);
        assert_eq!(rows(Group::of(&group.bytes[1..])), (0..100).map(|row| Some(2 * row)).collect::<Vec<_>>());
    }

    #[test]
    fn a_body_has_so_many_entries_and_no_more() {
        let mut group = Entries::default();
        (0..5_000).for_each(|row| group.result(&done(row)));
        let counts: Vec<u64> = group.bodies(0).map(|(_, counts)| counts.all()).collect();
        assert_eq!(counts, [1_024, 1_024, 1_024, 1_024, 904]);
        assert_eq!(group.counts().succeeded, 5_000);
    }

    #[test]
    fn groups_of_version_2_are_read() {
        let bytes = [&[3, 0, 4], &b"done"[..], &[3, 0, 4], b"done", &[3, 4, 4], b"done"].concat();
        assert_eq!(rows(Group::of(&bytes)), [Some(0), Some(1), Some(4)]);
    }

    #[test]
    fn a_run_without_a_result_or_without_an_end_has_no_form() {
        for bytes in [&[RUN, 3][..], &[ALIKE, 0], &[3, 0, 0, RUN, 0], &[3, 0, 0, RUN]] {
            assert_eq!(Group::of(bytes).last(), Some(None), "{bytes:?}");
        }
        let endless = Group::of(&[3, 0, 0, RUN, 0xff, 0xff, 0xff, 0xff, 0x0f]);
        assert_eq!((endless.clone().last(), endless.count()), (Some(None), 2));
    }

    #[test]
    fn what_has_no_form_ends_the_group() {
        let mut group = Entries::default();
        group.attempt(3, 1, "why");
        let bytes = [&group.bytes[1..], &[0xff, 0, 0]].concat();
        let read: Vec<_> = Group::of(&bytes).collect();
        assert!(matches!(read[..], [Some(Visit::Attempt(_)), None]), "{read:?}");
    }
}
