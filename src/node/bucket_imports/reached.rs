//! Imports of buckets as a command reaches them: in a running node, or in the spool of the configuration.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use form_urlencoded::Serializer;
use http::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::deps::ImportsDeps;
use super::left_behind::LeftBehind;
use super::one_import::OneImport;
use super::plan::{ImportStores, plans};
use super::running::{may_rename, renamed};
use crate::admin::{
    AskedImports, AskedPass, AskedReset, BucketImportError, BucketImportStatus, ClaimsReleased,
    FilesInJournal, FilesReset, PassStatus, Paused, RejectsRetried, Renamed, import_code,
};
use crate::admin_client::{AdminClient, AdminUrl, AskError};
use crate::config::Config;
use crate::import::Unusable;
use crate::import::bucket_import::{KeptObjects, Scan};
use crate::node::chosen_target::{OwnSpool, Reached};
use crate::node::error::NodeError;
use crate::node::import_list::SeenImports;
use crate::runtime::Background;
use crate::sources::SourceId;

/// How long a node may take for a pass: whoever asked can end the command, and the pass goes on.
const PASS_PATIENCE: Duration = Duration::from_secs(30 * 86_400);
/// How long a node may take to let files begin again: a store may answer late.
const RESET_PATIENCE: Duration = Duration::from_secs(60);
/// How long a list may take: longer than a node reads its journal before it shows what it knows.
const LIST_PATIENCE: Duration = Duration::from_secs(15);
/// How long a node may take to give an import another name: one that was removed must reach the end of its
/// step.
const RENAME_PATIENCE: Duration = Duration::from_secs(300);

/// Where a command works with imports of buckets.
#[derive(Debug)]
pub struct ImportsAt(pub(super) At);

#[derive(Debug)]
pub(super) enum At {
    Node(Box<AdminClient>),
    Spool(Box<OwnSpool>, Box<Config>),
}

impl ImportsAt {
    /// The node at `admin`, or that of the configuration. If none runs, the spool of the configuration.
    /// Errors: [`NodeError`]: neither the node nor the spool can be used.
    pub async fn of(
        admin: Option<&AdminUrl>,
        token_file: Option<&Path>,
        config: Option<Config>,
        background: &Background,
    ) -> Result<Self, NodeError> {
        let reached = Reached::of(admin, token_file, config.as_ref(), background).await?;
        Ok(Self(match (reached, config) {
            (Reached::Node(node), _) => At::Node(Box::new(node.0)),
            (Reached::Spool(spool), Some(config)) => At::Spool(spool, Box::new(config)),
            (Reached::Spool(_), None) => {
                return Err(NodeError::Other("there is no configuration with a spool".to_owned()));
            }
        }))
    }

    /// Where it is, for people.
    pub fn text(&self) -> String {
        match &self.0 {
            At::Node(client) => format!("in the node at {}", client.url()),
            At::Spool(spool, _) => spool.text(),
        }
    }

    /// Makes one pass, or says what it would do. `None`: it was stopped while a node makes the pass, which
    /// goes on there.
    /// Errors: [`NodeError`]: there is no such import, or the node or the spool cannot be used.
    pub async fn run(
        &self,
        asked: AskedPass,
        stop: CancellationToken,
    ) -> Result<Option<PassStatus>, NodeError> {
        match &self.0 {
            At::Node(client) => {
                let (name, mut query) = (asked.name.clone(), Serializer::new(String::new()));
                for (key, value) in [("from", &asked.from), ("to", &asked.to)] {
                    value.iter().for_each(|value| _ = query.append_pair(key, value));
                }
                let flags = [("again", asked.again), ("dry_run", asked.dry_run)];
                for (key, _) in flags.into_iter().filter(|(_, is_set)| *is_set) {
                    query.append_pair(key, "true");
                }
                let path = format!("/api/imports/{name}/run?{}", query.finish());
                let next = || {
                    format!(
                        "once it runs again, its passes go on after the last stored row; `forebay import run {name}` (with the \
                         same options) asks for one at once"
                    )
                };
                stop.run_until_cancelled(work(client, &path, next)).await.transpose()
            }
            At::Spool(spool, config) => {
                let import = one_import(spool, config, &asked.name, stop)?;
                import.check_range(&asked).map_err(refused)?;
                if asked.dry_run {
                    return Ok(Some(import.planned(&asked).await));
                }
                if !import.plan().settings.enabled {
                    return Err(refused(BucketImportError::Paused(asked.name.to_string())));
                }
                let paused = import.is_paused().await;
                if paused.map_err(|error| refused(BucketImportError::Failed(error.to_string())))? {
                    return Err(refused(BucketImportError::OnHold(asked.name.to_string())));
                }
                let store = import.store().await;
                // Only a node notes a pass: its alarm says that the pass is made again.
                let made = import.pass(&store, Some(&asked), (&import.stop, Scan::Full)).await;
                Ok(Some(import.answer(&made)))
            }
        }
    }

