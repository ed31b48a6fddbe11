//! Forking before and after the first use.

use std::process::Command;

use crate::place::Place;

#[test]
fn parent_and_child_share_the_store() {
    let place = Place::new("16M");
    let output = Command::new(env!("CARGO_BIN_EXE_local_fork")).arg(place.url()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
