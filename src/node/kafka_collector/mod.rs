//! A collector whose log is Kafka: it takes calls and serves operators, and needs no disk.

pub mod intake;
pub mod serve;
pub(super) mod view;
mod watch;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::error::NodeError;
use super::kafka_process::Operators;
use super::listeners::{AdminAt, Bound};
use super::outside::Outside;
use crate::alarms::Alarms;
use crate::runtime::Shutdown;
use intake::{Intake, IntakeParts};

/// A collector that accepts calls.
#[derive(Debug)]
pub struct KafkaCollector {
    /// What takes the calls.
    pub intake: Intake,
    operators: Operators,
    /// The console's address for a person.
    pub console: String,
}

impl KafkaCollector {
    /// Starts. Calls get 503, and `/ready` says why, until a broker has said how many partitions the log has.
    /// Errors: [`NodeError`]: a client of Kafka cannot be made, or a listener cannot be used.
    pub fn start(
        parts: IntakeParts,
        bound: Bound,
        admin_at: &AdminAt,
        outside: &Outside,
    ) -> Result<Self, NodeError> {
        let alarms = Arc::new(Alarms::new(Arc::clone(&outside.clock), Arc::new(outside.metrics.clone())));
        let Bound { public, tls, admin } = bound;
        let intake = Intake::start(parts, (public, tls), outside, &alarms)?;
        intake.view.live.set_mode(admin_at.access.live_view);
        let (shown, live) = (Arc::clone(&intake.view) as _, Arc::clone(&intake.view.live));
        let operators = Operators::serve(shown, Some(live), (admin, admin_at), outside, &alarms)?;
        Ok(Self { intake, console: operators.console.clone(), operators })
    }

    /// Puts changed rights into force.
    pub fn set_access(&self, access: crate::admin::AccessSettings) {
        self.intake.view.live.set_mode(access.live_view);
        self.operators.set_access(access);
    }

    /// The address for calls.
    pub fn public(&self) -> SocketAddr {
        self.intake.public
    }

    /// Shuts down as [`Intake::end`] does, and ends the listener for operators.
    /// Errors: [`NodeError`]: a step of the shutdown failed.
    pub async fn end(self, drain_delay: Duration, shutdown: &Shutdown) -> Result<(), NodeError> {
        self.intake.end(drain_delay, shutdown).await?;
        self.operators.end().await
    }
}
