//! The imports of buckets of a running node: a task for each, as the configuration says.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{OwnedMutexGuard, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::deps::ImportsDeps;
use super::left_behind::LeftBehind;
use super::one_import::{Ask, OneImport};
use super::plan::ImportPlan;
use super::sharing::rename_elsewhere;
use crate::admin::{AskedPass, BucketImportError, BucketImportStatus, ClaimsReleased, PassStatus, Renamed};
use crate::import::{NameError, rename, watched_rows};
use crate::lock::lock;
use crate::sources::SourceId;
use crate::tasks::{RESTARTS, Supervised, keep};

/// Passes that may be asked for while one is under way. Who asks for another one waits for a place.
const ASKS_MAX: usize = 16;
/// How often a rename that waits looks whether it is still allowed: an import that is enabled has its turn
/// for as long as it works.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The most imports that are gone and of which something is still known.
const GONE_MAX: usize = 100;

/// Who works under a name. Only one may at a time: two passes at once would meet.
type Turn = Arc<tokio::sync::Mutex<()>>;

/// One import that is configured.
#[derive(Debug)]
struct Running {
    import: Arc<OneImport>,
    asks: mpsc::Sender<Ask>,
}

#[derive(Debug, Default)]
struct State {
    imports: BTreeMap<SourceId, Running>,
    /// Imports that are gone from the configuration: they may come back, or get another name.
    gone: BTreeMap<SourceId, Arc<OneImport>>,
    /// The turns of names that are in use.
    turns: BTreeMap<SourceId, Turn>,
    /// The tasks that may not have ended yet.
    tasks: Vec<(SourceId, JoinHandle<()>)>,
    is_ending: bool,
}

/// The imports of buckets of a running node.
#[derive(Debug)]
pub struct BucketImports {
    deps: Arc<ImportsDeps>,
    stop: CancellationToken,
    state: Mutex<State>,
}

impl BucketImports {
    /// No imports yet.
    pub fn new(deps: ImportsDeps) -> Self {
        let stop = CancellationToken::new();
        Self { deps: Arc::new(deps), stop, state: Mutex::default() }
    }

    /// Puts the imports of a configuration into force: new ones begin, those whose settings changed go on with the
    /// new ones, others go on as they are, and those that are gone stop at their next step.
    pub fn set(&self, plans: Vec<ImportPlan>) {
        let mut state = lock(&self.state);
        if state.is_ending {
            return;
        }
        let mut before = std::mem::take(&mut state.imports);
        // Before another one can move a file, those that go on know where they must not read it.
        for plan in &plans {
            before.get(&plan.settings.name).iter().for_each(|known| known.import.plan().learn_never(plan));
        }
        let mut compares_less = false;
        for plan in plans {
            let name = plan.settings.name.clone();
            let running = match before.remove(&name) {
                Some(same) if same.import.plan().goes_on_as(&plan) => same,
                Some(other) => {
                    compares_less |= !other.import.compares_as(&plan);
                    let left = other.import.leave_to(&plan);
                    self.begin(plan, left, &mut state)
                }
                None => {
                    let left = state.gone.remove(&name).map(|gone| gone.met(&plan)).unwrap_or_default();
                    self.begin(plan, left, &mut state)
                }
            };
            state.imports.insert(name, running);
        }
        before.values().for_each(Running::end);
        if compares_less || !before.is_empty() {
            // The rows that wait may have been theirs.
            watched_rows::clear(&self.deps.alarms);
        }
        for (name, running) in before {
            if state.gone.len() < GONE_MAX {
                state.gone.insert(name, running.import);
            }
        }
        let State { imports, turns, tasks, .. } = &mut *state;
        tasks.retain(|(_, task)| !task.is_finished());
        // Who has a turn or waits for it keeps a reference to it.
        turns.retain(|name, turn| imports.contains_key(name) || Arc::strong_count(turn) > 1);
    }

    /// Begins an import. It waits until an earlier one with its name has ended, and goes on with what that one left.
    fn begin(&self, plan: ImportPlan, left: LeftBehind, state: &mut State) -> Running {
        let (asks, asked) = mpsc::channel(ASKS_MAX);
        let (name, enabled) = (plan.settings.name.clone(), plan.settings.enabled);
        let (deps, stop) = (Arc::clone(&self.deps), self.stop.child_token());
        let import = Arc::new(OneImport::new(plan, deps, stop, left));
        if enabled {
            // One bad import stops no other, and no calls: it is started again however often it panics.
            let supervised = Supervised::new(&self.deps.alarms, format!("import {name}"))
                .with_restarts(u32::MAX, RESTARTS)
                .ended_by(import.stop.clone());
            let turn = state.turn(&name);
            let (of_task, asked) = (Arc::clone(&import), Arc::new(tokio::sync::Mutex::new(asked)));
            let receiver = Supervised::new(&self.deps.alarms, format!("notifications of import {name}"))
                .with_restarts(u32::MAX, RESTARTS)
                .ended_by(import.stop.clone());
            let receives = Arc::clone(&import);
            let task = async move {
                let _turn = turn.lock_owned().await;
                let passes =
                    keep(supervised, move || Arc::clone(&of_task).keep_importing(Arc::clone(&asked)));
                let notified = keep(receiver, move || Arc::clone(&receives).keep_receiving());
                tokio::join!(passes, notified);
            };
            state.tasks.push((name, tokio::spawn(task)));
        } else {
            // Its task would read it.
            let import = Arc::clone(&import);
            state.tasks.push((name, tokio::spawn(async move { drop(import.is_paused().await) })));
        }
        Running { import, asks }
    }

