//! JSON as the journal keeps it. Bytes are a text of hexadecimal digits, which is quicker to write than
//! a list of numbers; everything else is as everywhere.

use std::io::{self, Write};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::ser::{Formatter, Serializer};

/// Writes `value` in the place of what `text` was.
pub(crate) fn write<'a>(
    text: &'a mut Vec<u8>,
    value: &impl Serialize,
) -> serde_json::Result<&'a str> {
    text.clear();
    value.serialize(&mut Serializer::with_formatter(&mut *text, Digits))?;
    std::str::from_utf8(text).map_err(serde::ser::Error::custom)
}

struct Digits;

impl Formatter for Digits {
    fn write_byte_array<W: ?Sized + Write>(&mut self, to: &mut W, bytes: &[u8]) -> io::Result<()> {
        const AT_ONCE: usize = 64;
        let mut digits = [[0; 2]; AT_ONCE];
        to.write_all(b"\"")?;
        for bytes in bytes.chunks(AT_ONCE) {
            for (pair, byte) in digits.iter_mut().zip(bytes) {
                *pair = [byte >> 4, byte & 0xf].map(digit);
            }
            let written = digits.get(..bytes.len()).unwrap_or_default();
            to.write_all(written.as_flattened())?;
        }
        to.write_all(b"\"")
    }
}

/// Without a branch, so that many are made at once.
const fn digit(number: u8) -> u8 {
    const TO_LETTERS: u8 = b'a' - b'9' - 1;
    b'0' + number + TO_LETTERS * (number > 9) as u8
}

/// Reads bytes back, also as other writers of JSON put them: a list of numbers.
pub(crate) fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Digits(String),
        List(Vec<u8>),
    }
    let text = match Written::deserialize(from)? {
        Written::Digits(text) => text,
        Written::List(bytes) => return Ok(bytes),
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let pairs = pairs.iter().map(|pair| {
        let pair = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(pair, 16).ok()
    });
    let bytes: Option<_> = pairs.collect();
    (bytes.filter(|_| rest.is_empty())).ok_or_else(|| D::Error::custom("not pairs of digits"))
}
