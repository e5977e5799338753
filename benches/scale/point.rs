//! One measurement: calls are taken for some seconds, and then delivered.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::Args;
use crate::disk;
use crate::load::bodies::Form;
use crate::load::{self, Bodies, Generator, Load, Outcome, Pace};
use crate::node::{Node, Setup};
use crate::path::{self, Through};
use crate::process::on_cores;

/// An unmeasured first part of the load, in which all connections are accepted and the processor speeds up.
const RUN_UP: Duration = Duration::from_millis(500);
const FLOOR: Duration = Duration::from_millis(500);
/// The largest number of bytes of requests in flight: no more than the queue of writes to the disk accepts at
/// once.
const UNDER_WAY_MAX: usize = 16_000_000;

/// How a point is measured.
#[derive(Debug)]
pub(crate) struct Point {
    /// Open connections.
    pub(crate) connections: usize,
    /// The largest number of connections with a request in flight at a time.
    pub(crate) active: usize,
    /// When requests are sent.
    pub(crate) pace: Pace,
    /// The cores of the load generator.
    pub(crate) cores: &'static [usize],
    bodies: Arc<Bodies>,
    lasting: Duration,
    /// CPU of a call in the floor F, in microseconds: how fast the machine is at this time.
    floor_us: f64,
}

/// The figures of a point.
#[derive(Debug)]
pub(crate) struct Measured {
    /// The answers.
    taken: Outcome,
    /// Calls of the run-up, which are delivered along with the others.
    calls_before: u64,
    cpu: Duration,
    peak_rss: u64,
    spool_bytes: f64,
    /// Bytes written to the spool's disk by all processes; `None` if it is not a disk.
    disk_bytes: Option<u64>,
    delivered: Option<Delivered>,
}

/// The cost of delivering the rest, after the last answer.
#[derive(Debug)]
struct Delivered {
    took: Duration,
    cpu: Duration,
    peak_rss: u64,
    objects: f64,
}

impl Point {
    /// Closed loop. Also measures the floor.
    pub(crate) fn new(
        args: &Args,
        bodies: &Arc<Bodies>,
        connections: usize,
        cores: &'static [usize],
    ) -> Self {
        let floor = on_cores(cores, || path::run(bodies, Through::Gzip, FLOOR));
        Self {
            connections,
            active: connections,
            pace: Pace::Closed,
            cores,
            bodies: Arc::clone(bodies),
            lasting: Duration::from_secs(args.seconds),
            floor_us: floor.cpu_us(),
        }
    }

    /// Sends for so long.
    pub(crate) fn send(&self, node: &Node, setup: &Setup<'_>, lasting: Duration) -> io::Result<Outcome> {
        on_cores(self.cores, || load::run(&self.load(node, setup, lasting), &self.bodies))
    }

    fn load(&self, node: &Node, setup: &Setup<'_>, lasting: Duration) -> Load {
        let longest = self.bodies.iter().map(<[u8]>::len).max().unwrap_or(1);
        let form = if self.bodies.calls_per_request() == 1 { Form::Single } else { Form::Envelope };
        Load {
            target: node.target(form.path()),
            connections: self.connections,
            active: self.active.min(UNDER_WAY_MAX / longest),
            write_keys: setup.write_keys(),
            pace: self.pace,
            lasting,
            acked: None,
        }
    }

    /// Sends, and measures meanwhile.
    pub(crate) fn take(&self, node: &Node, setup: &Setup<'_>) -> io::Result<Measured> {
        let load = self.load(node, setup, self.lasting);
        let spool_bytes = |node: &Node| node.metric("forebay_spool_written_bytes_total");
        on_cores(self.cores, || {
            // Connections are opened and closed outside the measurement.
            let mut generator = Generator::open(&load)?;
            let before =
                generator.run(&Load { lasting: RUN_UP, pace: Pace::Closed, ..load.clone() }, &self.bodies)?;
            let spool_before = spool_bytes(node);
            let (cpu, disk_bytes) = (node.collector.cpu(), disk::written(setup.spool));
            node.collector.reset_peak_rss();
            let taken = generator.run(&load, &self.bodies)?;
            let cpu = node.collector.cpu().saturating_sub(cpu);
            let disk_bytes = disk::written(setup.spool).zip(disk_bytes).map(|(now, before)| now - before);
            let peak_rss = node.collector.peak_rss();
            let spool_bytes = spool_bytes(node) - spool_before;
            Ok(Measured {
                calls_before: before.calls,
                taken,
                cpu,
                peak_rss,
                spool_bytes,
                disk_bytes,
                delivered: None,
            })
        })
    }

