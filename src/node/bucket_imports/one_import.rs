//! One import of a bucket: passes over it, one at a time, and what they found.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::after_status::{self, refused_after};
use super::deps::ImportsDeps;
use super::journal_outage::{JournalFound, JournalOutage};
use super::key_range::{KeyRange, misses};
use super::left_behind::LeftBehind;
use super::notifications::Notifications;
use super::pass_status::{
    CannotPass, Made, compression_words, cut_short_files, failure, given_up_files, grants, pass_status,
    refused_files, rejects_wait,
};
use super::pausing::Pausing;
use super::plan::ImportPlan;
use super::seen::Seen;
use super::since_start::SinceStart;
use super::views::InViews;
use crate::admin::{
    AskedPass, BucketImportError, BucketImportStatus, FilePlanned, PassPlanned, PassStatus, Paused,
};
use crate::alarms::AlarmKind;
use crate::config::OnChange;
use crate::import::bucket_import::{
    BucketImport, KeptObjects, NotifiedObjects, OtherCompressions, PassDeps, PassError, PassPlan, PassReport,
    Scan, Would, pass, plan_pass,
};
use crate::import::claims::SharedImport;
use crate::import::journal::JournalError;
use crate::import::{ColumnsMet, Counters, NameError, watched_rows};
use crate::live::Mode;
use crate::lock::lock;
use crate::metrics::{ImportLabel, PassLabel};
use crate::sources::SourceId;
use crate::store::changer::StoreChanger;
use crate::store::reader::StoreReader;
use crate::store::s3::S3Store;
use crate::time::UnixMillis;
use crate::words::about_duration;

/// The most files that are not done in a status.
const NAMED_IN_STATUS: usize = 20;

/// The most columns that no call uses in a status.
const COLUMNS_NAMED: usize = 20;

/// How long somebody who asked for a pass waits for a store that does not answer. Other passes wait until it does.
const ASKED_PATIENCE: Duration = Duration::from_secs(30);

/// A pass that is asked for, and who waits for its end.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) pass: AskedPass,
    pub(super) answer: oneshot::Sender<PassStatus>,
}

impl Ask {
    /// A pass over all keys whose end nobody waits for.
    pub(super) fn unanswered(name: SourceId) -> Self {
        let pass = AskedPass { name, from: None, to: None, again: false, dry_run: false };
        Self { pass, answer: oneshot::channel().0 }
    }
}

/// An import of a bucket.
#[derive(Debug)]
pub(super) struct OneImport {
    plan: ImportPlan,
    pub(super) deps: Arc<ImportsDeps>,
    pub(super) stop: CancellationToken,
    pub(super) pausing: Pausing,
    /// What its queue brings, if it reads one.
    pub(super) notifications: Option<Arc<Notifications>>,
    /// Held while rejected rows are read again.
    pub(super) retrying: tokio::sync::Mutex<()>,
    /// The objects that somebody names, once one was named.
    pub(super) asked_objects: tokio::sync::OnceCell<NotifiedObjects>,
    /// What instances share of it, or why that cannot be used.
    pub(super) claims: OnceLock<Result<Option<Arc<SharedImport>>, String>>,
    pub(super) journal_outage: JournalOutage,
    pub(super) other_compressions: Arc<OtherCompressions>,
    pub(super) columns: Arc<ColumnsMet>,
    pub(super) since_start: Arc<SinceStart>,
    pub(super) seen: Mutex<Seen>,
}

impl OneImport {
    /// An import with this plan. `left`: what the one that it replaces has left to it.
    pub(super) fn new(
        plan: ImportPlan,
        deps: Arc<ImportsDeps>,
        stop: CancellationToken,
        left: LeftBehind,
    ) -> Self {
        let LeftBehind { since_start, columns, other_compressions, seen, of_queue } = left;
        let notifications = Notifications::of(&plan, &deps, &since_start, of_queue);
        Self {
            plan,
            deps,
            stop,
            pausing: Pausing::default(),
            notifications,
            retrying: Default::default(),
            asked_objects: Default::default(),
            claims: OnceLock::new(),
            journal_outage: JournalOutage::default(),
            other_compressions,
            columns,
            since_start,
            seen: Mutex::new(seen),
        }
    }

