//! What a schedule is made of, drawn from its seed.

use crate::support::dice::Dice;

/// The parts of a world, and how much goes wrong in it.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Partitions at the beginning.
    pub(super) partitions: u32,
    /// Partitions that are added.
    pub(super) added: u32,
    /// Whether destinations change.
    pub(super) moves: bool,
    pub(super) writers: usize,
    pub(super) collectors: usize,
    pub(super) clients: usize,
    /// Requests of each client.
    pub(super) requests: u64,
    /// Over how many slots each source is spread.
    pub(super) spread: Vec<u32>,
    /// Frames of the window of repeats.
    pub(super) window: u64,
    /// Steps before the world heals.
    pub(super) steps: u64,
    /// Of a thousand calls of brokers and store, how many go wrong.
    pub(super) faults: u64,
    /// Of a thousand steps, how many bring a crash, a pause or a rebalance.
    pub(super) troubles: u64,
    /// Of a thousand calls, how many have no id.
    pub(super) without_id: u64,
    /// Lines of an object, at most.
    pub(super) object_lines: u64,
    /// Frames that a writer keeps of a partition before it must make room.
    pub(super) cache_frames: u64,
    /// Whether a bucket refuses for long.
    pub(super) refuses: bool,
    /// Whether records appear that cannot be read.
    pub(super) garbage: bool,
    /// Whether retention deletes what is not delivered.
    pub(super) lossy: bool,
    /// Whether a log is cut.
    pub(super) cuts: bool,
    /// Clocks of collectors are off by up to so many milliseconds.
    pub(super) skew: u64,
    /// Those of writers.
    pub(super) writer_skew: u64,
    /// How much rather a writer reads than does anything else.
    pub(super) reads: usize,
    /// The longest time between two steps, in milliseconds.
    pub(super) pace: u64,
    /// Whether retention deletes what only fills windows.
    pub(super) short: bool,
}

impl Plan {
    pub(super) fn draw(dice: &mut Dice) -> Self {
        let partitions = dice.of(&[1, 1, 2, 3]);
        let skew = dice.of(&[0, 500, 5_000, 60_000, 3_600_000, 31_536_000_000]);
        Self {
            partitions,
            added: dice.of(&[0, 0, 0, 1, 2]),
            moves: dice.chance(300),
            writers: 1 + dice.index(4),
            collectors: 1 + dice.index(3),
            clients: 1 + dice.index(4),
            requests: 2 + dice.below(14),
            spread: (0..1 + dice.index(3)).map(|_| dice.of(&[1, 1, 2])).collect(),
            window: dice.of(&[0, 3, 6, 12, 40]),
            steps: 200 + dice.below(1_000),
            faults: dice.of(&[0, 10, 30, 100]),
            troubles: dice.of(&[0, 3, 10, 25, 60]),
            without_id: dice.of(&[0, 200, 1_000]),
            object_lines: 1 + dice.below(8),
            cache_frames: dice.of(&[12, 30, 1_000]),
            refuses: dice.chance(400),
            garbage: dice.chance(200),
            lossy: dice.chance(150),
            cuts: dice.chance(80),
            skew,
            writer_skew: dice.of(&[0, 500, 5_000, 20_000, 3_600_000]),
            reads: dice.of(&[1, 2, 12]),
            pace: dice.of(&[20, 200, 1_000]),
            short: dice.chance(200),
        }
    }
}
