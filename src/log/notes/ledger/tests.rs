//! Compares the ledger with a plain list of frames, through seals, deliveries, losses, folding and crashes.

use proptest::prelude::*;

use super::*;
use crate::log::Rows;
use crate::sources::SourceId;
use crate::time::UnixMillis;

const HOUR_MS: i64 = 3_600_000;

fn source(name: &str) -> SourceId {
    SourceId::new(name).unwrap()
}

fn account(name: &str) -> AccountKey {
    AccountKey::of_calls(source(name))
}

fn hour(number: i64) -> Hour {
    Hour::of(UnixMillis(number * HOUR_MS))
}

fn calls(name: &str, day: i64) -> BatchKey {
    BatchKey { source: source(name), day: hour(day * 24).day(), stream: Stream::Calls }
}

fn stored(frames: u64) -> Row {
    Row::stored_in(&Stream::Calls, frames)
}

fn total(ledger: &Ledger) -> Row {
    let mut all = Row::default();
    let report = ledger.report(Rows::Totals);
    report.accounts.iter().for_each(|of| all.add(&of.total));
    report.removed.rows().for_each(|row| all.add(row));
    all
}

fn texts(ledger: &Ledger, open: &[(BatchKey, u64)]) -> Vec<String> {
    let open = open.iter().map(|(batch, frames)| (batch, *frames));
    ledger.differences(open).iter().map(ToString::to_string).collect()
}

#[test]
fn hours_are_in_utc_and_a_row_is_a_short_list() {
    let check = |ms: i64, start: i64| assert_eq!(Hour::of(UnixMillis(ms)).start(), UnixMillis(start), "{ms}");
    check(0, 0);
    check(HOUR_MS - 1, 0);
    check(HOUR_MS, HOUR_MS);
    check(-1, -HOUR_MS);
    assert_eq!(Hour::of(UnixMillis(-1)).day(), UnixMillis(-1).day());
    let check = |row: Row, json: &str| {
        assert_eq!(serde_json::to_string(&row).unwrap(), json);
        assert_eq!(serde_json::from_str::<Row>(json).unwrap(), row);
    };
    check(Row::default(), "[]");
    check(stored(3), "[3,3]");
    check(Row { received: 1, rejected_lost: 2, ..Row::default() }, "[1,0,0,0,0,0,0,0,2]");
    assert_eq!(
        serde_json::from_str::<Row>("[1,2,3,4,5,6,7,8,9,10]").unwrap().rejected_lost,
        9,
        "a count that a later release adds is ignored"
    );
}

#[test]
fn a_state_without_a_ledger_has_one_that_has_not_begun() {
    let ledger: Ledger = serde_json::from_str("{}").unwrap();
    assert_eq!(ledger, Ledger::default());
    assert!(!ledger.began && Ledger::new().began);
}

#[test]
fn every_difference_is_reported() {
    let mut ledger = Ledger::new();
    let row = Row { received: 9, stored: 5, rejected: 1, repeated: 2, ..Row::default() };
    ledger.count(&account("web"), hour(0), &row);
    let rejected = BatchKey { stream: Stream::Rejected, ..calls("web", 0) };
    assert_eq!(
        texts(&ledger, &[(calls("web", 0), 5), (rejected.clone(), 1)]),
        ["web, 1970-01-01T00:00:00.000Z: 9 received, but 5 stored + 1 rejected + 2 repeated + 0 \
             suppressed = 8"]
    );
    ledger.count(&account("web"), hour(0), &Row { suppressed: 1, ..Row::default() });
    assert_eq!(texts(&ledger, &[(calls("web", 0), 5), (rejected.clone(), 1)]), [""; 0]);
    assert_eq!(
        texts(
            &ledger,
            &[(calls("app", 0), 2), (calls("web", 0), 4), (calls("zoo", 1), 0), (calls("zoo", 2), 3)]
        ),
        [
            "batch app/0: 0 pending by the counts, but 2 in the spool",
            "batch web/0: 5 pending by the counts, but 4 in the spool",
            "batch _rejected/web/0: 1 pending by the counts, but 0 in the spool",
            "batch zoo/172800000: 0 pending by the counts, but 3 in the spool",
        ]
    );
    let sealed = [(hour(0), 7)];
    ledger.seal(&calls("web", 0), &sealed);
    ledger.deliver(&calls("web", 0), &sealed, &sealed);
    assert_eq!(
        texts(&ledger, &[(rejected, 1)]),
        [
            "web, 1970-01-01T00:00:00.000Z: 5 stored, but 7 of them delivered + 0 lost",
            "batch web/0: -2 pending by the counts, but 0 in the spool"
        ]
    );
}

