//! Writers in processes of their own, in a group, with a store that loses answers: they, their disks and
//! brokers are killed, stopped for longer than any time-out and woken, while calls come in. In the end every
//! acknowledged call is in the store once.
//!
//! `tests/kafka 200` runs 200 rounds.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use forebay::disk::real_disk::RealDisk;
use forebay::kafka::begin::{Began, Beginning, NotBegun, begin};
use forebay::kafka::cache::CacheDeps;
use forebay::kafka::group::Member;
use forebay::kafka::owner::{End, Kept, Owner};
use forebay::kafka::trim::delete_notes_before;
use forebay::log::Seal;
use forebay::metrics::Metrics;
use forebay::object::{BucketString, Encryption, S3Location};
use forebay::partition::note::TermNote;
use forebay::random::Random as _;
use forebay::runtime::SystemRandom;
use forebay::time::UnixMillis;
use rustix::process::{Pid, Signal, kill_process};

use crate::cluster::cluster_alone;
use crate::partition::{Collector, Partition};
use crate::support::until;

/// What a writer's process is told: brokers, name, the store's folder, its cache's folder.
const WRITER: &str = "FOREBAY_KAFKA_WRITER";
/// Time-outs of the group and of transactions. A writer is stopped for longer than both.
const TIME_OUT: Duration = Duration::from_secs(6);
/// How long everything may take to be delivered once all is well again.
const DELIVERED_WITHIN: Duration = Duration::from_secs(180);

fn settings_of_rounds(partition: &mut Partition) {
    partition.settings.transaction_timeout = TIME_OUT;
    let more = [("session.timeout.ms", "6000"), ("heartbeat.interval.ms", "1000")];
    partition.settings.more = more.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
}

/// The work of one process. It does nothing unless it was started by a round.
#[test]
fn a_writer_delivers_until_it_is_killed() {
    let Some(told) = std::env::var_os(WRITER) else { return };
    let told = told.into_string().unwrap();
    let told: Vec<&str> = told.split('|').collect();
    let [brokers, name, store, cache] = told[..] else { panic!("{told:?}") };
    let mut partition = Partition::named(brokers, name);
    settings_of_rounds(&mut partition);
    let writer = Writer { partition, store: store.into(), cache: cache.into() };
    let mut member = Member::join(&writer.partition.settings).unwrap();
    let mut kept = None;
    loop {
        if member.turn(Duration::from_millis(100)).contains(&0) {
            kept = match writer.term(kept.take(), &mut member) {
                Ok(kept) => kept,
                Err(error) => {
                    eprintln!("no term began: {error}");
                    None
                }
            };
        }
    }
}

struct Writer {
    partition: Partition,
    store: PathBuf,
    cache: PathBuf,
}

impl Writer {
    fn term(&self, kept: Option<Kept>, member: &mut Member) -> Result<Option<Kept>, NotBegun> {
        let note = TermNote {
            token: format!("{:032x}", SystemRandom.next_u128()),
            version: "test".into(),
            host: std::process::id().to_string(),
        };
        let metadata = member.told(0)?.map(|(_, metadata)| metadata);
        let cache_of = kept.as_ref().map(|kept: &Kept| kept.token.clone());
        let beginning = Beginning { partition: 0, note, metadata, cache_of };
        let settings = &self.partition.settings;
        let term = match begin(settings, beginning, &self.partition.clock, &|| true)? {
            Began::Live(term) => *term,
            Began::Over | Began::GivenUp => return Ok(None),
            Began::Stopped(stop) => panic!("the partition stopped: {stop}"),
        };
        let kept = kept.filter(|_| term.keeps_cache);
        let mut owner = Owner::new(settings, term, kept, || {
            // A new cache begins in an empty folder.
            drop(fs::remove_dir_all(&self.cache));
            fs::create_dir_all(&self.cache).unwrap();
            CacheDeps {
                disk: Arc::new(RealDisk::open(&self.cache).unwrap()),
                max_bytes: 150_000_000,
                clock: Arc::clone(&self.partition.clock),
                random: Arc::new(SystemRandom),
                metrics: Arc::new(Metrics::new()),
            }
        })
        .unwrap();
        self.says(&format!("term {}", owner.state().term.as_deref().unwrap()));
        let end = loop {
            match self.turn(&mut owner, member) {
                Ok(true) => {}
                Ok(false) => return Ok(owner.end()),
                Err(end) => break end,
            }
        };
        let why = match &end {
            End::Over(_) => "brokers",
            End::Stopped(_) => "stopped",
            End::Cache(_) => "cache",
            End::Moved(_) => "moved",
        };
        self.says(&format!("ended by {why} {}", owner.state().term.as_deref().unwrap()));
        match end {
            End::Over(_) => Ok(owner.end()),
            End::Cache(_) | End::Moved(_) => Ok(None),
            End::Stopped(stop) => panic!("the partition stopped: {stop}"),
        }
    }

