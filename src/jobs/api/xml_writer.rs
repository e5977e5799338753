//! Writes the XML of answers.

use quick_xml::escape::escape;

/// A document under construction.
#[derive(Debug)]
pub(super) struct Xml(String);

impl Xml {
    /// A document whose outermost element has this name and what `within` writes.
    pub(super) fn document(name: &str, within: impl FnOnce(&mut Self)) -> String {
        let mut xml = Self(format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{name} xmlns=\"{}\">",
            super::NAMESPACE
        ));
        within(&mut xml);
        xml.0.push_str(&format!("</{name}>"));
        xml.0
    }

    /// An element with what `within` writes.
    pub(super) fn group(&mut self, name: &str, within: impl FnOnce(&mut Self)) {
        self.0.push_str(&format!("<{name}>"));
        within(self);
        self.0.push_str(&format!("</{name}>"));
    }

    /// An element with a text.
    pub(super) fn text(&mut self, name: &str, text: impl AsRef<str>) {
        // Characters that XML cannot have would make the whole answer unreadable.
        let sound: String = text.as_ref().chars().filter(|c| is_of_xml(*c)).collect();
        self.0.push_str(&format!("<{name}>{}</{name}>", escape(sound.as_str())));
    }

    /// An element with a text, if there is one.
    pub(super) fn maybe(&mut self, name: &str, text: Option<impl AsRef<str>>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }
}

/// Whether XML 1.0 allows a character.
fn is_of_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use super::super::xml_tree::Element;
    use super::*;

    #[test]
    fn any_text_can_be_read_back() {
        let odd = "a<b>&\"'\u{1F600}\u{0}\u{FFFE}]]>";
        let document = Xml::document("a", |xml| xml.text("b", odd));
        assert_eq!(Element::parse(&document).unwrap().elements[0].text, "a<b>&\"'\u{1F600}]]>");
    }
}
