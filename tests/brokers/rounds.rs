//! Collectors and writers as users run them, brokers, and a store that loses answers: they, and the disks of writers,
//! are killed, stopped for longer than any time-out and woken, while calls come in. In the end every acknowledged call
//! is in the bucket once.
//!
//! `tests/kafka 200` runs 200 rounds. With `FOREBAY_EARLIER_PROGRAM` every second writer is that one: another build.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use forebay::dev_s3::BUCKET;
use forebay::kafka::create::{CreateDeps, Wanted, create};
use forebay::partition::note::Note;
use forebay::runtime::SystemRandom;
use rustix::process::Signal;
use serde_json::Value;

use crate::callers::{Callers, Journal};
use crate::cluster::{Alone, cluster_alone};
use crate::partition::Partition;
use crate::program::Program;
use crate::s3::S3;
use crate::support::{committed_in, ends, number, run_program, unique, until};

const PARTITIONS: u32 = 4;
const WRITERS: usize = 3;
/// The store breaks one of so many requests.
const BROKEN_OF: u32 = 6;
/// Names the program of another build.
const EARLIER_PROGRAM: &str = "FOREBAY_EARLIER_PROGRAM";
const SOURCES: &str = "[[source]]\nid = \"web\"\n[[source]]\nid = \"ios\"\n";
const FLUSH: &str = "max_age = \"1s\"";
/// How long a transaction of a writer may be open, and a little more.
const PAST_TRANSACTION: Duration = Duration::from_secs(31);
/// How long it may take until all is well again.
const WELL_WITHIN: Duration = Duration::from_secs(180);

/// What was done to processes.
#[derive(Debug, Default)]
struct Faults {
    collectors_killed: u32,
    collectors_slept: u32,
    writers_lost: u32,
    writers_slept: u32,
    slept_past_transaction: u32,
    writers_ended: u32,
    brokers_killed: u32,
    brokers_slept: u32,
    /// Terms of writers that slept, which the brokers ended.
    terms_ended: f64,
    longest_sleep: Duration,
}

/// A writer, and whether it sleeps.
struct Writer {
    program: Program,
    sleeps: bool,
}

/// All processes of the rounds.
struct Rounds {
    cluster: Alone,
    partition: Partition,
    store: String,
    callers: Callers,
    collectors: [Program; 2],
    writers: Vec<Writer>,
    /// Writers that were started so far.
    started: u32,
    faults: Faults,
}

impl Rounds {
    fn start(cluster: Alone, partition: Partition, store: &str) -> Self {
        let collectors = [Program::start(&partition, ""), Program::start(&partition, "")];
        let callers = Callers::start(&collectors.each_ref().map(Program::at), &partition.clock);
        let store = store.to_owned();
        let faults = Faults::default();
        let (writers, started) = (Vec::new(), 0);
        let mut rounds = Self { cluster, partition, store, callers, collectors, writers, started, faults };
        while rounds.writers.len() < WRITERS {
            rounds.add_writer();
        }
        rounds
    }

    fn add_writer(&mut self) {
        self.started += 1;
        let (partition, store) = (&self.partition, &self.store);
        let program = match std::env::var_os(EARLIER_PROGRAM).filter(|_| self.started.is_multiple_of(2)) {
            Some(earlier) => Program::impatient_writer_of(&earlier, partition, store, SOURCES, FLUSH),
            None => Program::impatient_writer(partition, store, SOURCES, FLUSH),
        };
        self.writers.push(Writer { program, sleeps: false });
    }

    /// The process that delivers each partition, once each has one and no process that is awake says anything else.
    fn owners(&mut self) -> BTreeMap<u32, u32> {
        let writers = &mut self.writers;
        until("each partition to be delivered by one writer", WELL_WITHIN, || {
            let (mut owners, mut claims) = (BTreeMap::new(), 0);
            for writer in writers.iter_mut() {
                assert!(writer.program.runs(), "a writer ended: {}", writer.program.log());
                if writer.sleeps {
                    continue;
                }
                let status = writer.program.json("/api/status");
                for one in status["kafka"]["owned"].as_array().unwrap() {
                    assert_ne!(one["standing"], "stopped", "{one}");
                    claims += 1;
                    if one["standing"] == "delivers" {
                        let partition = u32::try_from(one["partition"].as_u64().unwrap()).unwrap();
                        owners.insert(partition, writer.program.id());
                    }
                }
            }
            (owners.len() == PARTITIONS as usize && claims == owners.len()).then_some(owners)
        })
    }

    /// Another owner of this partition than the one before.
    fn other_owner(&mut self, partition: u32, before: u32) -> u32 {
        let owner = self.owners()[&partition];
        assert_ne!(owner, before);
        owner
    }

    fn writer(&mut self, id: u32) -> &mut Writer {
        self.writers.iter_mut().find(|writer| writer.program.id() == id).unwrap()
    }

