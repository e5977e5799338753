//! Objects are due when they are full: from a source's first one on, after a restart, however well lines
//! compress.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use forebay::batch::DueRule;
use forebay::delivery::{DeliverySettings, DiskWork};
use forebay::spool::SpoolOptions;
use forebay::store::fake::{FakeObject, FakeStore};
use tokio::time::sleep;

use super::node::*;
use crate::support::sim_disk::{Dice, SimDisk};
use crate::support::trace::Trace;

const MAX: u64 = 1_000_000;
/// Lines come in portions of so many bytes, each of which is looked at before the next.
const PORTION: u64 = MAX / 50;
/// Longer than a look and a measurement take. Time stands still but while everybody waits.
const A_LOOK: Duration = Duration::from_secs(1);

/// How the n-th line is made.
type Lines = fn(u64) -> String;

fn random_letters(n: u64, len: usize, letters: &[u8]) -> String {
    let mut state = n << 20 | 1;
    let letter = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(letters[usize::try_from(state >> 33).unwrap() % letters.len()])
    };
    (0..len).map(letter).collect()
}

/// Hardly compresses.
fn noise(n: u64) -> String {
    let letters: Vec<u8> = (b'!'..=b'~').filter(|letter| !b"\"\\".contains(letter)).collect();
    format!("{{\"n\":{n},\"x\":\"{}\"}}", random_letters(n, 900, &letters))
}

/// Compresses to about a half.
fn hexadecimal(n: u64) -> String {
    format!("{{\"n\":{n},\"x\":\"{}\"}}", random_letters(n, 900, b"0123456789abcdef"))
}

/// Like calls of an SDK.
fn calls(n: u64) -> String {
    let id = random_letters(n, 20, b"0123456789abcdef");
    let user = random_letters(n % 1_000, 8, b"0123456789abcdef");
    format!(
        "{{\"type\":\"track\",\"event\":\"Order Completed\",\"userId\":\"{user}\",\"messageId\":\"{id}\",\"properties\":\
         {{\"total\":{},\"currency\":\"EUR\",\"coupon\":\"none\"}},\"context\":{{\"library\":{{\"name\":\"analytics-node\",\
         \"version\":\"2.1.0\"}},\"locale\":\"en-GB\",\"timezone\":\"Europe/Berlin\"}},\"integrations\":{{}}}}",
        n % 977
    )
}

/// Compresses some fiftyfold.
fn alike(n: u64) -> String {
    format!("{{\"n\":{n},\"x\":\"{}\"}}", "the same again and again ".repeat(5))
}

/// A disk in memory that counts how many objects were encoded: each is staged in a file.
struct Machine {
    disk: SimDisk,
    trace: Trace,
    store: FakeStore,
}

impl Machine {
    fn new() -> Self {
        let trace = Trace::default();
        Self { disk: SimDisk::new(Dice(0), trace.clone()), trace, store: FakeStore::new() }
    }

    fn start(&self) -> Node {
        let rule = DueRule { max_bytes: MAX, max_age: Duration::from_secs(36_000), align_minute: None };
        let settings = DeliverySettings {
            disk_work: DiskWork::InPlace,
            object_in_memory_max: 1_000,
            ..DeliverySettings::new(rule)
        };
        let options = SpoolOptions { segment_bytes: 4_000_000, max_bytes: 2_000_000_000, ..options() };
        let disk = Arc::new(self.disk.clone());
        let node = Node::open_on(disk, &self.store, &StepClock::new(), (options, settings), None);
        node.send("web", "bucket");
        node
    }

    fn objects(&self) -> usize {
        self.store.keys().len()
    }

    fn encoded(&self) -> u64 {
        self.trace.counts().get("disk: an object staged in a file").copied().unwrap_or(0)
    }
}

/// A source's lines, as they were sent.
#[derive(Default)]
struct Sent {
    lines: Vec<String>,
    bytes: u64,
}

impl Sent {
    /// Sends portions until there is one more object, or so many bytes are sent.
    async fn until_delivered(&mut self, machine: &Machine, node: &Node, made: Lines, at_most: u64) {
        let (before, end) = (machine.objects(), self.bytes + at_most);
        while machine.objects() == before && self.bytes < end {
            let (mut portion, mut bytes) = (Vec::new(), 0);
            while bytes < PORTION {
                let line = made((self.lines.len() + portion.len()) as u64);
                bytes += line.len() as u64 + 1;
                portion.push(line);
            }
            node.append("web", &portion).await;
            self.lines.extend(portion);
            self.bytes += bytes;
            sleep(A_LOOK).await;
        }
    }

