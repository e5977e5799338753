//! The client at the other end of a connection: what is known of it, and what waits for it.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Context, Waker};
use std::time::Duration;

use http::HeaderValue;
use subtle::ConstantTimeEq as _;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::settings::Policy;
use super::shared::Shared;
use super::unread_answers::{Connection, Unread, UnreadAnswers};
use super::unread_bytes::{Outgoing, UnreadBounds};
use crate::connections::seats::Standing;
use crate::connections::times::{ConnectionTimes, Expired, Verdict};
use crate::lock::lock;
use crate::sources::SourceId;
use crate::time::Clock;

/// The client at the other end of a connection, as requests see it.
#[derive(Debug)]
pub(super) struct Peer {
    /// The address of the socket.
    pub(super) address: IpAddr,
    /// Whether it speaks TLS.
    pub(super) tls: bool,
    /// The write key that it sent last.
    pub(super) known_key: KnownKey,
    state: Mutex<PeerState>,
    standing: Arc<Standing>,
    /// Whether it sent the write key of a source.
    keyed: AtomicBool,
    keyed_place: Duration,
    unread: Arc<UnreadAnswers>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct PeerState {
    times: ConnectionTimes,
    outgoing: Outgoing,
    /// The waker of the connection's task, set while something waits for the client.
    waker: Option<Waker>,
    /// Whether the connection ends with a reset.
    reset: bool,
    /// How many of its requests wait for the rest of their bodies.
    stalled: u32,
}

/// Why a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// A time limit of the connection.
    Time(Expired),
    /// The client left its answers unread for too long.
    Unread,
}

impl Peer {
    /// A new client at `address`, in the seat with this standing.
    pub(super) fn new(address: IpAddr, tls: bool, standing: Arc<Standing>, shared: &Shared) -> Self {
        let bounds = &shared.settings.bounds;
        let clock = Arc::clone(&shared.deps.clock);
        let unread = UnreadBounds {
            bytes: bounds.connection_answers_bytes,
            timeout: bounds.unread,
            over: bounds.unread_over,
        };
        let state = PeerState {
            times: ConnectionTimes::new(bounds.head, bounds.idle, clock.monotonic()),
            outgoing: Outgoing::new(unread),
            waker: None,
            reset: false,
            stalled: 0,
        };
        Self {
            address,
            tls,
            known_key: KnownKey::default(),
            state: Mutex::new(state),
            standing,
            keyed: AtomicBool::new(false),
            keyed_place: bounds.keyed_place,
            unread: Arc::clone(&shared.unread),
            clock,
        }
    }

    fn state(&self) -> MutexGuard<'_, PeerState> {
        lock(&self.state)
    }

    /// The time on the clock that the connection's times use.
    pub(super) fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    /// Bytes came from the client.
    pub(super) fn bytes_read(&self, bytes: &[u8]) {
        let now = self.now();
        self.state().times.bytes_read(bytes, now);
    }

    /// Whether the client is known to speak HTTP/1.
    pub(super) fn is_http1(&self) -> bool {
        self.state().times.is_http1()
    }

    /// Whether the client is known to speak HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        self.state().times.is_http2()
    }

    /// Whether the client may still be sending when its connection is shut down.
    pub(super) fn may_still_send(&self) -> bool {
        self.state().times.may_still_send()
    }

    /// The client sent the write key of a source.
    pub(super) fn sent_a_key(&self) {
        self.keyed.store(true, Ordering::Relaxed);
    }

    /// A request waits for the rest of a body whose first byte came at `since`. If all requests of the
    /// connection wait like this, the connection counts as idle and may be closed for another one: at once,
    /// or, with a known write key, after its protected time. A body that trickles in byte by byte gains no
    /// time.
    pub(super) fn body_stalls(&self, is_keyed: bool, since: Duration) -> Stalled<'_> {
        let mut state = self.state();
        state.stalled += 1;
        if state.stalled >= state.times.open_requests() {
            let kept = if is_keyed { self.keyed_place } else { Duration::ZERO };
            self.standing.waits(since.saturating_add(kept));
        }
        drop(state);
        Stalled(self)
    }

    /// Resolves when another connection needs the seat: then the connection must be closed at once.
    pub(super) async fn told_to_leave(&self) {
        self.standing.told_to_leave().await;
    }

    /// From now on, closing the connection resets it.
    pub(super) fn reset_when_closed(&self) {
        self.state().reset = true;
    }

    /// Whether closing the connection must reset it.
    pub(super) fn is_reset_when_closed(&self) -> bool {
        self.state().reset
    }

    /// An answer is sent before the whole request was read.
    pub(super) fn left_unread(&self) {
        self.state().times.left_unread();
    }

    /// An answer of an HTTP/2 stream, which holds `bytes` bytes, is ready to be sent.
    pub(super) fn answered(&self, bytes: usize) {
        self.change(|outgoing| outgoing.answered(bytes));
    }

    /// Such an answer was sent, or its stream is gone.
    pub(super) fn answer_taken(&self, bytes: usize) {
        self.change(|outgoing| outgoing.answer_taken(bytes));
    }

    /// Changes what waits for the client.
    pub(super) fn change(&self, change: impl FnOnce(&mut Outgoing)) {
        let mut state = self.state();
        let before = state.outgoing.bytes();
        change(&mut state.outgoing);
        // Under the lock, so that nothing is subtracted before it was added.
        let too_much = self.unread.changed(before, state.outgoing.bytes());
        drop(state);
        if too_much {
            self.unread.make_room(self.clock.monotonic());
        }
    }

    /// Whether the connection may continue at `now`. Call it after everything that can be sent was sent.
    pub(super) fn verdict(&self, now: Duration, cx: &Context<'_>) -> Verdict<Over> {
        let mut state = self.state();
        state.outgoing.sent_what_could_be(now);
        let unread_until = state.outgoing.until();
        if unread_until.is_some() {
            match &mut state.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
        }
        let verdict = state.times.verdict(now);
        drop(state);
        let look_at = match unread_until {
            None => Duration::MAX,
            Some(until) if now >= until => return Verdict::Close(Over::Unread),
            Some(until) => self.unread.look_again(now).map_or(until, |look_at| until.min(look_at)),
        };
        match verdict {
            Verdict::Fine { again_at } => Verdict::Fine { again_at: again_at.min(look_at) },
            Verdict::Close(expired) => Verdict::Close(Over::Time(expired)),
        }
    }
}

