//! The simplest values.

use larder::engine::Decode;

/// Decodes payloads that are text into that text.
#[derive(Debug)]
pub struct Text;

impl Decode for Text {
    type Value = String;

    fn decode(&self, payload: &[u8]) -> Option<(String, usize)> {
        String::from_utf8(payload.to_vec()).ok().map(|text| (text, payload.len()))
    }
}
