//! One import of a bucket: passes over it, one at a time, and what they found.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::deps::ImportsDeps;
use super::key_range::KeyRange;
use super::pass_status::{CannotPass, Made, failure, keep_errors, pass_status, refused_files};
use super::plan::ImportPlan;
use crate::admin::{AskedPass, BucketImportStatus, FileNotDone, PassFailure, PassStatus};
use crate::alarms::AlarmKind;
use crate::import::Counters;
use crate::import::bucket_import::{PassDeps, PassError, PassReport, pass};
use crate::live::Mode;
use crate::lock::lock;
use crate::metrics::{ImportLabel, PassLabel};
use crate::store::reader::StoreReader;
use crate::time::UnixMillis;
use crate::words::about_duration;

/// The most files that are not done in a status.
const NAMED_IN_STATUS: usize = 20;

/// A pass that is asked for, and who waits for its end.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) pass: AskedPass,
    pub(super) answer: oneshot::Sender<PassStatus>,
}

/// What is known of an import.
#[derive(Debug, Default)]
struct Seen {
    pass_since: Option<UnixMillis>,
    counters: Counters,
    /// What the last pass found, with the first of the files that are not done.
    last: Option<PassStatus>,
    /// All files that the last pass named.
    not_done: Vec<FileNotDone>,
    next: Option<UnixMillis>,
    failing: Option<(String, UnixMillis)>,
    /// What became of objects, as far as there are gauges of it.
    gauges: BTreeSet<&'static str>,
    /// Whether its alarms and gauges are no longer updated: it was removed, or its settings changed.
    is_gone: bool,
}

/// An import of a bucket.
#[derive(Debug)]
pub(super) struct OneImport {
    plan: ImportPlan,
    deps: Arc<ImportsDeps>,
    pub(super) stop: CancellationToken,
    seen: Mutex<Seen>,
}

impl OneImport {
    pub(super) fn new(plan: ImportPlan, deps: Arc<ImportsDeps>, stop: CancellationToken) -> Self {
        Self { plan, deps, stop, seen: Mutex::default() }
    }

    pub(super) fn plan(&self) -> &ImportPlan {
        &self.plan
    }

    fn name(&self) -> &str {
        self.plan.settings.name.as_str()
    }

    /// Makes a pass, waits, and again, until it is stopped. Whoever asks for a pass does not wait for the
    /// interval.
    pub(super) async fn keep_importing(self: Arc<Self>, asks: Arc<tokio::sync::Mutex<mpsc::Receiver<Ask>>>) {
        // Only this task receives. It is another one after a panic, and then the lock is free.
        let mut asks = asks.lock().await;
        let store = self.deps.stores.of(&self.plan).await;
        let mut ask: Option<Ask> = None;
        while !self.stop.is_cancelled() {
            let asked = ask.take().filter(|ask| !ask.answer.is_closed());
            let of = asked.as_ref().map(|ask| &ask.pass);
            let made = self.pass(&store, of).await;
            self.note(&made, of);
            if self.stop.is_cancelled() {
                return;
            }
            if let Some(asked) = asked {
                // Who asked may have gone meanwhile.
                drop(asked.answer.send(self.answer(&made)));
            }
            let interval = self.plan.settings.scan_interval;
            lock(&self.seen).next = Some(self.deps.clock.wall().plus(interval));
            tokio::select! {
                () = self.stop.cancelled() => {}
                next = asks.recv() => match next {
                    Some(next) => ask = Some(next),
                    None => return,
                },
                () = tokio::time::sleep(interval) => {}
            }
        }
    }

    /// Makes one pass. Nobody is told of it: that is up to the caller.
    pub(super) async fn pass(&self, store: &Arc<dyn StoreReader>, asked: Option<&AskedPass>) -> Made {
        let (began, counters) = (self.deps.clock.wall(), Counters::default());
        {
            let mut seen = lock(&self.seen);
            (seen.pass_since, seen.next) = (Some(began), None);
            seen.counters = counters.clone();
        }
        let report = match self.plan.import() {
            Ok(import) => {
                pass(Arc::new(import), self.pass_deps(store, asked, counters)).await.map_err(CannotPass::Met)
            }
            Err(what) => Err(CannotPass::Settings(what)),
        };
        Made { began, ended: self.deps.clock.wall(), stopped: self.stop.is_cancelled(), report }
    }

    /// What a pass found, for whoever asked for it.
    pub(super) fn answer(&self, made: &Made) -> PassStatus {
        let full = self.deps.live.as_ref().is_none_or(|live| live.mode() == Mode::Full);
        let mut found = pass_status(self.name(), made, full);
        keep_errors(&mut found, &lock(&self.seen).not_done);
        found
    }

    /// Notes a pass of the running node: in its alarms, its metrics and its status.
    fn note(&self, made: &Made, asked: Option<&AskedPass>) {
        match &made.report {
            Err(error) => {
                // The journal has an alarm of its own.
                let raises = !matches!(error, CannotPass::Met(PassError::Journal(_)));
                self.failed(failure(error, false), raises, made.ended);
            }
            Ok(report) => {
                let whole = asked.is_none_or(|asked| asked.from.is_none() && asked.to.is_none());
                self.worked(report, pass_status(self.name(), made, false), whole);
            }
        }
    }

