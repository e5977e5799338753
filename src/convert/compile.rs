//! Compiles sources as typed to sources as evaluated, and reports everything that is wrong with them.

use super::columns::Columns;
use super::java_regex;
use super::java_time::TimePattern;
use super::node::Node;
use super::object_text::fragment;
use super::operator::Operator;
use super::problem::{Problems, shown};
use super::source::{Arithmetic, Member, One, Replace, Source};
use super::value::Value;

/// The most regular expressions of one converter: each may take up to a mebibyte of memory.
const REGEXES_MAX: usize = 256;

/// What a text names: a column of the row, or a member of a path's present element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    Row,
    Element,
}

/// Compiles the sources of one converter.
#[derive(Debug)]
pub(super) struct Compiler<'p> {
    /// The columns needed so far.
    pub(super) columns: Columns,
    pub(super) problems: &'p mut Problems,
    regexes: usize,
}

/// What takes the place of a source with a problem, so that the others are checked, too.
const NOTHING: Source = Source::Constant(Value::Null);

impl<'p> Compiler<'p> {
    pub(super) fn new(problems: &'p mut Problems) -> Self {
        Self { columns: Columns::default(), problems, regexes: 0 }
    }

    /// Compiles the source of a top-level field.
    pub(super) fn field(&mut self, name: &str, node: &Node) -> Source {
        self.part(name, node, Within::Row)
    }

    /// Compiles a member or an element; its problems are at its own place.
    fn part(&mut self, part: impl std::fmt::Display, node: &Node, within: Within) -> Source {
        self.problems.enter(part);
        let source = self.source(node, within);
        self.problems.leave();
        source
    }

    // The recursion is bounded by the depth of a file, `node::DEPTH_MAX`.
    fn source(&mut self, node: &Node, within: Within) -> Source {
        match node {
            Node::Text(name) if within == Within::Row => Source::Column(self.columns.need(name)),
            Node::Text(name) => Source::Key(name.as_str().into()),
            Node::Object(members) => {
                let members = members.iter().map(|(name, node)| {
                    let source = self.part(name, node, within);
                    member(name, source)
                });
                Source::Dict(members.collect())
            }
            Node::List(list) => match list.split_first() {
                None => self.wrong("the list is empty: an operator's name comes first"),
                Some((Node::Text(name), arguments)) => match Operator::of(name) {
                    Some(operator) => self.operator(operator, name, arguments, within),
                    None => {
                        self.problems.unknown("operator", name, Operator::names());
                        NOTHING
                    }
                },
                Some((other, _)) => {
                    let first = other.shown();
                    self.wrong(format!("the list begins with {first}: an operator's name comes first"))
                }
            },
            Node::Number(_) | Node::Bool(_) | Node::Null => {
                let constant = node.shown();
                self.wrong(format!("{constant} is no source: write [\"value\", {constant}]"))
            }
        }
    }

    fn wrong(&mut self, what: impl Into<String>) -> Source {
        self.problems.add(what);
        NOTHING
    }

