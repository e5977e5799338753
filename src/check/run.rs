//! One run: access, every bucket, this machine, the estimate.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};

use super::access::{self, Identity};
use super::clock::{self, Reading};
use super::estimate::{self, Load, Shape};
use super::finding::{CheckFinding, Trial};
use super::holder::Held;
use super::location::{self, Common};
use super::ports::{self, Port, PortUse};
use super::probe;
use super::probe::aws::Aws;
use super::report::{CheckReport, Group};
use super::spool::SpoolSettings;
use super::subject::{LocationUnderCheck, Reach};
use super::surroundings;
use super::tls::TlsSettings;
use crate::object::{ExternalId, RoleArn};
use crate::store::s3::S3Store;
use crate::time::{Clock, UnixMillis};

/// The most buckets checked at once. Each sends one request at a time.
const AT_ONCE: usize = 8;

/// What to check.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How buckets are reached.
    pub reach: Reach,
    /// The buckets.
    pub locations: Vec<LocationUnderCheck>,
    /// The external ids for each role, of all sources and not only of those that are checked: a trust policy
    /// names them all.
    pub external_ids: BTreeMap<RoleArn, BTreeSet<ExternalId>>,
    /// The node id, which is part of the test objects' names.
    pub node: String,
    /// The name of sessions of assumed roles.
    pub session: String,
    /// Whether the requester pays.
    pub request_payer: bool,
    /// How long one request may take.
    pub timeout: Duration,
    /// The spool. `None`: the log is in Kafka, of which `forebay kafka check` tells.
    pub spool: Option<SpoolSettings>,
    /// The TLS files, if configured.
    pub tls: Option<TlsSettings>,
    /// The addresses to listen on: the collector, its TLS listener, and the admin listener.
    pub ports: Vec<Port>,
    /// The load to estimate.
    pub load: Load,
    /// The relevant configuration for the estimate. The free space of the disk is measured.
    pub shape: Shape,
}

/// Runs every check. `progress` is called with the number of finished buckets and the total number.
/// Errors: a check panicked.
pub async fn run(
    settings: Settings,
    store: S3Store,
    clock: Arc<dyn Clock>,
    progress: impl Fn(usize, usize),
) -> Result<CheckReport, JoinError> {
    let aws = Aws {
        store: Arc::new(store),
        clock: Arc::clone(&clock),
        timeout: settings.timeout,
        kms_endpoint_url: settings.reach.kms_endpoint_url.clone(),
        request_payer: settings.request_payer,
    };
    let has_spool = settings.spool.is_some();
    let (mut groups, mut reading) = (Vec::new(), None);
    // A collector in front of Kafka has neither buckets nor credentials.
    if has_spool || !settings.locations.is_empty() {
        let has_role = settings.locations.iter().any(|under_check| under_check.location.role.is_some());
        let found = aws.credentials().await;
        let identity = match &found {
            Ok(_) if settings.reach.has_token_service() || has_role => aws.identity().await,
            _ => Identity::NotAsked,
        };
        let mut access = vec![access::credentials(found.as_ref())];
        access.push(match &found {
            Ok(_) => access::identity(&identity, &aws.token_region(), has_role),
            Err(_) => access::nobody(),
        });
        if let Some(proxy) = aws.store.proxy() {
            access.push(surroundings::proxy(&proxy, &probe::proxy::connect(&proxy, settings.timeout).await));
        }
        access.extend(surroundings::transport(&settings.reach));
        let common = Arc::new(Common {
            external_ids: settings.external_ids,
            aws,
            reach: settings.reach,
            node: settings.node,
            session: settings.session,
            credentials: found.map(drop),
            identity,
        });
        groups.push(Group::new("access", access));
        let checked;
        (checked, reading) = locations(common, settings.locations, clock.wall(), progress).await?;
        groups.extend(checked);
    }
    let listening = listening(&settings.ports).await;
    let (findings, disk_bytes) = machine(settings.spool, settings.tls, clock, reading, listening).await?;
    groups.push(Group::new("this machine", findings));
    let estimate =
        has_spool.then(|| estimate::estimate(settings.load, &Shape { disk_bytes, ..settings.shape }));
    groups.push(match &estimate {
        Some(estimate) => Group::new("load", vec![estimate::judge(estimate)]),
        None => log_in_kafka(),
    });
    Ok(CheckReport { groups, estimate })
}

