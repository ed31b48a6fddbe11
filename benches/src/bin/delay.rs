//! A proxy before a server of the loopback interface that delays each answer, as a network would.
//!
//! `delay PORT MICROSECONDS` prints the port that it listens on, and ends with its standard input.

use std::io::Read as _;
use std::process::ExitCode;
use std::time::Duration;

use larder_testkit::Proxy;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let port = arguments.next().and_then(|port| port.parse().ok());
    let delay = arguments.next().and_then(|micros| micros.parse().ok()).map(Duration::from_micros);
    let (Some(port), Some(delay)) = (port, delay) else {
        eprintln!("usage: delay PORT MICROSECONDS");
        return ExitCode::FAILURE;
    };
    let proxy = Proxy::new(port);
    proxy.delay(delay);
    println!("{}", proxy.port());
    // Whatever ends the input ends the proxy.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    ExitCode::SUCCESS
}