    pub(super) fn plan(&self) -> &ImportPlan {
        &self.plan
    }

    pub(super) fn name(&self) -> &str {
        self.plan.settings.name.as_str()
    }

    /// Makes a pass, waits, and again, until it is stopped. Whoever asks for a pass does not wait for the
    /// interval.
    pub(super) async fn keep_importing(self: Arc<Self>, asks: Arc<tokio::sync::Mutex<mpsc::Receiver<Ask>>>) {
        // Only this task receives. It is another one after a panic, and then the lock is free.
        let mut asks = asks.lock().await;
        let store = self.store().await;
        let mut ask: Option<Ask> = None;
        while !self.stop.is_cancelled() {
            let asked = ask.take().filter(|ask| !ask.answer.is_closed());
            let of = asked.as_ref().map(|ask| &ask.pass);
            let stop = self.begin_pass();
            // If the journal cannot be read, the pass says so.
            if self.is_paused().await.unwrap_or(false) {
                drop(asked);
                // Rows of the pass under way may have waited after the command.
                self.clear_alarms();
                lock(&self.seen).next = None;
                tokio::select! {
                    () = self.stop.cancelled() => {}
                    // Nobody is told to wait for a pass that is not made.
                    next = asks.recv() => if next.is_none() { return },
                    () = self.pausing.resumed() => {}
                }
                continue;
            }
            let scans = self.plan.settings.discovery.scans();
            // Without listings, something may be left to do with files that messages brought.
            let lists = scans || asked.is_some() || lock(&self.seen).scans.wants_full();
            let scan = if lists { self.next_scan(of) } else { Scan::Nothing };
            let made = self.pass(&store, of, (&stop, scan.clone())).await;
            self.note(&made, of, &scan);
            if self.stop.is_cancelled() {
                return;
            }
            if let Some(asked) = asked {
                // Who asked may have gone meanwhile.
                drop(asked.answer.send(self.answer(&made)));
            }
            if stop.is_cancelled() {
                // A pause ended the pass.
                continue;
            }
            let interval = self.plan.settings.scan_interval;
            lock(&self.seen).next = scans.then(|| self.deps.clock.wall().plus(interval));
            tokio::select! {
                () = self.stop.cancelled() => {}
                next = asks.recv() => match next {
                    Some(next) => ask = Some(next),
                    None => return,
                },
                () = tokio::time::sleep(interval) => {}
                // Once it is resumed, it does not wait for the interval.
                () = self.pausing.paused() => {}
                () = self.journal_back() => {}
            }
        }
    }

    /// Checks that a pass can find a key in the range that somebody asks for.
    /// Errors: [`BucketImportError::NotPossible`].
    pub(super) fn check_range(&self, asked: &AskedPass) -> Result<(), BucketImportError> {
        let missed = misses(&self.plan.settings.prefix, asked.from.as_deref(), asked.to.as_deref());
        missed.map_or(Ok(()), |what| Err(BucketImportError::NotPossible(what)))
    }

    /// The store of the bucket.
    pub(super) async fn store(&self) -> Arc<S3Store> {
        self.deps.stores.client_of(&self.plan).await
    }

    /// Makes one pass. The caller notes its end, if status, metrics and alarms are to show it.
    pub(super) async fn pass(
        &self,
        store: &Arc<S3Store>,
        asked: Option<&AskedPass>,
        (stop, scan): (&CancellationToken, Scan),
    ) -> Made {
        let (began, counters) = (self.deps.clock.wall(), Counters::default());
        {
            let mut seen = lock(&self.seen);
            (seen.pass_since, seen.next) = (Some(began), None);
            seen.counters = counters.clone();
        }
        let report = match self.bucket_import() {
            Ok(import) => {
                let deps = PassDeps { stop: stop.clone(), scan, ..self.pass_deps(store, asked, counters) };
                pass(Arc::new(import), deps).await.map_err(CannotPass::Met)
            }
            Err(what) => Err(CannotPass::Settings(what)),
        };
        Made { began, ended: self.deps.clock.wall(), stopped: stop.is_cancelled(), report }
    }

