//! The conditions that schedules must reach, and how often: a simulation that never parks an object proves
//! nothing about parking.

use std::collections::BTreeMap;

/// Minimum counts in ten thousand schedules: about a fifth of the usual counts.
const AT_LEAST: [(&str, u64); 122] = [
    // Clients.
    ("an answer", 50_000),
    ("a repeat", 10_000),
    ("the spool is full", 500),
    ("the spool has stopped", 400),
    ("a source refused for its bucket", 250),
    ("a share used", 50),
    ("a healthy source served beside a refused one", 350),
    // Imports.
    ("an import begun", 2_500),
    ("an import continued", 6_000),
    ("an import stopped", 300),
    ("an import ended", 1_400),
    ("an imported file known", 3_000),
    ("rows taken", 9_000),
    ("rows sent twice", 1_200),
    ("rows refused for their first row", 3_500),
    ("rows refused because the import is closed", 200),
    ("a reader that gave up waiting", 2_000),
    ("a file with rows that repeat calls", 300),
    ("a lost row named", 25),
    ("a start without imports", 10),
    // Imports of a bucket.
    ("a pass over a bucket", 2_500),
    ("a pass that could not go on", 100),
    ("a file of a bucket begun", 1_200),
    ("a file of a bucket continued", 300),
    ("a file of a bucket imported", 800),
    ("a file of a bucket known", 40),
    ("rows of a bucket taken", 2_400),
    ("an object replaced", 600),
    ("an object deleted", 180),
    ("an object imported as a whole", 500),
    ("an object of which nothing is imported", 250),
    ("an import changed", 500),
    ("an import paused", 250),
    ("a world with two instances", 180),
    ("objects of another instance", 1_500),
    ("an imported object tagged", 40),
    ("an imported object moved", 140),
    ("an imported object deleted", 200),
    ("an imported object that waits for its delivery", 500),
    ("a claim released", 140),
    ("a round over rejected rows begun", 600),
    ("rejected rows read again", 1_200),
    ("rejected rows that became calls", 280),
    // Destinations.
    ("an invocation", 55_000),
    ("an invocation that fails", 6_000),
    ("an invocation without an answer", 2_000),
    ("a batch of which a call is not taken", 90),
    ("a call sent again", 14_000),
    ("a source refused", 500),
    ("a poisoned call", 500),
    ("a list of destinations damaged", 100),
    ("a dead letter in the bucket", 34_000),
    ("a destination changed", 1_200),
    ("a destination removed", 490),
    ("a destination put back", 250),
    ("a start without destinations", 25),
    ("a hung destination kept no more than its share", 190),
    ("a world whose calls functions took", 450),
    // Lives.
    ("a life ended cleanly", 3_000),
    ("an end cut short", 15),
    ("a life cut short", 200),
    ("a machine stopped", 2_000),
    ("a process killed or ended", 2_000),
    ("a second process refused", 5_000),
    ("a step of the clock", 3_000),
    ("a source moved", 300),
    ("a source forgotten", 450),
    // Recovery.
    ("a recovery cut short", 800),
    ("a recovery with frames to deliver", 3_000),
    ("a recovery with seals to put", 1_500),
    ("a recovery that names losses", 150),
    ("a clock more than a day behind", 300),
    ("a start without space", 400),
    ("a full disk emptied", 200),
    ("a torn write", 20),
    ("recovered twice", 1_000),
    ("a lost call named", 200),
    ("a recovery past unreadable notes", 20),
    ("a start refused for losses", 25),
    ("a start refused for unreadable notes", 3),
    ("a start refused until a file was put back", 6),
    ("a damaged object replaced on request", 5),
    // The disk.
    ("disk: a segment made", 8_000),
    ("disk: a segment released", 6_000),
    ("disk: a released segment used again", 4_000),
    ("disk: a damaged segment kept", 120),
    ("disk: a manifest begun", 6_000),
    ("disk: a manifest begun in the reserve", 9_000),
    ("disk: fingerprints kept", 2_000),
    ("disk: an object parked", 2_000),
    ("disk: an object staged in a file", 3_000),
    ("disk: no space", 1_000),
    ("disk: no space for a name", 20),
    ("disk: a change failed", 300),
    ("disk: no file handle", 5_000),
    ("disk: a sync failed and dropped what it was to store", 80),
    ("disk: an unsynced write lost", 400),
    ("disk: an unsynced write torn", 400),
    ("disk: names forgotten", 400),
    ("a bit of a segment flipped", 300),
    ("a bit of an index flipped", 20),
    ("a bit of fingerprints flipped", 20),
    ("a bit of the identity flipped", 18),
    ("a bit of a manifest's state flipped", 10),
    ("a bit of a note flipped", 30),
    ("a bit of a parked object flipped", 2),
    ("a parked object put back", 2),
    // The store.
    ("412 for a key that is taken", 1_500),
    ("412 for nothing", 60),
    ("409", 60),
    ("403", 60),
    ("5xx", 5_000),
    ("a digest that differs", 40),
    ("an answer lost", 300),
    ("a put applied late", 1_500),
    ("a put that outlives its process", 1_000),
    ("a put that hangs", 800),
    ("an object replaced by the same", 500),
    ("a foreign object beside ours", 60),
    ("a foreign object under our key", 20),
    ("a foreign object overwritten on request", 10),
    ("a foreign object removed", 10),
];

/// How often a condition must be expected before its absence is no chance.
const EXPECTED_MIN: u64 = 5;

/// Checks the counts of a number of schedules. Conditions that so few of them hardly reach are not checked.
pub(super) fn check(counts: &BTreeMap<&'static str, u64>, seeds: u64) {
    let count = |what: &str| counts.get(what).copied().unwrap_or(0);
    let seldom: Vec<_> = AT_LEAST
        .iter()
        .filter(|(_, least)| least * seeds >= EXPECTED_MIN * 10_000)
        .filter(|(what, least)| count(what) * 10_000 < least * seeds)
        .map(|(what, least)| {
            format!("{what}: {} times, but should be {least} in ten thousand schedules", count(what))
        })
        .collect();
    assert!(seldom.is_empty(), "conditions that are hardly reached prove nothing: {seldom:#?}");
    // Each start begins a manifest. The others were begun because the previous one was long.
    let begun = count("disk: a manifest begun") + count("disk: a manifest begun in the reserve");
    let compacted = begun.saturating_sub(count("a spool opened"));
    assert!(compacted * 10_000 >= 300 * seeds, "{compacted} manifests were long");
}
