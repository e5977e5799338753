//! What a job does with each object: whom it invokes.

use serde::{Deserialize, Serialize};

/// The longest name or ARN of a function, in characters (`FunctionArnString` of the API).
pub const FUNCTION_MAX: usize = 1_024;
/// The longest command line or address, in bytes.
pub const HANDLER_MAX: usize = 4_096;
/// The longest name of an import, in characters.
pub const IMPORT_NAME_MAX: usize = 256;

/// Whom a job invokes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// A Lambda function: its ARN or name as given, with its version or alias.
    Function(String),
    /// A program and its arguments, as a shell splits them.
    Command(String),
    /// An address to which invocations are posted.
    Web(String),
    /// Our own import; with the name of an `[[import]]`, by its rules.
    Import(Option<String>),
}

impl Operation {
    /// Reads `--handler`: `import`, `import:NAME`, `cmd:PROGRAM ARGUMENTS`, or an address.
    /// Errors: the expected forms.
    pub fn handler(text: &str) -> Result<Self, String> {
        let operation = match text.split_once(':') {
            None if text == "import" => Self::Import(None),
            Some(("import", name)) => Self::Import(Some(name.to_owned())),
            Some(("cmd", line)) => Self::Command(line.to_owned()),
            Some(("http" | "https", _)) => Self::Web(text.to_owned()),
            _ => {
                let shown = crate::words::outside_text(text);
                let found = if text.is_empty() { String::new() } else { format!(", not \"{shown}\"") };
                return Err(format!(
                    "expected import, import:NAME, cmd:PROGRAM or an http:// or https:// address{found}; a Lambda \
                     function is given by --function-arn"
                ));
            }
        };
        operation.check().map(|()| operation)
    }

    /// Checks the form. Errors: the expected form.
    pub fn check(&self) -> Result<(), String> {
        let plain = |text: &str| !text.chars().any(char::is_control);
        let within =
            |text: &str, max: usize| !text.trim().is_empty() && text.chars().count() <= max && plain(text);
        let (sound, expected) = match self {
            Self::Function(arn) => (
                function_name(arn).is_some(),
                "expected the ARN or the name of a Lambda function, such as \
                 arn:aws:lambda:us-east-1:111122223333:function:name"
                    .to_owned(),
            ),
            Self::Command(line) => (
                line.len() <= HANDLER_MAX && within(line, HANDLER_MAX),
                format!("expected a program after cmd:, in at most {HANDLER_MAX} bytes on one line"),
            ),
            Self::Web(url) => (
                url.len() <= HANDLER_MAX && is_address(url),
                format!(
                    "expected an address such as http://127.0.0.1:9000/function, of at most {HANDLER_MAX} bytes"
                ),
            ),
            Self::Import(name) => (
                name.as_deref().is_none_or(|name| within(name, IMPORT_NAME_MAX)),
                format!(
                    "expected the name of an [[import]] after import:, of at most {IMPORT_NAME_MAX} characters"
                ),
            ),
        };
        if sound { Ok(()) } else { Err(expected) }
    }

    /// The operation in the form of `--handler` or `--function-arn`.
    pub fn text(&self) -> String {
        match self {
            Self::Function(arn) => arn.clone(),
            Self::Command(line) => format!("cmd:{line}"),
            Self::Web(url) => url.clone(),
            Self::Import(None) => "import".to_owned(),
            Self::Import(Some(name)) => format!("import:{name}"),
        }
    }
}

fn is_address(url: &str) -> bool {
    let uri: Result<http::Uri, _> = url.parse();
    uri.is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|h| !h.is_empty())
    })
}

/// The name of a function in a text of the form `FunctionArnString`:
/// `[arn:PARTITION:lambda:][REGION:][ACCOUNT:][function:]NAME[:QUALIFIER]`. `None`: it has another form.
pub fn function_name(text: &str) -> Option<&str> {
    let word = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let mut parts: Vec<&str> = text.split(':').collect();
    if let ["arn", partition, "lambda", ..] = parts.as_slice() {
        let letters = partition.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-');
        if !(partition.is_empty() || partition.starts_with("aws") && letters) {
            return None;
        }
        parts.drain(..3);
    }
    // Each part before the name may be left out. A name is never taken for one of them if nothing follows it.
    let mut skip = |is: &dyn Fn(&str) -> bool| {
        if parts.len() > 1 && parts.first().is_some_and(|part| is(part)) {
            parts.remove(0);
        }
    };
    skip(&is_region);
    skip(&is_account);
    skip(&|part| part == "function");
    let name = match parts.as_slice() {
        [name] => *name,
        [name, qualifier] if *qualifier == "$LATEST" || word(qualifier) => *name,
        _ => return None,
    };
    (word(name) && text.len() <= FUNCTION_MAX).then_some(name)
}

