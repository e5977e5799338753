//! The operators: their names, aliases and numbers of arguments.

closed_list! {
    /// An operator by its first name.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Operator by name and from_first_name {
        /// Each source on the result of the one before.
        Path = "path",
        /// The first source with a value.
        Any = "any",
        /// A constant.
        Value = "value",
        /// An object.
        Dict = "dict",
        /// A list.
        Array = "array",
        /// The members of several objects.
        MergeDicts = "merge_dicts",
        /// An object without objects in it.
        FlattenDict = "flatten_dict",
        /// An object without some of its members.
        ExcludeKeys = "exclude_keys",
        /// The value in a text of JSON.
        ParseJsonElement = "parse_json_element",
        /// The name of a value's type.
        Typeof = "typeof",
        /// The source after the first true one.
        Condition = "condition",
        /// One of two sources.
        IfElse = "ifelse",
        /// Whether a key is in a sample.
        SampleMd5 = "sample_md5",
        /// ISO 8601 to milliseconds.
        IsoTimeToMs = "iso_time_to_ms",
        /// Milliseconds to ISO 8601.
        MsToIsoTime = "ms_to_iso_time",
        /// The present time as ISO 8601.
        IsoTimeNow = "iso_time_now",
        /// The present time in milliseconds.
        MsTimeNow = "ms_time_now",
        /// The twelve bytes of INT96 to milliseconds.
        Int96TimeToMs = "int96_time_to_ms",
        /// A time in the form of a pattern, to milliseconds.
        ParseTimeToMs = "parse_time_to_ms",
        /// Texts one after another.
        Concat = "concat",
        /// A text with other text in place of matches.
        ReplaceWith = "replace_with",
        /// The parts of a text.
        Split = "split",
        /// A text in lower case.
        Lowercase = "lowercase",
        /// A constant boolean.
        Bool = "bool",
        /// Whether a source is false.
        Not = "not",
        /// Whether all sources are true.
        And = "and",
        /// Whether a source is true.
        Or = "or",
        /// Whether two sources are equal.
        Equals = "equals",
        /// Whether a text is part of another.
        Contains = "contains",
        /// A constant whole number.
        Int = "int",
        /// The nearest whole number.
        Round = "round",
        /// The sum of whole numbers.
        Add = "add",
        /// The difference of whole numbers.
        Subtract = "subtract",
        /// The product of whole numbers.
        Multiply = "multiply",
        /// The quotient of whole numbers.
        Divide = "divide",
        /// The sum.
        AddF = "addf",
        /// The difference.
        SubtractF = "subtractf",
        /// The product.
        MultiplyF = "multiplyf",
        /// The quotient.
        DivideF = "dividef",
    }
}

/// The other names of operators.
const ALIASES: [(&str, Operator); 13] = [
    ("parse_json_object", Operator::ParseJsonElement),
    ("cond", Operator::Condition),
    ("lower", Operator::Lowercase),
    ("!", Operator::Not),
    ("&&", Operator::And),
    ("||", Operator::Or),
    ("eq", Operator::Equals),
    ("=", Operator::Equals),
    ("is_substring", Operator::Contains),
    ("+", Operator::Add),
    ("-", Operator::Subtract),
    ("*", Operator::Multiply),
    ("/", Operator::Divide),
];

impl Operator {
    /// The operator with this name or alias.
    pub fn of(name: &str) -> Option<Self> {
        let alias = || ALIASES.iter().find(|(alias, _)| *alias == name).map(|(_, operator)| *operator);
        Self::from_first_name(name).or_else(alias)
    }

    /// All names and aliases.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::ALL.into_iter().map(Self::name).chain(ALIASES.into_iter().map(|(alias, _)| alias))
    }

    /// What the operator takes, and the least and the most arguments that this is; `None`: any number.
    pub(super) fn takes(self) -> (&'static str, usize, Option<usize>) {
        match self {
            Self::Path | Self::Any | Self::Array | Self::MergeDicts | Self::Concat => {
                ("one or more sources", 1, None)
            }
            Self::And | Self::Or | Self::Add | Self::Multiply | Self::AddF | Self::MultiplyF => {
                ("one or more sources", 1, None)
            }
            Self::Value => ("one JSON value", 1, Some(1)),
            Self::Dict => ("pairs of a name and a source", 0, None),
            Self::FlattenDict => ("a separator, a number of levels and a source", 3, Some(3)),
            Self::ExcludeKeys => ("a source and one or more names", 2, None),
            Self::Condition => ("pairs of a condition and a source", 2, None),
            Self::IfElse => ("a condition and two sources", 3, Some(3)),
            Self::SampleMd5 => ("a percentage and a key", 2, Some(2)),
            Self::IsoTimeNow | Self::MsTimeNow => ("no arguments", 0, Some(0)),
            Self::ParseTimeToMs => ("a pattern and a source", 2, Some(2)),
            Self::ReplaceWith => ("a regular expression, a replacement and a source", 3, Some(3)),
            Self::Split => ("a separator and a source", 2, Some(2)),
            Self::Contains => ("a text and a source", 2, Some(2)),
            Self::Bool => ("true or false", 1, Some(1)),
            Self::Int => ("one whole number", 1, Some(1)),
            Self::Equals | Self::Subtract | Self::Divide | Self::SubtractF | Self::DivideF => {
                ("two sources", 2, Some(2))
            }
            Self::ParseJsonElement
            | Self::Typeof
            | Self::IsoTimeToMs
            | Self::MsToIsoTime
            | Self::Int96TimeToMs
            | Self::Lowercase
            | Self::Not
            | Self::Round => ("one source", 1, Some(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_means_two_operators() {
        let mut names: Vec<&str> = Operator::names().collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(names.iter().all(|name| Operator::of(name).is_some()));
        assert_eq!(Operator::of("&&"), Some(Operator::And));
        assert_eq!(["eq", "="].map(Operator::of), [Some(Operator::Equals); 2]);
    }
}
