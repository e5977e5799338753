//! Everything outside the process: the successive lives of a load, clients that record their answers, and the
//! final content of the store.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use forebay::call::LineSink as _;
use forebay::disk::Disk as _;
use forebay::log::{AppendError, Log, RequestFrames};
use forebay::spool::SpoolOptions;
use forebay::spool::format::Ident;
use forebay::spool::manifest::read_newest_past_damage;
use forebay::store::fake::{FakeObject, FakeStore};
use forebay::time::Clock as _;
use tokio::time::{Instant, timeout};

use super::faulty::{FaultyDisk, Recorder};
use super::long_note;
use super::node::{HANG, Node, StandingClock, location, source};
use crate::support::sim_disk::{Dice, SimDisk};

/// The time limit to accept calls and deliver again after the failures are over, and to stop.
pub(super) const SOON: Duration = Duration::from_secs(5);
/// How long to observe a lasting failure.
const A_WHILE: Duration = Duration::from_millis(60);
/// Length of a long line.
const LONG_LINE: usize = 30_000;
/// Space under the cap for the manifest and its reserve, for long notes, in bytes.
const MANIFESTS: u64 = 16 * 1_024 * 1_024;
/// The number of different long lines.
const LONG_LINES: usize = 100;
pub(super) const POLL: Duration = Duration::from_millis(2);

/// A step in one life of the spool.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// Sends this number of requests with one line each, one after the other, to a source.
    Send(&'static str, u32),
    /// Sends this number of requests with one long line each that hardly compresses.
    SendLong(&'static str, u32),
    /// Makes everything of a source due and waits until it is delivered.
    Deliver(&'static str),
    /// Makes everything of a source due and waits until it is parked.
    Park(&'static str),
    /// Makes the store refuse a source's bucket.
    Refuse(&'static str),
    /// Makes the store accept it again.
    Allow(&'static str),
    /// Two days pass.
    TwoDays,
    /// Makes the manifest so long that a new one is begun, and waits for it.
    LongNote(&'static str),
}

/// How a life ends if no failure ended it before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    InOrder,
    Killed,
    PowerCut,
}

/// A fixed load: successive lives on one disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) segment_bytes: u64,
    pub(super) sources: &'static [&'static str],
    pub(super) lives: &'static [(&'static [Step], End)],
}

fn fingerprint(line: &str) -> u128 {
    u128::from(crc32fast::hash(line.as_bytes())) << 40 | line.len() as u128
}

/// The text of a long line: hexadecimal digits that compress to about half.
fn noise(line: u32) -> &'static str {
    static POOL: LazyLock<String> = LazyLock::new(|| {
        let mut dice = Dice(1);
        (0..LONG_LINE * (LONG_LINES + 1) / 16).map(|_| format!("{:016x}", dice.next())).collect()
    });
    let at = usize::try_from(line).unwrap() % LONG_LINES * LONG_LINE;
    POOL.get(at..at + LONG_LINE).unwrap()
}

/// Everything outside the process.
#[derive(Debug)]
pub(super) struct World {
    pub(super) load: Load,
    pub(super) disk: SimDisk,
    pub(super) store: FakeStore,
    pub(super) recorder: Recorder,
    pub(super) clock: Arc<StandingClock>,
    next_line: u32,
    /// Acknowledged lines, with their source.
    pub(super) answered: BTreeMap<String, &'static str>,
    /// Unacknowledged lines, which their clients may send again.
    pub(super) unanswered: BTreeMap<String, &'static str>,
    /// Whether a lasting failure may keep work from being done.
    pub(super) lasting: bool,
    /// Positions that the spool reported as lost.
    pub(super) lost: BTreeSet<u64>,
    /// Whether it reported that a last segment could not be read to its end.
    pub(super) unreadable: bool,
    /// Why the spool did not open.
    pub(super) refusals: Vec<String>,
}

impl World {
    pub(super) fn new(load: Load, recorder: Recorder, lasting: bool) -> Self {
        Self {
            load,
            disk: SimDisk::default(),
            store: FakeStore::new(),
            recorder,
            clock: Arc::new(StandingClock::new()),
            next_line: 0,
            answered: BTreeMap::new(),
            unanswered: BTreeMap::new(),
            lasting,
            lost: BTreeSet::new(),
            unreadable: false,
            refusals: Vec::new(),
        }
    }

    fn options(&self) -> SpoolOptions {
        SpoolOptions {
            segment_bytes: self.load.segment_bytes,
            max_bytes: 200 * self.load.segment_bytes + MANIFESTS,
            manifest_bytes: 4_096,
            dedupe_max: 5_000,
            node: Some("n1".to_owned()),
            ..SpoolOptions::default()
        }
    }