    /// Stops all imports at their next step, and begins none from now on.
    pub fn cancel(&self) {
        lock(&self.state).is_ending = true;
        self.stop.cancel();
    }

    /// Stops all imports at their next step, and waits until they have ended, for at most `patience`. Then,
    /// or if the future is dropped, they are abandoned, which is as safe as a kill.
    pub async fn stop(&self, patience: Duration) {
        self.cancel();
        let tasks = std::mem::take(&mut lock(&self.state).tasks);
        let tasks: Vec<_> =
            tasks.into_iter().map(|(name, task)| (name, AbortOnDropHandle::new(task))).collect();
        let until = Instant::now() + patience;
        for (name, mut task) in tasks {
            if tokio::time::timeout_at(until, &mut task).await.is_err() {
                tracing::warn!(import = %name, "the import is stopped in the middle of a step; it goes on there after the next start");
            }
        }
    }

    /// The names of the imports.
    pub(in crate::node) fn names(&self) -> Vec<String> {
        lock(&self.state).imports.keys().map(ToString::to_string).collect()
    }

    /// What is known of every import.
    pub fn shown(&self) -> Vec<BucketImportStatus> {
        lock(&self.state).imports.values().map(|running| running.import.status()).collect()
    }

    /// Makes a pass now, after the one under way, or says what it would do. The pass goes on if the future is
    /// dropped.
    /// Errors: [`BucketImportError`]: there is no such import, or it was stopped.
    pub async fn run(&self, pass: AskedPass) -> Result<PassStatus, BucketImportError> {
        let name = pass.name.to_string();
        let import = self.named(&pass.name)?;
        import.check_range(&pass)?;
        if pass.dry_run {
            // It changes nothing, so it need not wait for the pass under way.
            return Ok(import.planned(&pass).await);
        }
        let asks = {
            let state = lock(&self.state);
            let running = state.named(&pass.name)?;
            if !running.import.plan().settings.enabled {
                return Err(BucketImportError::Paused(name));
            }
            if running.import.pausing.now() {
                return Err(BucketImportError::OnHold(name));
            }
            running.asks.clone()
        };
        let (answer, answered) = oneshot::channel();
        let stopped = |_| BucketImportError::Stopped(name.clone());
        asks.send(Ask { pass, answer }).await.map_err(|_| BucketImportError::Stopped(name.clone()))?;
        answered.await.map_err(stopped)
    }

    /// The import with this name, whether it is enabled or not.
    /// Errors: [`BucketImportError`]: there is none.
    pub(super) fn named(&self, name: &SourceId) -> Result<Arc<OneImport>, BucketImportError> {
        lock(&self.state).named(name).map(|running| Arc::clone(&running.import))
    }

    /// Gives the history of `old` to `new`. Neither may work meanwhile, or it would begin a history of its
    /// own.
    /// Errors: [`BucketImportError`]: nothing has changed; the text says what to do first.
    pub async fn rename(&self, old: SourceId, new: SourceId) -> Result<Renamed, BucketImportError> {
        // In the order of the names, so that no two renames wait for each other.
        let (first, second) = if old < new { (&old, &new) } else { (&new, &old) };
        let _first = self.turn_to_rename(first, (&old, &new)).await?;
        let _second = self.turn_to_rename(second, (&old, &new)).await?;
        // What is enabled from now on waits for its turn.
        self.may_rename(&old, &new)?;
        let journal = self.named(&new).ok().and_then(|known| known.plan().settings.journal.clone());
        let renamed = renamed(&self.deps, (old.clone(), new.clone()), journal.as_deref()).await?;
        self.goes_on_as(&old, new);
        Ok(renamed)
    }