    /// Leaves a word for who counts them.
    fn says(&self, what: &str) {
        fs::write(self.store.join(what), std::process::id().to_string()).unwrap();
    }

    /// Returns whether the partition is still assigned.
    fn turn(&self, owner: &mut Owner, member: &mut Member) -> Result<bool, End> {
        let dice = SystemRandom.next_u64();
        for _ in 0..20 {
            owner.read(Duration::from_millis(20))?;
        }
        for batch in owner.open() {
            let to = S3Location::new(BucketString::parse("bucket").unwrap(), Encryption::SseS3);
            owner.seal(&batch.key, 2_000, &to, "test")?;
        }
        let pending: Vec<Seal> =
            owner.state().calls.seals.values().map(|pending| pending.seal.clone()).collect();
        for (seal, n) in pending.iter().zip(dice % 7..) {
            let mut lines = Vec::new();
            let read = owner.lines(seal.number, &mut |line| {
                lines.extend_from_slice(line);
                lines.push(b'\n');
            })?;
            // Not read yet by this owner.
            if !read {
                continue;
            }
            self.put(seal, &lines).unwrap();
            // The store's answer is lost now and then.
            if n % 5 != 0 {
                owner.stored(seal.number)?;
            }
        }
        if dice.is_multiple_of(3) {
            owner.base()?;
        }
        if dice.is_multiple_of(20) {
            let from = owner.snapshot(UnixMillis(0))?;
            // Brokers may be away. Then notes stay.
            if let Some(from) = from {
                delete_notes_before(&self.partition.settings, 0, from).unwrap_or(());
            }
        }
        Ok(member.turn(Duration::from_millis(1)).contains(&0))
    }

    /// Puts an object only if there is none of its name. Another one is a conflict.
    fn put(&self, seal: &Seal, lines: &[u8]) -> io::Result<()> {
        let name = seal.object_key.as_str().replace('/', "_");
        let mut whole = tempfile::NamedTempFile::new_in(&self.store)?;
        whole.write_all(lines)?;
        let place = self.store.join(&name);
        match fs::hard_link(whole.path(), &place) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                if fs::read(&place)? != lines {
                    fs::write(self.store.join(format!("conflict {name}")), lines)?;
                }
                Ok(())
            }
            linked => linked,
        }
    }
}