    fn take_writer(&mut self, id: u32) -> Program {
        let place = self.writers.iter().position(|writer| writer.program.id() == id).unwrap();
        self.writers.remove(place).program
    }

    /// One collector sleeps, and the other one is killed. For a moment there is none.
    fn disturb_collectors(&mut self, sleeps: usize) {
        let killed = 1 - sleeps;
        self.collectors[sleeps].signal(Signal::STOP);
        self.callers.see("requests to wait in vain", 2, |counts| &counts.unanswered);
        let new = Program::start(&self.partition, "");
        std::mem::replace(&mut self.collectors[killed], new).kill();
        self.callers.see("requests to be lost with a collector", 2, |counts| &counts.unanswered);
        self.callers.send_to(&[self.collectors[killed].at()]);
        self.callers.are_answered(20);
        // The calls that it was sent before it slept were sent again to the other one, or given up.
        self.collectors[sleeps].signal(Signal::CONT);
        self.callers.send_to(&self.collectors.each_ref().map(Program::at));
        self.faults.collectors_killed += 1;
        self.faults.collectors_slept += 1;
    }

    /// Wakes a writer whose partitions others own by now. It learns that it is not the owner any more.
    fn wake(&mut self, id: u32, slept: Instant) {
        let writer = self.writer(id);
        writer.program.signal(Signal::CONT);
        writer.sleeps = false;
        let slept = slept.elapsed();
        self.owners();
        let program = &self.writer(id).program;
        let ended = |of| program.metric(&format!("forebay_kafka_terms_ended_total{{partition=\"{of}\"}}"));
        let ended: f64 = (0..PARTITIONS).filter_map(ended).sum();
        let faults = &mut self.faults;
        faults.terms_ended += ended;
        faults.writers_slept += 1;
        faults.slept_past_transaction += u32::from(slept >= PAST_TRANSACTION);
        faults.longest_sleep = faults.longest_sleep.max(slept);
    }

    fn round(&mut self, round: u32) {
        let partition = round % PARTITIONS;
        let broker = usize::try_from(round % 3 + 1).unwrap();
        let owner = self.owners()[&partition];
        match round % 3 {
            0 => {
                self.cluster.kill(broker);
                self.faults.brokers_killed += 1;
            }
            1 => {
                self.cluster.stop(broker);
                self.faults.brokers_slept += 1;
            }
            _ => {}
        }
        // The owner sleeps until another one has taken over.
        self.writer(owner).program.signal(Signal::STOP);
        self.writer(owner).sleeps = true;
        let slept = Instant::now();
        self.disturb_collectors(usize::try_from(round % 2).unwrap());
        // In some rounds others take over while a broker is stopped: the library needs up to a minute for that.
        if round % 6 == 1 {
            self.cluster.wake(broker);
        }
        let new = self.other_owner(partition, owner);
        // The new owner is lost with its disk.
        self.take_writer(new).kill();
        self.faults.writers_lost += 1;
        self.add_writer();
        self.other_owner(partition, new);
        self.cluster.make_whole();
        // Partitions move: one process ends in order, and another one comes. In every other round that goes on until the
        // transactions of the one that sleeps have timed out too.
        let mut moved = !round.is_multiple_of(2);
        while !moved {
            self.callers.are_answered(50);
            let ends = self.owners()[&partition];
            let log = self.take_writer(ends).end();
            assert!(!log.contains("panicked"), "{log}");
            self.faults.writers_ended += 1;
            self.add_writer();
            self.other_owner(partition, ends);
            moved = slept.elapsed() >= PAST_TRANSACTION;
        }
        self.wake(owner, slept);
        for collector in &mut self.collectors {
            assert!(collector.runs(), "a collector ended: {}", collector.log());
        }
    }

    /// Ends all but one writer, which then has delivered everything. Returns what clients sent, and what it says.
    fn end(mut self) -> (Journal, Value, Faults) {
        self.callers.are_answered(20);
        let journal = self.callers.end();
        for collector in self.collectors {
            let log = collector.end();
            assert!(!log.contains("panicked"), "{log}");
        }
        let last = self.writers.pop().unwrap().program;
        for writer in self.writers {
            let log = writer.program.end();
            assert!(!log.contains("panicked"), "{log}");
        }
        let ends = ends(&self.cluster, &self.partition.settings.topic, PARTITIONS);
        let status = until("everything to be delivered", WELL_WITHIN, || {
            let status = last.json("/api/status");
            let read = status["kafka"]["owned"].as_array()?.iter().map(|one| one["read_offset"].as_u64());
            let is_read = read.eq(ends.iter().map(|end| Some(*end)));
            let is_delivered = status["ledger"]["totals"]["pending"] == 0;
            let is_well = status["alarms"].as_array()?.is_empty();
            (is_read && is_delivered && is_well).then_some(status)
        });
        let log = last.end();
        assert!(!log.contains("panicked"), "{log}");
        (journal, status, self.faults)
    }
}