#[test]
fn missing_frames_count_as_lost_only_up_to_the_known_losses() {
    let mut ledger = Ledger::new();
    ledger.count(&account("web"), hour(0), &stored(5));
    ledger.count(&account("web"), hour(1), &stored(5));
    let sealed = [(hour(0), 4), (hour(1), 5)];
    ledger.seal(&calls("web", 0), &sealed);
    ledger.deliver(&calls("web", 0), &sealed, &sealed);
    assert_eq!(ledger.settle(&calls("web", 0)), 0);
    assert_eq!(texts(&ledger, &[]), ["batch web/0: 1 pending by the counts, but 0 in the spool"]);
    ledger.add_lost(Added { counted: 1, uncounted: 0 });
    assert_eq!(ledger.settle(&calls("web", 0)), 1);
    assert_eq!(texts(&ledger, &[]), [""; 0]);
    let report = ledger.report(Rows::All);
    assert_eq!(report.accounts[0].hours[0], (hour(0), Row { delivered: 4, lost: 1, ..stored(5) }));
    assert_eq!(report.lost_positions, 1);
    // A booked position explains no further loss.
    ledger.count(&account("web"), hour(2), &stored(1));
    assert_eq!(ledger.settle(&calls("web", 0)), 0);
}

#[test]
fn positions_that_nobody_counted_explain_at_most_as_many_frames() {
    let mut ledger = Ledger::new();
    ledger.count(&account("web"), hour(0), &stored(3));
    ledger.add_lost(Added { counted: 0, uncounted: 2 });
    ledger.set_lost_through(Some(hour(0).day()));
    assert_eq!(ledger.lost_through, Some(hour(0).day()));
    assert_eq!(ledger.settle(&calls("web", 0)), 0);
    ledger.add_lost(Added { counted: 1, uncounted: 0 });
    assert_eq!(ledger.settle(&calls("web", 0)), 3);
    assert_eq!(texts(&ledger, &[]), [""; 0]);
}

/// Found by the simulation: one frame of an hour was lost and not yet booked, and one of another hour was
/// sealed and damaged before it was counted.
#[test]
fn losses_of_two_hours_that_cancel_out_are_both_found() {
    let mut ledger = Ledger::new();
    ledger.count(&account("web"), hour(0), &stored(2));
    ledger.count(&account("web"), hour(1), &stored(4));
    ledger.seal(&calls("web", 0), &[(hour(0), 1), (hour(1), 3)]);
    ledger.add_lost(Added { counted: 2, uncounted: 0 });
    ledger.set_lost_through(Some(hour(0).day()));
    ledger.reconcile(&[(calls("web", 0), 2, hour(1))], Health::default());
    ledger.seal(&calls("web", 0), &[(hour(1), 2)]);
    ledger.settle(&calls("web", 0));
    assert_eq!(texts(&ledger, &[]), [""; 0]);
}

#[test]
fn losses_explain_no_difference_on_later_days() {
    let mut ledger = Ledger::new();
    ledger.add_lost(Added { counted: 1, uncounted: 0 });
    ledger.set_lost_through(Some(hour(0).day()));
    ledger.set_lost_through(Some(hour(48).day()));
    for day in [0, 1] {
        ledger.count(&account("web"), hour(24 * day), &stored(2));
    }
    ledger.reconcile(&[(calls("web", 0), 1, hour(0)), (calls("web", 1), 1, hour(24))], Health::default());
    let open = [(calls("web", 0), 1), (calls("web", 1), 1)];
    assert_eq!(texts(&ledger, &open), ["batch web/86400000: 2 pending by the counts, but 1 in the spool"]);
}