    /// Lets files begin again, or accepts their rejected rows.
    /// Errors: [`NodeError`]: there is no such import or file, or nothing is to be done with it.
    pub async fn reset(&self, name: &SourceId, asked: &AskedReset) -> Result<FilesReset, NodeError> {
        match &self.0 {
            At::Node(client) => {
                let mut query = Serializer::new(String::new());
                match &asked.key {
                    Some(key) => query.append_pair("key", key),
                    None => query.append_pair("failed", "true"),
                };
                if asked.accept_rejects {
                    query.append_pair("accept_rejects", "true");
                }
                let path = format!("/api/imports/{name}/reset?{}", query.finish());
                post(client, &path, RESET_PATIENCE).await
            }
            At::Spool(spool, config) => {
                let import = one_import(spool, config, name, CancellationToken::new())?;
                import.reset(asked).await.map_err(refused)
            }
        }
    }

    /// Reads the rejected rows of an import again, or those of the object with this key. `None`: it was stopped
    /// while a node does so, which goes on.
    /// Errors: [`NodeError`]: there is no such import or object, or the node or the spool cannot be used.
    pub async fn retry_rejects(
        &self,
        name: &SourceId,
        key: Option<String>,
        dry_run: bool,
        stop: CancellationToken,
    ) -> Result<Option<RejectsRetried>, NodeError> {
        match &self.0 {
            At::Node(client) => {
                let mut query = Serializer::new(String::new());
                key.iter().for_each(|key| _ = query.append_pair("key", key));
                if dry_run {
                    query.append_pair("dry_run", "true");
                }
                let path = format!("/api/imports/{name}/retry-rejects?{}", query.finish());
                let next = || {
                    format!(
                        "once it runs again, `forebay import retry-rejects --import {name}` goes on with the next of these rows; \
                         no pass does"
                    )
                };
                stop.run_until_cancelled(work(client, &path, next)).await.transpose()
            }
            At::Spool(spool, config) => {
                let import = Arc::new(one_import(spool, config, name, stop)?);
                import.retry_rejects(key, dry_run).await.map(Some).map_err(refused)
            }
        }
    }

    /// Pauses an import, or resumes it.
    /// Errors: [`NodeError`]: there is no such import, or the journal cannot be used.
    pub async fn pause(&self, name: &SourceId, paused: bool) -> Result<Paused, NodeError> {
        match &self.0 {
            At::Node(client) => {
                let what = if paused { "pause" } else { "resume" };
                post(client, &format!("/api/imports/{name}/{what}"), RESET_PATIENCE).await
            }
            At::Spool(spool, config) => {
                let import = one_import(spool, config, name, CancellationToken::new())?;
                import.pause(paused).await.map_err(refused)
            }
        }
    }

    /// What is known of all imports, or of the one with this name.
    /// Errors: [`NodeError`]: there is no such import, or nothing can be asked.
    pub async fn status(&self, name: Option<&SourceId>) -> Result<Vec<BucketImportStatus>, NodeError> {
        let mut all = match &self.0 {
            At::Node(client) => {
                let asked: Imports = ask(client, Method::GET, "/api/status", RESET_PATIENCE).await?;
                asked.imports
            }
            At::Spool(spool, config) => {
                let mut all = Vec::with_capacity(config.imports.len());
                for import in &config.imports {
                    let import = one_import(spool, config, &import.name, CancellationToken::new())?;
                    let paused = import.is_paused().await;
                    paused.map_err(|error| refused(BucketImportError::Failed(error.to_string())))?;
                    let kept = import.kept_objects().await;
                    let KeptObjects { done, given_up, begun } =
                        kept.map_err(|error| refused(BucketImportError::Failed(error.to_string())))?;
                    let in_journal = Some(FilesInJournal { done, given_up, begun });
                    all.push(BucketImportStatus { in_journal, ..import.status() });
                }
                all
            }
        };
        if let Some(name) = name {
            let known = all.iter().map(|import| import.name.clone()).collect();
            all.retain(|import| import.name == name.as_str());
            if all.is_empty() {
                return Err(refused(BucketImportError::Unknown(name.to_string(), known)));
            }
        }
        Ok(all)
    }

