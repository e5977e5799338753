//! Waits until a given time, accurate to some microseconds, and leaves the core to others meanwhile.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// A timer of the kernel. The runtime's timers tick once a millisecond: with them requests would come in
/// bursts, and answers would seem late by as much. Polling the clock would take the core from the S3 server,
/// which would then disturb the measurement when it gets its turn.
#[derive(Debug)]
pub(super) struct Alarm {
    timer: AsyncFd<OwnedFd>,
}

impl Alarm {
    /// Creates a timer that is not set. Must be called within a runtime.
    pub(super) fn new() -> io::Result<Self> {
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        #[expect(
            deprecated,
            reason = "its replacement is unsafe, for types that change their descriptor; this one does not"
        )]
        let timer = AsyncFd::new(timer)?;
        Ok(Self { timer })
    }

    /// Waits for so long.
    pub(super) async fn wait(&self, how_long: Duration) -> io::Result<()> {
        if how_long.is_zero() {
            // Setting a timer to zero stops it.
            return Ok(());
        }
        let it_value = Timespec::try_from(how_long).map_err(io::Error::other)?;
        let once = Itimerspec { it_interval: Timespec::default(), it_value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        loop {
            let mut ready = self.timer.readable().await?;
            if let Ok(read) = ready.try_io(|timer| Ok(rustix::io::read(timer, &mut [0_u8; 8])?)) {
                return read.map(drop);
            }
        }
    }
}
