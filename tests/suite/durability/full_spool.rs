//! A spool on a small disk that it fills, and the required answers meanwhile.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use forebay::dev_s3::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
use http::StatusCode;
use http_body_util::Full;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value;
use tokio::time::Instant;

use super::bulk::{BulkJournal, BulkLoad, Counts, SOURCES, Text};
use super::checker;
use super::stand::Stand;
use super::usage::{Sampler, Usage};
use crate::support::forebay::{Forebay, command, finished};
use crate::support::http::{Answer, Http};
use crate::support::loop_disk::{Filler, Kind, LoopDisk, assert_full};
use crate::support::wait;

/// The time limit to fill the largest disk.
const FULL_TIMEOUT: Duration = Duration::from_secs(300);
/// Refusals in a row after which the spool is full, not only waiting for its next segment.
const REFUSED_IN_A_ROW: usize = 20;
/// The time limit for a refusal, and for an answer of the admin listener.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// The time limit to accept calls again after there is space.
const RECOVERY_MAX: Duration = Duration::from_secs(5);
/// Requests that must be accepted then.
const REQUESTS: usize = 5;
/// The time limit to deliver the largest disk.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(900);
/// The longest time without a delivery: longer than the longest pause between attempts, 60 s.
const STALL_MAX: Duration = Duration::from_secs(100);
/// Bytes that a file may take beyond its length: the rest of its last block, and one block for its block
/// list.
const LAST_BLOCK: u64 = 8_192;
/// Bytes of a log shown after a failure.
const LOG_TAIL: usize = 6_000;

/// The settings of the disk and the program.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) seed: u64,
    pub(crate) kind: Kind,
    /// Additional arguments of `mkfs`.
    pub(crate) mkfs: &'static [&'static str],
    pub(crate) disk_bytes: u64,
    /// The space that other files leave, in bytes; without it there are none.
    pub(crate) room: Option<u64>,
    /// Lines of the sections `[spool]` and `[flush]`.
    pub(crate) spool: String,
    pub(crate) flush: String,
    /// `spool.max_bytes`, if set.
    pub(crate) cap: Option<u64>,
    pub(crate) text: Text,
}

/// The disk with the spool, the store, and the records of the clients.
#[derive(Debug)]
pub(crate) struct FullSpool {
    pub(crate) stand: Stand,
    pub(crate) disk: LoopDisk,
    pub(crate) journal: BulkJournal,
    dir: PathBuf,
    config: PathBuf,
    setting: Setting,
    random: StdRng,
    sampler: Option<Sampler>,
    /// Logs of all its processes, which they outlive.
    logs: Mutex<Vec<Arc<Mutex<String>>>>,
    /// Problems that do not prevent further checks.
    wrong: Vec<String>,
}

impl FullSpool {
    /// Mounts the disk and starts the store. `None`, with a message, if nothing can be mounted.
    pub(crate) async fn new(setting: Setting) -> Option<Self> {
        let stand = Stand::start().await;
        let disk = LoopDisk::mount_with(setting.kind, setting.disk_bytes, stand.folder.path(), setting.mkfs)?;
        if let Some(room) = setting.room {
            Filler::take(&disk.path().join("other-files"), disk.free().saturating_sub(room));
        }
        Filler::make(disk.path());
        let dir = disk.path().join("spool");
        let config = stand.config_with(&dir, &setting.spool, &setting.flush, &SOURCES);
        Some(Self {
            random: StdRng::seed_from_u64(setting.seed),
            sampler: Some(Sampler::start(&dir)),
            journal: BulkJournal::default(),
            wrong: Vec::new(),
            stand,
            disk,
            dir,
            config,
            setting,
            logs: Mutex::default(),
        })
    }

    /// Starts the program and waits until it accepts calls.
    pub(crate) async fn serve(&self) -> Forebay {
        let forebay = self.stand.serve(&self.config).await;
        lock(&self.logs).push(forebay.live_log());
        forebay
    }

    /// Starts clients.
    pub(crate) fn load(&mut self, forebay: &Forebay) -> BulkLoad {
        BulkLoad::start(&forebay.collector, &mut self.random, self.setting.text)
    }

