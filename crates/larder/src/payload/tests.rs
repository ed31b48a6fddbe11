//! The promises of the payload, on the Rust side.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::*;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Row {
    id: i64,
    name: String,
    parent: Option<i64>,
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn rows() -> Vec<Row> {
    (0..3).map(|id| Row { id, name: "shared name".into(), parent: (id > 0).then_some(0) }).collect()
}

#[test]
fn a_list_of_records_names_its_columns_and_strings_once() {
    let payload = to_payload(&rows()).unwrap();
    assert_eq!(payload.windows(6).filter(|w| *w == b"parent").count(), 1);
    assert_eq!(payload.windows(11).filter(|w| *w == b"shared name").count(), 1);
    assert_eq!(from_payload::<Vec<Row>>(&payload).unwrap(), rows());
}

#[test]
fn objects_and_keyed_lists_of_records_are_read_into_structs() {
    let props = |id| {
        vec![
            (Key::from("id"), Value::Int(id)),
            (Key::from("name"), Value::from("x")),
            (Key::from("parent"), Value::Null),
        ]
    };
    let list = Value::Array(
        (7..9)
            .map(|id| (Key::Int(id), Value::Object { class: "stdClass".into(), props: props(id) }))
            .collect(),
    );
    let payload = list.encode().unwrap();
    assert_eq!(Value::decode(&payload).unwrap(), list);
    let rows: Vec<Row> = from_payload(&payload).unwrap();
    assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), [7, 8]);
    let keyed: BTreeMap<i64, Row> = from_payload(&payload).unwrap();
    assert_eq!(keyed[&8].name, "x");
    let through_serde = to_payload(&list).unwrap();
    assert_eq!(through_serde, payload, "a Value loses nothing on its way through serde");
    assert_eq!(from_payload::<Value>(&payload).unwrap(), list);
}

#[test]
fn integers_that_php_lacks_are_refused_by_name() {
    for error in [to_payload(&u64::MAX).unwrap_err(), to_payload(&i128::MIN).unwrap_err()] {
        assert!(error.to_string().contains("does not fit"), "{error}");
    }
    assert!(to_payload(&(i64::MAX as u64)).is_ok());
    assert!(Value::decode(&unhex("cfffffffffffffffff")).unwrap_err().is_broken());
}

#[test]
fn keys_are_those_that_php_would_use() {
    let value: Value =
        from_payload(&to_payload(&BTreeMap::from([("7", 1), ("07", 2), ("-0", 3)])).unwrap()).unwrap();
    let Value::Array(entries) = value else { panic!() };
    assert!(entries.iter().any(|(key, _)| *key == Key::Int(7)));
    assert!(entries.iter().any(|(key, _)| key.as_bytes() == Some(b"07")));
    assert!(to_payload(&BTreeMap::from([(true, 1)])).unwrap_err().to_string().contains("boolean"));
    let twice = Value::Array(vec![(Key::Int(7), Value::Null), (Key::Str("7".into()), Value::Null)]);
    assert!(twice.encode().unwrap_err().to_string().contains("same key"));
}

#[test]
fn what_php_serialized_is_named_as_such() {
    let payload = Value::Php(b"i:1;".as_slice().into()).encode().unwrap();
    assert!(from_payload::<i64>(&payload).unwrap_err().to_string().contains("only PHP"));
    assert_eq!(to_php_serialized(&payload).unwrap(), b"i:1;");
}

#[test]
fn enums_options_and_bytes_round_trip() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Kind {
        Unit,
        New(u8),
        Tuple(u8, String),
        Struct { a: Option<bool> },
    }
    let kinds = [Kind::Unit, Kind::New(3), Kind::Tuple(4, "t".into()), Kind::Struct { a: Some(true) }];
    let back: Vec<Kind> = from_payload(&to_payload(&kinds).unwrap()).unwrap();
    assert_eq!(back, kinds);
    let bytes = Value::Bytes([0xff, 0].as_slice().into());
    assert_eq!(Value::decode(&bytes.encode().unwrap()).unwrap(), bytes);
}

#[test]
fn depth_is_bounded_both_ways() {
    let mut deep = Value::Null;
    for _ in 0..MAX_DEPTH {
        deep = Value::Array(vec![(Key::Int(0), deep)]);
    }
    assert_eq!(Value::decode(&deep.encode().unwrap()).unwrap(), deep);
    let deeper = Value::Array(vec![(Key::Int(0), deep)]);
    assert!(deeper.encode().unwrap_err().to_string().contains("deeper"));
    assert!(Value::decode(&vec![0x91; 1 << 20]).unwrap_err().is_broken());
}

#[test]
fn vectors_of_the_format_document() {
    let document = include_str!("../../../../docs/format.md");
    let mut vectors = 0;
    for line in document.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let [_, serialized, payload, _] = cells[..] else { panic!("{line}") };
        let payload = unhex(&payload.replace(' ', ""));
        let value = Value::decode(&payload).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!(hex(&value.encode().unwrap()), hex(&payload), "{line}");
        let serialized = serialized.replace("\\0", "\0");
        assert_eq!(String::from_utf8(to_php_serialized(&payload).unwrap()).unwrap(), serialized, "{line}");
        vectors += 1;
    }
    assert!(vectors >= 20);
}

#[test]
fn hostile_bytes_are_broken_and_nothing_more() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed >> 33).unwrap()
    };
    let good = to_payload(&rows()).unwrap();
    for cut in 0..good.len() {
        assert!(Value::decode(&good[..cut]).is_err(), "cut at {cut}");
    }
    for _ in 0..50_000 {
        let mut bytes = good.clone();
        for _ in 0..=next() % 4 {
            let at = next() % bytes.len();
            bytes[at] = u8::try_from(next() % 256).unwrap();
        }
        if let Ok(value) = Value::decode(&bytes) {
            // What can be read can be written, and reads back the same.
            let again = value.encode().unwrap();
            assert_eq!(hex(&Value::decode(&again).unwrap().encode().unwrap()), hex(&again));
        }
    }
    // A container cannot claim more than there is.
    for bytes in ["ddffffffff", "dfffffffff", "dbffffffff", "c9ffffffff04", "92d40200", "c403"] {
        assert!(Value::decode(&unhex(bytes)).unwrap_err().is_broken(), "{bytes}");
    }
}