/// What this check does not look at if the log is in Kafka.
pub(super) fn log_in_kafka() -> Group {
    let elsewhere = Trial::new("kafka", "nothing").not_tested(
        "not tested: brokers, topics, rights and cache; `forebay kafka check` with the same file tests them",
    );
    Group::new("the log", vec![elsewhere])
}

/// Checks every bucket, several at once. Returns the findings in order, and the first answer with a
/// time.
async fn locations(
    common: Arc<Common>,
    locations: Vec<LocationUnderCheck>,
    at: UnixMillis,
    progress: impl Fn(usize, usize),
) -> Result<(Vec<Group>, Option<Reading>), JoinError> {
    let all = locations.len();
    let mut roles = BTreeSet::new();
    let mut waiting = locations.into_iter().enumerate();
    let mut running = JoinSet::new();
    let mut done = BTreeMap::new();
    progress(0, all);
    loop {
        while running.len() < AT_ONCE
            && let Some((index, under_check)) = waiting.next()
        {
            let first = under_check.location.role.as_ref().is_some_and(|role| roles.insert(role.arn.clone()));
            let common = Arc::clone(&common);
            // A different name for each object, even in the same bucket.
            let at = at.plus(Duration::from_millis(index as u64));
            running.spawn(async move { (index, location::check(&common, &under_check, at, first).await) });
        }
        let Some(ended) = running.join_next().await else { break };
        let (index, checked) = ended?;
        done.insert(index, checked);
        progress(done.len(), all);
    }
    let (groups, readings): (Vec<Group>, Vec<Option<Reading>>) = done.into_values().unzip();
    Ok((groups, readings.into_iter().flatten().next()))
}

/// The findings about the clock, the files and the addresses of this machine, and how many bytes of spool its
/// disk can hold, if known.
async fn machine(
    spool: Option<SpoolSettings>,
    tls: Option<TlsSettings>,
    clock: Arc<dyn Clock>,
    reading: Option<Reading>,
    listening: Vec<(Port, PortUse)>,
) -> Result<(Vec<CheckFinding>, Option<u64>), JoinError> {
    let mut findings = vec![clock::difference(reading.as_ref())];
    let files = move || {
        let mut findings = Vec::new();
        // Whoever listens at an address may be a process of this configuration.
        let (mut held, mut room) = (Held::By(None), None);
        if let Some(spool) = &spool {
            let facts = probe::spool::look(&spool.dir, &*clock);
            (held, room) = (facts.held(), facts.room());
            findings = super::spool::judge(spool, &facts, listens(&held, &listening));
        }
        if let Some(tls) = &tls {
            findings.extend(super::tls::judge(tls, &probe::tls::look(tls), clock.wall()));
        }
        findings.extend(listening.iter().map(|(port, found)| ports::judge(port, found, &held)));
        (findings, room)
    };
    let (of_files, disk_bytes) = tokio::task::spawn_blocking(files).await?;
    findings.extend(of_files);
    Ok((findings, disk_bytes))
}

/// Whether the process that holds the spool listens at one of the addresses. `None`: this cannot be seen.
fn listens(spool: &Held, listening: &[(Port, PortUse)]) -> Option<bool> {
    let each = || listening.iter().map(|(_, found)| found.held().with(spool));
    if each().any(|same| same == Some(true)) {
        return Some(true);
    }
    if each().any(|same| same.is_none()) { None } else { Some(false) }
}

/// A TLS listener cannot be identified directly: it counts as Forebay's if the plain listener before it is
/// Forebay's.
async fn listening(ports: &[Port]) -> Vec<(Port, PortUse)> {
    let mut all = Vec::new();
    let mut collector_runs = false;
    for port in ports {
        let found = match (probe::ports::look(port.addr).await, port.tls) {
            (PortUse::Taken { by, .. }, true) => PortUse::Taken { by_forebay: collector_runs, by },
            (found, _) => found,
        };
        collector_runs |= matches!(found, PortUse::Taken { by_forebay: true, .. });
        all.push((*port, found));
    }
    all
}
