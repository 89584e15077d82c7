//! Owns the little JSON that the contract itself needs: lists of texts or whole numbers, and
//! objects of texts or lists. Does not know about other values; plugins that need those use a JSON
//! crate.

/// Writes a list of texts.
pub(crate) fn list<I: IntoIterator<Item: AsRef<str>>>(texts: I) -> String {
    let mut json = String::from("[");
    for text in texts {
        separate(&mut json);
        quote(&mut json, text.as_ref());
    }
    json.push(']');
    json
}

/// Writes a list of whole numbers.
pub(crate) fn integer_list(numbers: &[i64]) -> String {
    let numbers: Vec<String> = numbers.iter().map(i64::to_string).collect();
    format!("[{}]", numbers.join(","))
}

/// Writes an object of texts.
pub(crate) fn object<I, N, T>(members: I) -> String
where
    I: IntoIterator<Item = (N, T)>,
    N: AsRef<str>,
    T: AsRef<str>,
{
    let mut json = String::from("{");
    for (name, text) in members {
        separate(&mut json);
        quote(&mut json, name.as_ref());
        json.push(':');
        quote(&mut json, text.as_ref());
    }
    json.push('}');
    json
}

/// Writes an object of lists of texts.
pub(crate) fn lists<I, N>(members: I) -> String
where
    I: IntoIterator<Item = (N, Vec<String>)>,
    N: AsRef<str>,
{
    let mut json = String::from("{");
    for (name, texts) in members {
        separate(&mut json);
        quote(&mut json, name.as_ref());
        json.push(':');
        json.push_str(&list(texts));
    }
    json.push('}');
    json
}

/// Adds a comma, unless the text ends with an opening bracket.
fn separate(json: &mut String) {
    if !json.ends_with(['[', '{']) {
        json.push(',');
    }
}

fn quote(json: &mut String, text: &str) {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    json.push('"');
    for char in text.chars() {
        match char {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\0'..='\x1f' => {
                let code = char as usize;
                json.push_str("\\u00");
                json.extend(DIGITS.get(code >> 4));
                json.extend(DIGITS.get(code & 15));
            }
            _ => json.push(char),
        }
    }
    json.push('"');
}

/// Reads a list of texts; none for anything else.
pub(crate) fn texts(json: &str) -> Option<Vec<String>> {
    let mut reader = Reader { rest: json };
    let texts = reader.list(Reader::text)?;
    reader.end()?;
    Some(texts)
}

/// Reads a list of whole numbers; none for anything else.
pub(crate) fn integers(json: &str) -> Option<Vec<i64>> {
    let mut reader = Reader { rest: json };
    let integers = reader.list(Reader::integer)?;
    reader.end()?;
    Some(integers)
}

