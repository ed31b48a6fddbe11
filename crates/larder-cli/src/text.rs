//! Keys as text: any bytes in, one printable line out, and back.

use std::fmt::Write as _;

use crate::failure::Failure;

/// Printable text stays, a backslash becomes `\\`, all other bytes `\xNN`.
pub(crate) fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                character if is_printable(character) => text.push(character),
                character => hex(&mut text, character.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        hex(&mut text, chunk.invalid());
    }
    text
}

/// The reverse of [`escape`].
pub(crate) fn unescape(text: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        if let Some(after) = after.strip_prefix('\\') {
            bytes.push(b'\\');
            rest = after;
            continue;
        }
        let byte = after.strip_prefix('x').and_then(|after| {
            let (digits, rest) = after.split_at_checked(2)?;
            let digits = digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then_some(digits)?;
            Some((u8::from_str_radix(digits, 16).ok()?, rest))
        });
        let Some((byte, after)) = byte else {
            return Err(Failure::Usage(format!(
                "'{}': write a backslash as \\\\ and any other byte as \\xNN",
                text.escape_debug()
            )));
        };
        bytes.push(byte);
        rest = after;
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

/// Whether a terminal shows this character and does nothing else: no controls, no marks that
/// reverse the direction.
pub(crate) fn is_printable(character: char) -> bool {
    !character.is_control()
        && !matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `1 entry`, `2 entries`.
pub(crate) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

fn hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "\\x{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_comes_back() {
        let all: Vec<u8> = (0..=255).collect();
        for key in
            [&b""[..], b"plain/key", b"a\\b", b"\\x41", b"a\0b\nc", &all, "grüße 値 \u{202e}x".as_bytes()]
        {
            let shown = escape(key);
            assert!(shown.chars().all(is_printable), "{shown}");
            assert_eq!(unescape(&shown).unwrap(), key, "{shown}");
        }
        assert_eq!(escape(b"a\0\xff\\"), "a\\x00\\xff\\\\");
        assert_eq!(escape("grüße".as_bytes()), "grüße");
    }

    #[test]
    fn half_an_escape_is_refused() {
        for text in ["\\", "\\x", "\\x4", "\\n", "a\\x+1", "\\xé"] {
            assert!(unescape(text).is_err(), "{text}");
        }
    }
}