    /// Waits until the spool is full.
    pub(crate) async fn until_full(&mut self, forebay: &Forebay, load: &BulkLoad) {
        self.until(forebay, load, "calls to be refused", FULL_TIMEOUT, |counts| {
            counts.refused_in_a_row() >= REFUSED_IN_A_ROW
        })
        .await;
    }

    /// Waits for certain answers to clients. Every request must be answered meanwhile.
    pub(crate) async fn until(
        &mut self,
        forebay: &Forebay,
        load: &BulkLoad,
        what: &str,
        limit: Duration,
        condition: impl Fn(&Counts) -> bool,
    ) {
        wait::until(what, limit, async || {
            assert_eq!(load.counts.unanswered(), 0, "each request is answered\n{}", forebay.log());
            let shown = status(forebay).await;
            self.look_at_the_status(&shown);
            condition(&load.counts).then_some(())
        })
        .await;
    }

    /// Ends the clients.
    pub(crate) async fn stop(&mut self, load: BulkLoad) -> Arc<Counts> {
        let counts = load.stop(&mut self.journal).await;
        let slowest = counts.slowest_refusal();
        if slowest >= ANSWER_MAX {
            self.wrong.push(format!("a refusal took {slowest:?}"));
        }
        counts
    }

    /// Checks that the admin listener answers sensibly and at once, in any state of the disk.
    pub(crate) async fn answers(&mut self, forebay: &Forebay) {
        let began = Instant::now();
        let health = ask(forebay, "/health").await;
        assert_eq!(health.status, StatusCode::OK, "{health:?}");
        let ready = ask(forebay, "/ready").await;
        let says_why = ready.status == StatusCode::SERVICE_UNAVAILABLE && !ready.body.is_empty();
        assert!(ready.status == StatusCode::OK || says_why, "{ready:?}");
        let shown = status(forebay).await;
        let took = began.elapsed();
        assert!(took < ANSWER_MAX, "/health, /ready and /api/status took {took:?}");
        self.look_at_the_status(&shown);
    }

    fn look_at_the_status(&mut self, status: &Value) {
        let spool = &status["spool"];
        let (used, max) = (spool["used_bytes"].as_u64().unwrap(), spool["max_bytes"].as_u64().unwrap());
        // Report it once.
        if used > max && !self.wrong.iter().any(|wrong| wrong.starts_with("the status")) {
            self.wrong.push(format!("the status shows {used} of {max} bytes: {} %", used * 100 / max));
        }
    }

    /// Uses up the rest of the disk.
    pub(crate) fn fill(&self) -> Filler {
        let filler = Filler::fill(self.disk.path());
        assert_full(self.disk.path());
        filler
    }

    /// Requests delivery until everything is delivered.
    pub(crate) async fn deliver(&self, forebay: &Forebay) {
        let url = format!("{}/api/flush", forebay.console);
        self.until_delivered(forebay, async || {
            let answer = Http::new().post(&url, "").await;
            let answer = answer.unwrap_or_else(|error| panic!("{url}: {error}\n{}", forebay.log()));
            let report: Value = serde_json::from_slice(&answer.body).unwrap();
            report["pending"].as_u64().unwrap()
        })
        .await;
    }

    /// Waits until everything is delivered without a request.
    pub(crate) async fn delivers_by_itself(&self, forebay: &Forebay) {
        self.until_delivered(forebay, async || {
            let shown = status(forebay).await;
            let sources = shown["sources"].as_array().unwrap();
            sources.iter().map(|source| source["pending_calls"].as_u64().unwrap()).sum()
        })
        .await;
    }

    async fn until_delivered(&self, forebay: &Forebay, mut left: impl AsyncFnMut() -> u64) {
        let (mut delivered, mut since) = (0, Instant::now());
        wait::until("everything to be delivered", DELIVERY_TIMEOUT, async || {
            let left = left().await;
            let now = status(forebay).await["totals"]["delivered"].as_u64().unwrap();
            if now > delivered {
                (delivered, since) = (now, Instant::now());
            }
            assert!(since.elapsed() < STALL_MAX, "no delivery for {STALL_MAX:?}, and {left} calls are left");
            (left == 0).then_some(())
        })
        .await;
    }