/// The terms of a partition, as its notes have them. Nothing in them is lost, unread or waits.
fn terms(cluster: &Alone, partition: &Partition, number: u32) -> usize {
    let state = partition.begin_number(number).state;
    let calls = &state.calls;
    assert!(calls.lost.is_empty() && state.unread.is_empty(), "{:?} {:?}", calls.lost, state.unread);
    // A conflict would wait for a person.
    assert!(calls.seals.is_empty() && state.left.is_empty(), "{:?} {:?}", calls.seals, state.left);
    let notes = committed_in(cluster, &partition.settings.notes_topic, number);
    let is_term = |note: &str| matches!(Note::decode(note.as_bytes()), Ok(Note::Term(_)));
    notes.iter().filter(|(_, note)| is_term(note)).count()
}

#[test]
fn whatever_is_killed_or_stopped_every_acknowledged_call_is_stored_once() {
    let Some(cluster) = cluster_alone() else { return };
    let partition = Partition::named(&cluster.brokers(), &unique("rounds"));
    let deps = CreateDeps { clock: Arc::clone(&partition.clock), random: Arc::new(SystemRandom) };
    let wanted = Wanted { partitions: PARTITIONS, replication: 3, new_log: false };
    create(&partition.settings, wanted, deps, &mut |_| {}).unwrap();
    let s3 = S3::start();
    let link = s3.behind_a_flaky_link(BROKEN_OF);
    let count = u32::try_from(number("FOREBAY_KAFKA_ROUNDS", 2)).unwrap();
    let began = Instant::now();
    let mut rounds = Rounds::start(cluster, partition.clone(), &link.url);
    for round in 0..count {
        rounds.round(round);
        if (round + 1) % 10 == 0 {
            writeln!(io::stderr(), "{} rounds after {:.0?}", round + 1, began.elapsed()).unwrap_or(());
        }
    }
    let counts = Arc::clone(&rounds.callers.counts);
    let (journal, status, f) = rounds.end();
    let took = began.elapsed();
    // Its ledger is even, and has what the bucket has.
    let totals = &status["ledger"]["totals"];
    assert_eq!(status["ledger"]["balanced"], true, "{status}");
    let checked = journal.check(&s3, partition.clock.wall().0);
    let stored = s3.calls().len() as u64;
    assert_eq!((totals["stored"].as_u64(), totals["delivered"].as_u64()), (Some(stored), Some(stored)));
    let folder = tempfile::tempdir().unwrap();
    let words = ["verify", BUCKET, "--deep", "--path-style", "--region", "us-east-1", "--endpoint-url"];
    let (code, said, error) = run_program(folder.path(), &[&words[..], &[&s3.url()]].concat(), "");
    assert!(code == 0 && said.contains("sound:"), "{said}{error}");
    let cluster = cluster_alone().unwrap();
    let terms: Vec<usize> = (0..PARTITIONS).map(|number| terms(&cluster, &partition, number)).collect();
    let (acknowledged, never) = journal.calls();
    let seen = |of: &std::sync::atomic::AtomicU64| of.load(Ordering::Acquire);
    let (again, unanswered) = (seen(&counts.again), seen(&counts.unanswered));
    let figures = format!(
        "{count} rounds in {took:.0?}: {acknowledged} calls acknowledged, 0 missing, 0 doubled, {never} never \
         acknowledged; {stored} in the bucket; requests: {again} sent again, {unanswered} without an answer, {} refused; \
         store: {} requests cut off or without an answer, {} overloaded; terms of partitions {terms:?}; collectors: {} \
         killed, {} stopped; writers: {} lost with their disks, {} ended in order, {} stopped, {} of them beyond a \
         transaction, {:.0?} at most, {} terms of theirs ended by brokers; brokers: {} killed, {} stopped; the checker: \
         {checked}",
        seen(&counts.refused),
        link.broken(),
        link.overloaded(),
        f.collectors_killed,
        f.collectors_slept,
        f.writers_lost,
        f.writers_ended,
        f.writers_slept,
        f.slept_past_transaction,
        f.longest_sleep,
        f.terms_ended,
        f.brokers_killed,
        f.brokers_slept,
    );
    // Rounds that disturb nothing would prove nothing.
    assert!(acknowledged > 0 && again > 0 && unanswered > 0 && seen(&counts.given_up) > 0, "{figures}");
    assert!(totals["repeated"].as_u64().unwrap() > 0, "{figures}");
    assert!(link.broken() > 0, "{figures}");
    assert!(
        [f.collectors_killed, f.collectors_slept, f.writers_lost, f.writers_slept] == [count; 4],
        "{figures}"
    );
    let past = count.div_ceil(2);
    assert!(f.slept_past_transaction >= past && f.writers_ended >= past, "{figures}");
    assert!(terms.iter().sum::<usize>() > PARTITIONS as usize + 2 * count as usize, "{figures}");
    assert!(f.brokers_killed > 0 && (count < 2 || f.brokers_slept > 0), "{figures}");
    writeln!(io::stderr(), "{figures}").unwrap_or(());
}
