//! Receives the notifications of an import, as long as it is neither paused nor stopped.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::notifications::Notifications;
use super::one_import::OneImport;
use crate::import::Counters;
use crate::import::bucket_import::{NotifiedObjects, PassDeps, PassError};
use crate::import::claims::ClaimsError;
use crate::import::notifications::{Watch, count, receive};

/// How long it takes until an import that cannot receive looks again whether it can.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

impl OneImport {
    /// Receives notifications until it is stopped, except while a command pauses it.
    pub(super) async fn keep_receiving(self: Arc<Self>) {
        let Some(notifications) = self.notifications.as_ref().map(Arc::clone) else { return };
        while !self.stop.is_cancelled() {
            // If the journal cannot be read, the import says so.
            if self.is_paused().await.unwrap_or(false) {
                notifications.clear();
                tokio::select! {
                    () = self.stop.cancelled() => {}
                    () = self.pausing.resumed() => {}
                }
                continue;
            }
            let stop = self.stop.child_token();
            let mut receiving = std::pin::pin!(self.receiving(&notifications, &stop));
            tokio::select! {
                () = &mut receiving => {}
                () = self.pausing.paused() => {
                    stop.cancel();
                    receiving.await;
                }
            }
        }
    }

    async fn receiving(&self, notifications: &Arc<Notifications>, stop: &CancellationToken) {
        let failed = match self.objects(stop).await {
            Ok(objects) => {
                let queue = self.deps.stores.queue_of(self.plan(), &notifications.queue).await;
                let watch = Arc::clone(notifications) as Arc<dyn Watch>;
                let counting = count(&*queue, |answer| notifications.counted(answer), stop);
                let receiving =
                    receive(Arc::clone(&queue), Arc::new(objects), watch, &*self.deps.random, stop);
                tokio::join!(receiving, counting);
                return;
            }
            Err(failed) => failed,
        };
        let (what, may_pass) = failed;
        notifications.note(Some(format!("import {} receives nothing: {what}", self.name())), may_pass);
        // Nothing else to do than to look again.
        stop.run_until_cancelled(tokio::time::sleep(LOOK_AGAIN)).await.unwrap_or_default();
    }

    /// The objects of the import, one by one. Errors: why they cannot be imported, and whether that may pass by itself.
    pub(super) async fn objects(&self, stop: &CancellationToken) -> Result<NotifiedObjects, (String, bool)> {
        let import = Arc::new(self.bucket_import().map_err(|what| (what, false))?);
        let deps = self.pass_deps(&self.store().await, None, Counters::default());
        let deps = PassDeps { stop: stop.clone(), ..deps };
        NotifiedObjects::of(import, deps).await.map_err(|error| {
            let may_pass =
                matches!(&error, PassError::Claims(ClaimsError::Unusable(outage)) if outage.passes);
            (error.to_string(), may_pass)
        })
    }
}
