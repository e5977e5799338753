//! What the deliveries of all logs of a process share: the way to the store, and everything that is bounded
//! for the process or known of a bucket.
//!
//! | | what is shared | how |
//! | --- | --- | --- |
//! | [`SharedLocations`] | slots of each location of puts | in turn (`in_turn.rs`) |
//! | [`Slots`] | look-ups of due batches, encoders, and the one measurement at a time | in turn |
//! | [`StagingMemory`] | memory for staged objects | who finds none stages in a file of its log |
//! | [`Health`] | which puts fail | a failure is kept as long as a log has an object that waits for it |
//! | [`Logs`] | gauges | they add up |
//! | [`Repeated`] | what is logged once a minute | by subject |
//!
//! Alarms are shared, too: each log raises its own, and [`Alarms`](crate::alarms::Alarms) shows one for all.

use std::sync::{Arc, Mutex};

use super::deps::DeliveryDeps;
use super::failures::health::Health;
use super::in_turn::Slots;
use super::logs::Logs;
use super::make::staging::StagingMemory;
use super::progress::Repeated;
use super::put::put_locations::SharedLocations;
use super::settings::{DeliverySettings, LOOK_UPS};
use crate::object::gzip::Cost;

/// The equipment of a process, for any number of logs.
#[derive(Debug)]
pub struct DeliveryEquipment {
    pub(super) deps: DeliveryDeps,
    pub(super) settings: DeliverySettings,
    pub(super) logs: Logs,
    pub(super) memory: StagingMemory,
    /// Limits how many due batches look up their location at once.
    pub(super) look_ups: Slots,
    /// Limits the objects that are encoded at once.
    pub(super) encoders: Slots,
    /// Limits measurements to one at a time, because none is urgent.
    pub(super) measurements: Slots,
    /// What measures, once something was measured.
    pub(super) cost: Arc<Mutex<Option<Cost>>>,
    pub(super) locations: Arc<SharedLocations>,
    pub(super) health: Arc<Mutex<Health>>,
    pub(super) repeated: Arc<Repeated>,
}

impl DeliveryEquipment {
    /// Bytes of an object, at most.
    pub fn object_bytes_max(&self) -> u64 {
        self.settings.rule.max_bytes
    }

    /// New equipment. No log uses it yet.
    pub fn new(deps: DeliveryDeps, settings: DeliverySettings) -> Arc<Self> {
        Arc::new(Self {
            logs: Logs::default(),
            memory: StagingMemory::default(),
            look_ups: Slots::new(LOOK_UPS),
            encoders: Slots::new(settings.encoders),
            measurements: Slots::new(1),
            cost: Arc::default(),
            locations: Arc::default(),
            health: Arc::default(),
            repeated: Arc::new(Repeated::new(Arc::clone(&deps.clock))),
            deps,
            settings,
        })
    }
}
