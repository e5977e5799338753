//! The curves, and how the state of each point is reached.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::Args;
use crate::load::{Bodies, Pace};
use crate::node::{Node, SPOOL_MAX, Setup};
use crate::point::Point;

/// The collector's core.
const CORE: &[usize] = &[0];
/// The core of the load generator and of the S3 server.
const OTHER_CORE: &[usize] = &[1];
const BOTH: &[usize] = &[0, 1];
/// Long enough for the spool to start reusing its segments.
const WARM_UP: Duration = Duration::from_secs(2);
const CONNECTIONS: usize = 64;
const SOURCES: usize = 4;
/// The sources of the curve `backlog`, so many that no object becomes full before the last point; and those
/// of `objects`, each of which leaves an object at each flush.
const MANY_SOURCES: usize = 64;
const SOURCES_THAT_FILL: usize = 1_000;
/// Objects are cut all the time.
const FLUSH_OFTEN: u64 = 2_000_000;
/// No object becomes full while calls are taken: all batches stay open until the end.
const FLUSH_LATE: u64 = 1_000_000_000;
const GB: f64 = 1e9;
/// The time between two checks of the spool's size.
const FILLING: Duration = Duration::from_secs(1);

/// What grows from point to point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Curve {
    /// Sources, each with an open batch; then all are flushed.
    Sources,
    /// Open connections, with the same number active at a time.
    Open,
    /// Connections that take turns in sending at the same total rate.
    Active,
    /// Objects in the bucket.
    Objects,
    /// Cores for everything: generator, collector and S3 server.
    Cores,
    /// GB in the spool, while the store is cut off.
    Backlog,
    /// GB in the spool that are then delivered.
    Drain,
}

impl Curve {
    fn points(self, args: &Args) -> &[u64] {
        if !args.points.is_empty() {
            return &args.points;
        }
        match self {
            Self::Sources => &[1, 10, 100, 1_000, 10_000],
            Self::Open | Self::Active => &[64, 1_000, 5_000, 10_000],
            Self::Objects => &[0, 1_000, 10_000],
            Self::Cores => &[1, 2],
            Self::Backlog => &[0, 1, 3, 10],
            Self::Drain => &[1, 3, 10],
        }
    }

    /// Calls per request: if there are many connections, each stands for a device that sends one call.
    fn calls(self) -> usize {
        match self {
            Self::Open | Self::Active => 1,
            Self::Sources | Self::Objects | Self::Cores | Self::Backlog | Self::Drain => 100,
        }
    }

