//! What a person may ask of a job that another process holds.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::state::{JobState, Priority};
use super::transition::{Event, Refusal, next};
use crate::time::UnixMillis;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wish {
    /// Cancel the job; perhaps with a reason.
    Cancel(Option<String>),
    /// Confirm it; perhaps with a reason.
    Confirm(Option<String>),
    /// Pause it.
    Pause,
    /// Let it go on.
    Resume,
    /// Give it this priority.
    Priority(Priority),
}

impl Wish {
    /// The event that it is if it is obeyed.
    pub fn event(&self) -> Event {
        match self {
            Self::Cancel(reason) => Event::CancelAsked(reason.clone()),
            Self::Confirm(reason) => Event::Confirmed(reason.clone()),
            Self::Pause => Event::PauseAsked,
            Self::Resume => Event::ResumeAsked,
            Self::Priority(priority) => Event::PriorityAsked(*priority),
        }
    }

    /// The state after it. Errors: [`Refusal`] if the state does not allow it.
    pub fn obey(&self, state: &JobState, at: UnixMillis) -> Result<JobState, Refusal> {
        next(state, &self.event(), at)
    }
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancel(_) => f.write_str("cancel"),
            Self::Confirm(_) => f.write_str("confirm"),
            Self::Pause => f.write_str("pause"),
            Self::Resume => f.write_str("resume"),
            Self::Priority(priority) => write!(f, "priority {}", priority.number()),
        }
    }
}

/// The id of a wish, and its place in the order: when it was made, and 64 random bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WishId {
    /// Milliseconds since 1970, or later than a wish that waited then.
    pub(crate) order: u64,
    pub(crate) random: u64,
}

impl WishId {
    /// Parses the form that is shown. Errors: the expected form.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected the id of a wish, not \"{}\"", crate::words::outside_text(text));
        let (order, random) = text.split_once('-').ok_or_else(wrong)?;
        let order = order.parse().map_err(|_| wrong())?;
        let random = u64::from_str_radix(random, 16).map_err(|_| wrong())?;
        let id = Self { order, random };
        if id.to_string() == text { Ok(id) } else { Err(wrong()) }
    }
}

impl fmt::Display for WishId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}-{:016x}", self.order, self.random)
    }
}

text_form!(WishId, String, WishId::parse);

/// What became of a wish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It is done, and the job's log has it. The name of the status after it.
    Done(String),
    /// The state of the job does not allow it: the text names both.
    Refused(String),
}

impl Answer {
    /// The answer to a wish that was, or was not, obeyed.
    pub fn of(obeyed: &Result<JobState, Refusal>) -> Self {
        match obeyed {
            Ok(state) => Self::Done(state.status.to_string()),
            Err(refusal) => Self::Refused(refusal.to_string()),
        }
    }
}
