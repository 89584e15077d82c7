//! Owns reading XML: elements with their attributes and texts. What is cut off is read as far as it
//! goes, and elements need not match, so that a part of a report can be read.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// A part of an XML text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Open(Element),
    Text(String),
    /// The end of an element, with its name. An empty element has one too.
    Close(String),
}

/// The beginning of an element.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Element {
    pub(crate) name: String,
    attributes: Vec<(String, String)>,
}

impl Element {
    /// The value of an attribute.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut attributes = self.attributes.iter();
        let found = attributes.find(|(known, _)| known == name)?;
        Some(&found.1)
    }

    /// The value of an attribute that is a number; none where it is missing or no number.
    pub(crate) fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.get(name)?.parse().ok()
    }
}

/// The nodes of a text, up to its end or the first mistake.
pub(crate) struct Nodes<'a> {
    reader: Reader<&'a [u8]>,
    has_mistake: bool,
}

impl<'a> Nodes<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let mut reader = Reader::from_str(text);
        let config = reader.config_mut();
        config.allow_unmatched_ends = true;
        config.allow_dangling_amp = true;
        config.check_end_names = false;
        config.expand_empty_elements = true;
        Self {
            reader,
            has_mistake: false,
        }
    }
}

impl Iterator for Nodes<'_> {
    type Item = Node;

    fn next(&mut self) -> Option<Node> {
        while !self.has_mistake {
            match self.reader.read_event() {
                Ok(Event::Start(start) | Event::Empty(start)) => {
                    return Some(Node::Open(element(&start)));
                }
                Ok(Event::End(end)) => return Some(Node::Close(end.name().as_ref().to_owned())),
                Ok(Event::Text(text)) => return Some(Node::Text(text.into_inner().into_owned())),
                Ok(Event::CData(text)) => return Some(Node::Text(text.into_inner().into_owned())),
                Ok(Event::GeneralRef(reference)) => {
                    let name = reference.into_inner();
                    return Some(Node::Text(unescaped(&format!("&{name};"))));
                }
                Ok(Event::Eof) => return None,
                Ok(Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_)) => {}
                Err(_) => self.has_mistake = true,
            }
        }
        None
    }
}

fn element(start: &BytesStart<'_>) -> Element {
    let mut attributes = start.attributes();
    let attributes = attributes.with_checks(false).flatten();
    let attributes = attributes.map(|attribute| {
        let name = attribute.key.as_ref().to_owned();
        (name, unescaped(attribute.value.as_ref()))
    });
    Element {
        name: start.name().as_ref().to_owned(),
        attributes: attributes.collect(),
    }
}

/// Replaces the references in a text; what is none stays as it is.
fn unescaped(text: &str) -> String {
    match quick_xml::escape::unescape(text) {
        Ok(text) => text.into_owned(),
        Err(_) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let one = |node| match node {
            Node::Open(element) => {
                let attributes = element.attributes.iter();
                let attributes: Vec<String> =
                    attributes.map(|(n, v)| format!(" {n}={v}")).collect();
                format!("<{}{}>", element.name, attributes.concat())
            }
            Node::Text(text) => text,
            Node::Close(name) => format!("</{name}>"),
        };
        Nodes::new(text).map(one).collect()
    }

    #[test]
    fn elements_texts_and_references_are_read() {
        let text = "<?xml version=\"1.0\"?><a x=\"1 &lt; 2&#x0A;y > z\"><b/>t &amp; u\
                    <![CDATA[<v>]]></a>";
        let expected = [
            "<a x=1 < 2\ny > z>",
            "<b>",
            "</b>",
            "t ",
            "&",
            " u",
            "<v>",
            "</a>",
        ];
        assert_eq!(shown(text), expected);
    }

    #[test]
    fn part_of_a_text_is_read_as_far_as_it_goes() {
        assert_eq!(shown("x</b></a><c><d e=\"f"), ["x", "</b>", "</a>", "<c>"]);
        assert_eq!(shown("a &nothing; & b").concat(), "a &nothing; & b");
        assert_eq!(shown(""), [""; 0]);
    }
}
