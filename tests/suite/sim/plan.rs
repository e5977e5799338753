//! The plan drawn from a seed: the program's settings, and the kinds of trouble in its world. Each seed
//! leaves out some kinds, so that the others occur more often and in combination.

use std::time::Duration;

use forebay::batch::DueRule;
use forebay::delivery::make::staging::OBJECT_IN_MEMORY_MAX;
use forebay::delivery::{DeliverySettings, DiskWork};
use forebay::retry::Backoff;
use forebay::spool::SpoolOptions;
use forebay::spool::format::SEGMENT_HEADER;
use forebay::store::PutMode;
use forebay::time::DAY_MS;

use super::refused::Refuses;
use super::store::Mood;
use crate::support::sim_disk::Dice;

/// The choices made before a schedule begins.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// The wall clock's time at the beginning.
    pub(super) wall: i64,
    pub(super) sources: usize,
    pub(super) buckets: usize,
    pub(super) lives: u64,
    pub(super) steps: u64,
    pub(super) options: SpoolOptions,
    pub(super) settings: DeliverySettings,
    /// How many lines of 1,000 are rejected.
    pub(super) rejected: u64,
    pub(super) crashes: bool,
    pub(super) disk_errors: bool,
    pub(super) full_disk: bool,
    pub(super) bad_store: bool,
    /// Whether all puts fail before the last life, so that objects are parked until there are too many.
    pub(super) stuck: bool,
    pub(super) hangs: bool,
    pub(super) heads_refused: bool,
    pub(super) ignores_conditions: bool,
    pub(super) clock_steps: bool,
    pub(super) time_jumps: bool,
    pub(super) moves: bool,
    pub(super) flips: bool,
    /// Whether files with the spool's state rot too: identity, manifest and parked objects.
    pub(super) state_rots: bool,
    /// Whether others put objects into our buckets.
    pub(super) foreigners: bool,
    /// What the store refuses until the last life: one source or one bucket.
    pub(super) refuses: Option<Refuses>,
    /// Whether the process sometimes has no file handle left.
    pub(super) starves: bool,
    /// Whether files are imported.
    pub(super) imports: bool,
    /// Whether calls also go to functions.
    pub(super) destinations: bool,
}

/// Space for the manifest and its reserve under the cap, in bytes. Compared with such small segments they are
/// large.
const MANIFESTS: u64 = 300_000;
/// The same in worlds where every object stays parked, and noted in the manifest.
const MANIFESTS_STUCK: u64 = 900_000;
/// Length of the manifest's file in bytes, in worlds with a full disk. Relative to the notes of such a world,
/// it is as long as the real one.
const MANIFEST_ON_A_FULL_DISK: u64 = 32 * 1_024;
/// Minimum length of an object in worlds that check its share of the spool. A smaller one takes more space in
/// the manifest than in the segments, so parking it frees none.
const OBJECT_MIN: u64 = 6_000;
/// In those worlds an object is at most this part of the spool: a parked copy must fit into the space left.
const OBJECT_PART: u64 = 16;
const EVENING: i64 = 1_700_000_000_000;
const MIDNIGHT: i64 = 20_000 * DAY_MS;
pub(super) const YEAR_1970: i64 = 1_000;
pub(super) const YEAR_2038: i64 = 2_147_483_648_000;

impl Plan {
    pub(super) fn draw(dice: &mut Dice) -> Self {
        let mut plan = Self::draw_any(dice);
        if plan.full_disk {
            plan.options.manifest_bytes = MANIFEST_ON_A_FULL_DISK;
        }
        if dice.chance(900) {
            return plan;
        }
        Self::draw_refusing(plan, dice)
    }

    /// A world in which the store refuses some sources and serves the others. Everything else that could
    /// refuse or delay a healthy source is left out.
    fn draw_refusing(plan: Self, dice: &mut Dice) -> Self {
        let refuses = dice.of(&[Refuses::Source, Refuses::Bucket]);
        let max_bytes = (20 + dice.below(40)) * plan.options.segment_bytes + MANIFESTS;
        let options = SpoolOptions { max_bytes, ..plan.options };
        let object_max = max_bytes / OBJECT_PART;
        let rule = DueRule {
            max_bytes: plan.settings.rule.max_bytes.clamp(OBJECT_MIN, object_max),
            ..plan.settings.rule
        };
        let settings = DeliverySettings { rule, ..plan.settings };
        Self {
            sources: 2 + dice.index(3),
            buckets: 2,
            steps: 40 + dice.below(60),
            options,
            settings,
            refuses: Some(refuses),
            full_disk: false,
            disk_errors: false,
            bad_store: false,
            stuck: false,
            hangs: false,
            clock_steps: false,
            moves: false,
            flips: false,
            state_rots: false,
            foreigners: false,
            ..plan
        }
    }

