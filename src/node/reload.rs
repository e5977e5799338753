//! Applies a changed configuration to a running node.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use super::bucket_imports::plans;
use super::error::NodeError;
use super::import_sources::Configured;
use super::running::Node;
use super::sdk_keys::{self, SdkKeys};
use super::settings::{access, policy};
use super::setup::Setup;
use crate::admin;
use crate::alarms::{AlarmKind, Alarms};
use crate::config::{Config, ConfigError, ConfigValue, Loaded, reload};
use crate::import::Importer;
use crate::lock::write;
use crate::log::SetLocations;
use crate::object::S3Location;
use crate::planted_bugs::{PlantedPanic, panic_if_planted};
use crate::sources::SourceId;
use crate::tasks::{Panicked, RESTARTS, Supervised, caught_now};
use crate::words::outside_text_within;

/// How much of the problems of a configuration an alarm shows, in bytes. The log has all.
const SHOWN_MAX: usize = 400;

/// The subjects of alarms about a changed configuration.
pub(super) const FILE: &str = "file";
pub(super) const DESTINATIONS: &str = "destinations";
pub(super) const TLS_FILES: &str = "TLS files";

/// Says in an alarm that something changed is not in force, or clears it.
pub(super) fn note_change(alarms: &Alarms, subject: &str, failed: Option<&str>) {
    match failed {
        None => alarms.clear(AlarmKind::Configuration, subject),
        Some(what) => {
            let what = what.split_whitespace().collect::<Vec<_>>().join(" ");
            let what = outside_text_within(&what, SHOWN_MAX);
            let what = format!("the change is not in force, and what was in force before stays so: {what}");
            alarms.raise(AlarmKind::Configuration, subject, what);
        }
    }
}

/// What notices panics of [`take_over_caught`].
pub(super) fn supervised_reload(node: &Node) -> Supervised {
    Supervised::new(&node.engine.view.alarms, "configuration")
        .with_restarts(u32::MAX, RESTARTS)
        .with_consequence(
            "the running configuration stays in force, but parts of the changed one may have been applied",
        )
}

/// Like [`take_over`], but a panic has no effect: the running configuration stays in force.
pub(super) fn take_over_caught(
    reload: &mut Supervised,
    node: &Node,
    importer: &Importer,
    current: Loaded,
    new: Result<Loaded, ConfigError>,
) -> Loaded {
    let before = current.clone();
    match caught_now(|| take_over(node, importer, current, new)) {
        Ok(in_force) => {
            reload.sound();
            in_force
        }
        Err(Panicked) => {
            reload.panicked();
            before
        }
    }
}

/// Applies a new configuration, as far as possible while running. Returns the configuration in force.
fn take_over(node: &Node, importer: &Importer, current: Loaded, new: Result<Loaded, ConfigError>) -> Loaded {
    let loaded = match new {
        Ok(loaded) => loaded,
        Err(error) => {
            note_change(&node.engine.view.alarms, FILE, Some(&error.to_string()));
            tracing::error!(
                "the changed configuration cannot be used, the running one stays in force: {error}"
            );
            return current;
        }
    };
    let changes = reload::diff(&current.config, &loaded.config);
    if changes.is_empty() {
        note_change(&node.engine.view.alarms, FILE, None);
        return current;
    }
    let after = current.after_reload(loaded);
    let next = &after.config;
    panic_if_planted(PlantedPanic::TakeOver);
    // The buckets are recorded before the first frame for them can arrive, and no source is forgotten in
    // between.
    let ids = |config: &Config| config.sources.iter().map(|source| source.id.clone()).collect();
    let kept = ids(next);
    write(&node.engine.view.removed).keep(kept);
    if let Err(failure) = note_locations(&*node.engine.spool.locations(), next) {
        tracing::error!("the changed configuration is not applied: {failure}");
        note_change(&node.engine.view.alarms, FILE, Some(&failure.to_string()));
        node.set_configured(ids(&current.config));
        return current;
    }
    node.collector.reload(policy(next));
    let access = access(next);
    node.engine.view.live.set_mode(access.live_view);
    node.gate.set(access);
    importer.set_sources(Arc::new(Configured::new(next)));
    node.set_imports(plans(next));
    node.set_configured(ids(next));
    node.set_setup(setup(&after, node));
    note_change(&node.engine.view.alarms, FILE, None);
    tracing::info!("configuration reloaded: {changes}");
    after
}

pub(super) fn note_locations(locations: &dyn SetLocations, config: &Config) -> Result<(), NodeError> {
    let wanted =
        || config.sources.iter().filter_map(|source| Some((source.id.clone(), source.location.clone()?)));
    let same_place = |(source, to): &(SourceId, S3Location)| {
        locations.current_location(source).is_some_and(|noted| noted.bucket == to.bucket)
    };
    let staying: BTreeSet<SourceId> = wanted().filter(same_place).map(|(source, _)| source).collect();
    for source in locations.set_locations(wanted().collect())? {
        if staying.contains(&source) {
            tracing::info!(%source, "the settings of the source's bucket have changed; they apply to waiting objects, too");
        } else {
            tracing::info!(%source, "the source's bucket has changed; earlier calls are delivered to the old bucket now");
        }
    }
    Ok(())
}

/// The settings with which a node was started, for its operator.
pub(super) fn setup(loaded: &Loaded, node: &Node) -> Setup {
    let spool_dir = Some(loaded.config.spool.dir.display().to_string());
    Setup { spool_dir, ..setup_at(loaded, Some(node.public), node.tls) }
}

/// The same for a process with these addresses, without a spool. One that takes no calls has none for SDKs.
pub(super) fn setup_at(loaded: &Loaded, public: Option<SocketAddr>, tls: Option<SocketAddr>) -> Setup {
    let config = &loaded.config;
    let shown = |value: ConfigValue| admin::ConfigValue {
        name: value.name,
        value: value.value,
        from: value.from.name().to_owned(),
    };
    Setup {
        spool_dir: None,
        config: loaded.values().into_iter().map(shown).collect(),
        sdk_address: public.map(|at| sdk_keys::address(&config.collector, at, tls)).unwrap_or_default(),
        sdk_keys: SdkKeys::of(&config.sources),
        dev: false,
    }
}