    /// What was counted under the old name goes on under the new one, which is not enabled yet.
    fn goes_on_as(&self, old: &SourceId, new: SourceId) {
        let mut state = lock(&self.state);
        let Some(gone) = state.gone.remove(old) else { return };
        let known = state.imports.get(&new).map(|known| known.import.plan().clone());
        match known.filter(|plan| !plan.settings.enabled && !state.is_ending) {
            Some(plan) => {
                let left = gone.met(&plan);
                let running = self.begin(plan, left, &mut state);
                if let Some(other) = state.imports.insert(new, running) {
                    other.end();
                }
            }
            None => _ = state.gone.insert(new, gone),
        }
    }

    /// Frees the open claims of another instance, and begins a pass; with `dry_run`, only says which there
    /// are.
    /// Errors: [`BucketImportError`]: why not, and what to do.
    pub async fn release(
        &self,
        name: &SourceId,
        instance: &str,
        dry_run: bool,
    ) -> Result<ClaimsReleased, BucketImportError> {
        let released = self.named(name)?.release(instance, dry_run).await?;
        if !dry_run && released.files > 0 {
            let asks = lock(&self.state).named(name)?.asks.clone();
            // Nobody waits for the pass. If others are asked for, one of them lists all keys.
            drop(asks.try_send(Ask::unanswered(name.clone())));
        }
        Ok(released)
    }

    /// Waits for the turn of a name, as long as the rename is allowed.
    async fn turn_to_rename(
        &self,
        name: &SourceId,
        (old, new): (&SourceId, &SourceId),
    ) -> Result<OwnedMutexGuard<()>, BucketImportError> {
        self.may_rename(old, new)?;
        let turn = lock(&self.state).turn(name);
        let mut turn = pin!(turn.lock_owned());
        loop {
            tokio::select! {
                turn = &mut turn => return Ok(turn),
                () = sleep(LOOK_AGAIN) => self.may_rename(old, new)?,
            }
        }
    }

    fn may_rename(&self, old: &SourceId, new: &SourceId) -> Result<(), BucketImportError> {
        let state = lock(&self.state);
        let enabled =
            |name: &SourceId| state.imports.get(name).map(|running| running.import.plan().settings.enabled);
        may_rename(old, new, enabled)
    }
}

impl State {
    fn named(&self, name: &SourceId) -> Result<&Running, BucketImportError> {
        self.imports.get(name).ok_or_else(|| {
            let known = self.imports.keys().map(ToString::to_string).collect();
            BucketImportError::Unknown(name.to_string(), known)
        })
    }

    fn turn(&mut self, name: &SourceId) -> Turn {
        Arc::clone(self.turns.entry(name.clone()).or_default())
    }
}

impl Running {
    fn end(&self) {
        self.import.stop.cancel();
        self.import.forget();
    }
}

/// Whether an import may get another name. `enabled`: whether the import of a name in the configuration is
/// enabled; `None`: there is none. Errors: [`BucketImportError`]: what to do first.
pub(super) fn may_rename(
    old: &SourceId,
    new: &SourceId,
    enabled: impl Fn(&SourceId) -> Option<bool>,
) -> Result<(), BucketImportError> {
    let refused = |what| Err(BucketImportError::Refused(what));
    if old == new {
        return refused(format!("import {old} has this name already: give it another one"));
    }
    if enabled(old).is_some() {
        return refused(format!(
            "the configuration still has import {old}, which would begin from its first file again: write name = \"{new}\" \
             and enabled = false there first, then rename, then set enabled = true"
        ));
    }
    if enabled(new) == Some(true) {
        return refused(format!(
            "import {new} is already enabled and would begin from its first file: set enabled = false for it first, then \
             rename, then set enabled = true"
        ));
    }
    Ok(())
}

/// Gives the history of `old` to `new` in the journal, and before that in the one that instances share: `journal` is that
/// of `new` in the configuration.
pub(super) async fn renamed(
    deps: &ImportsDeps,
    (old, new): (SourceId, SourceId),
    journal: Option<&str>,
) -> Result<Renamed, BucketImportError> {
    let is_shared = rename_elsewhere(deps, (&old, &new), journal).await?;
    let importer = Arc::clone(&deps.importer);
    let (own, name) = (importer.journal(), new.to_string());
    let renaming = tokio::task::spawn_blocking(move || {
        importer.with_names(|| rename(&*own, old.as_str(), new.as_str()).map(drop))
    });
    let refused = |what: String| BucketImportError::Refused(what);
    match renaming.await.map_err(|error| refused(error.to_string()))? {
        // It has begun elsewhere alone: the first pass finds it in the shared journal.
        Err(NameError::Unknown(_)) if is_shared => {}
        Err(error @ NameError::Unknown(_)) if journal.is_none() => {
            return Err(refused(format!(
                "{error}. If other instances share it, write its new name with `journal` and enabled = false there first, and \
                 rename then: they have a history"
            )));
        }
        Err(error) => return Err(refused(error.to_string())),
        Ok(()) => {}
    }
    Ok(Renamed { name })
}