/// Reads an object of lists of texts; none for anything else.
pub(crate) fn texts_by_name(json: &str) -> Option<Vec<(String, Vec<String>)>> {
    let mut reader = Reader { rest: json };
    let mut members = Vec::new();
    reader.expect('{')?;
    if !reader.accept('}') {
        loop {
            let name = reader.text()?;
            reader.expect(':')?;
            members.push((name, reader.list(Reader::text)?));
            if !reader.accept(',') {
                break;
            }
        }
        reader.expect('}')?;
    }
    reader.end()?;
    Some(members)
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn accept(&mut self, wanted: char) -> bool {
        self.skip_space();
        let after = self.rest.strip_prefix(wanted);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn expect(&mut self, wanted: char) -> Option<()> {
        self.accept(wanted).then_some(())
    }

    fn end(&mut self) -> Option<()> {
        self.skip_space();
        self.rest.is_empty().then_some(())
    }

    fn list<T>(&mut self, item: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut items = Vec::new();
        self.expect('[')?;
        if self.accept(']') {
            return Some(items);
        }
        loop {
            items.push(item(self)?);
            if !self.accept(',') {
                break;
            }
        }
        self.expect(']')?;
        Some(items)
    }

    fn integer(&mut self) -> Option<i64> {
        self.skip_space();
        let is_part = |char: char| char == '-' || char.is_ascii_digit();
        let end = self.rest.find(|char| !is_part(char));
        let (digits, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        let number: i64 = digits.parse().ok()?;
        // JSON has no leading zeros.
        if number.to_string() != digits {
            return None;
        }
        self.rest = rest;
        Some(number)
    }

    fn text(&mut self) -> Option<String> {
        self.expect('"')?;
        let mut text = String::new();
        loop {
            match self.take()? {
                '"' => return Some(text),
                '\\' => text.push(self.escape()?),
                '\0'..='\x1f' => return None,
                char => text.push(char),
            }
        }
    }

    fn take(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let char = chars.next()?;
        self.rest = chars.as_str();
        Some(char)
    }

    fn escape(&mut self) -> Option<char> {
        Some(match self.take()? {
            char @ ('"' | '\\' | '/') => char,
            'b' => '\x08',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let first = self.hex()?;
                if !(0xd800..0xdc00).contains(&first) {
                    return char::from_u32(first);
                }
                // Two surrogates encode one character beyond 16 bits.
                self.rest = self.rest.strip_prefix("\\u")?;
                let second = self.hex()?.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
                return char::from_u32(0x10000 + ((first - 0xd800) << 10) + second);
            }
            _ => return None,
        })
    }

    fn hex(&mut self) -> Option<u32> {
        let (digits, rest) = self.rest.split_at_checked(4)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        self.rest = rest;
        u32::from_str_radix(digits, 16).ok()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn written_lists_are_read_back() {
        let list_of = ["", "a", "\"\\\n\x01é\u{1f600}", "/"];
        assert_eq!(texts(&list(list_of)).unwrap(), list_of);
        assert_eq!(list(["\x1f\n"]), r#"["\u001f\n"]"#);
        assert_eq!(texts(&list([""; 0])).unwrap(), [""; 0]);
        assert_eq!(
            integers(&integer_list(&[i64::MIN, 0, 77])).unwrap(),
            [i64::MIN, 0, 77]
        );
        assert_eq!(integers(" [ 1 , -2 ] ").unwrap(), [1, -2]);
        let by_name = [
            ("a".to_owned(), vec!["1".to_owned()]),
            ("b".to_owned(), vec![]),
        ];
        assert_eq!(texts_by_name(&lists(by_name.clone())).unwrap(), by_name);
    }

    #[test]
    fn escapes_and_spaces_are_read() {
        assert_eq!(
            texts(" [ \"\\u00e9\\ud83d\\ude00\" ,\n\"\\/\\b\\t\" ] ").unwrap(),
            ["é\u{1f600}", "/\x08\t"]
        );
        assert_eq!(
            texts_by_name(r#"{"board": ["b1", "b2"], "n": []}"#).unwrap(),
            [
                ("board".to_owned(), vec!["b1".to_owned(), "b2".to_owned()]),
                ("n".to_owned(), vec![])
            ]
        );
    }

    #[test]
    fn anything_else_is_none() {
        for json in [
            "",
            "[",
            "[]x",
            "[1]",
            "[\"a\",]",
            "[\"a\" \"b\"]",
            "{}",
            "[\"\\x\"]",
            "[\"\\u12\"]",
            "[\"\\ud800\"]",
            "[\"\\ud800\\u0041\"]",
            "[\"\\u+123\"]",
            "[\"\n\"]",
            "[\"\\udc00\"]",
        ] {
            assert_eq!(texts(json), None, "{json}");
        }
        for json in [
            "[1.5]",
            "[01]",
            "[-]",
            "[\"1\"]",
            "[1e3]",
            "[9223372036854775808]",
            "[1 2]",
        ] {
            assert_eq!(integers(json), None, "{json}");
        }
        for json in ["[]", "{", "{\"a\"}", "{\"a\": 1}", "{\"a\": [],}", "{} x"] {
            assert_eq!(texts_by_name(json), None, "{json}");
        }
    }
}
