//! Values that operators could not use. An operator without a usable value has none itself, and that shows
//! nowhere else.

use std::cell::{Cell, RefCell};

use super::operator::Operator;
use super::value::{Value, shown};

/// A value that the row has and an operator could not use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// The operator.
    pub operator: Operator,
    /// The value as JSON, cut.
    pub value: String,
}

/// Notes such values while somebody asks for them: nothing is written for a row that nobody looks at.
#[derive(Debug, Default)]
pub(super) struct UnreadNotes {
    is_watched: Cell<bool>,
    found: RefCell<Vec<Unread>>,
}

impl UnreadNotes {
    /// What `evaluate` returns, and the values that operators could not use meanwhile. What an operator
    /// replaced by another value is not among them.
    pub(super) fn during<T>(&self, evaluate: impl FnOnce() -> T) -> (T, Vec<Unread>) {
        self.is_watched.set(true);
        let result = evaluate();
        self.is_watched.set(false);
        (result, self.found.take())
    }

    /// A copy of a value that an operator takes away, for [`UnreadNotes::used`].
    #[inline]
    pub(super) fn kept<'v>(&self, value: &Value<'v>) -> Option<Value<'v>> {
        self.is_watched.get().then(|| value.clone())
    }

    /// The result of an operator. Without one, notes the value, unless it is missing as well.
    #[inline]
    pub(super) fn used<T>(&self, operator: Operator, value: &Value<'_>, result: Option<T>) -> Option<T> {
        if result.is_none() && self.is_watched.get() && !is_missing(value) {
            self.found.borrow_mut().push(Unread { operator, value: shown(value) });
        }
        result
    }

    /// How many values are noted.
    pub(super) fn len(&self) -> usize {
        self.found.borrow().len()
    }

    /// Forgets the values from one count to another: something else took their place.
    pub(super) fn forget(&self, from: usize, to: usize) {
        if from < to {
            self.found.borrow_mut().drain(from..to);
        }
    }
}

/// Null, and a text of white space, say as little as no value.
fn is_missing(value: &Value<'_>) -> bool {
    *value == Value::Null || value.text().is_some_and(|text| text.trim().is_empty())
}