    /// Whether a failure is in progress.
    pub(super) fn failing(&self) -> bool {
        let record = self.recorder.get();
        self.lasting && record.struck.is_some() && !record.mended
    }

    /// How long to wait for an expected event.
    pub(super) fn patience(&self) -> Duration {
        if self.failing() { A_WHILE } else { SOON }
    }

    /// Opens the spool and starts delivery; `None` if it refuses, with the reason recorded.
    pub(super) async fn open(&mut self) -> Option<Node> {
        {
            let mut record = self.recorder.get();
            (record.opening, record.struck_now) = (true, false);
        }
        let disk = FaultyDisk::new(self.disk.clone(), self.recorder.clone());
        let opened = Node::open(&disk, self.options(), &self.clock, &self.store).await;
        self.recorder.get().opening = false;
        match opened {
            Ok((node, recovered)) => {
                self.unreadable |= recovered.unreadable.is_some();
                let all = self.load.sources.iter().map(|name| (source(name), location(name)));
                // If it has already stopped, the life is short.
                drop(node.spool.locations().set_locations(all.collect()));
                Some(node)
            }
            Err(why) => {
                self.refusals.push(why);
                disk.kill();
                self.note_lost();
                None
            }
        }
    }

    /// Executes one step. `false`: the spool has stopped.
    pub(super) async fn step(&mut self, node: &Node, step: Step) -> bool {
        match step {
            Step::Send(to, count) => {
                for _ in 0..count {
                    let line = format!("{{\"n\":{},\"x\":\"{}\"}}", self.next_line, "x".repeat(1_200));
                    self.next_line += 1;
                    self.send(node, to, line).await;
                }
            }
            Step::SendLong(to, count) => {
                for _ in 0..count {
                    let line = format!("{{\"n\":{},\"x\":\"{}\"}}", self.next_line, noise(self.next_line));
                    self.next_line += 1;
                    self.send(node, to, line).await;
                }
            }
            Step::Deliver(name) => self.deliver(node, name).await,
            Step::Park(name) => self.park(node, name).await,
            Step::Refuse(name) => self.store.refuse_bucket(name, true),
            Step::Allow(name) => self.store.refuse_bucket(name, false),
            // A client does not wait for days before it sends again: that would no longer be a repeat.
            Step::TwoDays if !self.unanswered.is_empty() => {}
            Step::TwoDays => self.clock.pass_days(2),
            Step::LongNote(name) => long_note::write(self, node, name).await,
        }
        !node.has_stopped()
    }

    /// Sends a line, and again while there is no space for it.
    pub(super) async fn send(&mut self, node: &Node, to: &'static str, line: String) {
        let until = Instant::now() + self.patience();
        let outcome = loop {
            let mut frames = RequestFrames::new(source(to), self.clock.wall(), 0);
            frames.line().extend_from_slice(line.as_bytes());
            frames.call(fingerprint(&line));
            let appended =
                timeout(HANG, node.spool.appender().append(frames)).await.expect("an append hangs");
            match appended {
                Err(AppendError::Full) if Instant::now() < until => tokio::time::sleep(POLL).await,
                Err(AppendError::Full) if self.failing() => break Err(AppendError::Full),
                Err(AppendError::Full) => panic!("there is space, but calls are refused for {SOON:?}"),
                outcome => break outcome,
            }
        };
        match outcome {
            Ok(appended) => {
                assert_eq!(appended.stored + appended.repeats, 1);
                self.answered.insert(line, to);
            }
            Err(AppendError::Unknown | AppendError::Stopped | AppendError::Full) => {
                self.unanswered.insert(line, to);
            }
            Err(error) => panic!("{error}"),
        }
    }

    pub(super) async fn deliver(&self, node: &Node, name: &str) {
        let (of, began) = (source(name), Instant::now());
        let flushed = node.delivery.flush(Some(&of), self.patience()).await;
        let excused = flushed.pending == 0 || node.has_stopped() || self.failing();
        assert!(excused, "{flushed:?} of {name} after {:?}: {:?}", began.elapsed(), node.delivery.progress());
    }