    fn draw_any(dice: &mut Dice) -> Self {
        let flips = dice.chance(250);
        let state_rots = flips && dice.chance(250);
        let stuck = dice.chance(100);
        let segment_bytes = SEGMENT_HEADER + dice.of(&[4, 8, 12]) * 1_024;
        let max_segments = if stuck || dice.chance(300) { 6 + dice.below(6) } else { 20 + dice.below(40) };
        let options = SpoolOptions {
            max_bytes: max_segments * segment_bytes + if stuck { MANIFESTS_STUCK } else { MANIFESTS },
            segment_bytes,
            dedupe_window: Duration::from_secs(dice.of(&[86_400, 86_400, 600])),
            dedupe_max: dice.of(&[5_000, 5_000, 5_000, 40, 0]),
            node: dice.chance(500).then(|| "node-1".to_owned()),
            stop_on_corruption: dice.chance(200),
            compact_bytes: dice.of(&[64 * 1_024, 4_000]),
            hold_after: None,
            manifest_bytes: 4_096,
            ..SpoolOptions::default()
        };
        let rule = DueRule {
            max_bytes: dice.of(&[700, 3_000, 20_000, 1_000_000]),
            max_age: Duration::from_secs(1 + dice.log(3_600)),
            align_minute: dice.chance(100).then_some(40),
        };
        let ignores_conditions = !flips && dice.chance(100);
        let overwrite = dice.chance(150);
        let backoff = Backoff {
            first: Duration::from_millis(20 + dice.below(200)),
            cap: Duration::from_millis(500 + dice.log(60_000)),
        };
        let settings = DeliverySettings {
            put_mode: if overwrite { PutMode::Overwrite } else { PutMode::CreateOnly },
            content_encoding: dice.chance(500),
            park_after: Duration::from_secs(1 + if stuck { 0 } else { dice.log(600) }),
            backoff,
            object_in_memory_max: dice.of(&[OBJECT_IN_MEMORY_MAX, 2_000]),
            disk_work: DiskWork::InPlace,
            ..DeliverySettings::new(rule)
        };
        let heads_refused = dice.chance(150);
        // In other worlds, a foreign object under our key could be replaced unnoticed.
        let foreigners = dice.chance(150) && !overwrite && !heads_refused && !ignores_conditions;
        Self {
            wall: dice.of(&[
                EVENING,
                MIDNIGHT - 5_000,
                MIDNIGHT - 90_000,
                YEAR_1970,
                DAY_MS - 3_000,
                YEAR_2038 - 30_000,
            ]),
            sources: 1 + if stuck { 0 } else { dice.index(4) },
            buckets: 1 + dice.index(2),
            lives: 1 + dice.below(4),
            steps: 10 + dice.below(50) + if stuck { 40 } else { 0 },
            options,
            settings,
            rejected: dice.of(&[0, 0, 100, 400]),
            crashes: dice.chance(700),
            disk_errors: dice.chance(400),
            full_disk: dice.chance(200),
            bad_store: dice.chance(600),
            stuck,
            hangs: dice.chance(350),
            heads_refused,
            ignores_conditions,
            clock_steps: dice.chance(350),
            time_jumps: dice.chance(500),
            moves: dice.chance(300),
            flips,
            state_rots,
            foreigners,
            refuses: None,
            // Drawn last, so that the other choices of each seed stay the same.
            starves: dice.chance(250),
            imports: false,
            destinations: false,
        }
    }

    /// How the store treats the next requests.
    pub(super) fn mood(&self, dice: &mut Dice, buckets: &[String]) -> Mood {
        let mut mood =
            Mood { latency_ms: dice.log(3_000), heads_refused: self.heads_refused, ..Mood::default() };
        if self.bad_store {
            let mut some = |most: u64| if dice.chance(500) { dice.log(most) } else { 0 };
            mood = Mood {
                lose_answer: some(400),
                late: some(300),
                server_error: some(500),
                busy: some(100),
                exists: some(100),
                refused: some(100),
                digest: some(50),
                head_fails: some(300),
                ..mood
            };
            if dice.chance(150) {
                // Every put fails.
                mood.server_error = 1_000;
            }
        }
        if self.stuck {
            mood = Mood { latency_ms: mood.latency_ms, server_error: 1_000, ..Mood::default() };
        }
        if self.hangs && dice.chance(400) {
            mood.hung = buckets.iter().filter(|_| dice.chance(500)).cloned().collect();
        }
        mood
    }

    /// Whether any call stored twice is an error, because its fingerprint is kept for the lifetime of the
    /// world.
    pub(super) fn remembers_all(&self) -> bool {
        self.options.dedupe_max == 5_000
            && self.options.dedupe_window >= Duration::from_secs(86_400)
            && !self.clock_steps
            && !self.time_jumps
            && !self.full_disk
            && !self.disk_errors
            && !self.flips
            && self.refuses.is_none()
    }
}