    /// Which keys the next pass lists. Whoever asks for a pass gets a full one.
    fn next_scan(&self, asked: Option<&AskedPass>) -> Scan {
        let now = self.deps.clock.monotonic();
        let scans = &mut lock(&self.seen).scans;
        match asked {
            Some(asked) => {
                if !asked.has_range() {
                    scans.begin_full();
                }
                Scan::Full
            }
            None => scans.next(now, self.plan.settings.full_scan_every),
        }
    }

    /// Makes the next pass list all keys: files begin again that are settled.
    pub(super) fn want_full_scan(&self) {
        lock(&self.seen).scans.want_full();
    }

    /// What stops the pass that is about to begin: a pause, or the end of the import.
    fn begin_pass(&self) -> CancellationToken {
        let stop = self.stop.child_token();
        lock(&self.seen).pass_stop = stop.clone();
        stop
    }

    /// What stops the work on rejected rows that is about to begin.
    pub(super) fn begin_retry(&self) -> CancellationToken {
        let stop = self.stop.child_token();
        lock(&self.seen).retry_stop = stop.clone();
        stop
    }

    /// Stops the pass under way, or the one that is about to begin, and the work on rejected rows at their next
    /// steps.
    pub(super) fn end_pass(&self) {
        let seen = lock(&self.seen);
        seen.pass_stop.cancel();
        seen.retry_stop.cancel();
    }

    /// What a pass works with. Errors: the settings cannot be used; the text says what to do.
    pub(super) fn bucket_import(&self) -> Result<BucketImport, String> {
        let mut import = self.plan.import()?;
        // The room of an earlier process, or of other settings, may be taken: the first pass looks.
        import.rejects.was_full = lock(&self.seen).rejects_full;
        import.rejects.in_store = self.plan.rejects_in_store(&self.deps.stores)?;
        import.claims = self.claims()?;
        Ok(import)
    }

    /// What a pass would do, for whoever asked for it.
    pub(super) async fn planned(&self, asked: &AskedPass) -> PassStatus {
        let began = self.deps.clock.wall();
        let plan = match self.bucket_import() {
            Ok(import) => {
                let deps = self.pass_deps(&self.store().await, Some(asked), Counters::default());
                plan_pass(Arc::new(import), deps).await.map_err(CannotPass::Met)
            }
            Err(what) => Err(CannotPass::Settings(what)),
        };
        let (planned, stopped, report) = match plan {
            Ok(PassPlan { report, would, rows_again, first, stopped }) => {
                let would =
                    would.into_iter().map(|(would, count)| (would.slug().to_owned(), count)).collect();
                let file =
                    |(name, would): (String, Would)| FilePlanned { name, would: would.slug().to_owned() };
                let first = first.into_iter().map(file).collect();
                let window = self.plan.settings.insert_id_window.as_millis();
                let insert_id_window_ms = u64::try_from(window).unwrap_or(u64::MAX);
                (Some(PassPlanned { would, rows_again, insert_id_window_ms, first }), stopped, Ok(report))
            }
            Err(error) => (None, self.stop.is_cancelled(), Err(error)),
        };
        let made = Made { began, ended: self.deps.clock.wall(), stopped, report };
        PassStatus { planned, ..self.answer(&made) }
    }

    /// What a pass found, for whoever asked for it.
    pub(super) fn answer(&self, made: &Made) -> PassStatus {
        PassStatus { grants: grants(&self.plan, made), ..pass_status(&self.plan, made, self.shows_all()) }
    }

    /// Whether text that may be private is shown, such as what a store said.
    pub(super) fn shows_all(&self) -> bool {
        self.deps.live.as_ref().is_none_or(|live| live.mode() == Mode::Full)
    }

