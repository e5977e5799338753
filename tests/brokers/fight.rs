//! Three processes fight for one partition's notes, while they and brokers are stopped, woken and killed: in
//! the end there is one history of terms.
//!
//! `FOREBAY_KAFKA_FIGHT_SECONDS=600` fights for longer.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use forebay::kafka::begin::Began;
use forebay::partition::answer::TransactionError;
use forebay::partition::note::{Base, Note};
use rdkafka::Offset;
use rustix::process::Signal;

use crate::cluster::cluster_alone;
use crate::partition::Partition;
use crate::process::signal_to;
use crate::support::{committed, number, until};

/// What a contender is told: brokers, name, its file, its number.
const CONTENDER: &str = "FOREBAY_KAFKA_CONTENDER";
/// How long a transaction may be open here. Contenders are stopped for longer than that.
const TRANSACTION: Duration = Duration::from_secs(4);

/// Terms and notes without which nothing was fought for, and how long that may take.
const TERMS: usize = 5;
const NOTES: usize = 20;
const FIGHT_MAX: Duration = Duration::from_secs(180);

/// Each note has a number of its own: that of the contender's process, and of its note.
fn base(number: u64) -> Note {
    Note::Base(Box::new(Base { read_from: number, ..Base::default() }))
}

/// The work of one process. It does nothing unless it was started by the fight.
#[test]
fn a_contender_notes_until_it_is_refused() {
    let Some(told) = std::env::var_os(CONTENDER) else { return };
    let told = told.into_string().unwrap();
    let told: Vec<&str> = told.split('|').collect();
    let [brokers, name, file, process] = told[..] else { panic!("{told:?}") };
    let mut partition = Partition::named(brokers, name);
    partition.settings.transaction_timeout = TRANSACTION;
    let mut file = File::options().create(true).append(true).open(file).unwrap();
    let mut number = process.parse::<u64>().unwrap() * 1_000_000;
    let mut terms = 0;
    loop {
        terms += 1;
        let token = format!("{process}-{terms}");
        let Ok(Began::Live(term)) = partition.try_to_begin(&token) else { continue };
        writeln!(file, "begun {token} {}", term.state.base.read_from).unwrap();
        loop {
            number += 1;
            // Before the answer, so that a process that is killed has said what it tried.
            writeln!(file, "tried {token} {number}").unwrap();
            let answer = term.lock.note(&[base(number)]);
            match &answer {
                Ok(noted) => writeln!(file, "noted {number} {}", noted[0].offset).unwrap(),
                Err(TransactionError::Fenced) => writeln!(file, "fenced {number}").unwrap(),
                Err(error) => writeln!(file, "unknown {number} {error}").unwrap(),
            }
            std::thread::sleep(Duration::from_millis(number * 37 % 100));
            if answer.is_err() {
                break;
            }
        }
        // As if the group had moved the partition to another one and back.
        std::thread::sleep(Duration::from_millis(500 + number * 37 % 1_000));
    }
}

#[derive(Debug, Default)]
struct Told {
    /// What each term had read as the last note when it began.
    begun: BTreeMap<String, u64>,
    /// The term of each note that was tried.
    tried: BTreeMap<u64, String>,
    /// The offset of each note that counts.
    noted: BTreeMap<u64, i64>,
    fenced: BTreeSet<u64>,
    unknown: BTreeSet<u64>,
}

fn read_told(folder: &Path) -> Told {
    let mut told = Told::default();
    for file in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        // The last line of a process that was killed may be cut.
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["begun", token, read] => drop(told.begun.insert(token.into(), read.parse().unwrap())),
                ["tried", token, number] => drop(told.tried.insert(number.parse().unwrap(), token.into())),
                ["noted", number, offset] => {
                    told.noted.insert(number.parse().unwrap(), offset.parse().unwrap());
                }
                ["fenced", number] => drop(told.fenced.insert(number.parse().unwrap())),
                ["unknown", number, ..] => drop(told.unknown.insert(number.parse().unwrap())),
                _ => panic!("{line}"),
            }
        }
    }
    told
}

