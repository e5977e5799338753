//! Clients: each sends its requests again until it is answered with 200.

use std::collections::BTreeMap;

use forebay::log::frame::{self, FrameKind};
use forebay::object::Stream;
use forebay::partition::block::Part;
use forebay::partition::spread;
use forebay::sources::SourceId;
use forebay::time::UnixMillis;
use forebay::words::rfc3339;

use super::env::{Env, SOURCES};
use crate::support::dice::Dice;

/// A call.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) id: u64,
    source: SourceId,
    rejected: bool,
    /// 0 if it has no id.
    fingerprint: u128,
}

#[derive(Clone, Debug, Default)]
enum Doing {
    #[default]
    Idle,
    /// The request, at which collector, and until when the client waits.
    Waits {
        request: u64,
        collector: usize,
        until: i64,
    },
    Rests {
        until: i64,
    },
}

/// A client.
#[derive(Clone, Debug)]
pub(super) struct Client {
    left: u64,
    calls: Vec<Call>,
    doing: Doing,
}

/// All clients.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    all: Vec<Client>,
    sources: Vec<SourceId>,
    /// Calls that were answered with 200.
    pub(super) acknowledged: BTreeMap<u64, Call>,
    /// A call that was sent before, to be sent by another client too.
    earlier: Vec<Call>,
}

/// A request on its way to a collector.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) id: u64,
    pub(super) calls: Vec<Call>,
}

impl Request {
    /// The source of all calls.
    pub(super) fn source(&self) -> &SourceId {
        &self.calls[0].source
    }
}

impl Clients {
    pub(super) fn new(env: &Env) -> Self {
        let names = SOURCES.into_iter().take(env.plan.spread.len());
        let client = Client { left: env.plan.requests, calls: Vec::new(), doing: Doing::Idle };
        Self {
            all: vec![client; env.plan.clients],
            sources: names.map(|name| SourceId::new(name).unwrap()).collect(),
            acknowledged: BTreeMap::new(),
            earlier: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn are_done(&self) -> bool {
        self.all.iter().all(|client| client.left == 0 && client.calls.is_empty())
    }

    /// One step of a client. Returns a request to be sent, and to which collector.
    pub(super) fn step(&mut self, at: usize, env: &mut Env) -> Option<(usize, Request)> {
        let collectors = env.plan.collectors;
        let client = &mut self.all[at];
        match client.doing {
            Doing::Waits { until, .. } if env.now >= until => {
                client.doing = Doing::Rests { until: env.now };
                return None;
            }
            Doing::Rests { until } if env.now < until => return None,
            Doing::Waits { .. } => return None,
            Doing::Idle | Doing::Rests { .. } => {}
        }
        if client.calls.is_empty() {
            if client.left == 0 {
                return None;
            }
            client.left -= 1;
            let source = env.dice.of(&self.sources);
            let count = 1 + env.dice.below(4);
            client.calls = (0..count).map(|_| new_call(env, &source)).collect();
            // Another client has the same call, as if it had been sent twice long ago.
            if env.chance(150) && !self.earlier.is_empty() {
                client.calls.push(env.dice.of(&self.earlier));
                let source = client.calls.last().unwrap().source.clone();
                client.calls.retain(|call| call.source == source);
            }
            self.earlier.extend(client.calls.iter().cloned());
        }
        let (request, collector) = (env.id(), env.dice.index(collectors));
        let patience = env.dice.of(&[3_000, 8_000, 20_000, 60_000]);
        client.doing = Doing::Waits { request, collector, until: env.now + patience };
        Some((collector, Request { id: request, calls: client.calls.clone() }))
    }

    /// The answer to a request. Clients that have given up do not hear it.
    pub(super) fn answered(&mut self, request: u64, success: bool, env: &mut Env) {
        let waits =
            |client: &&mut Client| matches!(client.doing, Doing::Waits { request: of, .. } if of == request);
        let Some(client) = self.all.iter_mut().find(waits) else { return };
        env.note("answered", &[request, u64::from(success)]);
        if success {
            let calls = std::mem::take(&mut client.calls);
            self.acknowledged.extend(calls.into_iter().map(|call| (call.id, call)));
            client.doing = Doing::Idle;
        } else {
            client.doing = Doing::Rests { until: env.now + i64::try_from(env.dice.log(10_000)).unwrap() };
        }
    }

    /// The connections to a collector are gone.
    pub(super) fn reset(&mut self, collector: usize, now: i64) {
        for client in &mut self.all {
            if matches!(client.doing, Doing::Waits { collector: of, .. } if of == collector) {
                client.doing = Doing::Rests { until: now };
            }
        }
    }
}

fn new_call(env: &mut Env, source: &SourceId) -> Call {
    let (id, without_id) = (env.id(), env.plan.without_id);
    let rejected = env.chance(100);
    let fingerprint = if rejected || env.chance(without_id) { 0 } else { u128::from(id) };
    Call { id, source: source.clone(), rejected, fingerprint }
}

/// The number of the call in a line.
pub(super) fn id_of(line: &[u8]) -> u64 {
    let text = std::str::from_utf8(line).unwrap();
    text.strip_prefix("{\"id\":").and_then(|rest| rest.split(',').next()).unwrap().parse().unwrap()
}

/// The parts of a request, as a collector builds them that knows of so many partitions.
pub(super) fn parts(
    request: &Request,
    received_at: UnixMillis,
    partitions: u32,
    env: &Env,
) -> Vec<(u32, Part)> {
    let mut by_partition: BTreeMap<u32, (Vec<u8>, u32)> = BTreeMap::new();
    let source = &request.calls[0].source;
    let spread = env.plan.spread[SOURCES.iter().position(|name| *name == source.as_str()).unwrap()];
    for call in &request.calls {
        let slot = if call.rejected { 0 } else { spread::slot(&call.id.to_le_bytes(), spread) };
        let partition = spread::partition(source, slot, partitions);
        let (bytes, items) = by_partition.entry(partition).or_default();
        let kind = if call.rejected { FrameKind::Rejected } else { FrameKind::Call };
        let start = frame::begin(bytes, kind, (Some(source), ""), received_at, None);
        let line = format!("{{\"id\":{},\"receivedAt\":\"{}\"}}", call.id, rfc3339(received_at));
        bytes.extend_from_slice(line.as_bytes());
        frame::finish(bytes, start, call.fingerprint);
        *items += 1;
    }
    let part = |(bytes, items)| Part::new(source.clone(), Stream::Calls, items, bytes);
    by_partition.into_iter().map(|(partition, of)| (partition, part(of))).collect()
}

/// A block with a frame whose checksum differs, and one that is right.
pub(super) fn half_readable(dice: &mut Dice, env_now: i64) -> Part {
    let source = SourceId::new("web").unwrap();
    let mut bytes = Vec::new();
    for _ in 0..2 {
        let kind = FrameKind::Call;
        let start = frame::begin(&mut bytes, kind, (Some(&source), ""), UnixMillis(env_now), None);
        let at = rfc3339(UnixMillis(env_now));
        bytes.extend_from_slice(format!("{{\"id\":{},\"receivedAt\":\"{at}\"}}", 900_000_000).as_bytes());
        frame::finish(&mut bytes, start, 0);
    }
    let mut part = Part::new(source, Stream::Calls, 2, bytes);
    let at = frame::FRAME_HEADER + dice.index(10);
    part.bytes[at] ^= 1;
    part
}
