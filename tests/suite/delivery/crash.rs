//! The spool's core through hundreds of lives, each ended at a moment that a seed decides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use forebay::batch::BatchKey;
use forebay::call::LineSink as _;
use forebay::metrics::Metrics;
use forebay::object::{ObjectKey, ObjectName};
use forebay::random::Random;
use forebay::spool::note::{Parked, Seal};
use forebay::spool::outlet::parked_name;
use forebay::spool::reader::{Go, Read};
use forebay::spool::{
    AppendError, Disk as _, Encoded, Outlet, Recovered, RequestFrames, SpoolOptions, Stepped,
};
use forebay::time::{Clock as _, UnixMillis};

use super::node::{StepClock, source, to};
use crate::support::sim_disk::{Dice, EIO, ENOSPC, SimDisk, Trouble};

const SEEDS: u64 = 120;
const LIVES: u64 = 4;
const STEPS: u64 = 25;
const SOURCES: [&str; 3] = ["web", "ios", "tv"];

#[derive(Debug)]
struct Fixed(u64);
impl Random for Fixed {
    fn next_u64(&self) -> u64 {
        self.0
    }
}

/// What the world outside knows.
struct World {
    disk: SimDisk,
    clock: Arc<StepClock>,
    dice: Dice,
    seed: u64,
    next_line: u64,
    ends_in_order: u64,
    /// Lines sent and not answered: their client sends them again.
    unanswered: Vec<(usize, Vec<String>)>,
    answered: BTreeSet<String>,
    /// The bucket: lines by object key.
    bucket: BTreeMap<String, Vec<String>>,
}

fn fingerprint(line: &str) -> u128 {
    u128::from(crc32fast::hash(line.as_bytes())) << 40 | line.len() as u128
}

fn read(outlet: &Outlet, key: &BatchKey, after: u64, through: u64) -> Vec<(u64, UnixMillis, String)> {
    let mut all = Vec::new();
    let done = outlet.read(key, after, through, &mut |read| {
        match read {
            Read::Frame(frame) => {
                let line = String::from_utf8(frame.payload.to_vec()).unwrap();
                all.push((frame.position, frame.received_at, line));
            }
            Read::Lost(range) => panic!("{range:?} of {key} is lost, and nothing was damaged"),
        }
        Ok(Go::On)
    });
    done.unwrap();
    all
}

fn lines(frames: &[(u64, UnixMillis, String)]) -> Vec<String> {
    frames.iter().map(|(_, _, line)| line.clone()).collect()
}

impl World {
    fn open(&mut self) -> (Stepped, Recovered) {
        let options = SpoolOptions {
            segment_bytes: 16 * 1_024,
            max_bytes: 100 * 16 * 1_024,
            dedupe_max: 5_000,
            ..SpoolOptions::default()
        };
        let disk = Arc::new(self.disk.clone());
        let metrics = Arc::new(Metrics::new());
        let random = Fixed(self.seed | 1);
        Stepped::open(disk, options, Arc::<StepClock>::clone(&self.clock), &random, metrics)
            .unwrap_or_else(|error| panic!("seed {}: {error:?}", self.seed))
    }

    /// Opens after a crash: in vain, as long as the next crash comes before it is done.
    fn recover(&mut self) -> Stepped {
        if self.dice.below(3) == 0 {
            self.disk.trouble(self.dice.below(40), Trouble::Crash);
            let options = SpoolOptions { segment_bytes: 16 * 1_024, ..SpoolOptions::default() };
            let disk = Arc::new(self.disk.clone());
            let random = Fixed(self.seed | 1);
            drop(Stepped::open(
                disk,
                options,
                Arc::<StepClock>::clone(&self.clock),
                &random,
                Arc::new(Metrics::new()),
            ));
            self.disk.crash(&mut self.dice);
        }
        let (spool, recovered) = self.open();
        assert_eq!(recovered.lost, [], "seed {}: nothing was damaged", self.seed);
        if self.dice.below(4) > 0 {
            return spool;
        }
        let before = self.view(&spool);
        drop(spool);
        self.disk.crash(&mut self.dice);
        let (spool, recovered) = self.open();
        assert_eq!(
            (self.view(&spool), recovered.lost.len()),
            (before, 0),
            "seed {}: twice is once",
            self.seed
        );
        spool
    }