#[test]
fn of_processes_that_fight_for_a_partition_there_is_one_history_of_terms() {
    let Some(mut cluster) = cluster_alone() else { return };
    let partition = Partition::make(&cluster, &[]);
    let folder = tempfile::tempdir().unwrap();
    let mut started = 0;
    let mut start = || {
        started += 1;
        let file = folder.path().join(started.to_string());
        let told = format!(
            "{}|{}|{}|{started}",
            partition.settings.brokers,
            partition.settings.name,
            file.display()
        );
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "fight::a_contender_notes_until_it_is_refused"])
            .env(CONTENDER, told)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let mut contenders: Vec<Child> = (0..3).map(|_| start()).collect();
    let seconds = number("FOREBAY_KAFKA_FIGHT_SECONDS", 24);
    let (began, mut round) = (Instant::now(), 0_usize);
    // On a busy machine it takes longer until there was a fight.
    let was_fought = || {
        let told = read_told(folder.path());
        told.begun.len() > TERMS && told.noted.len() > NOTES || began.elapsed() > FIGHT_MAX
    };
    while began.elapsed() < Duration::from_secs(seconds) || !was_fought() {
        round += 1;
        let victim = round % 3;
        // Longer than a transaction may be open, and until another one has taken over.
        let (slept, begun) = (Instant::now(), read_told(folder.path()).begun.len());
        signal_to(&contenders[victim], Signal::STOP);
        if round % 3 == 2 {
            cluster.kill(victim + 1);
        }
        until("another contender to begin a term", FIGHT_MAX, || {
            let is_late = slept.elapsed() > TRANSACTION + Duration::from_secs(1);
            (is_late && read_told(folder.path()).begun.len() > begun).then_some(())
        });
        signal_to(&contenders[victim], Signal::CONT);
        let other = (round + 1) % 3;
        contenders[other].kill().unwrap();
        contenders[other].wait().unwrap();
        contenders[other] = start();
        let noted = read_told(folder.path()).noted.len();
        until("a contender to note something", FIGHT_MAX, || {
            (read_told(folder.path()).noted.len() > noted).then_some(())
        });
        if round % 3 == 2 {
            cluster.make_whole();
        }
    }
    for contender in &mut contenders {
        contender.kill().unwrap();
        contender.wait().unwrap();
    }
    // Its first read waits until the last open transaction is aborted.
    drop(partition.begin());
    let notes = committed(&cluster, &partition.settings.notes_topic, Offset::Beginning);
    let told = read_told(folder.path());
    check(&notes, &told);
}

fn check(notes: &[(i64, String)], told: &Told) {
    let (mut term, mut last) = (String::new(), 1);
    let (mut terms, mut found) = (BTreeSet::new(), BTreeMap::new());
    for (offset, value) in notes {
        match Note::decode(value.as_bytes()).unwrap() {
            Note::Term(note) => {
                assert!(terms.insert(note.token.clone()), "a term began twice: {}", note.token);
                if let Some(read) = told.begun.get(&note.token) {
                    assert_eq!(*read, last, "{} had not read what stands before its note", note.token);
                }
                term = note.token;
            }
            Note::Base(base) => {
                let number = base.read_from;
                assert_eq!(told.tried.get(&number), Some(&term), "note {number} is outside its term");
                assert_eq!(found.insert(number, *offset), None, "note {number} stands twice");
                last = number;
            }
            Note::Snapshot { .. } => {}
            note => panic!("{note:?}"),
        }
    }
    for (number, offset) in &told.noted {
        assert_eq!(found.get(number), Some(offset), "note {number} counted and is not there");
    }
    let fenced: Vec<_> = told.fenced.iter().filter(|number| found.contains_key(number)).collect();
    assert!(fenced.is_empty(), "notes that were refused are there: {fenced:?}");
    let said = format!(
        "{} terms in the log, {} notes acknowledged, {} refused, {} of unknown outcome, of which {} count",
        terms.len(),
        told.noted.len(),
        told.fenced.len(),
        told.unknown.len(),
        told.unknown.iter().filter(|number| found.contains_key(number)).count(),
    );
    writeln!(std::io::stderr(), "{said}").unwrap_or(());
    assert!(terms.len() > TERMS && told.noted.len() > NOTES, "{said}");
}
