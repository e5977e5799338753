//! Which counts of the ledger a line belongs to.

use std::fmt;
use std::str::FromStr;

use crate::batch::BatchKey;
use crate::object::Stream;
use crate::sources::SourceId;

/// One account of the ledger: a source's calls with its rejected items, or one of its object or dead-letter
/// streams.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountKey {
    /// The source.
    pub source: SourceId,
    /// The stream; [`Stream::Calls`] for calls and rejected items.
    stream: Stream,
}

impl AccountKey {
    /// The account of a stream's lines.
    pub fn new(source: SourceId, stream: &Stream) -> Self {
        Self { source, stream: stream.account() }
    }

    /// The account of a batch's lines.
    pub fn of_batch(batch: &BatchKey) -> Self {
        Self::new(batch.source.clone(), &batch.stream)
    }

    /// The account of a source's calls and rejected items.
    pub fn of_calls(source: SourceId) -> Self {
        Self { source, stream: Stream::Calls }
    }

    /// The stream whose lines it counts as stored.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Whether it counts calls and rejected items.
    pub fn is_of_calls(&self) -> bool {
        self.stream == Stream::Calls
    }

    /// The streams whose lines it counts.
    pub fn streams(&self) -> impl Iterator<Item = Stream> + use<> {
        let rejected = self.is_of_calls().then_some(Stream::Rejected);
        [self.stream.clone()].into_iter().chain(rejected)
    }
}

/// `web`, `web/objects/rooms`. A source id contains no slash.
impl fmt::Display for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.stream {
            Stream::Calls => write!(f, "{}", self.source),
            stream => write!(f, "{}/{stream}", self.source),
        }
    }
}

impl FromStr for AccountKey {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (source, stream) = match text.split_once('/') {
            Some((source, stream)) => (source, stream.parse().map_err(|error| format!("{error}"))?),
            None => (text, Stream::Calls),
        };
        Ok(Self::new(SourceId::new(source).map_err(|error| error.to_string())?, &stream))
    }
}

text_form!(AccountKey, String, str::parse);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_of_calls_is_written_as_its_source_like_in_older_releases() {
        for text in ["web", "web/objects/rooms", "web/dead/lambda"] {
            let key: AccountKey = text.parse().unwrap();
            assert_eq!(key.to_string(), text);
            assert_eq!(serde_json::to_string(&key).unwrap(), format!("\"{text}\""));
        }
        let web = SourceId::new("web").unwrap();
        assert_eq!(AccountKey::new(web.clone(), &Stream::Rejected), AccountKey::of_calls(web));
        for text in ["", "_x", "web/", "web/objects/", "web/x/y"] {
            assert!(text.parse::<AccountKey>().is_err(), "{text}");
        }
    }
}
