//! `forebay check`: tests whether the configuration is valid and works.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use super::args::CheckArgs;
use super::failure::Failure;
use super::paint::{BAD, FAINT, GOOD, Mark, WARNING, painted};
use super::serve::load;
use crate::check::{
    self, CheckReport, Load, Port, Reach, Settings, Shape, Speaks, SpoolSettings, Target, TlsSettings,
};
use crate::config::{Acl, Checksums, Config};
use crate::node::settings::store_settings;
use crate::object::{ExternalId, RoleArn};
use crate::runtime::{SystemClock, colour};
use crate::store::s3::{S3Settings, S3Store, Timeouts};

/// The node in the names of test objects, if neither the configuration nor the spool has one.
const NODE: &str = "check";
/// The most bytes of an IDENT file that are read.
const IDENT_MAX: usize = 4_096;
/// With fewer buckets, the check is too short for a progress display.
const PROGRESS_FROM: usize = 10;

/// The marks at the beginnings of findings.
pub(super) const MARKS: [Mark; 4] = [("  ✓", GOOD), ("  ✗", BAD), ("  !", WARNING), ("  –", FAINT)];

/// Runs every check and prints the findings.
///
/// # Errors
/// [`Failure`]: exit code 1 if a check failed, 2 if the configuration cannot be used.
pub async fn run(args: &CheckArgs, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    let (_, loaded) = load(&args.config)?;
    let config = &loaded.config;
    let node = node(config);
    let timeout = args.timeout.get();
    let defaults = Timeouts::default();
    let timeouts = Timeouts { connect: defaults.connect.min(timeout), attempt: timeout, ..defaults };
    let store = S3Store::new(S3Settings { timeouts, ..store_settings(config, &node) }).await;
    let settings = settings(args, config, node)?;
    let report = check::run(settings, store, Arc::new(SystemClock::new()), progress).await?;
    print(&report, args.json, out)?;
    match report.summary().failed {
        0 => Ok(()),
        1 => Err(Failure::failed("1 check failed")),
        failed => Err(Failure::failed(format!("{failed} checks failed"))),
    }
}

fn print(report: &CheckReport, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let text = match json {
        true => format!("{}\n", report.json()?),
        false => painted(&report.text(), &MARKS, colour::wanted(&io::stdout())),
    };
    out.write_all(text.as_bytes())?;
    Ok(())
}

fn progress(done: usize, all: usize) {
    let mut err = io::stderr().lock();
    if all < PROGRESS_FROM || !colour::is_drawable(&err) {
        return;
    }
    let end = if done == all { "\n" } else { "" };
    if let Err(error) = write!(err, "\r{done} of {all} buckets{end}").and_then(|()| err.flush()) {
        tracing::debug!(%error, "standard error cannot be written");
    }
}

fn settings(args: &CheckArgs, config: &Config, node: String) -> Result<Settings, Failure> {
    let wanted = |id: &crate::sources::SourceId| args.source.as_ref().is_none_or(|source| source == id);
    let sources = config.sources.iter().filter(|source| wanted(&source.id));
    let targets: Vec<Target> =
        check::targets(sources.map(|source| (source.id.clone(), source.destination.clone())));
    if let (true, Some(source)) = (targets.is_empty(), &args.source) {
        return Err(Failure::usage(format!("{} has no source {source}", args.config.display())));
    }
    let url = |endpoint: &Option<crate::config::Endpoint>| {
        endpoint.as_ref().map(|endpoint| endpoint.as_str().to_owned())
    };
    let reach = Reach {
        endpoint_url: url(&config.s3.endpoint),
        sts_endpoint_url: url(&config.s3.sts_endpoint),
        kms_endpoint_url: url(&config.s3.kms_endpoint),
        checksums: config.s3.checksums == Checksums::Auto,
        put: config.s3.put,
        content_encoding: config.s3.content_encoding.header().is_some(),
        tags: config.s3.object_tags,
        acl: config.s3.acl == Some(Acl::BucketOwnerFullControl),
    };
    let spool = SpoolSettings {
        dir: config.spool.dir.clone(),
        max_bytes: config.spool.max_bytes,
        segment_bytes: config.spool.segment_bytes,
        unsafe_filesystem: config.spool.unsafe_filesystem,
    };
    let tls = config.collector.tls.as_ref().map(|tls| TlsSettings {
        cert: tls.cert.clone(),
        key: tls.key.clone(),
        public_host: config.collector.public_host.clone(),
    });
    let mut external_ids: BTreeMap<RoleArn, BTreeSet<ExternalId>> = BTreeMap::new();
    for role in config.sources.iter().filter_map(|source| source.destination.role.as_ref()) {
        external_ids.entry(role.arn.clone()).or_default().insert(role.external_id.clone());
    }
    Ok(Settings {
        reach,
        targets,
        external_ids,
        session: store_settings(config, &node).session_name,
        node,
        request_payer: config.s3.request_payer,
        timeout: args.timeout.get(),
        spool,
        tls,
        ports: ports(config),
        load: expected_load(args),
        shape: shape(config),
    })
}

fn ports(config: &Config) -> Vec<Port> {
    let tls = config.collector.tls.as_ref().map(|tls| tls.listen);
    // The collector's plain listener must come first: `run::listening` uses it to recognise the TLS listener.
    let named = [
        ("listen", "collector.listen", Some(config.collector.listen), Speaks::Http),
        ("tls_listen", "collector.tls_listen", tls, Speaks::Tls),
        ("admin_listen", "admin.listen", Some(config.admin.listen), Speaks::Http),
    ];
    let port = |(check, setting, addr, speaks)| {
        let addr: Option<std::net::SocketAddr> = addr;
        Some(Port { check, setting, addr: addr?, speaks })
    };
    named.into_iter().filter_map(port).collect()
}

fn expected_load(args: &CheckArgs) -> Load {
    Load {
        calls_per_second: args.rate,
        call_bytes: args.call_bytes.0,
        outage_seconds: args.outage.get().as_secs(),
    }
}

fn shape(config: &Config) -> Shape {
    Shape {
        encryptions: config.sources.iter().map(|source| source.destination.encryption.clone()).collect(),
        object_bytes: config.flush.max_bytes,
        max_age_seconds: config.flush.max_age.as_secs(),
        spool_bytes: config.spool.max_bytes,
        disk_bytes: None,
        segment_bytes: config.spool.segment_bytes,
    }
}

/// The node id that the collector would choose, as far as it is known without opening the spool.
pub(super) fn node(config: &Config) -> String {
    let set = config.spool.node.as_ref().map(|node| node.as_str().to_owned());
    set.or_else(|| node_of_spool(&config.spool.dir)).unwrap_or_else(|| NODE.to_owned())
}

/// Ignores the lock of a running collector, because the file never changes.
fn node_of_spool(dir: &Path) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Ident {
        spool_id: String,
    }
    ["IDENT", "IDENT.copy"].iter().find_map(|name| {
        let bytes = fs::read(dir.join(name)).ok().filter(|bytes| bytes.len() <= IDENT_MAX)?;
        let ident: Ident = serde_json::from_slice(&bytes).ok()?;
        let node = ident.spool_id.get(..8)?;
        node.bytes().all(|b| b.is_ascii_hexdigit()).then(|| node.to_owned())
    })
}