    fn pass_deps(
        &self,
        store: &Arc<dyn StoreReader>,
        asked: Option<&AskedPass>,
        counters: Counters,
    ) -> PassDeps {
        let (from, to) = asked.map_or((None, None), |asked| (asked.from.clone(), asked.to.clone()));
        let store: Arc<dyn StoreReader> = match (&from, &to) {
            (None, None) => Arc::clone(store),
            _ => Arc::new(KeyRange { store: Arc::clone(store), from, to }),
        };
        PassDeps {
            store,
            target: Arc::new(Arc::clone(&self.deps.importer)),
            journal: self.deps.importer.journal(),
            importer: Arc::clone(&self.deps.importer),
            clock: Arc::clone(&self.deps.clock),
            random: Arc::clone(&self.deps.random),
            counters,
            stop: self.stop.clone(),
            step_bytes: None,
        }
    }

    /// Notes that a pass could not go on.
    fn failed(&self, failed: PassFailure, raises: bool, now: UnixMillis) {
        self.count_pass("failed");
        let mut seen = lock(&self.seen);
        seen.pass_since = None;
        if raises && !seen.is_gone {
            let what = format!(
                "{}; import {} reads nothing until this is fixed, and retries every {}",
                failed.what,
                self.name(),
                about_duration(self.plan.settings.scan_interval)
            );
            self.deps.alarms.raise(AlarmKind::BucketImport, self.name(), what);
        }
        let since = seen.failing.take().map_or(now, |(_, since)| since);
        seen.failing = Some((failed.what, since));
    }

    /// Notes what a pass found. `whole`: it was one over all keys.
    fn worked(&self, report: &PassReport, mut found: PassStatus, whole: bool) {
        self.count_pass(if found.stopped { "stopped" } else { "done" });
        if report.rows > 0 || report.files.keys().any(|became| !became.is_settled()) {
            tracing::info!(
                import = self.name(),
                files = report.files.values().sum::<u64>(),
                rows = report.rows,
                stored = report.stored,
                rejected = report.rejected,
                not_done = report.not_done.len(),
                "a pass over the bucket has ended"
            );
        }
        let mut seen = lock(&self.seen);
        seen.pass_since = None;
        if found.stopped || seen.is_gone {
            return;
        }
        let alarms = &self.deps.alarms;
        match refused_files(self.name(), report) {
            Some(what) => alarms.raise(AlarmKind::BucketImport, self.name(), what),
            // A pass over a part does not show that all files can be read.
            None if whole => alarms.clear(AlarmKind::BucketImport, self.name()),
            None => {}
        }
        seen.failing = None;
        keep_errors(&mut found, &seen.not_done);
        if whole {
            self.show(report, &mut seen.gauges);
            let label = ImportLabel { import: self.name().to_owned() };
            let at = UnixMillis(found.ended_ms).since(UnixMillis(0));
            self.deps.metrics.import_last_pass.get_or_create(&label).set(at.as_secs_f64());
        }
        seen.not_done = found.not_done;
        let not_done = seen.not_done.iter().take(NAMED_IN_STATUS).cloned().collect();
        seen.last = Some(PassStatus { not_done, ..found });
    }

    fn count_pass(&self, became: &'static str) {
        let label = PassLabel { import: self.name().to_owned(), became };
        self.deps.metrics.import_passes.get_or_create(&label).inc();
    }

    /// Sets the gauges of objects.
    fn show(&self, report: &PassReport, gauges: &mut BTreeSet<&'static str>) {
        let fixed = [("listed", report.listed), ("known", report.known), ("not_begun", report.not_begun)];
        let skipped = report.skipped.iter().map(|(why, count)| (why.slug(), *count));
        let files = report.files.iter().map(|(became, count)| (became.slug(), *count));
        let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
        for (became, count) in fixed.into_iter().chain(skipped).chain(files) {
            // An object may be skipped as changed, or be a file that changed.
            *counts.entry(became).or_default() += count;
        }
        for (became, count) in &counts {
            let label = PassLabel { import: self.name().to_owned(), became };
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            self.deps.metrics.import_objects.get_or_create(&label).set(count);
        }
        let before = std::mem::replace(gauges, counts.keys().copied().collect());
        self.forget_gauges(before.difference(gauges).copied());
    }

    fn forget_gauges(&self, became: impl IntoIterator<Item = &'static str>) {
        for became in became {
            let label = PassLabel { import: self.name().to_owned(), became };
            self.deps.metrics.import_objects.remove(&label);
        }
    }

    /// Removes what the node shows of an import that is no longer there, or that follows other settings now.
    pub(super) fn forget(&self) {
        let mut seen = lock(&self.seen);
        seen.is_gone = true;
        self.deps.alarms.clear(AlarmKind::BucketImport, self.name());
        self.forget_gauges(std::mem::take(&mut seen.gauges));
        self.deps.metrics.import_last_pass.remove(&ImportLabel { import: self.name().to_owned() });
    }

    /// What is known of it, for people.
    pub(super) fn status(&self) -> BucketImportStatus {
        let seen = lock(&self.seen);
        BucketImportStatus {
            name: self.name().to_owned(),
            source: self.plan.settings.source.to_string(),
            place: self.plan.place(),
            enabled: self.plan.settings.enabled,
            pass_since_ms: seen.pass_since.map(|at| at.0),
            pass_rows: seen.pass_since.map_or(0, |_| seen.counters.snapshot().rows),
            last: seen.last.clone(),
            next_ms: seen.next.map(|at| at.0),
            failing: seen.failing.as_ref().map(|(what, _)| what.clone()),
            failing_since_ms: seen.failing.as_ref().map(|(_, since)| since.0),
        }
    }
}
