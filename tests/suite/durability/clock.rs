//! Steps the wall clock under load, by seconds and by decades, across midnight and back, with kills in
//! between: acknowledged calls are in the bucket once, in the folder of the day of their `receivedAt`.

use std::path::Path;
use std::time::Duration;

use forebay::dev_s3::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
use forebay::time::{DAY_MS, UnixMillis};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tokio::time::Instant;

use super::checker;
use super::load::{Journal, Load};
use super::setting;
use super::stand::Stand;
use crate::support::faketime::{Faketime, unix_ms};
use crate::support::forebay::{Forebay, Starting, command, finished};
use crate::support::http::Http;
use crate::support::wait;

/// The number of rounds, unless `FOREBAY_CLOCK_ROUNDS` is set.
const ROUNDS: u64 = 1;
/// One of this many rounds ends with the correct time for so long that days are closed.
const ROUNDS_TO_CLOSING: u64 = 5;
/// Longer than both clocks need to agree that a day is over (60 s), plus time to put its marker.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(240);
/// The time limit to accept calls after a step, and how often this is checked.
const STEP_TIMEOUT: Duration = Duration::from_secs(60);
const CHECK_EVERY: Duration = Duration::from_millis(20);
/// The minimum number of calls acknowledged after each step.
const CALLS: usize = 10;
/// One in this many steps is followed by a kill.
const KILL: u32 = 4;
/// Batches are due continuously.
const SPOOL: &str = "unsafe_filesystem = true";
/// 2038-01-19, 03:14:08: the end of 31 bits of seconds.
const Y2038_MS: i64 = 2_147_483_648_000;
const SECOND_MS: i64 = 1_000;

/// A setting of the clock.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// This far from the correct time, in milliseconds.
    Ahead(i64),
    /// This far from the midnight that ends the current day; negative values are before it.
    OfMidnight(i64),
    /// At a fixed time, in Unix milliseconds.
    To(i64),
}

/// A round has each once, in random order, so that over time every pair follows each other.
const STEPS: [Step; 22] = [
    Step::Ahead(0),
    Step::Ahead(SECOND_MS),
    Step::Ahead(-SECOND_MS),
    // A step back of a minute is not followed, a longer one is.
    Step::Ahead(-59 * SECOND_MS),
    Step::Ahead(-61 * SECOND_MS),
    Step::Ahead(3_600 * SECOND_MS),
    Step::Ahead(-3_600 * SECOND_MS),
    Step::Ahead(DAY_MS),
    Step::Ahead(-DAY_MS),
    Step::Ahead(2 * DAY_MS),
    Step::Ahead(-2 * DAY_MS),
    Step::OfMidnight(-300),
    Step::OfMidnight(-1),
    Step::OfMidnight(0),
    Step::OfMidnight(SECOND_MS),
    Step::OfMidnight(-DAY_MS - 300),
    Step::OfMidnight(-DAY_MS),
    Step::To(0),
    Step::To(DAY_MS - 200),
    Step::To(Y2038_MS - 300),
    Step::To(Y2038_MS),
    Step::To(Y2038_MS + DAY_MS),
];

impl Step {
    fn set(self, clock: &Faketime) {
        match self {
            Self::Ahead(ms) => clock.set_ahead_ms(ms),
            Self::OfMidnight(ms) => clock.set_ms(UnixMillis(unix_ms()).day().end().0 + ms),
            Self::To(ms) => clock.set_ms(ms),
        }
    }
}

/// One life of the program, under load.
#[derive(Debug)]
struct Life {
    forebay: Forebay,
    load: Load,
}

impl Life {
    /// Calls without an answer are not sent again: after a step of more than the dedupe window their repeats
    /// are not recognised.
    async fn start(starting: Starting, random: &mut StdRng) -> Self {
        let forebay = starting.serve_ready().await;
        let load = Load::start_patient(&forebay.collector, &mut Journal::default(), random);
        Self { forebay, load }
    }

    /// Waits until calls sent after the step are acknowledged.
    async fn go_on(&self, step: Step) {
        let enough = self.load.acknowledged() + CALLS;
        let deadline = Instant::now() + STEP_TIMEOUT;
        while self.load.acknowledged() < enough {
            let waited = Instant::now() > deadline;
            assert!(
                !waited,
                "{step:?}: no calls are accepted, {} refused\n{}",
                self.load.refused(),
                self.forebay.log()
            );
            tokio::time::sleep(CHECK_EVERY).await;
        }
    }

