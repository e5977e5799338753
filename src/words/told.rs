//! Texts for people that may quote private values: cells of a file, names of its columns, what a row
//! contains, and what a function or a store answered, which may quote what was sent.

use std::fmt;

/// What stands in a masked text in place of a private value.
const HIDDEN: &str = "[hidden]";
/// What stands after a text that is not shown as a whole.
const HOW_SEEN: &str = "(some of it is hidden; admin.live_view = \"full\" shows it)";
/// The longest word, in bytes.
const WORD_BYTES_MAX: usize = 64;

/// A text for people that knows which of its parts are private. It has no `Display`: whoever shows it decides
/// between [`Told::full`], for those who have the file, the bucket or the function, and [`Told::masked`], for
/// logs and masked views.
///
/// Its stored form is the whole text as `message`, as it was before parts were known, and the masked text as
/// `shown`. A text without `shown` was stored by an older program: nobody knows what it quotes, so all of it
/// is private.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Told {
    #[serde(rename = "message")]
    full: String,
    #[serde(default, rename = "shown", skip_serializing_if = "Option::is_none")]
    masked: Option<String>,
}

impl Told {
    /// A text without private values.
    pub fn plain(text: impl Into<String>) -> Self {
        let full = text.into();
        Self { masked: Some(full.clone()), full }
    }

    /// A text that is private as a whole.
    pub fn private(text: impl Into<String>) -> Self {
        Self { full: text.into(), masked: None }
    }

    /// A code or an id that somebody else gave. These are words: what has other characters than theirs is
    /// another text, and private.
    pub fn word(text: &str) -> Self {
        let of_word = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-$".contains(&byte);
        if text.len() <= WORD_BYTES_MAX && text.bytes().all(of_word) {
            Self::plain(text)
        } else {
            Self::private(text)
        }
    }

    /// A text that is private, and what is shown in its place.
    pub fn masked_as(text: impl Into<String>, masked: impl Into<String>) -> Self {
        Self { full: text.into(), masked: Some(masked.into()) }
    }

    /// The text, followed by a private value; `masked` is shown in its place.
    #[must_use]
    pub fn and_private(mut self, value: &str, masked: &str) -> Self {
        self.full.push_str(value);
        self.masked.get_or_insert_with(|| HIDDEN.to_owned()).push_str(masked);
        self
    }

    /// The text, followed by another.
    #[must_use]
    pub fn and(mut self, next: &Self) -> Self {
        let masked = format!("{}{}", self.masked(), next.masked());
        self.full.push_str(&next.full);
        self.masked = Some(masked);
        self
    }

    /// The same with both of its texts changed, to make them safe for a line or to hide more.
    #[must_use]
    pub fn map(&self, change: impl Fn(&str) -> String) -> Self {
        Self { full: change(&self.full), masked: self.masked.as_deref().map(change) }
    }

    /// The whole text.
    pub fn full(&self) -> &str {
        &self.full
    }

    /// Bytes of its texts.
    pub fn bytes(&self) -> usize {
        self.full.len() + self.masked.as_ref().map_or(0, String::len)
    }

    /// The whole text if `all`, else the text without private values.
    pub fn shown(&self, all: bool) -> &str {
        if all { self.full() } else { self.masked() }
    }

    /// As [`Told::shown`]. Where something is hidden, it ends with how the whole text can be seen.
    pub fn in_view(&self, all: bool) -> String {
        in_view(self.full(), self.masked(), all)
    }

    /// The text without private values.
    pub fn masked(&self) -> &str {
        self.masked.as_deref().unwrap_or(HIDDEN)
    }

    /// The same for a place where private values may not be stored.
    #[must_use]
    pub fn without_private(&self) -> Self {
        Self::plain(self.masked())
    }
}

/// The full text if `all`, else the masked one, with how the full one can be seen if they differ.
pub fn in_view(full: &str, masked: &str, all: bool) -> String {
    if all || full == masked { full.to_owned() } else { format!("{masked} {HOW_SEEN}") }
}

/// Text that was put together elsewhere may quote anything.
impl From<String> for Told {
    fn from(text: String) -> Self {
        Self::private(text)
    }
}

/// Text of the program itself quotes nothing.
impl From<&'static str> for Told {
    fn from(text: &'static str) -> Self {
        Self::plain(text)
    }
}

/// Masked: what is printed so ends up in logs.
impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Told").field(&self.masked()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_parts_are_in_the_full_text_alone() {
        let check = |told: Told, full: &str, masked: &str| {
            assert_eq!((told.full(), told.masked()), (full, masked));
            assert_eq!(told.without_private(), Told::plain(masked));
            let json = serde_json::to_string(&told).unwrap();
            assert_eq!(serde_json::from_str::<Told>(&json).unwrap(), told);
        };
        check("why".into(), "why", "why");
        check(format!("cell {}", "secret").into(), "cell secret", "[hidden]");
        check(Told::plain("line 2: ").and_private("secret", "width"), "line 2: secret", "line 2: width");
        check(Told::private("a").and_private("b", ""), "ab", "[hidden]");
        check(Told::plain("503: ").and(&Told::private("secret")), "503: secret", "503: [hidden]");
        check(Told::private("secret").and(&Told::plain("; fix it")), "secret; fix it", "[hidden]; fix it");
        check(Told::private("secret").map(str::to_uppercase), "SECRET", "[hidden]");
        check(Told::word("KMS.DisabledException"), "KMS.DisabledException", "KMS.DisabledException");
        check(Told::word("jane.roe@example.com"), "jane.roe@example.com", "[hidden]");
        check(Told::masked_as("column secret", "a column"), "column secret", "a column");
        assert_eq!(format!("{:?}", Told::private("secret")), "Told(\"[hidden]\")");
    }

    #[test]
    fn a_view_says_how_the_rest_is_seen() {
        let told = Told::plain("line 2: ").and_private("secret", "width");
        assert_eq!(told.in_view(true), "line 2: secret");
        assert_eq!(
            told.in_view(false),
            "line 2: width (some of it is hidden; admin.live_view = \"full\" shows it)"
        );
        assert_eq!(Told::plain("all is said").in_view(false), "all is said");
    }

    #[test]
    fn a_text_of_an_older_program_is_private() {
        let told: Told = serde_json::from_str(r#"{"message":"column secret"}"#).unwrap();
        assert_eq!(told, Told::private("column secret"));
    }
}