    /// All points, all rounds.
    ///
    /// # Errors
    /// If a line cannot be written.
    pub(crate) fn measure(self, args: &Args) -> io::Result<()> {
        let bodies = &Arc::new(Bodies::new(args.calls.unwrap_or(self.calls())));
        for round in 1..=args.rounds {
            match self {
                Self::Objects => objects(self.points(args), round, args, bodies)?,
                Self::Backlog => backlog(self.points(args), round, args, bodies)?,
                Self::Drain => {
                    for at in self.points(args) {
                        drain(*at, round, args, bodies)?;
                    }
                }
                Self::Sources | Self::Open | Self::Active | Self::Cores => {
                    let mut points = self.points(args).to_vec();
                    if round % 2 == 0 {
                        points.reverse();
                    }
                    for at in points {
                        self.fresh(at, round, args, bodies)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Measures a point with a fresh node.
    fn fresh(self, at: u64, round: usize, args: &Args, bodies: &Arc<Bodies>) -> io::Result<()> {
        let count = usize::try_from(at).map_err(io::Error::other)?;
        let (dir, spool) = (directory(&args.memory_dir), directory(&args.dir));
        let mut setup = setup(args, dir.path(), spool.path());
        let mut point = Point::new(args, bodies, CONNECTIONS, OTHER_CORE);
        match self {
            Self::Sources => (setup.sources, setup.flush_bytes) = (count, FLUSH_LATE),
            Self::Open => point.connections = count,
            Self::Active => {
                (point.connections, point.active) = (count, count);
                point.pace = Pace::Open { requests_per_second: args.rate };
            }
            Self::Cores => {
                let cores = if at == 1 { CORE } else { BOTH };
                (setup.cores, setup.s3_cores, point.cores) = (cores, cores, cores);
            }
            Self::Objects | Self::Backlog | Self::Drain => {}
        }
        let node = Node::start(&setup);
        point.send(&node, &setup, WARM_UP)?;
        node.flush();
        let mut measured = point.take(&node, &setup)?;
        measured.deliver(&node);
        tell(args, self, round, at, &point, measured.json())
    }
}

/// One node, whose bucket gets more and more objects.
fn objects(points: &[u64], round: usize, args: &Args, bodies: &Arc<Bodies>) -> io::Result<()> {
    let (dir, spool) = (directory(&args.memory_dir), directory(&args.dir));
    let setup = Setup { sources: SOURCES_THAT_FILL, ..setup(args, dir.path(), spool.path()) };
    // The measured calls come from a few sources, so that their objects have the same size at each point.
    let few = Setup { sources: SOURCES, ..setup.clone() };
    let node = Node::start(&setup);
    let point = Point::new(args, bodies, CONNECTIONS, OTHER_CORE);
    let filler = Point::new(args, &Arc::new(Bodies::starting_at(1, 1 << 47)), CONNECTIONS, OTHER_CORE);
    point.send(&node, &few, WARM_UP)?;
    node.flush();
    for at in points {
        #[expect(clippy::cast_precision_loss, reason = "thousands of objects")]
        let wanted = *at as f64;
        while stored_objects(&node) < wanted {
            filler.send(&node, &setup, Duration::from_millis(200))?;
            node.flush();
        }
        let there = stored_objects(&node);
        let mut measured = point.take(&node, &few)?;
        measured.deliver(&node);
        let figures = with(measured.json(), "objects_before", there);
        tell(args, Curve::Objects, round, *at, &point, figures)?;
    }
    Ok(())
}

/// One node, whose spool fills up while the store is cut off.
fn backlog(points: &[u64], round: usize, args: &Args, bodies: &Arc<Bodies>) -> io::Result<()> {
    let (dir, spool) = (directory(&args.memory_dir), directory(&args.dir));
    let setup = undisturbed(args, dir.path(), spool.path());
    let mut node = Node::start(&setup);
    let point = Point::new(args, bodies, CONNECTIONS, OTHER_CORE);
    node.cut_store_off();
    for at in points {
        fill(&node, &setup, &point, *at)?;
        let there = backlog_gb(&node);
        let figures = with(point.take(&node, &setup)?.json(), "gb_before", there);
        tell(args, Curve::Backlog, round, *at, &point, figures)?;
    }
    Ok(())
}

/// A node that has so many GB to deliver.
fn drain(at: u64, round: usize, args: &Args, bodies: &Arc<Bodies>) -> io::Result<()> {
    let (dir, spool) = (directory(&args.memory_dir), directory(&args.dir));
    let setup = undisturbed(args, dir.path(), spool.path());
    let mut node = Node::start(&setup);
    let point = Point::new(args, bodies, CONNECTIONS, OTHER_CORE);
    node.cut_store_off();
    let calls = fill(&node, &setup, &point, at)?;
    node.bring_store_back();
    tell(args, Curve::Drain, round, at, &point, point.drain(&node, calls))
}

fn undisturbed<'s>(args: &'s Args, dir: &'s Path, spool: &'s Path) -> Setup<'s> {
    Setup { sources: MANY_SOURCES, flush_bytes: FLUSH_LATE, ..setup(args, dir, spool) }
}

/// Sends until so many GB are in the spool. Returns how many calls that took.
fn fill(node: &Node, setup: &Setup<'_>, point: &Point, gb: u64) -> io::Result<u64> {
    #[expect(clippy::cast_precision_loss, reason = "some gigabytes")]
    let wanted = gb as f64;
    let mut calls = 0;
    while backlog_gb(node) < wanted {
        calls += point.send(node, setup, FILLING)?.calls;
    }
    Ok(calls)
}

fn stored_objects(node: &Node) -> f64 {
    node.metric("forebay_objects_total")
}

fn backlog_gb(node: &Node) -> f64 {
    node.metric("forebay_spool_bytes") / GB
}

fn setup<'s>(args: &'s Args, dir: &'s Path, spool: &'s Path) -> Setup<'s> {
    Setup {
        program: &args.program,
        dir,
        spool,
        cores: CORE,
        s3_cores: OTHER_CORE,
        sources: SOURCES,
        tls: false,
        flush_bytes: FLUSH_OFTEN,
        spool_max: SPOOL_MAX,
    }
}

fn directory(within: &Path) -> tempfile::TempDir {
    tempfile::Builder::new().prefix("scale-").tempdir_in(within).expect("a directory")
}

fn with(mut figures: Value, name: &str, value: f64) -> Value {
    figures[name] = json!(value);
    figures
}

fn tell(args: &Args, curve: Curve, round: usize, at: u64, point: &Point, figures: Value) -> io::Result<()> {
    let name = curve.to_possible_value().expect("a name on the command line");
    args.tell(&point.described(name.get_name(), round, at, figures))
}
