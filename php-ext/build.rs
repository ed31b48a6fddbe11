//! Tells the crate which layout PHP's arrays have, compiles what needs PHP's headers, and refuses a
//! thread-safe PHP.

use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=PHP");
    println!("cargo::rerun-if-env-changed=PATH");
    for version in ["php82", "php83", "php84"] {
        println!("cargo::rustc-check-cfg=cfg({version})");
    }
    let php = std::env::var("PHP").unwrap_or_else(|_| "php".into());
    let answer = Command::new(&php)
        .args(["-n", "-r", "echo PHP_VERSION_ID, ' ', PHP_ZTS, ' ', PHP_INT_SIZE;"])
        .output()
        .unwrap_or_else(|error| {
            fail(&format!("cannot run `{php}`: {error}. Install PHP, or name it in $PHP"))
        });
    let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
    let mut numbers = answer.split(' ').map(|number| number.trim().parse::<u32>().unwrap_or(0));
    let (version, thread_safe, int_size) =
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version < 80100 {
        fail(&format!("Larder needs PHP 8.1 or newer; `{php}` answers {answer:?}"));
    }
    if thread_safe != 0 {
        fail(
            "Larder does not support a thread-safe (ZTS) PHP: its decoded values belong to a process. Use an NTS build.",
        );
    }
    if int_size != 8 {
        fail("Larder needs a 64-bit PHP.");
    }
    for (from, name) in [(80200, "php82"), (80300, "php83"), (80400, "php84")] {
        if version >= from {
            println!("cargo::rustc-cfg={name}");
        }
    }
    compile_c();
}

/// Compiles `engine.c` with the headers that `php-config` names.
fn compile_c() {
    const SOURCE: &str = "src/zend/engine.c";
    println!("cargo::rerun-if-env-changed=PHP_CONFIG");
    println!("cargo::rerun-if-changed={SOURCE}");
    let config = std::env::var("PHP_CONFIG").unwrap_or_else(|_| "php-config".into());
    let answer = Command::new(&config).arg("--include-dir").output().unwrap_or_else(|error| {
        fail(&format!("cannot run `{config}`: {error}. Install PHP's headers, or name it in $PHP_CONFIG"))
    });
    let headers = PathBuf::from(String::from_utf8_lossy(&answer.stdout).trim());
    let folders = ["", "main", "TSRM", "Zend", "ext"].map(|folder| headers.join(folder));
    cc::Build::new().file(SOURCE).includes(folders).warnings(false).compile("larder_engine");
}

fn fail(message: &str) -> ! {
    println!("cargo::error={message}");
    std::process::exit(1)
}
