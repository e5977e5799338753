//! What a seed makes of a world: how the program is set, and which kinds of trouble it meets. Each seed leaves out some
//! kinds, so that those that are left come up more often, and together.

use std::time::Duration;

use forebay::batch::DueRule;
use forebay::delivery::staging::OBJECT_IN_MEMORY_MAX;
use forebay::delivery::{DeliverySettings, DiskWork};
use forebay::retry::Backoff;
use forebay::spool::SpoolOptions;
use forebay::spool::segment::SEGMENT_HEADER;
use forebay::store::PutMode;
use forebay::time::DAY_MS;

use super::refused::Refuses;
use super::store::Mood;
use crate::support::sim_disk::Dice;

/// What a seed decides before anything happens.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Where the wall clock stands at first.
    pub(super) wall: i64,
    pub(super) sources: usize,
    pub(super) buckets: usize,
    pub(super) lives: u64,
    pub(super) steps: u64,
    pub(super) options: SpoolOptions,
    pub(super) settings: DeliverySettings,
    /// Of 1,000 lines, how many are rejected.
    pub(super) rejected: u64,
    pub(super) crashes: bool,
    pub(super) disk_errors: bool,
    pub(super) full_disk: bool,
    pub(super) bad_store: bool,
    /// No put gets through before the last life: objects are parked, until there are too many.
    pub(super) stuck: bool,
    pub(super) hangs: bool,
    pub(super) heads_refused: bool,
    pub(super) ignores_conditions: bool,
    pub(super) clock_steps: bool,
    pub(super) time_jumps: bool,
    pub(super) moves: bool,
    pub(super) flips: bool,
    /// So do those of the files that say what the segments are worth: identity, manifest, parked objects.
    pub(super) state_rots: bool,
    /// Somebody else puts objects into our buckets.
    pub(super) foreigners: bool,
    /// The store refuses one source, or one bucket, until the last life.
    pub(super) refuses: Option<Refuses>,
    /// Now and then the process has no file handle left.
    pub(super) starves: bool,
}

/// Room for the manifest and its reserve under the cap, in bytes: against such small segments they are large.
const MANIFESTS: u64 = 300_000;
/// The same where every object stays parked, and in the manifest.
const MANIFESTS_STUCK: u64 = 900_000;
/// Length of the manifest's file, in bytes, where it must do on a full disk: against what these worlds note it is as long as
/// the real one.
const MANIFEST_ON_A_FULL_DISK: u64 = 32 * 1_024;
/// An object is at least so long where its share of the spool is looked at: a smaller one takes more room in the manifest than
/// in the segments, so that parking it makes no room.
const OBJECT_MIN: u64 = 3_000;
/// There it is at most one part of so many of the spool: to be parked it must fit in what is left, beside itself.
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

    /// A world in which the store refuses some and serves the others. What else could refuse or delay a healthy source is left
    /// out.
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
            manifest_bytes: 4_096,
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
        // Elsewhere what has our key is replaced unseen.
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
            // Drawn last: what else a seed decides stays as it was.
            starves: dice.chance(250),
        }
    }

    /// What the store does with the requests that come next.
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
                // Nothing gets through.
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

    /// Whether a call can only be stored twice by a mistake: its fingerprint is kept for as long as the world stands.
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