    /// Delivers a backlog of so many calls.
    #[expect(clippy::cast_precision_loss, reason = "calls of a backlog")]
    pub(crate) fn drain(&self, node: &Node, calls: u64) -> Value {
        let delivered = delivered(node);
        let calls_per_s = calls as f64 / delivered.took.as_secs_f64();
        json!({
            "calls": calls,
            "calls_per_s": calls_per_s,
            "cpu_us": delivered.cpu.as_secs_f64() * 1e6 / calls as f64,
            "peak_rss_mb": delivered.peak_rss as f64 / 1e6,
            "objects": delivered.objects,
        })
    }

    /// The line of a measurement: its parameters and its figures.
    pub(crate) fn described(&self, curve: &str, round: usize, at: u64, figures: Value) -> Value {
        let mut line = json!({
            "curve": curve,
            "at": at,
            "round": round,
            "calls_per_request": self.bodies.calls_per_request(),
            "connections": self.connections,
            "floor_us": self.floor_us,
        });
        if let (Some(line), Value::Object(figures)) = (line.as_object_mut(), figures) {
            line.extend(figures);
        }
        line
    }
}

fn delivered(node: &Node) -> Delivered {
    let objects = node.metric("forebay_objects_total");
    node.collector.reset_peak_rss();
    let (cpu, began) = (node.collector.cpu(), load::now());
    node.flush();
    let (took, cpu) = (began.elapsed(), node.collector.cpu().saturating_sub(cpu));
    let peak_rss = node.collector.peak_rss();
    let objects = node.metric("forebay_objects_total") - objects;
    Delivered { took, cpu, peak_rss, objects }
}

#[expect(clippy::cast_precision_loss, reason = "counts and bytes of some seconds")]
impl Measured {
    /// Waits until everything is delivered, and measures meanwhile.
    pub(crate) fn deliver(&mut self, node: &Node) {
        self.delivered = Some(delivered(node));
    }

    /// The figures: while calls are taken, and including the delivery of the rest.
    pub(crate) fn json(&self) -> Value {
        let calls = self.taken.calls as f64;
        let us = |cpu: Duration| cpu.as_secs_f64() * 1e6 / calls;
        let mut figures = json!({
            "calls": self.taken.calls,
            "refused": self.taken.refused,
            "calls_per_s": self.taken.calls_per_second(),
            "cpu_us": us(self.cpu),
            "p50_ms": self.taken.latency_ms(0.5),
            "p99_ms": self.taken.latency_ms(0.99),
            "peak_rss_mb": self.peak_rss as f64 / 1e6,
            "spool_bytes_per_call": self.spool_bytes / calls,
            "disk_bytes_per_call": self.disk_bytes.map(|bytes| bytes as f64 / calls),
        });
        if let (Some(figures), Some(delivered)) = (figures.as_object_mut(), &self.delivered) {
            let all = (self.calls_before + self.taken.calls) as f64;
            let delivered_us = delivered.cpu.as_secs_f64() * 1e6 / all;
            figures.insert("delivering_cpu_us".to_owned(), json!(delivered_us));
            figures.insert("delivering_s".to_owned(), json!(delivered.took.as_secs_f64()));
            figures.insert("delivering_peak_rss_mb".to_owned(), json!(delivered.peak_rss as f64 / 1e6));
            figures.insert("delivering_objects".to_owned(), json!(delivered.objects));
            let delivered_per_s = calls / (self.taken.took + delivered.took).as_secs_f64();
            figures.insert("delivered_calls_per_s".to_owned(), json!(delivered_per_s));
        }
        figures
    }
}
