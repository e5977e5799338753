//! A source as compiled: where a value comes from, as a tree.

use regex::Regex;

use super::java_regex::Piece;
use super::java_time::TimePattern;
use super::operator::Operator;
use super::value::Value;

/// Where a value comes from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// A column of the row.
    Column(usize),
    /// A member of the present element of a path, or an element of a list by its index.
    Key(Box<str>),
    /// The same in every row.
    Constant(Value<'static>),
    /// The first source, then each other one on the result of the one before.
    Path(Box<Source>, Box<[Source]>),
    /// The first that has a value.
    Any(Box<[Source]>),
    /// An object.
    Dict(Box<[Member]>),
    /// A list.
    Array(Box<[Source]>),
    /// The members of several objects.
    MergeDicts(Box<[Source]>),
    /// An object whose objects become members with joined names.
    FlattenDict { separator: Box<str>, levels: Box<Source>, of: Box<Source> },
    /// An object without these members.
    ExcludeKeys { of: Box<Source>, names: Box<[Box<str>]> },
    /// Conditions, each with what it chooses.
    Condition(Box<[(Source, Source)]>),
    /// A condition, and what is chosen where it is true and where it is not.
    IfElse(Box<[Source; 3]>),
    /// Whether a key is in a sample of so many percent.
    SampleMd5 { percent: Box<Source>, key: Box<Source> },
    /// The present time: as ISO 8601, or in milliseconds.
    Now { iso: bool },
    /// A time by a pattern.
    ParseTime(Box<TimePattern>, Box<Source>),
    /// Texts one after another.
    Concat(Box<[Source]>),
    /// A text with its matches replaced.
    Replace(Box<Replace>, Box<Source>),
    /// The parts of a text.
    Split(Box<str>, Box<Source>),
    /// All, or one of several.
    Booleans { all: bool, of: Box<[Source]> },
    /// Whether two values are equal.
    Equals(Box<[Source; 2]>),
    /// Whether a value contains a text.
    Contains(Box<str>, Box<Source>),
    /// A function of one value.
    One(One, Box<Source>),
    /// Whole numbers.
    Integers(Arithmetic, Box<[Source]>),
    /// Floating-point numbers.
    Floats(Arithmetic, Box<[Source]>),
}

/// A member of an object that a source makes.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// A comma, the name in quotes and a colon.
    pub(super) fragment: Box<[u8]>,
    /// The name.
    pub(super) name: Box<str>,
    /// The value.
    pub(super) source: Source,
}

/// A regular expression and what takes the place of its matches.
#[derive(Clone, Debug)]
pub(super) struct Replace {
    pub(super) regex: Regex,
    pub(super) by: Vec<Piece>,
}

/// A function of one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum One {
    ParseJson,
    Typeof,
    IsoTimeToMs,
    MsToIsoTime,
    Int96TimeToMs,
    Lowercase,
    Not,
    Round,
}

/// What is done with numbers, one after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
}

impl One {
    /// The operator, for people.
    pub(super) fn operator(self) -> Operator {
        match self {
            Self::ParseJson => Operator::ParseJsonElement,
            Self::Typeof => Operator::Typeof,
            Self::IsoTimeToMs => Operator::IsoTimeToMs,
            Self::MsToIsoTime => Operator::MsToIsoTime,
            Self::Int96TimeToMs => Operator::Int96TimeToMs,
            Self::Lowercase => Operator::Lowercase,
            Self::Not => Operator::Not,
            Self::Round => Operator::Round,
        }
    }
}

impl Arithmetic {
    /// The operator on whole numbers, for people.
    pub(super) fn integers(self) -> Operator {
        match self {
            Self::Add => Operator::Add,
            Self::Subtract => Operator::Subtract,
            Self::Multiply => Operator::Multiply,
            Self::Divide => Operator::Divide,
        }
    }

    /// The operator on floating-point numbers, for people.
    pub(super) fn floats(self) -> Operator {
        match self {
            Self::Add => Operator::AddF,
            Self::Subtract => Operator::SubtractF,
            Self::Multiply => Operator::MultiplyF,
            Self::Divide => Operator::DivideF,
        }
    }
}

impl Source {
    /// Whether the value is a time in milliseconds, by what makes it.
    pub(super) fn is_ms(&self) -> bool {
        matches!(
            self,
            Self::Now { iso: false }
                | Self::ParseTime(..)
                | Self::One(One::IsoTimeToMs | One::Int96TimeToMs, _)
        )
    }
}