#[test]
fn the_frames_missing_from_an_amended_seal_are_lost() {
    let mut ledger = Ledger::new();
    ledger.count(&account("web"), hour(0), &stored(5));
    ledger.count(&account("web"), hour(1), &stored(5));
    let sealed = [(hour(0), 5), (hour(1), 5)];
    ledger.seal(&calls("web", 0), &sealed);
    ledger.deliver(&calls("web", 0), &sealed, &[(hour(0), 2), (hour(1), 5)]);
    assert_eq!(total(&ledger), Row { delivered: 7, lost: 3, ..stored(10) });
    assert_eq!(texts(&ledger, &[]), [""; 0]);
}

#[test]
fn frames_found_missing_at_a_start_count_as_lost_when_their_batch_is_settled() {
    let mut noted = Ledger::new();
    noted.add_tally(&Tally {
        through: 20,
        rows: vec![(account("web"), hour(0), stored(10)), (account("web"), hour(1), stored(10))],
        ..Tally::default()
    });
    noted.add_lost(Added { counted: 4, uncounted: 0 });
    let check = |unknown: bool, open: u64, sealed: &[(Hour, u64)], left: Row| {
        let mut ledger = noted.clone();
        let health = Health { lost: true, unknown };
        ledger.reconcile(&[(calls("web", 0), open, hour(0))], health);
        assert_eq!(
            texts(&ledger, &[(calls("web", 0), open)]),
            [""; 0],
            "a loss that is not settled yet is no difference"
        );
        let sealed = ledger.hours_for_seal(&calls("web", 0), sealed.to_vec());
        ledger.seal(&calls("web", 0), &sealed);
        ledger.settle(&calls("web", 0));
        ledger.deliver(&calls("web", 0), &sealed, &sealed);
        assert_eq!(texts(&ledger, &[]), [""; 0]);
        assert_eq!(total(&ledger), left);
    };
    check(false, 16, &[(hour(0), 8), (hour(1), 8)], Row { delivered: 16, lost: 4, ..stored(20) });
    // After damage to the manifest, hours that were never counted replace those that were.
    check(true, 20, &[(hour(0), 8), (hour(2), 12)], Row { delivered: 20, ..stored(20) });
    check(true, 22, &[(hour(0), 11), (hour(1), 11)], Row { delivered: 22, ..stored(22) });
}

#[test]
fn a_batch_that_vanished_is_lost_after_damage_and_a_difference_without() {
    let mut ledger = Ledger::new();
    ledger.add_tally(&Tally {
        through: 5,
        rows: vec![(account("web"), hour(0), stored(5))],
        ..Tally::default()
    });
    ledger.reconcile(&[], Health::default());
    assert_eq!(texts(&ledger, &[]), ["batch web/0: 5 pending by the counts, but 0 in the spool"]);
    ledger.reconcile(&[], Health { lost: true, unknown: false });
    assert_eq!(total(&ledger), Row { lost: 5, ..stored(5) });
    assert_eq!(texts(&ledger, &[]), [""; 0]);
}

#[test]
fn a_spool_of_an_older_release_begins_its_ledger_with_the_pending_frames() {
    let mut ledger = Ledger::default();
    ledger.reconcile(&[(calls("web", 0), 9, hour(3))], Health { lost: false, unknown: true });
    assert_eq!(texts(&ledger, &[(calls("web", 0), 9)]), [""; 0]);
    let sealed = ledger.hours_for_seal(&calls("web", 0), vec![(hour(3), 4), (hour(5), 5)]);
    assert_eq!(sealed, [(hour(3), 9)], "only the first hour of a batch is known");
    ledger.seal(&calls("web", 0), &sealed);
    ledger.deliver(&calls("web", 0), &sealed, &sealed);
    assert_eq!(total(&ledger), Row { delivered: 9, ..stored(9) });
    assert_eq!(texts(&ledger, &[]), [""; 0]);
}