    /// The imported files as JSON: what a node answers, also with fields that this release does not know.
    /// Errors: [`NodeError`]: there is no import with the name that is asked for, or nothing can be asked.
    pub async fn list(&self, asked: AskedImports) -> Result<Value, NodeError> {
        let import = asked.import.clone();
        let (list, known) = match &self.0 {
            At::Node(client) => {
                let mut path = format!("/api/imports?limit={}", asked.limit);
                asked.import.iter().for_each(|import| path += &format!("&import={import}"));
                asked.only.iter().for_each(|only| path += &format!("&only={}", only.slug()));
                let list: Value = ask(client, Method::GET, &path, LIST_PATIENCE).await?;
                let known = match &import {
                    Some(_) if is_empty(&list) => {
                        let asked: Imports = ask(client, Method::GET, "/api/status", RESET_PATIENCE).await?;
                        asked.imports.into_iter().map(|import| import.name).collect()
                    }
                    _ => Vec::new(),
                };
                (list, known)
            }
            At::Spool(spool, config) => {
                let names: Vec<String> =
                    config.imports.iter().map(|import| import.name.to_string()).collect();
                let (importer, instance) = (&spool.importer, spool.engine.view.log.spool_id());
                let seen = SeenImports { importer, instance, names: names.clone(), full: true };
                let list = serde_json::to_value(seen.listed(asked, LIST_PATIENCE).await);
                (list.map_err(|error| NodeError::Other(error.to_string()))?, names)
            }
        };
        match import.filter(|import| is_empty(&list) && !known.iter().any(|known| known == import.as_str())) {
            Some(import) => Err(refused(BucketImportError::Unknown(import.to_string(), known))),
            None => Ok(list),
        }
    }

    /// Gives the history of the import `old` to the name `new`.
    /// Errors: [`NodeError`]: nothing has changed.
    pub async fn rename(&self, old: SourceId, new: SourceId) -> Result<Renamed, NodeError> {
        match &self.0 {
            At::Node(client) => {
                let path = format!("/api/imports/{old}/rename?to={new}");
                post(client, &path, RENAME_PATIENCE).await
            }
            At::Spool(spool, config) => {
                // Nothing works in this spool now, so the new name may be enabled already.
                may_rename(&old, &new, |name| {
                    let is_there = *name == old && config.imports.iter().any(|import| import.name == *name);
                    is_there.then_some(true)
                })
                .map_err(refused)?;
                let of_new = config.imports.iter().find(|import| import.name == new);
                let journal = of_new.and_then(|import| import.journal.clone());
                renamed(&deps_of(spool, config), (old, new), journal.as_deref()).await.map_err(refused)
            }
        }
    }

    /// Frees the open claims of another instance, whose disk is lost.
    /// Errors: [`NodeError`]: there is no such import, or the shared journal cannot be used.
    pub async fn release(
        &self,
        name: &SourceId,
        instance: &str,
        dry_run: bool,
    ) -> Result<ClaimsReleased, NodeError> {
        match &self.0 {
            At::Node(client) => {
                let dry = if dry_run { "&dry_run=true" } else { "" };
                let path = format!("/api/imports/{name}/release?instance={instance}{dry}");
                post(client, &path, PASS_PATIENCE).await
            }
            At::Spool(spool, config) => {
                let import = one_import(spool, config, name, CancellationToken::new())?;
                import.release(instance, dry_run).await.map_err(refused)
            }
        }
    }