impl Connection for Peer {
    fn unread(&self) -> Unread {
        let state = self.state();
        let outgoing = &state.outgoing;
        Unread { bytes: outgoing.bytes(), since: outgoing.since(), ending: outgoing.is_given_up() }
    }

    fn give_up(&self) {
        let mut state = self.state();
        state.outgoing.give_up();
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A request that waits for the rest of its body.
#[derive(Debug)]
pub(super) struct Stalled<'p>(&'p Peer);

impl Drop for Stalled<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.stalled = state.stalled.saturating_sub(1);
        // If the connection had to give up its seat in the meantime, it still ends, although more of the body
        // came.
        if state.times.has_open_requests() && !self.0.standing.request_began() {
            tracing::trace!("more of a body came just as its connection had to give up its seat");
        }
    }
}

/// The connection had to give up its seat just before the request came.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the connection is closed for another one")]
pub(super) struct MakesRoom;

/// A request in flight. The connection's times count it, and shutdown waits for it.
#[derive(Debug)]
pub(super) struct OpenRequest {
    peer: Arc<Peer>,
    _counted: TaskTrackerToken,
}

impl OpenRequest {
    /// A request whose head is complete.
    /// Errors: [`MakesRoom`]: the connection ends, and the request is not taken.
    pub(super) fn begin(peer: &Arc<Peer>, requests: &TaskTracker) -> Result<Self, MakesRoom> {
        let mut state = peer.state();
        let may_wait = state.stalled >= state.times.open_requests();
        if may_wait && !peer.standing.request_began() {
            return Err(MakesRoom);
        }
        state.times.request_began();
        drop(state);
        Ok(Self { peer: Arc::clone(peer), _counted: requests.token() })
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let now = self.peer.clock.monotonic();
        let mut state = self.peer.state();
        state.times.request_ended(now);
        if state.stalled >= state.times.open_requests() {
            let keyed = self.peer.keyed.load(Ordering::Relaxed);
            let kept = if keyed { self.peer.keyed_place } else { Duration::ZERO };
            self.peer.standing.waits(now.saturating_add(kept));
        }
    }
}

/// An `Authorization` header, the source that it was resolved to, and the policy used.
#[derive(Debug)]
struct Known {
    /// A copy, because the header itself would keep the connection's whole read buffer allocated.
    header: Box<[u8]>,
    source: SourceId,
    policy: Weak<Policy>,
}

/// The `Authorization` header of a connection's last request, and its source: kept-alive connections send the
/// same key with every request. It is valid only under the
/// policy that it was resolved with: after a reload, the next request looks its key up again, so a withdrawn
/// key is refused.
#[derive(Debug, Default)]
pub(super) struct KnownKey {
    last: Mutex<Option<Known>>,
}

impl KnownKey {
    /// The source of this header, if the header equals that of the previous request. Compared in constant
    /// time: several clients may share a connection of a proxy.
    pub(super) fn source(&self, header: &HeaderValue, policy: &Arc<Policy>) -> Option<SourceId> {
        let last = lock(&self.last);
        let known = last.as_ref().filter(|known| std::ptr::eq(known.policy.as_ptr(), Arc::as_ptr(policy)))?;
        bool::from(known.header.ct_eq(header.as_bytes())).then(|| known.source.clone())
    }

    /// Remembers the source of a header.
    pub(super) fn learn(&self, header: &HeaderValue, source: &SourceId, policy: &Arc<Policy>) {
        let known = Known {
            header: header.as_bytes().into(),
            source: source.clone(),
            policy: Arc::downgrade(policy),
        };
        *lock(&self.last) = Some(known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::ConfiguredSources;

    #[test]
    fn a_key_is_known_only_under_its_policy() {
        let policy = || Arc::new(Policy::new(Arc::new(ConfiguredSources::default())));
        let (before, header) = (policy(), HeaderValue::from_static("Basic a2V5Og=="));
        let source = SourceId::new("web").unwrap();
        let known = KnownKey::default();
        assert_eq!(known.source(&header, &before), None);
        known.learn(&header, &source, &before);
        assert_eq!(known.source(&header, &before), Some(source));
        for other in ["Basic a2V5Og=", "Basic a2V5Og=-", "", "Basic a2V5Og==x"] {
            assert_eq!(known.source(&HeaderValue::from_static(other), &before), None, "{other}");
        }
        // A reloaded policy is a different one, even with the same content.
        let after = policy();
        assert_eq!(known.source(&header, &after), None);
        drop(before);
        assert_eq!(known.source(&header, &after), None);
    }
}