#[test]
fn settled_rows_are_folded_by_age_and_above_the_cap_without_changing_totals() {
    let mut ledger = Ledger::new();
    for at in 0..50 {
        ledger.count(&account("web"), hour(at), &Row { received: 2, repeated: 2, ..Row::default() });
    }
    ledger.count(&account("web"), hour(3), &stored(1));
    ledger.count(&account("web"), hour(4), &Row { received: 1, ..Row::default() });
    ledger.gather(1, Vec::new());
    let before = total(&ledger);
    ledger.fold(hour(20), 1_000);
    assert_eq!(
        (ledger.rows(), total(&ledger)),
        (32, before),
        "rows with pending frames or a difference stay"
    );
    ledger.fold(hour(20), 12);
    assert_eq!((ledger.rows(), total(&ledger)), (12, before));
    assert_eq!(
        ledger.report(Rows::All).accounts[0].hours.last().unwrap().0,
        hour(49),
        "the oldest were folded"
    );
    ledger.fold(hour(20), 0);
    assert_eq!((ledger.rows(), total(&ledger)), (2, before));
    ledger.count(&account("web"), hour(60), &Row { received: 2, repeated: 2, ..Row::default() });
    ledger.fold(hour(70), 0);
    assert_eq!(ledger.rows(), 3, "a row that is not in a tally yet stays");
}

#[test]
fn frames_beyond_the_limit_of_an_hour_go_to_other_hours() {
    let check = |limits: &[(i64, u64)], wanted: &[(i64, u64)], expected: &[(i64, u64)]| {
        let hours = |list: &[(i64, u64)]| list.iter().map(|(at, n)| (hour(*at), *n)).collect::<Hours>();
        assert_eq!(fit_to_hours(&hours(limits), &hours(wanted)), hours(expected), "{limits:?} {wanted:?}");
    };
    check(&[(0, 5), (1, 5)], &[(0, 5), (1, 2)], &[(0, 5), (1, 2)]);
    check(&[(0, 5), (1, 5)], &[(0, 7), (1, 2)], &[(0, 5), (1, 4)]);
    check(&[(0, 5)], &[(1, 3), (2, 3)], &[(0, 5), (2, 1)]);
    check(&[], &[(1, 3)], &[(1, 3)]);
    check(&[(0, 5)], &[], &[]);
}

/// A step of the model.
#[derive(Clone, Debug)]
enum Step {
    /// A request of a source in an hour, with calls, rejected items and repeats.
    Request(u8, i64, u64, u64, u64),
    /// The segment is full.
    Close,
    /// The housekeeper notes what was gathered.
    Tally,
    /// This many open frames of a source's stream are sealed.
    Seal(u8, bool, usize),
    /// The oldest seal is delivered.
    Deliver,
    Fold(i64),
    /// A source is forgotten, if nothing of it waits.
    Forget(u8),
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3_u8, 0..60_i64, 0..4_u64, 0..3_u64, 0..3_u64).prop_map(|(s, h, c, r, d)| Step::Request(s, h, c, r, d)),
        1 => Just(Step::Close),
        2 => Just(Step::Tally),
        3 => (0..3_u8, any::<bool>(), 1..6_usize).prop_map(|(s, r, n)| Step::Seal(s, r, n)),
        3 => Just(Step::Deliver),
        1 => (0..60_i64).prop_map(Step::Fold),
        2 => (0..3_u8).prop_map(Step::Forget),
        1 => Just(Step::Crash),
    ]
}

/// A frame of the model: its position and what it counts as.
type Plain = (u64, AccountKey, Hour, Row);

#[derive(Default)]
struct Model {
    position: u64,
    frames: Vec<Plain>,
    open: BTreeMap<BatchKey, Vec<Hour>>,
    seals: Vec<(BatchKey, Hours)>,
    expected: Row,
}

impl Model {
    fn request(
        &mut self,
        live: &mut Ledger,
        of: &AccountKey,
        at: i64,
        [stored, rejected, repeated]: [u64; 3],
    ) {
        let row = Row { received: stored + repeated, stored, repeated, ..Row::default() };
        live.count(of, hour(at), &row);
        self.expected.add(&row);
        // Rejected items are counted with the calls of the source, whatever the request's stream.
        let of_calls = AccountKey::of_calls(of.source.clone());
        let row = Row::stored_in(&Stream::Rejected, rejected);
        live.count(&of_calls, hour(at), &row);
        self.expected.add(&row);
        for (stream, frames) in [(of.stream().clone(), stored), (Stream::Rejected, rejected)] {
            let batch = BatchKey { source: of.source.clone(), day: hour(at).day(), stream };
            for _ in 0..frames {
                self.position += 1;
                let row = Row::stored_in(&batch.stream, 1);
                self.frames.push((self.position, AccountKey::of_batch(&batch), hour(at), row));
                self.open.entry(batch.clone()).or_default().push(hour(at));
            }
        }
        if repeated > 0 {
            self.position += 1;
            let row = Row { received: repeated, repeated, ..Row::default() };
            self.frames.push((self.position, of.clone(), hour(at), row));
        }
    }

