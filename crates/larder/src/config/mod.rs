//! Configuration: one set of named options, the same in PHP, Rust, the command line and Moodle's
//! form.

mod access;
mod builder;
mod draft;
mod options;
mod parse;
mod reading;
mod secret;
mod server;
mod settings;
mod shown;

pub(crate) use access::{Access, PasswordSource};
pub use builder::ConfigBuilder;
pub use secret::Secret;
pub use server::{RedisAddress, Server};
pub use settings::Config;
pub(crate) use settings::{Identity, largest_near_value};