    async fn kill(self, journal: &mut Journal) {
        let pid = self.forebay.pid().as_raw_nonzero().get().unsigned_abs();
        self.forebay.kill().await;
        self.load.stop(journal).await;
        Faketime::clear_after(pid);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_misplaced_by_steps_of_the_wall_clock() {
    let seed = setting("FOREBAY_CLOCK_SEED").unwrap_or_else(rand::random);
    let rounds = setting("FOREBAY_CLOCK_ROUNDS").unwrap_or(ROUNDS);
    let mut random = StdRng::seed_from_u64(seed);
    let stand = Stand::start().await;
    let Some(clock) = Faketime::new(stand.folder.path()) else { return };
    eprintln!("{rounds} rounds of {} steps with FOREBAY_CLOCK_SEED={seed}", STEPS.len());
    let began = Instant::now();
    let config = stand.config(&stand.folder.path().join("spool"), SPOOL, "1 s");
    let environment = clock.environment();
    let mut environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    environment.extend([("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID), ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)]);
    let starting = || Starting::serve(&config, &environment);

    let (mut journal, mut kills) = (Journal::default(), 0);
    let mut life = Life::start(starting(), &mut random).await;
    for round in 1..=rounds {
        let mut steps = STEPS;
        steps.shuffle(&mut random);
        for step in steps {
            step.set(&clock);
            life.go_on(step).await;
            if random.random_ratio(1, KILL) {
                life.kill(&mut journal).await;
                kills += 1;
                life = Life::start(starting(), &mut random).await;
            }
        }
        if round % ROUNDS_TO_CLOSING == 0 {
            clock.set_ahead_ms(0);
            all_that_is_over_is_closed(&life.forebay).await;
        }
    }
    life.go_on(Step::Ahead(0)).await;
    life.kill(&mut journal).await;

    // With the correct time everything is delivered (S3 refuses requests signed at another time) and closed.
    let forebay = stand.serve(&config).await;
    forebay.flush().await;
    all_that_is_over_is_closed(&forebay).await;
    let report = checker::check_stepped(&journal, &stand.bucket(), "segment-logs/").await;
    assert!(forebay.terminate().await.success(), "SIGTERM ends it in order");
    let days = verified(&stand, &config).await;
    let took = began.elapsed().as_secs();
    let steps = rounds * u64::try_from(STEPS.len()).unwrap();
    eprintln!(
        "{rounds} rounds, {steps} steps, {kills} kills, {took} s: {}; {days}",
        report.unwrap_or_default()
    );
}

/// Waits until every day before today has a marker.
async fn all_that_is_over_is_closed(forebay: &Forebay) {
    let url = format!("{}/api/days", forebay.console);
    wait::until("the days to be closed", CLOSING_TIMEOUT, async || {
        let request = http::Request::get(&url).body(http_body_util::Full::default()).unwrap();
        let answer = Http::new().send(request).await.unwrap();
        let days: Value = serde_json::from_slice(&answer.body).unwrap();
        let today = UnixMillis(unix_ms()).day().start().0;
        let mut days = days["unclosed"].as_array().unwrap().iter();
        days.all(|day| day["day"].as_i64().unwrap() >= today).then_some(())
    })
    .await;
}

/// Checks that `forebay verify --deep` finds nothing; returns the number and states of the days.
async fn verified(stand: &Stand, config: &Path) -> String {
    let mut command = command();
    command.args(["verify", "forebay", "--deep", "--json", "--config"]).arg(config);
    command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID).env("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY);
    let output = finished(command.current_dir(stand.folder.path())).await;
    let text = String::from_utf8_lossy(&output.stdout);
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    assert_eq!((output.status.code(), &report["sound"]), (Some(0), &Value::Bool(true)), "{text}");
    let days = report["days"].as_array().unwrap();
    let closed = days.iter().filter(|day| day["state"] == "closed").count();
    assert!(closed > 0, "the day of 1970 is over: {text}");
    let of = |time: i64| days.iter().any(|day| day["day"] == time);
    assert!(of(Y2038_MS - Y2038_MS % DAY_MS), "no day of 2038: {text}");
    format!("verify --deep: {} days, {closed} closed, sound", days.len())
}