    fn operator(&mut self, operator: Operator, name: &str, arguments: &[Node], within: Within) -> Source {
        let (mut arguments, mut first) = (arguments, 1);
        // The public reference can be read as if the alias `cond` were an argument.
        if let (Operator::Condition, [Node::Text(alias), rest @ ..]) = (operator, arguments)
            && alias == "cond"
            && rest.len() % 2 == 0
        {
            (arguments, first) = (rest, 2);
        }
        let (what, least, most) = operator.takes();
        let count = arguments.len();
        let in_pairs = matches!(operator, Operator::Condition | Operator::Dict);
        if count < least || most.is_some_and(|most| count > most) || (in_pairs && count % 2 == 1) {
            return self.wrong(format!("{} takes {what}, and has {count}", shown(name)));
        }
        let args = Arguments { nodes: arguments, within, first };
        match operator {
            Operator::Path => self.path(args),
            Operator::Any => Source::Any(self.sources(args)),
            Operator::Array => Source::Array(self.sources(args)),
            Operator::MergeDicts => Source::MergeDicts(self.sources(args)),
            Operator::Concat => Source::Concat(self.sources(args)),
            Operator::Value => self.constant(args),
            Operator::Bool => self.literal_bool(args),
            Operator::Int => self.literal_int(args),
            Operator::Dict => self.dict(args),
            Operator::FlattenDict => Source::FlattenDict {
                separator: self.text(args, 0),
                levels: Box::new(self.argument(args, 1)),
                of: Box::new(self.argument(args, 2)),
            },
            Operator::ExcludeKeys => Source::ExcludeKeys {
                of: Box::new(self.argument(args, 0)),
                names: (1..count).map(|index| self.text(args, index)).collect(),
            },
            Operator::Condition => {
                let pairs = (0..count).step_by(2);
                let pairs = pairs.map(|at| (self.argument(args, at), self.argument(args, at + 1)));
                Source::Condition(pairs.collect())
            }
            Operator::IfElse => Source::IfElse(Box::new([0, 1, 2].map(|at| self.argument(args, at)))),
            Operator::SampleMd5 => Source::SampleMd5 {
                percent: Box::new(self.argument(args, 0)),
                key: Box::new(self.argument(args, 1)),
            },
            Operator::IsoTimeNow => Source::Now { iso: true },
            Operator::MsTimeNow => Source::Now { iso: false },
            Operator::ParseTimeToMs => self.parse_time(args),
            Operator::ReplaceWith => self.replace(args),
            Operator::Split => self.split(args),
            Operator::Contains => Source::Contains(self.text(args, 0), Box::new(self.argument(args, 1))),
            Operator::And | Operator::Or => {
                Source::Booleans { all: operator == Operator::And, of: self.sources(args) }
            }
            Operator::Equals => Source::Equals(Box::new([0, 1].map(|at| self.argument(args, at)))),
            Operator::ParseJsonElement => self.one(One::ParseJson, args),
            Operator::Typeof => self.one(One::Typeof, args),
            Operator::IsoTimeToMs => self.one(One::IsoTimeToMs, args),
            Operator::MsToIsoTime => self.one(One::MsToIsoTime, args),
            Operator::Int96TimeToMs => self.one(One::Int96TimeToMs, args),
            Operator::Lowercase => self.one(One::Lowercase, args),
            Operator::Not => self.one(One::Not, args),
            Operator::Round => self.one(One::Round, args),
            Operator::Add => Source::Integers(Arithmetic::Add, self.sources(args)),
            Operator::Subtract => Source::Integers(Arithmetic::Subtract, self.sources(args)),
            Operator::Multiply => Source::Integers(Arithmetic::Multiply, self.sources(args)),
            Operator::Divide => Source::Integers(Arithmetic::Divide, self.sources(args)),
            Operator::AddF => Source::Floats(Arithmetic::Add, self.sources(args)),
            Operator::SubtractF => Source::Floats(Arithmetic::Subtract, self.sources(args)),
            Operator::MultiplyF => Source::Floats(Arithmetic::Multiply, self.sources(args)),
            Operator::DivideF => Source::Floats(Arithmetic::Divide, self.sources(args)),
        }
    }

    fn argument(&mut self, args: Arguments<'_>, index: usize) -> Source {
        match args.nodes.get(index) {
            Some(node) => self.part(args.place(index), node, args.within),
            None => NOTHING,
        }
    }

    fn sources(&mut self, args: Arguments<'_>) -> Box<[Source]> {
        (0..args.nodes.len()).map(|index| self.argument(args, index)).collect()
    }

    fn one(&mut self, one: One, args: Arguments<'_>) -> Source {
        Source::One(one, Box::new(self.argument(args, 0)))
    }

    /// An argument that is a text itself, and no source.
    fn text(&mut self, args: Arguments<'_>, index: usize) -> Box<str> {
        match args.nodes.get(index) {
            Some(Node::Text(text)) => text.as_str().into(),
            Some(other) => {
                let what = format!("{} must be a text in quotes", other.shown());
                self.problems.add_at(args.place(index), what);
                "".into()
            }
            None => "".into(),
        }
    }