    /// Whether a command paused it. Errors: [`NameError`]: the journal cannot be read.
    pub(super) async fn is_paused(&self) -> Result<bool, NameError> {
        self.pausing.read(&self.deps.importer, self.name()).await
    }

    /// Pauses it, or resumes it. A pass under way stops at its next step.
    /// Errors: [`BucketImportError`]: nothing has changed.
    pub(super) async fn pause(&self, paused: bool) -> Result<Paused, BucketImportError> {
        let (importer, random) = (Arc::clone(&self.deps.importer), Arc::clone(&self.deps.random));
        let set = self.pausing.set(importer, random, self.name(), paused).await;
        set.map_err(|error| BucketImportError::Failed(error.to_string()))?;
        if paused {
            self.end_pass();
            self.clear_alarms();
        }
        Ok(Paused { name: self.name().to_owned(), paused, enabled: self.plan().settings.enabled })
    }

    /// Clears what stands of an import that is paused. Another import whose rows wait says so again.
    fn clear_alarms(&self) {
        let mut seen = lock(&self.seen);
        seen.found.goes_on();
        if !seen.is_gone {
            seen.has_given_up = false;
            self.clear_own_alarms();
        }
        watched_rows::clear(&self.deps.alarms);
    }

    fn clear_own_alarms(&self) {
        for subject in [self.name(), &self.of_rejects(), &self.of_given_up()] {
            self.deps.alarms.clear(AlarmKind::BucketImport, subject);
        }
        self.clear_journal();
    }

    /// Notes a pass of the running node: in its alarms, its metrics and its status.
    fn note(&self, made: &Made, asked: Option<&AskedPass>, scan: &Scan) {
        let of_range = asked.is_some_and(AskedPass::has_range);
        {
            let scans = &mut lock(&self.seen).scans;
            match &made.report {
                _ if *scan == Scan::Nothing => {}
                Ok(report) if of_range => scans.note_range(report),
                Err(_) if of_range => {}
                Ok(report) if !made.stopped => scans.note(scan, report, self.deps.clock.monotonic()),
                _ => scans.forget(),
            }
        }
        let journal = JournalFound::of(made);
        self.note_journal(&journal);
        match &made.report {
            Err(error) => {
                // The journal has an alarm of its own, and so has the shared one as long as it cannot be reached.
                let is_local = matches!(error, CannotPass::Met(PassError::Journal(_)));
                let raises = !is_local && !matches!(journal, JournalFound::Away(_));
                let what = InViews::of(|all| failure(&self.plan, error, all).what);
                self.failed(what, raises, made.ended);
            }
            Ok(report) => {
                let part = *scan != Scan::Full;
                let found =
                    InViews::of(|all| PassStatus { part, ..as_status(pass_status(&self.plan, made, all)) });
                self.worked(report, found, (of_range, *scan != Scan::Nothing));
            }
        }
    }

    pub(super) fn pass_deps(
        &self,
        store: &Arc<S3Store>,
        asked: Option<&AskedPass>,
        counters: Counters,
    ) -> PassDeps {
        let (from, to) = asked.map_or((None, None), |asked| (asked.from.clone(), asked.to.clone()));
        let changer: Arc<dyn StoreChanger> = Arc::<S3Store>::clone(store);
        let store: Arc<dyn StoreReader> = Arc::<S3Store>::clone(store);
        let store: Arc<dyn StoreReader> = match (&from, &to) {
            (None, None) => store,
            _ => Arc::new(KeyRange { store, from, to }),
        };
        PassDeps {
            store,
            changer: Some(changer),
            target: Arc::new(Arc::clone(&self.deps.importer)),
            journal: self.deps.importer.journal(),
            importer: Arc::clone(&self.deps.importer),
            clock: Arc::clone(&self.deps.clock),
            random: Arc::clone(&self.deps.random),
            counters,
            other_compressions: Arc::clone(&self.other_compressions),
            columns: Arc::clone(&self.columns),
            again: asked.is_some_and(|asked| asked.again),
            scan: Scan::Full,
            whole: asked.is_none_or(|asked| !asked.has_range()),
            // Somebody who asked for a pass waits for its end.
            list_again: asked.is_none().then_some(self.plan.settings.scan_interval),
            patience: asked.map(|_| ASKED_PATIENCE),
            stop: self.stop.clone(),
            step_bytes: None,
        }
    }

