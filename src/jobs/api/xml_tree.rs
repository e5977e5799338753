//! The XML of a request as a tree, without attributes and namespaces.

use quick_xml::Reader;
use quick_xml::events::Event;

/// How deep elements may be nested; a create-job request has six.
const DEPTH_MAX: usize = 16;

/// An element.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    /// Its name without its namespace.
    pub(super) name: String,
    /// Its text, if it has no elements.
    pub(super) text: String,
    /// Its elements, in their order.
    pub(super) elements: Vec<Element>,
}

impl Element {
    /// The one element of a document. Errors: what is wrong with the XML.
    pub(super) fn parse(document: &str) -> Result<Self, String> {
        let document = document.strip_prefix('\u{feff}').unwrap_or(document);
        check_characters(document)?;
        let mut reader = Reader::from_str(document);
        let mut open: Vec<Self> = vec![Self::default()];
        loop {
            match reader.read_event().map_err(|error| error.to_string())? {
                Event::Start(start) => {
                    if open.len() > DEPTH_MAX {
                        return Err(format!("elements are nested more than {DEPTH_MAX} deep"));
                    }
                    open.push(Self::named(start.local_name().as_ref()));
                }
                Event::Empty(start) => put(&mut open, Self::named(start.local_name().as_ref())),
                Event::End(_) => {
                    let Some(ended) = open.pop() else { break };
                    if !ended.elements.is_empty() && !is_blank(&ended.text) {
                        return Err("an element has both text and elements".to_owned());
                    }
                    put(&mut open, ended);
                }
                Event::Text(text) => {
                    let text = text.decode().map_err(|error| error.to_string())?;
                    add_text(&mut open, &text)?;
                }
                Event::CData(text) => {
                    let text = text.decode().map_err(|error| error.to_string())?;
                    add_text(&mut open, &text)?;
                }
                Event::GeneralRef(reference) => {
                    let name = reference.decode().map_err(|error| error.to_string())?;
                    let reference = format!("&{name};");
                    let text = quick_xml::escape::unescape(&reference).map_err(|error| error.to_string())?;
                    add_text(&mut open, &text)?;
                }
                Event::DocType(_) => return Err("a document type is not accepted".to_owned()),
                Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
                Event::Eof => break,
            }
        }
        match (open.pop(), open.is_empty()) {
            (Some(mut document), true) => match (document.elements.pop(), document.elements.is_empty()) {
                (Some(root), true) => Ok(root),
                _ => Err("there is not exactly one element".to_owned()),
            },
            _ => Err("it ends in the middle of an element".to_owned()),
        }
    }

    fn named(name: &[u8]) -> Self {
        Self { name: String::from_utf8_lossy(name).into_owned(), ..Self::default() }
    }
}

fn put(open: &mut [Element], ended: Element) {
    if let Some(parent) = open.last_mut() {
        parent.elements.push(ended);
    }
}

fn add_text(open: &mut [Element], text: &str) -> Result<(), String> {
    check_characters(text)?;
    match open {
        [_] if is_blank(text) => {}
        [_] => return Err("there is text outside of the element".to_owned()),
        [.., element] => element.text.push_str(text),
        [] => {}
    }
    Ok(())
}

/// What stands between elements to make them readable.
fn is_blank(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
}

/// Errors: a character that XML 1.0 has not, written as itself or as a reference.
fn check_characters(text: &str) -> Result<(), String> {
    let is_outside = |char: &char| matches!(char, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}');
    match text.chars().find(is_outside) {
        Some(char) => Err(format!("it has the character U+{:04X}, which XML has not", u32::from(char))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_becomes_a_tree() {
        let text = "<?xml version=\"1.0\"?><a xmlns=\"x\"><b>1 &amp; 2&#x21;</b><c/><n:d><e><![CDATA[<]]></e></n:d></a>";
        let root = Element::parse(text).unwrap();
        let names: Vec<_> = root.elements.iter().map(|element| element.name.as_str()).collect();
        assert_eq!(names, ["b", "c", "d"]);
        assert_eq!(root.elements[0].text, "1 & 2!");
        assert_eq!(root.elements[2].elements[0].text, "<");
        let blank = Element::parse("\u{feff}<?xml version=\"1.0\"?>\n<a>\r\n\t<b>\u{85}</b> </a>\n").unwrap();
        assert_eq!(blank.elements[0].text, "\u{85}");
    }

    #[test]
    fn what_is_no_sound_document_is_refused() {
        let deep = "<a>".repeat(40) + &"</a>".repeat(40);
        let bad = [
            "",
            "text",
            "<a>",
            "<a></b>",
            "<a/><b/>",
            "<a>&nosuch;</a>",
            "<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>",
            "<a",
            "x<a/>",
            "<a/>x",
            "<a/>&amp;",
            "<a>x<b/></a>",
            "<a><b/><![CDATA[x]]></a>",
            "<a>\u{1}</a>",
            "<a>&#1;</a>",
            "<a>\u{ffff}</a>",
            &deep,
        ];
        for text in bad {
            Element::parse(text).unwrap_err();
        }
    }
}