    /// All that a spool knows to be undelivered.
    fn view(&self, spool: &Stepped) -> (Vec<(BatchKey, Vec<String>)>, Vec<Seal>) {
        let outlet = spool.outlet();
        let open = outlet.open_batches().into_iter().map(|batch| {
            let frames = read(outlet, &batch.key, batch.sealed_through, u64::MAX);
            assert_eq!(frames.len() as u64, batch.frames, "seed {}", self.seed);
            assert_eq!(frames.first().map(|frame| frame.0), Some(batch.first), "seed {}", self.seed);
            (batch.key, lines(&frames))
        });
        (open.collect(), outlet.pending_seals().into_iter().map(|pending| pending.seal).collect())
    }

    fn send(&mut self, spool: &mut Stepped) -> bool {
        let mut group: Vec<(usize, Vec<String>)> = Vec::new();
        if self.dice.below(2) == 0 {
            group.append(&mut self.unanswered);
        }
        for _ in 0..=self.dice.below(3) {
            let source = usize::try_from(self.dice.below(SOURCES.len() as u64)).unwrap();
            let pad = "x".repeat(usize::try_from(self.dice.below(600)).unwrap());
            let new =
                (0..=self.dice.below(5)).map(|n| format!("{{\"n\":{},\"x\":\"{pad}\"}}", self.next_line + n));
            let new: Vec<String> = new.collect();
            self.next_line += new.len() as u64;
            group.push((source, new));
        }
        let frames = |(name, lines): &(usize, Vec<String>)| {
            let mut frames = RequestFrames::new(source(SOURCES[*name]), self.clock.wall(), 0);
            for line in lines {
                frames.line().extend_from_slice(line.as_bytes());
                frames.call(fingerprint(line));
            }
            frames
        };
        match spool.append(group.iter().map(frames)) {
            Ok(_) => self.answered.extend(group.into_iter().flat_map(|(_, lines)| lines)),
            Err(AppendError::Full) => self.unanswered.append(&mut group),
            Err(_) => {
                self.unanswered.append(&mut group);
                return false;
            }
        }
        true
    }

    /// Seals a part of some batch.
    fn seal(&mut self, outlet: &Outlet, all: bool) -> bool {
        let waits = |key: &BatchKey| {
            outlet
                .pending_seals()
                .iter()
                .any(|pending| pending.seal.batch == *key && pending.parked.is_none())
        };
        let open: Vec<_> = outlet.open_batches().into_iter().filter(|batch| !waits(&batch.key)).collect();
        let Some(batch) = open.get(usize::try_from(self.dice.below(open.len() as u64)).unwrap()) else {
            return true;
        };
        let mut frames = read(outlet, &batch.key, batch.sealed_through, u64::MAX);
        if !all {
            frames.truncate(1 + usize::try_from(self.dice.below(frames.len() as u64)).unwrap());
        }
        let (first, at, _) = frames[0].clone();
        let encoded = Encoded {
            first,
            last: frames.last().unwrap().0,
            frames: frames.len() as u64,
            bytes: frames.iter().map(|(_, _, line)| line.len() as u64 + 1).sum(),
            sha256: lines(&frames).concat(),
            named_at: at,
            first_received_at: at,
            last_received_at: at,
            encoder: "simulated".to_owned(),
            next_received_at: None,
        };
        let (node, spool_id) = (outlet.node(), outlet.spool_id());
        let name =
            ObjectName { first_received_at: at, node: &node, spool_id: &spool_id, first_position: first };
        let to = to("bucket");
        let key = ObjectKey::of_batch(&to.bucket, batch.key.stream, &batch.key.source, batch.key.day, name);
        outlet.seal(&batch.key, &encoded, to, key).is_ok()
    }

