//! What a backend tells about itself.

use std::fmt;

/// The value of a fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A count, a size or a time; its name says the unit where it is none of things.
    Number(u64),
    /// Anything else.
    Text(String),
}

impl Fact {
    /// A number if `text` is one as Rust writes it, otherwise the text.
    pub(crate) fn parse(text: &str) -> Self {
        text.parse()
            .ok()
            .filter(|number: &u64| number.to_string() == text)
            .map_or_else(|| text.into(), Self::Number)
    }
}

impl From<u64> for Fact {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<String> for Fact {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Fact {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// Facts by name, without secrets, in the order to print them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts(Vec<(String, Fact)>);

impl Facts {
    /// Adds one.
    pub fn push(&mut self, name: impl Into<String>, fact: impl Into<Fact>) {
        self.0.push((name.into(), fact.into()));
    }

    /// The fact of a name, if it is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Fact::Text(text) => Some(text),
            Fact::Number(_) => None,
        }
    }

    /// The fact of a name, if it is a number.
    pub fn number(&self, name: &str) -> Option<u64> {
        match self.get(name)? {
            Fact::Number(number) => Some(*number),
            Fact::Text(_) => None,
        }
    }

    fn get(&self, name: &str) -> Option<&Fact> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, fact)| fact)
    }
}

impl IntoIterator for Facts {
    type Item = (String, Fact);
    type IntoIter = std::vec::IntoIter<(String, Fact)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_only_what_prints_the_same() {
        for (text, number) in
            [("0", Some(0)), ("42", Some(42)), ("007", None), ("+1", None), ("7.0", None), ("", None)]
        {
            let fact = Fact::parse(text);
            assert_eq!(fact.to_string(), text);
            assert_eq!(matches!(fact, Fact::Number(_)), number.is_some(), "{text}");
        }
    }
}