/// Whether a text names a function by its whole ARN: `arn:PARTITION:lambda:REGION:ACCOUNT:function:NAME[:QUALIFIER]`.
pub fn is_function_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    let ["arn", partition, "lambda", region, account, "function", _, ..] = parts.as_slice() else {
        return false;
    };
    !partition.is_empty() && is_region(region) && is_account(account) && function_name(text).is_some()
}

fn is_account(part: &str) -> bool {
    part.len() == 12 && part.bytes().all(|b| b.is_ascii_digit())
}

fn is_region(part: &str) -> bool {
    let words: Vec<&str> = part.split('-').collect();
    let letters = |word: &&str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase());
    match words.as_slice() {
        [country, middle @ .., number] => {
            let digit = number.len() == 1 && number.bytes().all(|b| b.is_ascii_digit());
            country.len() == 2
                && letters(country)
                && (1..=2).contains(&middle.len())
                && middle.iter().all(letters)
                && digit
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_named_in_every_form_of_the_api() {
        let check = |text: &str, sound: bool| {
            assert_eq!(Operation::Function(text.to_owned()).check().is_ok(), sound, "{text}");
        };
        for text in [
            "arn:aws:lambda:us-east-1:123456789012:function:LambdaFunctionName",
            "arn:aws:lambda:us-east-1:123456789012:function:name:$LATEST",
            "arn:aws:lambda:us-east-1:123456789012:function:name:7",
            "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:name:prod_2",
            "123456789012:function:name",
            "us-east-1:123456789012:name",
            "name",
            "name:alias",
            "function",
            "function:name:alias",
        ] {
            check(text, true);
        }
        let long = "n".repeat(1_024);
        check(&long, true);
        for text in [
            "",
            "arn:aws:s3:::bucket",
            "arn:aws:lambda:us-east-1:AccountID:function:name",
            "arn:aws:lambda:us-east-1:123456789012:function:",
            "arn:aws:lambda:us-east-1:123456789012:function:name:a:b",
            "arn:az:lambda:us-east-1:123456789012:function:name",
            "na me",
            "name:$latest",
            "cmd:rm",
            &format!("{long}n"),
        ] {
            // `cmd:rm` has the form of a function `cmd` with the alias `rm`: the ARN decides, never the text.
            check(text, text == "cmd:rm");
        }
    }

    #[test]
    fn a_whole_arn_has_region_and_account() {
        for (text, expected) in [
            ("arn:aws:lambda:us-east-1:123456789012:function:name", true),
            ("arn:aws-cn:lambda:cn-north-1:123456789012:function:name:$LATEST", true),
            ("arn:aws:lambda:us-east-1:123456789012:function:name:7", true),
            ("name", false),
            ("name:7", false),
            ("123456789012:function:name", false),
            ("arn:aws:lambda:us-east-1:function:name:7", false),
            ("arn:aws:lambda::123456789012:function:name", false),
            ("arn::lambda:us-east-1:123456789012:function:name", false),
            ("arn:aws:lambda:us-east-1:123456789012:layer:name", false),
            ("arn:aws:lambda:us-east-1:123456789012:function:a b", false),
        ] {
            assert_eq!(is_function_arn(text), expected, "{text}");
        }
    }

    #[test]
    fn handlers_read_back_as_written() {
        for text in [
            "import",
            "import:history",
            "cmd:python3 handler.py 'a b'",
            "http://127.0.0.1:9000/f",
            "https://example.com/",
        ] {
            assert_eq!(Operation::handler(text).unwrap().text(), text);
        }
        for text in [
            "",
            "imports",
            "import:",
            "cmd:",
            "cmd: ",
            "cmd:a\nb",
            "ftp://x/",
            "http://",
            "http:///x",
            "arn:aws:lambda:us-east-1:123456789012:function:n",
        ] {
            assert!(Operation::handler(text).unwrap_err().starts_with("expected "), "{text}");
        }
        assert!(Operation::handler(&format!("cmd:{}", "x".repeat(4_096))).is_ok());
        assert!(Operation::handler(&format!("cmd:{}", "x".repeat(4_097))).is_err());
    }
}
