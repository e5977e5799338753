//! A collector under load with something beside it, as the benches `viewers` and `destinations` measure it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::load::bodies::Form;
use crate::load::{Bodies, Load, Outcome, Pace, run};
use crate::node::{Node, Setup};
use crate::process::on_cores;

/// What is measured.
#[derive(Debug)]
pub(crate) struct Beside<'a> {
    /// The program.
    pub(crate) program: &'a Path,
    /// The directory for the spool and the bucket, each in one of its own.
    pub(crate) dir: &'a Path,
    /// The cores of the collector.
    pub(crate) cores: &'a [usize],
    /// The cores of the S3 server.
    pub(crate) s3_cores: &'a [usize],
    /// More sections for the configuration.
    pub(crate) more: &'a str,
    /// Calls per request.
    pub(crate) calls: usize,
    /// Seconds of load.
    pub(crate) seconds: u64,
    /// `spool.max_bytes`.
    pub(crate) spool_max: &'a str,
}

impl Beside<'_> {
    /// Starts a collector, and measures it with a load that is as much as it takes.
    pub(crate) fn measure<T>(&self, measure: impl FnOnce(&Node, &Load) -> T) -> T {
        let (dir, spool) = (self.directory(), self.directory());
        let setup = Setup {
            program: self.program,
            dir: dir.path(),
            spool: spool.path(),
            cores: self.cores,
            s3_cores: self.s3_cores,
            sources: 4,
            tls: false,
            flush_bytes: 2_000_000,
            spool_max: self.spool_max,
        };
        let node = Node::start_with(&setup, self.more);
        let path = if self.calls == 1 { Form::Single.path() } else { Form::Envelope.path() };
        let load = Load {
            target: node.target(path),
            connections: 64,
            active: 64,
            write_keys: setup.write_keys(),
            pace: Pace::Closed,
            lasting: Duration::from_secs(self.seconds),
            acked: None,
        };
        measure(&node, &load)
    }

    fn directory(&self) -> tempfile::TempDir {
        tempfile::Builder::new().prefix("forebay-bench-").tempdir_in(self.dir).expect("a directory")
    }
}

/// Runs a load on these cores.
pub(crate) fn generate(cores: &[usize], load: &Load, bodies: &Arc<Bodies>) -> Outcome {
    on_cores(cores, || run(load, bodies)).expect("the load reaches the server")
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