    fn crash(&self, noted: &Ledger) -> Ledger {
        let mut live = noted.clone();
        for (_, account, hour, row) in self.frames.iter().filter(|frame| frame.0 > noted.tallied_through) {
            live.count(account, *hour, row);
        }
        self.seals.iter().for_each(|(batch, hours)| live.seal(batch, hours));
        live.reconcile(&[], Health::default());
        live.gather(self.position, Vec::new());
        live
    }

    fn open(&self) -> Vec<(BatchKey, u64)> {
        self.open.iter().map(|(batch, hours)| (batch.clone(), hours.len() as u64)).collect()
    }
}

proptest! {
    #[test]
    fn the_ledger_balances_after_every_step_and_agrees_with_a_plain_list(steps in prop::collection::vec(step(), 1..120)) {
        let (mut live, mut noted, mut model) = (Ledger::new(), Ledger::new(), Model::default());
        let accounts: [AccountKey; 3] = ["a", "b", "b/objects/rooms"].map(|text| text.parse().unwrap());
        let of_number = |number: u8| &accounts[usize::from(number)];
        for step in steps {
            match step.clone() {
                Step::Request(of, at, calls, rejected, repeated) => {
                    model.request(&mut live, of_number(of), at, [calls, rejected, repeated]);
                }
                Step::Close => live.gather(model.position, Vec::new()),
                Step::Tally => if let Some(tally) = live.take_gathered() {
                    noted.add_tally(&tally);
                    live.set_tallied(tally.through);
                },
                Step::Seal(of, rejected, frames) => {
                    let AccountKey { source, .. } = of_number(of);
                    let stream = if rejected { &Stream::Rejected } else { of_number(of).stream() };
                    let found = model.open.iter_mut().find(|(batch, hours)| {
                        batch.source == *source && batch.stream == *stream && !hours.is_empty()
                    });
                    if let Some((batch, open)) = found {
                        let mut hours = BTreeMap::<Hour, u64>::new();
                        for hour in open.drain(..frames.min(open.len())) {
                            *hours.entry(hour).or_default() += 1;
                        }
                        let hours = live.hours_for_seal(batch, hours.into_iter().collect());
                        live.seal(batch, &hours);
                        prop_assert_eq!(if open.is_empty() { live.settle(batch) } else { 0 }, 0);
                        model.seals.push((batch.clone(), hours));
                    }
                }
                Step::Deliver => if !model.seals.is_empty() {
                    let (batch, hours) = model.seals.remove(0);
                    noted.deliver(&batch, &hours, &hours);
                    live.deliver(&batch, &hours, &hours);
                    hours.iter().for_each(|(_, frames)| model.expected.deliver(&batch.stream, *frames));
                },
                Step::Fold(before) => {
                    live.fold(hour(before), 10);
                    noted.fold(hour(before), 10);
                }
                Step::Forget(of) => {
                    let source = &of_number(of).source;
                    if live.is_final(&noted, source) {
                        let waits = |batch: &BatchKey| batch.source == *source;
                        let open = model.open.iter().any(|(batch, open)| waits(batch) && !open.is_empty());
                        prop_assert!(!open && !model.seals.iter().any(|(batch, _)| waits(batch)));
                        let gone = BTreeSet::from([source.clone()]);
                        live.forget(&gone);
                        noted.forget(&gone);
                        prop_assert!(!live.sources().any(|other| other == source));
                    }
                }
                Step::Crash => live = model.crash(&noted),
            }
            prop_assert_eq!(texts(&live, &model.open()), [""; 0], "after {:?}", step);
            prop_assert_eq!(total(&live), model.expected, "after {:?}", step);
            let written = serde_json::to_string(&noted).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Ledger>(&written).unwrap(), &noted);
        }
    }
}