    /// Checks that requests are accepted soon; returns how soon.
    pub(crate) async fn takes_calls(&mut self, forebay: &Forebay) -> Duration {
        let load = self.load(forebay);
        let began = Instant::now();
        self.until(forebay, &load, "a call to be accepted again", RECOVERY_MAX, |counts| {
            counts.accepted() > 0
        })
        .await;
        let took = began.elapsed();
        self.until(forebay, &load, "calls to be accepted again", FULL_TIMEOUT, |counts| {
            counts.accepted() >= REQUESTS
        })
        .await;
        load.stop(&mut self.journal).await;
        took
    }

    /// Empties the spool with `forebay spool drain`.
    pub(crate) async fn drain(&self) {
        let mut drain = command();
        drain.args(["spool", "drain"]).arg(&self.dir).arg("--config").arg(&self.config);
        drain.envs([("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID), ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)]);
        let output = finished(&mut drain).await;
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && said.contains("the spool is empty"),
            "spool drain on a full disk: {}\n{said}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// The current usage of the spool's files.
    pub(crate) fn usage(&self) -> Usage {
        Usage::of(&self.dir)
    }

    /// Delivers everything, ends the program in order, and checks that each acknowledged call is in the
    /// bucket once and that there were no problems. Returns the counts.
    pub(crate) async fn settle(mut self, forebay: Forebay) -> String {
        self.deliver(&forebay).await;
        let report = checker::check_bulk(&self.journal, &self.stand.bucket(), "segment-logs/").await;
        assert!(forebay.terminate().await.success(), "SIGTERM ends it in order");
        let used = self.used();
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
        format!("{used}; {}", report.unwrap_or_default())
    }

    /// The most space that the spool used. Exceeding its cap is a problem.
    fn used(&mut self) -> String {
        let Some(sampler) = self.sampler.take() else { return String::new() };
        let (apparent, allocated) = sampler.stop();
        let (files, blocks) = (apparent.apparent, allocated.allocated);
        if let Some(cap) = self.setting.cap {
            let mut judge = |what, bytes: u64, kinds| {
                if bytes > cap {
                    let percent = bytes * 100 / cap;
                    self.wrong.push(format!("{what} took {bytes} of {cap} bytes ({percent} %): {kinds:?}"));
                }
            };
            judge("the spool's files", files, &apparent.kinds);
            // xfs allocates more than was written to a growing file, and frees it when the file is closed.
            if matches!(self.setting.kind, Kind::Ext4) {
                let files: usize = allocated.kinds.values().map(|(files, _)| files).sum();
                let rounded_up = files as u64 * LAST_BLOCK;
                judge("the spool's blocks", blocks.saturating_sub(rounded_up), &allocated.kinds);
            }
        }
        format!("at most {:.1} MB of files, {:.1} MB of blocks", mb(files), mb(blocks))
    }
}

/// A failed test shows the end of each log.
impl Drop for FullSpool {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for (nth, log) in lock(&self.logs).iter().enumerate() {
            let log = lock(log);
            let from = log.ceil_char_boundary(log.len().saturating_sub(LOG_TAIL));
            eprintln!("--- process {nth} ---\n{}", log.get(from..).unwrap_or_default());
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::cast_precision_loss, reason = "for people only")]
fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// The status from the admin listener.
pub(crate) async fn status(forebay: &Forebay) -> Value {
    let answer = ask(forebay, "/api/status").await;
    serde_json::from_slice(&answer.body).unwrap()
}

async fn ask(forebay: &Forebay, path: &str) -> Answer {
    let request = http::Request::get(format!("{}{path}", forebay.console)).body(Full::default()).unwrap();
    let answer = Http::new().send(request).await;
    answer.unwrap_or_else(|error| panic!("{path}: {error}\n{}", forebay.log()))
}
