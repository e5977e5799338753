//! Functions of destinations: what each destination may be set to, and how its functions behave now.
//!
//! They stand at the end of the real runner of destinations, which gets them as its
//! [`Equipment`]. What they were given and what they took is noted in [`SecondReader`].

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use forebay::boxed_future::BoxFuture;
use forebay::destinations::class::Class;
use forebay::destinations::invoke::{Equipment, Invoke, Invoked, Outgoing};
use forebay::destinations::outcome::Failure;
use forebay::destinations::positions::LaneId;
use forebay::destinations::request::Invocation;
use forebay::destinations::select::Selection;
use forebay::destinations::settings::{AtLambda, BatchBounds, DestinationSettings, ExternalIds, FunctionsAt};
use forebay::sources::SourceId;

use super::second_reader::SecondReader;
use crate::support::sim_disk::Dice;
use crate::support::trace::Trace;

/// The names of destinations.
pub(super) const NAMES: [&str; 3] = ["crm", "ads", "erp"];

/// One destination: what it is set to in each version of its configuration.
pub(super) struct Offer {
    pub(super) versions: Vec<DestinationSettings>,
}

impl Offer {
    fn draw(name: &str, dice: &mut Dice, sources: &[SourceId], segment_bytes: u64) -> Self {
        let function = |letter: &str| format!("{name}-{letter}");
        let settings = DestinationSettings {
            name: SourceId::new(name).unwrap(),
            selection: Selection::default(),
            functions_at: FunctionsAt::Lambda(AtLambda {
                region: None,
                role: None,
                external_ids: ExternalIds::default(),
                log_tail: false,
                invocation: Invocation::RequestResponse,
                payload_max: 1 << 20,
                endpoint_url: None,
            }),
            timeout: Duration::from_secs(1 + dice.below(5)),
            concurrency: dice.of(&[1, 2, 8]),
            max_age: Duration::from_secs(dice.of(&[5, 60, 4 * 3_600, 4 * 3_600])),
            max_queue: dice.of(&[u64::MAX, u64::MAX, segment_bytes]),
            retry_execution_errors: u32::try_from(dice.below(3)).unwrap(),
            in_order: dice.chance(500),
            batch: dice.chance(250).then(|| BatchBounds { calls: 2 + dice.index(4), bytes: 3_000 }),
            typed: String::new(),
        };
        let only = dice.chance(300).then(|| vec![dice.of(sources)]);
        let versions = (0..2 + dice.below(2)).map(|version| {
            let mut functions = BTreeMap::new();
            for kind in ["track", "page", "object"] {
                if dice.chance(400) {
                    functions.insert(kind.to_owned(), function(dice.of(&["a", "b", "c"])));
                }
            }
            let others = dice.chance(700) || functions.is_empty();
            let selection = Selection {
                sources: only.clone().filter(|_| version == 0),
                functions,
                function: others.then(|| function(dice.of(&["a", "b"]))),
                respect_integrations: true,
                name: name.to_owned(),
            };
            DestinationSettings { selection, typed: format!("{name} {version}"), ..settings.clone() }
        });
        Self { versions: versions.collect() }
    }
}

/// How a function behaves.
#[derive(Clone, Debug)]
struct Mood {
    latency: Duration,
    /// How many of 1,000 invocations fail.
    fails: u64,
    /// How many of 1,000 get no answer.
    hangs: u64,
    /// Every invocation fails so.
    always: Option<Class>,
}

impl Mood {
    fn sound(dice: &mut Dice) -> Self {
        Self { latency: Duration::from_millis(dice.log(20)), fails: 0, hangs: 0, always: None }
    }

    fn hung() -> Self {
        Self { latency: Duration::ZERO, fails: 0, hangs: 1_000, always: None }
    }