    /// Notes that a pass could not go on.
    fn failed(&self, what: InViews<String>, raises: bool, now: UnixMillis) {
        self.count_pass("failed");
        let mut seen = lock(&self.seen);
        seen.pass_since = None;
        if self.pausing.now() {
            return;
        }
        if raises && !seen.is_gone {
            let what = format!(
                "{}; import {} reads nothing until this is fixed, and retries every {}",
                what.shown(false),
                self.name(),
                about_duration(self.plan.settings.scan_interval)
            );
            self.deps.alarms.raise(AlarmKind::BucketImport, self.name(), what);
        }
        seen.found.failed(what, now);
    }

    /// The subject of alarms about rejected rows.
    fn of_rejects(&self) -> String {
        format!("{} (rejected rows)", self.name())
    }

    /// The subject of alarms about files that are given up, gone or replaced.
    fn of_given_up(&self) -> String {
        format!("{} (files for a person)", self.name())
    }

    /// Notes what a pass found. `of_range`: a person asked for keys of a range. `has_listed`: it listed keys.
    fn worked(
        &self,
        report: &PassReport,
        in_views: InViews<PassStatus>,
        (of_range, has_listed): (bool, bool),
    ) {
        let found = in_views.shown(false);
        let whole = !of_range && !found.part;
        after_status::count(&self.deps.metrics, self.name(), &report.after.done);
        if has_listed {
            self.count_pass(if found.stopped { "stopped" } else { "done" });
        }
        if report.rows > 0 || report.files.keys().any(|became| !became.is_settled()) {
            tracing::info!(
                import = self.name(),
                files = report.files.values().sum::<u64>(),
                rows = report.rows,
                stored = report.stored,
                repeats = report.repeats,
                rejected = report.rejected,
                not_done = report.not_done.len(),
                "a pass over the bucket has ended"
            );
        }
        let mut seen = lock(&self.seen);
        seen.pass_since = None;
        self.since_start.passed(report, self.deps.clock.wall());
        if found.stopped || seen.is_gone {
            return;
        }
        seen.rejects_full = Some(report.rejects_full);
        let alarms = &self.deps.alarms;
        match rejects_wait(&self.plan, report, false) {
            Some(_) if self.pausing.now() => {}
            Some(what) => alarms.raise(AlarmKind::BucketImport, &self.of_rejects(), what),
            None => alarms.clear(AlarmKind::BucketImport, &self.of_rejects()),
        }
        let is_ignored = self.plan.settings.on_change == OnChange::Ignore;
        let given_up = given_up_files(self.name(), report)
            .into_iter()
            .chain(cut_short_files(self.name(), is_ignored, report))
            .reduce(|one, other| format!("{one}; {other}"));
        if whole {
            self.notifications.iter().for_each(|notifications| notifications.passed(given_up.is_some()));
        }
        match given_up {
            Some(_) if self.pausing.now() => {}
            // A pass over a part sees some of them, and says nothing of the others.
            Some(what) if whole || !seen.has_given_up => {
                alarms.raise(AlarmKind::BucketImport, &self.of_given_up(), what);
                seen.has_given_up |= whole;
            }
            None if whole => {
                alarms.clear(AlarmKind::BucketImport, &self.of_given_up());
                seen.has_given_up = false;
            }
            _ => {}
        }
        let is_away = report.claims.problem.as_ref().is_some_and(|outage| outage.passes);
        let claims = self.claims_problem(found, is_away);
        let files = refused_files(self.name(), self.plan.reader().ok().as_ref(), report);
        let refused = claims.into_iter().chain(files).chain(refused_after(&self.plan, &report.after));
        after_status::show(&self.deps.metrics, self.name(), &report.after);
        match refused.reduce(|one, other| format!("{one}; {other}")) {
            Some(what) if !self.pausing.now() => {
                alarms.raise(AlarmKind::BucketImport, self.name(), what);
                // What a listing found is not ended by a pass without one.
                seen.raised_unlisted = !has_listed;
            }
            Some(_) => {}
            // Also a pass over a part looks at each file that is not settled; one over a range does not.
            None if !of_range && (has_listed || seen.raised_unlisted) => {
                alarms.clear(AlarmKind::BucketImport, self.name());
            }
            None => {}
        }
        if whole {
            self.show(report, &mut seen.gauges);
        }
        if !of_range && has_listed {
            let label = ImportLabel { import: self.name().to_owned() };
            let at = UnixMillis(found.ended_ms).since(UnixMillis(0));
            self.deps.metrics.import_last_pass.get_or_create(&label).set(at.as_secs_f64());
        }
        seen.found.note(in_views, whole, has_listed);
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
        for (became, count) in fixed.into_iter().chain(skipped).chain(files).chain(report.claims.counts()) {
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
        self.clear_own_alarms();
        self.forget_gauges(std::mem::take(&mut seen.gauges));
        after_status::forget(&self.deps.metrics, self.name());
        self.deps.metrics.import_last_pass.remove(&ImportLabel { import: self.name().to_owned() });
        self.notifications.iter().for_each(|notifications| notifications.forget());
    }

    /// What is known of it, for people.
    pub(super) fn status(&self) -> BucketImportStatus {
        let now = self.deps.clock.wall();
        let others = self.other_compressions.now(now);
        let converter = self.plan.settings.converter.as_ref();
        let unused =
            converter.map(|converter| self.columns.unused(converter.compiled.columns(), COLUMNS_NAMED));
        let (unused_columns, unused_first) = unused.unwrap_or_default();
        let shows_all = self.shows_all();
        let seen = lock(&self.seen);
        let found = seen.found.shown(shows_all);
        BucketImportStatus {
            name: self.name().to_owned(),
            source: self.plan.settings.source.to_string(),
            place: self.plan.place(),
            enabled: self.plan.settings.enabled,
            paused: self.pausing.now(),
            pass_since_ms: seen.pass_since.map(|at| at.0),
            pass_rows: seen.pass_since.map_or(0, |_| seen.counters.snapshot().rows),
            since_start: self.since_start.totals(),
            list_requests_hour: self.since_start.list_requests_of_last_hour(now),
            unused_columns,
            unused_first,
            last: found.last.clone(),
            whole: found.whole.clone().filter(|whole| found.last.as_ref() != Some(whole)),
            next_ms: seen.next.map(|at| at.0),
            failing: found.failing.as_ref().map(|(what, _)| what.clone()),
            failing_since_ms: found.failing.as_ref().map(|(_, since)| since.0),
            warnings: others.iter().map(compression_words).collect(),
            notifications: self.notifications.as_ref().map(|notifications| notifications.status(shows_all)),
            in_journal: None,
        }
    }

    /// What the journal has of its objects, whoever worked with them before.
    /// Errors: [`NameError`]: the journal cannot be read.
    pub(super) async fn kept_objects(&self) -> Result<KeptObjects, NameError> {
        let (journal, name) = (self.deps.importer.journal(), self.name().to_owned());
        let read = tokio::task::spawn_blocking(move || KeptObjects::of(&*journal, &name)).await;
        read.unwrap_or_else(|error| Err(JournalError::of(error.to_string()).into()))
    }
}

/// What a status has of a pass.
fn as_status(mut found: PassStatus) -> PassStatus {
    found.not_done.truncate(NAMED_IN_STATUS);
    // The status shows those of the import, whoever found the files.
    found.warnings.clear();
    found
}