    async fn park(&self, node: &Node, name: &str) {
        let of = source(name);
        node.delivery.flush(Some(&of), Duration::ZERO).await;
        let parked = || {
            let seals = node.log.pending_seals();
            let mut of_it = seals.iter().filter(|pending| pending.seal.batch.source == of);
            of_it.all(|pending| pending.parked.is_some())
                && !node.log.open_batches().iter().any(|batch| batch.key.source == of)
        };
        let until = Instant::now() + self.patience();
        while !parked() && !node.has_stopped() {
            assert!(Instant::now() < until || self.failing(), "{name} is not parked");
            if Instant::now() >= until {
                return;
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Sends the unacknowledged lines again.
    pub(super) async fn send_again(&mut self, node: &Node) {
        for (line, to) in std::mem::take(&mut self.unanswered) {
            self.send(node, to, line).await;
        }
    }

    /// Runs a whole life; returns whether the spool had stopped by its end, or `None` if it did not open.
    pub(super) async fn live(&mut self, steps: &[Step], end: End, dice: &mut Dice) -> Option<bool> {
        let node = self.open().await?;
        self.send_again(&node).await;
        for step in steps {
            if !self.step(&node, *step).await {
                break;
            }
        }
        Some(self.end(node, end, dice).await)
    }

    /// Ends a life; returns whether the spool had stopped before.
    pub(super) async fn end(&mut self, node: Node, end: End, dice: &mut Dice) -> bool {
        let (log, disk) = (Arc::clone(&node.log), node.disk.clone());
        if end != End::InOrder {
            let stopped = self.comes_to_a_stop(&*log).await;
            disk.kill();
            node.halt().await;
            self.note_lost();
            if end == End::PowerCut {
                self.disk.crash(dice);
            }
            return stopped;
        }
        node.halt().await;
        let stopped = self.comes_to_a_stop(&*log).await;
        disk.kill();
        self.note_lost();
        stopped
    }

    /// Whether the spool has stopped; if it must, waits for it.
    async fn comes_to_a_stop(&self, log: &dyn Log) -> bool {
        let must = {
            let record = self.recorder.get();
            record.struck_now && record.case.is_some_and(|case| super::expected::must_stop(&case, &record))
        };
        let until = Instant::now() + SOON;
        while must && log.stopped().borrow().is_none() && Instant::now() < until {
            tokio::time::sleep(POLL).await;
        }
        log.stopped().borrow().is_some()
    }

    /// The name of the newest manifest.
    pub(super) fn manifest(&self) -> Option<String> {
        let names = self.disk.list("").unwrap().into_iter().map(|(name, _)| name);
        names.filter(|name| name.starts_with("MANIFEST-") && !name.ends_with(".tmp")).max()
    }

    /// How often each line is in the store. Also checks the objects against their metadata.
    pub(super) fn stored(&self) -> BTreeMap<String, u32> {
        let mut lines = BTreeMap::new();
        for (bucket, key) in self.store.keys() {
            let object = self.store.object(&bucket, &key).unwrap();
            assert_eq!(object.writes, 1, "{key}: written once");
            for line in lines_of(&key, &object).into_iter().filter(|line| line != long_note::UNCOUNTED) {
                *lines.entry(line).or_default() += 1;
            }
        }
        lines
    }

    /// Records the positions that the manifest reports as lost: notes about released ones are not kept
    /// forever.
    fn note_lost(&mut self) {
        let Ok(Some(ident)) = Ident::read(&self.disk) else { return };
        let Ok(Some((_, replayed))) = read_newest_past_damage(&self.disk, &ident.spool_id) else { return };
        self.lost.extend(replayed.state.calls.lost.iter().flat_map(|range| range.first..=range.last));
    }

    /// After everything is delivered, only the segments in use, a few for reuse and small files are left.
    pub(super) async fn keeps_no_more_than_it_needs(&self, node: &Node) {
        let settled = || {
            let usage = node.log.usage();
            let staged = self.disk.list("staging").unwrap();
            usage.segments <= 2 && usage.parked == 0 && staged.is_empty()
        };
        let until = Instant::now() + SOON;
        while !settled() {
            assert!(Instant::now() < until, "{:?} with everything delivered", node.log.usage());
            tokio::time::sleep(POLL).await;
        }
        let names: Vec<String> = self.disk.list("").unwrap().into_iter().map(|(name, _)| name).collect();
        let count = |what: &str, end: &str| {
            names.iter().filter(|name| name.starts_with(what) && name.ends_with(end)).count()
        };
        // In use, just closed, or prepared; some released ones are kept for reuse.
        assert!(
            count("wal-", ".seg") <= 3 && count("spare-", "") <= 6,
            "{names:?} with everything delivered"
        );
        assert_eq!(self.disk.list("parked").unwrap(), [], "parked, with everything delivered");
    }
}

fn lines_of(key: &str, object: &FakeObject) -> Vec<String> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(&object.bytes[..]).read_to_string(&mut text).unwrap();
    assert_eq!(object.metadata["forebay-bytes"], text.len().to_string(), "{key}");
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    assert_eq!(object.metadata["forebay-calls"], lines.len().to_string(), "{key}");
    lines
}