    /// Holds the last object against its size, and what was left behind it: with that it would not have been
    /// much larger.
    fn is_full_in_time(&self, what: &str, machine: &Machine) {
        let mut objects = objects(&machine.store, "bucket", "");
        let number = |object: &FakeObject, of: &str| object.metadata[of].parse::<usize>().unwrap();
        objects.sort_by_key(|(_, object)| number(object, "forebay-first-position"));
        let calls: usize = objects.iter().map(|(_, object)| number(object, "forebay-calls")).sum();
        let Some((_, last)) = objects.last() else {
            panic!("{what}: there is no object after {} bytes", self.bytes)
        };
        let mut rest = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(3));
        self.lines[calls..].iter().for_each(|line| rest.write_all(line.as_bytes()).unwrap());
        let (object, rest) = (last.bytes.len() as u64, rest.finish().unwrap().len() as u64);
        let what = format!("{what}: an object of {object} bytes, and {rest} behind it, after {}", self.bytes);
        assert!(object <= MAX && object * 100 >= MAX * 95, "{what}");
        assert!((object + rest) * 100 <= MAX * 110, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_object_is_full_in_time_and_so_are_the_next() {
    // Lines that are nearly the same are taken for more than they become, see `delivery::estimate`: their
    // objects are encoded twice.
    for (what, made, objects, encodings_each) in [
        ("noise", noise as Lines, 4, 1),
        ("hexadecimal", hexadecimal, 3, 1),
        ("calls", calls, 3, 1),
        ("alike", alike, 2, 2),
    ] {
        let (machine, mut sent) = (Machine::new(), Sent::default());
        let node = machine.start();
        for nth in 1..=objects {
            sent.until_delivered(&machine, &node, made, 100 * MAX).await;
            sent.is_full_in_time(&format!("{what}, object {nth}"), &machine);
        }
        assert_eq!(machine.objects(), objects, "{what}: one at a time");
        let encoded = machine.encoded();
        let most = objects as u64 * encodings_each;
        assert!(encoded <= most, "{what}: {encoded} were encoded for {objects} objects");
        node.halt().await;
    }
}

#[tokio::test(start_paused = true)]
async fn lines_may_compress_otherwise_within_a_batch() {
    // With how many bytes of what half of an object is made, and what comes then.
    let kinds: [(&str, Lines, u64, &str, Lines); 6] = [
        ("noise", noise, MAX / 2, "calls", calls),
        ("calls", calls, 3 * MAX, "noise", noise),
        ("noise", noise, MAX / 2, "alike", alike),
        ("alike", alike, 6 * MAX, "noise", noise),
        ("alike", alike, 6 * MAX, "hexadecimal", hexadecimal),
        ("hexadecimal", hexadecimal, MAX, "calls", calls),
    ];
    for (first, makes_first, half, then, makes_then) in kinds {
        let (machine, mut sent) = (Machine::new(), Sent::default());
        let node = machine.start();
        sent.until_delivered(&machine, &node, makes_first, half).await;
        assert_eq!(machine.objects(), 0, "half of an object is none");
        sent.until_delivered(&machine, &node, makes_then, 100 * MAX).await;
        sent.is_full_in_time(&format!("{first}, then {then}"), &machine);
        assert!(machine.encoded() <= 2, "{} were encoded for one object", machine.encoded());
        node.halt().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_forgets_nothing_that_is_needed() {
    for (what, made, part) in
        [("noise", noise as Lines, MAX / 2), ("calls", calls, 4 * MAX), ("alike", alike, 8 * MAX)]
    {
        let (machine, mut sent) = (Machine::new(), Sent::default());
        let node = machine.start();
        sent.until_delivered(&machine, &node, made, part).await;
        assert_eq!(machine.objects(), 0, "{what}");
        node.halt().await;
        let node = machine.start();
        sent.until_delivered(&machine, &node, made, 100 * MAX).await;
        sent.is_full_in_time(&format!("{what} after a restart"), &machine);
        node.halt().await;
    }
}
