//! Two instances that share the import of a bucket: two worlds, each with its disk, clients, crashes and archive.
//!
//! Each world runs on a thread of its own, and only the one that has the turn goes on: it hands the turn over between
//! two steps of a pass. So a schedule is repeated exactly, and either can end wherever the other is.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use forebay::planted_bugs::{PlantedBug, plant, planted};

use super::runner::caught;
use super::world::{Violation, World};
use crate::support::trace::Trace;

/// What both worlds must have reached before either goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Lives,
    /// No life follows but the last one.
    Lived,
    /// Nothing of the bucket is left to import.
    Imported,
    Ended,
}

#[derive(Debug)]
struct State {
    whose: usize,
    stages: [Stage; 2],
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    came: Condvar,
}

/// The turn of one of two worlds.
#[derive(Debug)]
pub(super) struct Turn {
    shared: Arc<Shared>,
    me: usize,
}

impl Turn {
    /// The turns of two worlds; the first one has it.
    fn of_two() -> (Self, Self) {
        let state = State { whose: 0, stages: [Stage::Lives; 2] };
        let shared = Arc::new(Shared { state: Mutex::new(state), came: Condvar::new() });
        (Self { shared: Arc::clone(&shared), me: 0 }, Self { shared, me: 1 })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn other(&self) -> usize {
        1 - self.me
    }

    fn comes(&self, mut state: MutexGuard<'_, State>) {
        while state.whose != self.me {
            state = self.shared.came.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets the other world go on until it hands the turn back.
    pub(super) fn hand_over(&self) {
        let mut state = self.lock();
        if state.stages[self.other()] < Stage::Ended {
            state.whose = self.other();
            self.shared.came.notify_all();
            self.comes(state);
        }
    }

    /// Waits until the other world has come as far.
    pub(super) fn reach(&self, stage: Stage) {
        {
            let mut state = self.lock();
            state.stages[self.me] = state.stages[self.me].max(stage);
        }
        while self.lock().stages[self.other()] < stage {
            self.hand_over();
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.lock();
        state.stages[self.me] = Stage::Ended;
        state.whose = self.other();
        self.shared.came.notify_all();
    }
}

/// Runs the world of a seed, and beside it the other instance of its import, if there is one.
pub(super) fn run(seed: u64, trace: &Trace) -> Result<(), Violation> {
    let mut first = World::new(seed, trace.clone());
    let Some(objects) =
        first.bucket.as_ref().map(|bucket| bucket.objects.clone()).filter(|it| it.is_shared())
    else {
        return first.run();
    };
    trace.count("a world with two instances");
    let (turn, other_turn) = Turn::of_two();
    first.turn = Some(turn);
    let bug = PlantedBug::ALL.into_iter().find(|bug| planted(*bug));
    std::thread::scope(|scope| {
        let second = scope.spawn(move || {
            plant(bug);
            other_turn.comes(other_turn.lock());
            caught(|| World::beside(seed, trace.clone(), &objects, other_turn).run())
        });
        let ran = first.run();
        let other = second.join().unwrap_or_else(|_| Err("something panicked".to_owned()));
        ran.and(other.map_err(|violation| format!("the other instance: {violation}")))
    })
}
