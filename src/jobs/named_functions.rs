//! Programs and addresses that are invoked in place of functions: what `--function` names.

use std::collections::BTreeMap;

use super::job::operation::{Operation, function_name};
use crate::words::outside_text;

/// A function, and what is invoked in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFunction {
    function: Named,
    operation: Operation,
}

/// How a function is named.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Named {
    /// Only by this ARN.
    Arn(String),
    /// By every ARN with this name, whatever its account, region, version or alias.
    Name(String),
}

impl Named {
    fn text(&self) -> &str {
        let (Self::Arn(text) | Self::Name(text)) = self;
        text
    }
}

impl NamedFunction {
    /// Reads `NAME=HANDLER` or `ARN=HANDLER`. The handler is a program (`cmd:`) or an address.
    /// Errors: the expected form.
    pub fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str = "expected NAME=cmd:PROGRAM ARGUMENTS or NAME=http://ADDRESS, where NAME is the name or the ARN of a \
             function";
        let (function, handler) = text.split_once('=').ok_or(FORM)?;
        let named = match function_name(function) {
            Some(name) if name == function => Named::Name(name.to_owned()),
            Some(_) if function.starts_with("arn:") => Named::Arn(function.to_owned()),
            _ => {
                return Err(format!(
                    "expected the name or the ARN of a function before the first =, not \"{}\"",
                    outside_text(function)
                ));
            }
        };
        if !["cmd:", "http:", "https:"].iter().any(|kind| handler.starts_with(kind)) {
            return Err(FORM.to_owned());
        }
        Ok(Self { function: named, operation: Operation::handler(handler)? })
    }
}

/// All functions in whose place something else is invoked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamedFunctions(BTreeMap<Named, Operation>);

impl NamedFunctions {
    /// Errors: a function that is named twice.
    pub fn new(functions: impl IntoIterator<Item = NamedFunction>) -> Result<Self, String> {
        let mut all = BTreeMap::new();
        for NamedFunction { function, operation } in functions {
            if all.contains_key(&function) {
                return Err(format!("{} is given twice; one of them has to go", function.text()));
            }
            all.insert(function, operation);
        }
        Ok(Self(all))
    }

    /// All that is invoked in place of functions.
    pub fn operations(&self) -> impl Iterator<Item = &Operation> {
        self.0.values()
    }

    /// What is invoked in place of a function, by its ARN or name as a job has it. The whole ARN goes before
    /// the name.
    pub fn in_place_of(&self, function: &str) -> Option<&Operation> {
        let by_name = || self.0.get(&Named::Name(function_name(function)?.to_owned()));
        self.0.get(&Named::Arn(function.to_owned())).or_else(by_name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:lambda:us-east-1:111122223333:function:copy";

    fn named(texts: &[&str]) -> NamedFunctions {
        NamedFunctions::new(texts.iter().map(|text| NamedFunction::parse(text).unwrap())).unwrap()
    }

    #[test]
    fn a_name_stands_for_each_arn_with_it_and_an_arn_for_itself() {
        let functions =
            named(&["copy=cmd:a b=c", &format!("{ARN}:live=http://127.0.0.1:1/f?x=y"), "other=https://x/"]);
        let command = Operation::Command("a b=c".to_owned());
        for function in [
            ARN,
            "arn:aws-cn:lambda:cn-north-1:999999999999:function:copy",
            &format!("{ARN}:7"),
            &format!("{ARN}:$LATEST"),
            "copy",
            "copy:alias",
            "111122223333:function:copy",
        ] {
            assert_eq!(functions.in_place_of(function), Some(&command), "{function}");
        }
        let web = Operation::Web("http://127.0.0.1:1/f?x=y".to_owned());
        assert_eq!(functions.in_place_of(&format!("{ARN}:live")), Some(&web));
        for function in ["Copy", "copy2", "arn:aws:lambda:us-east-1:111122223333:function:copies", ""] {
            assert_eq!(functions.in_place_of(function), None, "{function}");
        }
        let by_arn = named(&[&format!("{ARN}=cmd:a")]);
        assert_eq!(by_arn.in_place_of(&format!("{ARN}:live")), None, "a qualifier makes another ARN");
    }

    #[test]
    fn wrong_forms_say_what_is_expected() {
        for (text, says) in [
            ("copy", "expected NAME=cmd:"),
            ("", "expected NAME=cmd:"),
            ("=cmd:a", "before the first ="),
            ("a b=cmd:a", "before the first =, not \"a b\""),
            ("copy:live=cmd:a", "before the first ="),
            ("arn:aws:s3:::copy=cmd:a", "before the first ="),
            ("copy=import", "expected NAME=cmd:"),
            ("copy=/bin/cat", "expected NAME=cmd:"),
            ("copy=cmd:", "expected a program after cmd:"),
            ("copy=http://", "expected an address"),
        ] {
            let error = NamedFunction::parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
        let twice = ["copy=cmd:a", "copy=cmd:b"].map(|text| NamedFunction::parse(text).unwrap());
        assert!(NamedFunctions::new(twice).unwrap_err().contains("copy is given twice"));
    }
}