    /// Closes a spool of this command, and before that delivers what it holds, if so.
    /// Errors: [`NodeError`]: something is left that was to be delivered. It is safe in the spool.
    pub async fn end(self, deliver: bool) -> Result<(), NodeError> {
        match self.0 {
            At::Node(_) => Ok(()),
            At::Spool(spool, _) => spool.end(deliver).await,
        }
    }
}

/// Whether a list says that there are no files, and not only that they are not known yet.
fn is_empty(list: &Value) -> bool {
    let is_problem = list["loading"] == true || !list["problem"].is_null();
    list["total"] == 0 && !is_problem
}

/// An import of the configuration, in a spool that no node uses.
pub(super) fn one_import(
    spool: &OwnSpool,
    config: &Config,
    name: &SourceId,
    stop: CancellationToken,
) -> Result<OneImport, NodeError> {
    let plan = plans(config).into_iter().find(|plan| plan.settings.name == *name);
    let plan = plan.ok_or_else(|| {
        let known = config.imports.iter().map(|import| import.name.to_string()).collect();
        refused(BucketImportError::Unknown(name.to_string(), known))
    })?;
    Ok(OneImport::new(plan, Arc::new(deps_of(spool, config)), stop, LeftBehind::default()))
}

fn deps_of(spool: &OwnSpool, config: &Config) -> ImportsDeps {
    let stores = ImportStores {
        own: Arc::clone(&spool.engine.store),
        settings: ImportStores::others(config, "import"),
    };
    ImportsDeps { live: None, ..spool.engine.imports_deps(&spool.importer, stores) }
}

pub(super) fn refused(error: BucketImportError) -> NodeError {
    let what = error.to_string();
    let unusable = match error {
        BucketImportError::Failed(_) | BucketImportError::Stopped(_) => Unusable::Failed(what),
        BucketImportError::StoreDenied(_) => Unusable::Denied(what),
        BucketImportError::StoreFailed(_) => Unusable::Unreachable(what),
        _ => Unusable::Wrong(what),
    };
    unusable.into()
}

/// What is needed of the status of a node.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Imports {
    imports: Vec<BucketImportStatus>,
}

pub(super) async fn post<T: DeserializeOwned>(
    client: &AdminClient,
    path: &str,
    patience: Duration,
) -> Result<T, NodeError> {
    ask(client, Method::POST, path, patience).await
}

/// Has a node do work that takes long. `next`: what goes on with the work if the node goes away meanwhile.
async fn work<T: DeserializeOwned>(
    client: &AdminClient,
    path: &str,
    next: impl FnOnce() -> String,
) -> Result<T, NodeError> {
    client.ask(Method::POST, path, PASS_PATIENCE).await.map_err(|error| match error.is_cut_off() {
        // It answered when the command began.
        true => Unusable::Unreachable(format!(
            "the node at {} went away during the command. Nothing that it has acknowledged is lost: {}",
            client.url(),
            next()
        ))
        .into(),
        false => not_answered(error),
    })
}

async fn ask<T: DeserializeOwned>(
    client: &AdminClient,
    method: Method,
    path: &str,
    patience: Duration,
) -> Result<T, NodeError> {
    client.ask(method, path, patience).await.map_err(not_answered)
}

fn not_answered(error: AskError) -> NodeError {
    const WRONG: [&str; 4] = [
        import_code::UNKNOWN_IMPORT,
        import_code::PAUSED,
        import_code::NAME_REFUSED,
        import_code::NOT_POSSIBLE,
    ];
    let what = error.to_string();
    let unusable = match &error {
        AskError::Refused { code, .. } if WRONG.contains(&code.as_str()) => Unusable::Wrong(what),
        AskError::Refused { code, .. } if code == import_code::STORE_DENIED => Unusable::Denied(what),
        AskError::Refused { code, .. } if code == import_code::STORE_FAILED => Unusable::Unreachable(what),
        AskError::Refused { code, .. } if code == "not_found" => Unusable::Failed(format!(
            "{what}; the node is of an earlier release, which has no such command for imports of buckets: update it"
        )),
        error if error.wants_other_token() => Unusable::Denied(what),
        AskError::Unreachable(..) | AskError::TimedOut(..) | AskError::Broken(..) => {
            Unusable::Unreachable(what)
        }
        _ => Unusable::Failed(what),
    };
    unusable.into()
}
