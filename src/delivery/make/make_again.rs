//! Makes a sealed object again from the spool: after a restart, or if the store received other bytes.

use std::sync::Arc;

use super::encode::{self, Made, Object};
use super::staging::Staged;
use crate::delivery::blocking::blocking;
use crate::delivery::failures::damage::raise_amended;
use crate::delivery::put::sealed_object::{Form, SealedObject};
use crate::delivery::shared::Shared;
use crate::log::{Amend, Encoded, PendingSeal, Stopped};
use crate::planted_bugs::{PlantedBug, planted};

impl SealedObject<'_> {
    /// Finds the parked object, or makes it again. If that fails, the object has no form.
    pub(in crate::delivery) async fn find_form(&mut self, pending: PendingSeal) -> Result<(), Stopped> {
        self.form = match pending.parked {
            Some(_) => Some(Form::Parked),
            None => {
                let shared = Arc::clone(self.shared);
                let Some(encoder) = self.shared.encoders.take().await else { return Ok(()) };
                let work = move || {
                    let _encoder = encoder;
                    make_again(&shared, &pending)
                };
                blocking(self.shared, work).await?.map(Form::Staged)
            }
        };
        Ok(())
    }
}

/// Makes a sealed object again. If some of the sealed lines are lost, the remainder is noted before it is
/// put. If no lines are left, the object is put empty, so that the chain of the batch's objects stays whole.
fn make_again(shared: &Shared, pending: &PendingSeal) -> Result<Option<Staged>, Stopped> {
    let seal = &pending.seal;
    let log = &shared.deps.log;
    let made =
        encode::encode_again(&**log, &shared.staging, &*shared.deps.clock, seal).and_then(
            |made| match made {
                Made::Object(object) => Ok(*object),
                Made::Nothing(mut lost) => {
                    // The positions of a missing segment are not known.
                    if lost.is_empty() {
                        lost = log.lost_of(seal);
                    }
                    encode::nothing_of(&shared.staging, seal, lost)
                }
            },
        );
    let Object { encoded, staged, lost } = match made {
        Ok(object) => object,
        Err(error) => {
            let why = format!("make object {} again from the spool: {error}", seal.object_key);
            if let Some(line) = shared.repeated.happened("make again", seal.batch.source.as_str()) {
                tracing::warn!(times = line.times, others = line.others, "{why}");
            }
            shared.waits(&seal.batch.source, why);
            return Ok(None);
        }
    };
    if encoded.sha256 != pending.sha256() && !planted(PlantedBug::NewRangeOnRetry) {
        tracing::error!(
            seal = seal.number,
            left = encoded.frames,
            of = seal.frames,
            ?lost,
            "lines of a sealed object were damaged in the spool before the store confirmed the object; the remaining lines are \
             delivered"
        );
        let Encoded { frames, bytes, sha256, hours, .. } = encoded;
        let amend = Amend { frames, bytes, sha256, lost, hours };
        let left = amend.frames;
        log.amend(seal, amend)?;
        raise_amended(&shared.deps.alarms, seal, left);
    } else if let Some(amend) = &pending.amended {
        raise_amended(&shared.deps.alarms, seal, amend.frames);
    }
    Ok(Some(staged))
}