    /// Puts, parks or commits a sealed object.
    fn deliver(&mut self, outlet: &Outlet, to_the_end: bool) -> bool {
        let pending = outlet.pending_seals();
        let Some(pending) = pending.get(usize::try_from(self.dice.below(pending.len() as u64)).unwrap())
        else {
            return true;
        };
        let seal = &pending.seal;
        let text = match pending.parked {
            Some(parked) => {
                let file = self.disk.open(&parked_name(seal.number)).unwrap();
                let mut bytes = vec![0; usize::try_from(parked.len).unwrap()];
                assert_eq!(file.read_at(&mut bytes, 0).unwrap(), bytes.len());
                assert_eq!(crc32fast::hash(&bytes), parked.crc32, "seed {}: parked bytes", self.seed);
                String::from_utf8(bytes).unwrap()
            }
            None => lines(&read(outlet, &seal.batch, seal.first - 1, seal.last)).join("\n"),
        };
        assert_eq!(text.replace('\n', ""), seal.sha256, "seed {}: a seal never changes", self.seed);
        if !to_the_end && pending.parked.is_none() && self.dice.below(4) == 0 {
            let parked = Parked { len: text.len() as u64, crc32: crc32fast::hash(text.as_bytes()) };
            return outlet.park(seal, &mut text.as_bytes(), parked).is_ok();
        }
        let object: Vec<String> = text.split('\n').map(str::to_owned).collect();
        let there = self.bucket.entry(seal.object_key.to_string()).or_insert_with(|| object.clone());
        assert_eq!(*there, object, "seed {}: one name, one content", self.seed);
        // The process may end before it knows that the object is there.
        if !to_the_end && self.dice.below(3) == 0 {
            return true;
        }
        outlet.commit(seal, None).is_ok()
    }

    /// One life of the spool, to a crash or an orderly end.
    fn live(&mut self, mut spool: Stepped) {
        let trouble = [Trouble::Crash, Trouble::Crash, Trouble::Fails(EIO), Trouble::Fails(ENOSPC)];
        let trouble = trouble[usize::try_from(self.dice.below(4)).unwrap()];
        self.disk.trouble(self.dice.below(300), trouble);
        for _ in 0..STEPS {
            let outlet = spool.outlet().clone();
            let stands = match self.dice.below(10) {
                0..5 => self.send(&mut spool),
                5 | 6 => self.seal(&outlet, false),
                7 | 8 => self.deliver(&outlet, false),
                _ => spool.keep().is_ok(),
            };
            if !stands {
                break;
            }
        }
        if self.dice.below(5) == 0 {
            self.ends_in_order += u64::from(spool.close().is_ok());
        } else {
            drop(spool);
        }
        self.disk.crash(&mut self.dice);
    }

    /// Everything is sent and delivered, and the bucket is counted.
    fn end(mut self) {
        let mut spool = self.recover();
        while !self.unanswered.is_empty() {
            assert!(self.send(&mut spool));
            spool.keep().unwrap();
        }
        let outlet = spool.outlet().clone();
        while !outlet.open_batches().is_empty() || !outlet.pending_seals().is_empty() {
            assert!(self.seal(&outlet, true) && self.deliver(&outlet, true), "seed {}", self.seed);
            spool.keep().unwrap();
        }
        let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
        for line in self.bucket.values().flatten() {
            *counts.entry(line).or_default() += 1;
        }
        let seed = self.seed;
        assert!(counts.values().all(|count| *count == 1), "seed {seed}: a call is in two objects");
        let missing: Vec<_> =
            self.answered.iter().filter(|line| !counts.contains_key(line.as_str())).collect();
        assert_eq!(missing, [""; 0], "seed {seed}: answered, and in no object");
    }
}

#[test]
fn no_answered_call_is_missing_or_doubled_whenever_the_machine_stops() {
    let (mut crashes, mut ends_in_order) = (0, 0);
    for seed in 0..SEEDS {
        let mut world = World {
            disk: SimDisk::default(),
            clock: StepClock::new(),
            dice: Dice(seed),
            seed,
            next_line: 0,
            ends_in_order: 0,
            unanswered: Vec::new(),
            answered: BTreeSet::new(),
            bucket: BTreeMap::new(),
        };
        for _ in 0..LIVES {
            let mut spool = world.recover();
            let destinations = SOURCES.map(|name| (source(name), to("bucket")));
            spool.outlet().set_destinations(destinations).unwrap();
            spool.keep().unwrap();
            world.live(spool);
            crashes += u64::from(!world.unanswered.is_empty());
        }
        ends_in_order += world.ends_in_order;
        world.end();
    }
    assert!(ends_in_order > 0);
    assert!(crashes > SEEDS / 4, "a simulation that hardly interrupts anything shows nothing: {crashes}");
}