    fn draw(dice: &mut Dice) -> Self {
        let latency = Duration::from_millis(dice.log(2_000));
        match dice.below(6) {
            0 | 1 => Self::sound(dice),
            2 => Self::hung(),
            3 => Self { latency, fails: 0, hangs: 0, always: Some(dice.of(&Class::ALL)) },
            _ => Self { latency, fails: dice.log(900), hangs: dice.log(200), always: None },
        }
    }
}

/// Trouble that no repair of a function ends: with one call in many, and with one source.
#[derive(Clone, Debug)]
pub(super) struct Lasting {
    /// How the function always fails at one call in [`POISONED_OF`].
    poison: Option<Class>,
    /// A source whose credentials are refused.
    refused: Option<SourceId>,
}

/// One call in so many is poisoned.
const POISONED_OF: usize = 17;
/// Destinations that keep calls longer than this are not tried with what ends only by age.
const SOON: Duration = Duration::from_secs(60);

impl Lasting {
    pub(super) fn draw(dice: &mut Dice, sources: &[SourceId]) -> Self {
        let poison = [Class::BadRequest, Class::ExecutionError, Class::TooLarge, Class::NotFound];
        let poison = dice.chance(300).then(|| dice.of(&poison));
        let refused = (sources.len() > 1 && dice.chance(300)).then(|| dice.of(sources));
        Self { poison, refused }
    }

    /// How a call that goes alone fails, whatever the function's mood. Of a batch, the call is not taken.
    fn failure(
        &self,
        outgoing: &Outgoing,
        copies: &[usize],
        max_age: Duration,
    ) -> Option<(Class, Vec<usize>)> {
        if self.refused.as_ref() == Some(&outgoing.source) && max_age <= SOON {
            return Some((Class::InvalidCredentials, Vec::new()));
        }
        let poison = self.poison.filter(|class| *class != Class::NotFound || max_age <= SOON)?;
        let poisoned = (0..copies.len()).filter(|at| copies[*at] % POISONED_OF == 3);
        let poisoned: Vec<usize> = poisoned.collect();
        (!poisoned.is_empty()).then_some((poison, poisoned))
    }
}

#[derive(Debug)]
struct State {
    dice: Dice,
    moods: BTreeMap<String, Mood>,
    /// Functions without a mood have one that is drawn when they are first invoked.
    all_sound: bool,
}

/// All functions. Clones share their state.
#[derive(Clone, Debug)]
pub(super) struct Functions {
    state: Arc<Mutex<State>>,
    known: Arc<BTreeMap<String, DestinationSettings>>,
    reader: SecondReader,
    trace: Trace,
    lasting: Lasting,
}

/// The functions of a destination.
#[derive(Debug)]
struct SimFunctions {
    functions: Functions,
    timeout: Duration,
    max_age: Duration,
    in_order: bool,
}

