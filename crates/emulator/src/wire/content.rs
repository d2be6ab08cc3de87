//! Reads texts wherever the wire formats allow them: a string, a block, a list of blocks. Refuses to keep images.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer};

/// A string that borrows from the body where it can; null is empty.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Text<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Text::default())
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// The texts of a message, joined, and what else was in it.
#[derive(Debug, Default)]
pub(super) struct Content<'a> {
    pub(super) text: Cow<'a, str>,
    /// Whether there was anything at all.
    pub(super) filled: bool,
    /// Whether a text block was empty.
    pub(super) hollow: bool,
    pub(super) document: bool,
    pub(super) citations: bool,
}

/// One block or part; the formats agree on enough for one shape.
#[derive(Debug, Default, Deserialize)]
struct Block<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    content: Option<Box<Content<'a>>>,
    #[serde(default)]
    citations: Option<Vec<IgnoredAny>>,
}

impl<'a> Content<'a> {
    fn add(&mut self, text: Cow<'a, str>) {
        if self.text.is_empty() {
            self.text = text;
        } else if !text.is_empty() {
            let joined = self.text.to_mut();
            joined.push_str("\n\n");
            joined.push_str(&text);
        }
    }

    fn take(&mut self, block: Block<'a>) {
        self.filled = true;
        self.document |= block.kind.0 == "document";
        self.citations |= block.citations.is_some_and(|citations| !citations.is_empty());
        match block.text {
            Some(text) => {
                self.hollow |= text.0.is_empty();
                self.add(text.0);
            }
            None => self.hollow |= block.kind.0 == "text",
        }
        if let Some(inner) = block.content {
            self.add(inner.text);
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Content<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string or a list of content blocks")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Content { filled: !text.is_empty(), text: Cow::Borrowed(text), ..Content::default() })
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Content { filled: !text.is_empty(), text: Cow::Owned(text.to_owned()), ..Content::default() })
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Content::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let mut content = Content::default();
                content.take(Block::deserialize(MapAccessDeserializer::new(map))?);
                Ok(content)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut content = Content::default();
                while let Some(block) = list.next_element::<StringOrBlock<'de>>()? {
                    match block.0 {
                        Ok(text) => {
                            content.filled |= !text.is_empty();
                            content.add(text);
                        }
                        Err(block) => content.take(*block),
                    }
                }
                Ok(content)
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// An element of a list: OpenAI and Gemini also take bare strings.
struct StringOrBlock<'a>(Result<Cow<'a, str>, Box<Block<'a>>>);

impl<'de: 'a, 'a> Deserialize<'de> for StringOrBlock<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = StringOrBlock<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a content block")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(StringOrBlock(Ok(Cow::Borrowed(text))))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(StringOrBlock(Ok(Cow::Owned(text.to_owned()))))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                Block::deserialize(MapAccessDeserializer::new(map)).map(|block| StringOrBlock(Err(Box::new(block))))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// Several strings, or one.
#[derive(Debug, Default)]
pub(super) struct Strings(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for Strings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Strings;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string or a list of strings")
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Strings(vec![text.to_owned()]))
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Strings::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut strings = Vec::new();
                while let Some(text) = list.next_element()? {
                    strings.push(text);
                }
                Ok(Strings(strings))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_borrows_and_blocks_join() {
        let plain: Content<'_> = serde_json::from_str(r#""겨울 예약""#).unwrap();
        assert!(matches!(plain.text, Cow::Borrowed("겨울 예약")));
        let list: Content<'_> = serde_json::from_str(
            r#"[{"type":"text","text":"가"},{"type":"image","source":{}},"나",
                {"type":"tool_result","content":[{"type":"text","text":"다\n라"}]}]"#,
        )
        .unwrap();
        assert_eq!(list.text, "가\n\n나\n\n다\n라");
        assert!(list.filled && !list.hollow && !list.document);
    }

    #[test]
    fn what_rules_ask_about_is_noticed() {
        let content: Content<'_> =
            serde_json::from_str(r#"[{"type":"document"},{"type":"text","text":"","citations":[{"type":"x"}]}]"#)
                .unwrap();
        assert!(content.document && content.citations && content.hollow);
    }
}
