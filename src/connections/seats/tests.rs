use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::*;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Polls once.
fn poll<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

fn is_told(seat: &Seat) -> bool {
    poll(seat.standing().told_to_leave()).is_some()
}

fn full(seats: &Arc<Seats>, times: impl Iterator<Item = u64>) -> Vec<Option<Seat>> {
    times.map(|time| poll(seats.take(move || at(time))).unwrap()).collect()
}

fn taken(seat: &Option<Seat>) -> &Seat {
    seat.as_ref().unwrap()
}

/// Takes a seat at `now`; returns which connections leave for it, and the seat.
fn leave_for_another(seats: &Arc<Seats>, held: &mut [Option<Seat>], now: u64) -> (Vec<usize>, Option<Seat>) {
    let mut taking = pin!(seats.take(|| at(now)));
    let mut context = Context::from_waker(Waker::noop());
    if let Poll::Ready(seat) = taking.as_mut().poll(&mut context) {
        return (Vec::new(), seat);
    }
    let mut left = Vec::new();
    for (n, seat) in held.iter_mut().enumerate() {
        if seat.as_ref().is_some_and(is_told) {
            left.push(n);
            *seat = None;
        }
    }
    let Poll::Ready(seat) = taking.as_mut().poll(&mut context) else { return (left, None) };
    (left, seat)
}

#[test]
fn the_connection_that_has_waited_longest_leaves() {
    let seats = Seats::new(4, 4);
    let mut held = full(&seats, 0..4);
    // The first connection sends a request and is answered; the second sends one.
    assert!(taken(&held[0]).standing().request_began());
    taken(&held[0]).standing().waits(at(5));
    assert!(taken(&held[1]).standing().request_began());
    for (now, expected) in [(6, 2), (7, 3), (8, 0)] {
        let (left, seat) = leave_for_another(&seats, &mut held, now);
        assert_eq!((left, seat.is_some()), (vec![expected], true), "{now}");
        held.push(seat);
    }
    // Then the new ones go, oldest first; the one with a request in flight stays.
    taken(&held[4]).standing().request_began();
    taken(&held[4]).standing().waits(at(20));
    let (left, seat) = leave_for_another(&seats, &mut held, 21);
    assert_eq!((left, seat.is_some()), (vec![5], true));
}

#[test]
fn a_connection_with_a_request_in_flight_keeps_its_seat() {
    let seats = Seats::new(3, 8);
    let held = full(&seats, 0..3);
    held.iter().for_each(|seat| assert!(taken(seat).standing().request_began()));
    assert!(poll(seats.take(|| at(9))).unwrap().is_none());
    assert!(held.iter().all(|seat| !is_told(taken(seat))));
    // A connection that closes by itself frees its seat.
    drop(held);
    assert!(poll(seats.take(|| at(9))).unwrap().is_some());
}

#[test]
fn a_connection_whose_waiting_counts_from_later_keeps_its_seat_until_then() {
    let seats = Seats::new(3, 8);
    let mut held = full(&seats, 0..3);
    held.iter().for_each(|seat| assert!(taken(seat).standing().request_began()));
    taken(&held[1]).standing().waits(at(10));
    taken(&held[2]).standing().waits(at(12));
    for now in [5, 9] {
        assert!(poll(seats.take(|| at(now))).unwrap().is_none(), "{now}");
    }
    let (left, seat) = leave_for_another(&seats, &mut held, 10);
    assert_eq!((left, seat.is_some()), (vec![1], true));
    // The new one has not sent a request.
    held.push(seat);
    let (left, _seat) = leave_for_another(&seats, &mut held, 11);
    assert_eq!(left, [3]);
}

#[test]
fn a_connection_told_to_leave_takes_no_request_and_leaves_once() {
    let seats = Seats::new(1, 8);
    let mut held = full(&seats, 0..1);
    let standing = Arc::clone(taken(&held[0]).standing());
    let mut first = Box::pin(seats.take(|| at(1)));
    assert!(poll(first.as_mut()).is_none());
    assert!(!standing.request_began() && !standing.request_began());
    // A second connection that needs a seat finds no other one to tell.
    assert!(poll(seats.take(|| at(1))).unwrap().is_none());
    held.clear();
    assert!(poll(first.as_mut()).unwrap().is_some());
}

#[test]
fn a_bounded_number_of_connections_is_examined_each_in_its_turn() {
    let seats = Seats::new(100, 10);
    let mut held = full(&seats, 0..100);
    for seat in &held[..95] {
        taken(seat).standing().request_began();
    }
    // Nine times ten busy ones, then the last ten.
    let refused = (0..9).filter(|_| poll(seats.take(|| at(200))).unwrap().is_none()).count();
    let (left, seat) = leave_for_another(&seats, &mut held, 200);
    assert_eq!((refused, left, seat.is_some()), (9, vec![95], true));
}

#[test]
fn a_listener_that_refuses_no_one_waits_until_a_request_ends() {
    let seats = Seats::new(2, 2);
    let mut held = full(&seats, 0..2);
    held.iter().for_each(|seat| assert!(taken(seat).standing().request_began()));
    let mut taking = Box::pin(seats.take_in_time(|| at(5)));
    assert!(poll(taking.as_mut()).is_none());
    assert!(poll(taking.as_mut()).is_none());
    taken(&held[1]).standing().waits(at(5));
    assert!(poll(taking.as_mut()).is_none());
    assert!(!is_told(taken(&held[0])) && is_told(taken(&held[1])));
    held.pop();
    assert!(poll(taking.as_mut()).is_some());
}

/// Closed before its seat is freed.
struct Socket {
    open: Arc<AtomicU64>,
    seat: Seat,
}

impl Socket {
    fn open(open: &Arc<AtomicU64>, seat: Seat) -> Self {
        open.fetch_add(1, Ordering::SeqCst);
        Self { open: Arc::clone(open), seat }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn seats_are_never_exceeded_and_every_connection_gets_one() {
    const MOST: usize = 20;
    let (seats, open) = (Seats::new(MOST, MOST), Arc::new(AtomicU64::new(0)));
    let began = tokio::time::Instant::now();
    let mut connections = tokio::task::JoinSet::new();
    // Two listeners.
    for _ in 0..2 {
        let (seats, open) = (Arc::clone(&seats), Arc::clone(&open));
        connections.spawn(async move {
            let mut held = tokio::task::JoinSet::new();
            for _ in 0..3_000 {
                let seat = seats.take(|| began.elapsed()).await.unwrap();
                let socket = Socket::open(&open, seat);
                assert!(open.load(Ordering::SeqCst) <= MOST as u64, "{open:?} are open");
                held.spawn(async move { socket.seat.standing().told_to_leave().await });
            }
            held.shutdown().await;
        });
    }
    let all =
        async { while connections.join_next().await.is_some_and(|ended| ended.map(|()| true).unwrap()) {} };
    tokio::time::timeout(Duration::from_secs(30), all).await.unwrap();
}