impl Functions {
    /// Draws one to three destinations, and what they may be set to.
    pub(super) fn draw(
        dice: &mut Dice,
        sources: &[SourceId],
        segment_bytes: u64,
        (reader, trace, lasting): (SecondReader, Trace, Lasting),
    ) -> (Self, Vec<Offer>) {
        let names = NAMES.into_iter().take(1 + dice.index(NAMES.len()));
        let offers: Vec<Offer> = names.map(|name| Offer::draw(name, dice, sources, segment_bytes)).collect();
        let settings = offers.iter().flat_map(|offer| &offer.versions);
        let known = settings.map(|one| (one.typed.clone(), one.clone())).collect();
        let state = State { dice: dice.split(), moods: BTreeMap::new(), all_sound: false };
        let state = Arc::new(Mutex::new(state));
        (Self { state, known: Arc::new(known), reader, trace, lasting }, offers)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every function gets another mood.
    pub(super) fn change(&self) {
        let mut state = self.lock();
        (state.all_sound, state.moods) = (false, BTreeMap::new());
    }

    /// From now on every function works, but those of `hung`.
    pub(super) fn heal(&self, hung: Option<&DestinationSettings>) {
        let mut state = self.lock();
        let hung = hung.iter().flat_map(|settings| settings.selection.all_functions());
        (state.all_sound, state.moods) = (true, hung.map(|name| (name.to_owned(), Mood::hung())).collect());
    }

    /// How an invocation ends, and after what time.
    fn ending(&self, outgoing: &Outgoing, timeout: Duration) -> (Duration, Invoked) {
        let mut state = self.lock();
        let State { dice, moods, all_sound } = &mut *state;
        let mood = moods.entry(outgoing.function.to_string());
        let mood = mood.or_insert_with(|| if *all_sound { Mood::sound(dice) } else { Mood::draw(dice) });
        if mood.hangs > 0 && dice.chance(mood.hangs) {
            return (timeout, Invoked::timed_out(timeout));
        }
        let after = mood.latency.min(timeout);
        if mood.always.is_some() || dice.chance(mood.fails) {
            let class = mood.always.unwrap_or_else(|| dice.of(&Class::ALL));
            let later = class == Class::Throttled && dice.chance(500);
            let retry_after = later.then(|| Duration::from_secs(1 + dice.below(5)));
            return (after, Invoked::ended(Err(Failure { class, what: class.slug().into(), retry_after })));
        }
        let mut invoked = Invoked::ended(Ok(()));
        if mood.fails > 0 && outgoing.calls.len() > 1 && dice.chance(300) {
            invoked.not_taken.push(dice.index(outgoing.calls.len()));
        }
        (after, invoked)
    }
}

impl Invoke for SimFunctions {
    fn invoke<'a>(&'a self, outgoing: &'a Outgoing) -> BoxFuture<'a, Invoked> {
        Box::pin(async move {
            let Functions { reader, trace, .. } = &self.functions;
            let lane = LaneId {
                destination: SourceId::new(&outgoing.destination).unwrap(),
                function: outgoing.function.to_string(),
            };
            let copies = reader.sent(&lane, outgoing, self.in_order);
            let numbers: Vec<u64> = copies.iter().map(|copy| *copy as u64).collect();
            trace.note("invoke", &lane.function, &numbers);
            let (after, invoked) = match self.functions.lasting.failure(outgoing, &copies, self.max_age) {
                Some((class, not_taken)) if not_taken.is_empty() || !outgoing.batch => {
                    trace.count(if not_taken.is_empty() { "a source refused" } else { "a poisoned call" });
                    let failure = Failure { class, what: class.slug().to_owned().into(), retry_after: None };
                    (Duration::ZERO, Invoked::ended(Err(failure)))
                }
                Some((_, not_taken)) => {
                    trace.count("a poisoned call");
                    (Duration::ZERO, Invoked { not_taken, ..Invoked::ended(Ok(())) })
                }
                None => self.functions.ending(outgoing, self.timeout),
            };
            tokio::time::sleep(after).await;
            trace.note("invoked", &format!("{} {:?}", lane.function, invoked.result), &numbers);
            trace.count(match &invoked.result {
                Ok(()) if invoked.not_taken.is_empty() => "an invocation",
                Ok(()) => "a batch of which a call is not taken",
                Err(failure) if failure.class == Class::Timeout => "an invocation without an answer",
                Err(_) => "an invocation that fails",
            });
            reader.answered((&lane, &outgoing.source), &copies, &invoked);
            invoked
        })
    }
}

impl Equipment for Functions {
    fn invoker(&self, settings: &DestinationSettings) -> io::Result<Arc<dyn Invoke>> {
        let DestinationSettings { timeout, max_age, in_order, .. } = *settings;
        Ok(Arc::new(SimFunctions { functions: self.clone(), timeout, max_age, in_order }))
    }

    fn settings(&self, typed: &str) -> Result<DestinationSettings, String> {
        self.known.get(typed).cloned().ok_or_else(|| format!("nobody typed {typed:?}"))
    }
}