/// How often each call is in the store.
fn stored(store: &Path) -> BTreeMap<String, u32> {
    let mut calls: BTreeMap<String, u32> = BTreeMap::new();
    for file in fs::read_dir(store).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(!name.starts_with("conflict"), "two objects with one key: {name}");
        // A part that is being written has another name.
        if !name.ends_with(".gz") {
            continue;
        }
        for line in fs::read_to_string(&path).unwrap().lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            *calls.entry(line["messageId"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    calls
}

/// The process that began the last term.
fn owner(store: &Path) -> u32 {
    until("a term", DELIVERED_WITHIN, || {
        let files = fs::read_dir(store).unwrap().map(|file| file.unwrap());
        let terms = files.filter(|file| file.file_name().to_str().unwrap().starts_with("term "));
        let last = terms.max_by_key(|file| file.metadata().unwrap().modified().unwrap())?;
        fs::read_to_string(last.path()).unwrap().parse().ok()
    })
}

struct Started {
    process: Child,
    cache: tempfile::TempDir,
}

fn signal(process: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(process.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

#[test]
fn whatever_is_killed_or_stopped_every_acknowledged_call_is_stored_once() {
    let Some(mut cluster) = cluster_alone() else { return };
    let mut partition = Partition::make(&cluster, &[]);
    settings_of_rounds(&mut partition);
    let store = tempfile::tempdir().unwrap();
    let start = || {
        let cache = tempfile::tempdir().unwrap();
        let (settings, store, place) = (&partition.settings, store.path().display(), cache.path().display());
        let told = format!("{}|{}|{store}|{place}/cache", settings.brokers, settings.name);
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "rounds::a_writer_delivers_until_it_is_killed", "--nocapture"])
            .env(WRITER, told)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Started { process, cache }
    };
    let mut writers: Vec<Started> = (0..2).map(|_| start()).collect();
    let ends = Arc::new(AtomicBool::new(false));
    let mut collector = Collector::new(&cluster, &partition, 1);
    let (clock, stops) = (Arc::clone(&partition.clock), Arc::clone(&ends));
    let sending = std::thread::spawn(move || {
        let mut acknowledged = 0_u64;
        while !stops.load(Ordering::Acquire) {
            let calls: Vec<String> = (0..10).map(|n| format!("call {}", acknowledged + n)).collect();
            let mut calls: Vec<&str> = calls.iter().map(String::as_str).collect();
            // A client that did not hear the answer.
            let again = format!("call {}", acknowledged.saturating_sub(7));
            calls.push(&again);
            let at = clock.wall();
            collector.send(if acknowledged.is_multiple_of(3) { "ios" } else { "web" }, &calls, at);
            acknowledged += 10;
            std::thread::sleep(Duration::from_millis(50));
        }
        acknowledged
    });
    let rounds = std::env::var_os("FOREBAY_KAFKA_ROUNDS")
        .map_or(2, |rounds| rounds.into_string().unwrap().parse::<usize>().unwrap());
    let began = Instant::now();
    for round in 0..rounds {
        // The owner sleeps until another one has taken over, and wakes while that one works.
        let owner = owner(store.path());
        let one = usize::from(writers[1].process.id() == owner);
        let other = 1 - one;
        let broker = round % 3 + 1;
        match round % 4 {
            1 => cluster.kill(broker),
            3 => cluster.stop(broker),
            _ => {}
        }
        signal(&writers[one].process, Signal::STOP);
        std::thread::sleep(TIME_OUT * 2);
        signal(&writers[one].process, Signal::CONT);
        std::thread::sleep(Duration::from_secs(2));
        let Started { mut process, cache } = std::mem::replace(&mut writers[other], start());
        process.kill().unwrap();
        process.wait().unwrap();
        drop(cache);
        std::thread::sleep(Duration::from_secs(3));
        if round % 2 == 1 {
            cluster.make_whole();
        }
        for writer in &mut writers {
            assert_eq!(writer.process.try_wait().unwrap(), None, "a writer ended by itself");
        }
    }
    cluster.make_whole();
    ends.store(true, Ordering::Release);
    let acknowledged = sending.join().unwrap();
    let whole = |calls: &BTreeMap<String, u32>| calls.len() as u64 == acknowledged;
    let calls = until("all calls to be delivered", DELIVERED_WITHIN, || {
        std::thread::sleep(Duration::from_secs(1));
        let calls = stored(store.path());
        whole(&calls).then_some(calls)
    });
    for writer in &mut writers {
        writer.process.kill().unwrap();
        writer.process.wait().unwrap();
    }
    let twice: Vec<_> = calls.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "stored more than once: {twice:?}");
    let state = partition.begin().state;
    assert_eq!(state.calls.ledger_report().differences, []);
    assert!(state.calls.lost.is_empty() && state.unread.is_empty(), "{:?}", state.calls.lost);
    let names: Vec<String> = fs::read_dir(store.path())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    let count = |what: &dyn Fn(&str) -> bool| names.iter().filter(|name| what(name)).count();
    let said = format!(
        "{rounds} rounds in {:.0?}: {acknowledged} calls acknowledged, 0 missing, 0 doubled, in {} objects; \
         {} terms, of which brokers ended {}",
        began.elapsed(),
        count(&|name| name.ends_with(".gz")),
        count(&|name| name.starts_with("term ")),
        count(&|name| name.starts_with("ended by brokers")),
    );
    // A partition that stayed with one writer would prove nothing.
    assert!(count(&|name| name.starts_with("term ")) > 1, "{said}");
    writeln!(io::stderr(), "{said}").unwrap_or(());
}