    fn path(&mut self, args: Arguments<'_>) -> Source {
        let first = self.argument(args, 0);
        // A path of a column alone, which most are, is that column.
        if matches!(first, Source::Column(_)) && args.nodes.len() == 1 {
            return first;
        }
        let inside = Arguments { within: Within::Element, ..args };
        let rest = (1..args.nodes.len()).map(|index| self.argument(inside, index));
        Source::Path(Box::new(first), rest.collect())
    }

    fn constant(&mut self, args: Arguments<'_>) -> Source {
        let json = args.nodes.first().map(Node::json).unwrap_or_default();
        // A file is not nested deeper than a value may be.
        Source::Constant(Value::of_json(json.into()).unwrap_or(Value::Null))
    }

    fn literal_bool(&mut self, args: Arguments<'_>) -> Source {
        match args.nodes.first() {
            Some(Node::Bool(value)) => Source::Constant(Value::Bool(*value)),
            other => {
                let shown = other.map(Node::shown).unwrap_or_default();
                self.wrong(format!("\"bool\" takes true or false itself, not {shown}"))
            }
        }
    }

    fn literal_int(&mut self, args: Arguments<'_>) -> Source {
        let int = match args.nodes.first() {
            Some(Node::Number(digits)) => digits.parse::<i128>().ok(),
            _ => None,
        };
        match int {
            Some(int) => Source::Constant(Value::of_int(int)),
            None => {
                let shown = args.nodes.first().map(Node::shown).unwrap_or_default();
                self.wrong(format!("\"int\" takes a whole number itself, not {shown}"))
            }
        }
    }

    fn dict(&mut self, args: Arguments<'_>) -> Source {
        let mut members: Vec<Member> = Vec::new();
        for index in (0..args.nodes.len()).step_by(2) {
            let name = self.text(args, index);
            let source = self.argument(args, index + 1);
            // Of equal names the last counts.
            members.retain(|member| member.name != name);
            members.push(member(&name, source));
        }
        Source::Dict(members.into())
    }

    fn parse_time(&mut self, args: Arguments<'_>) -> Source {
        let pattern = self.text(args, 0);
        let of = self.argument(args, 1);
        match TimePattern::new(&pattern) {
            Ok(pattern) => Source::ParseTime(Box::new(pattern), Box::new(of)),
            Err(what) if matches!(args.nodes.first(), Some(Node::Text(_))) => {
                self.problems.add_at(args.place(0), what);
                NOTHING
            }
            Err(_) => NOTHING,
        }
    }

    fn replace(&mut self, args: Arguments<'_>) -> Source {
        let (old, new) = (self.text(args, 0), self.text(args, 1));
        let of = self.argument(args, 2);
        self.regexes += 1;
        if self.regexes > REGEXES_MAX {
            return self.wrong(format!("a converter has at most {REGEXES_MAX} regular expressions"));
        }
        match java_regex::compile(&old, false) {
            Ok(regex) => match java_regex::replacement(&new, &regex) {
                Ok(by) => return Source::Replace(Box::new(Replace { regex, by }), Box::new(of)),
                Err(what) => self.problems.add_at(args.place(1), what),
            },
            Err(what) => self.problems.add_at(args.place(0), what),
        }
        NOTHING
    }

    fn split(&mut self, args: Arguments<'_>) -> Source {
        let separator = self.text(args, 0);
        if matches!(args.nodes.first(), Some(Node::Text(text)) if text.is_empty()) {
            self.problems.add_at(args.place(0), "the separator is empty");
        }
        Source::Split(separator, Box::new(self.argument(args, 1)))
    }
}

/// The arguments of an operator.
#[derive(Clone, Copy)]
struct Arguments<'n> {
    nodes: &'n [Node],
    within: Within,
    /// The index of the first argument in the file's list.
    first: usize,
}

impl Arguments<'_> {
    /// The index of an argument in the file's list.
    fn place(&self, index: usize) -> usize {
        self.first + index
    }
}

fn member(name: &str, source: Source) -> Member {
    Member { fragment: fragment(name), name: name.into(), source }
}
