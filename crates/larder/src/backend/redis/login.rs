//! The password, as it is now: from the configuration, a file or a command.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};

use super::failure::no_password;
use super::settings::Settings;
use crate::clock::{boot_nanos, boottime};
use crate::config::{PasswordSource, Secret};
use crate::error::Result;

/// How long a password is used that a command printed.
const KEPT: Duration = Duration::from_secs(60);
/// The longest password, in bytes: a token of some kilobytes is an ordinary one.
const LONGEST: u64 = 64 << 10;
/// How often a command is looked after that has printed all and does not end.
const STEP: Duration = Duration::from_millis(2);

/// The password that was read last, and when.
#[derive(Debug, Default)]
pub(super) struct Login(Mutex<Option<(Secret, Duration)>>);

impl Login {
    /// The password now, if one is needed; known before `until`.
    pub(super) fn password(&self, settings: &Settings, until: u64) -> Result<Option<Secret>> {
        let Some(source) = &settings.access.password_source else { return Ok(settings.password.clone()) };
        let read = match source {
            PasswordSource::File(path) => first_line(File::open(path))
                .map_err(|error| no_password(format!("password_file {path}: {error}")))?,
            PasswordSource::Command(command) => {
                let known = self.last().clone();
                if let Some((password, read)) = known
                    && boottime().saturating_sub(read) < KEPT
                {
                    return Ok(Some(password));
                }
                run(command.reveal(), until)
                    .map_err(|error| no_password(format!("password_command: {error}")))?
            }
        };
        let password = Secret::new(&read);
        *self.last() = Some((password.clone(), boottime()));
        Ok(Some(password))
    }

    /// The server did not take the password. Whether another one may be had.
    pub(super) fn refused(&self) -> bool {
        self.last().take().is_some()
    }

    /// The password that was read last.
    pub(super) fn known(&self) -> Option<Secret> {
        self.last().as_ref().map(|(password, _)| password.clone())
    }

    fn last(&self) -> MutexGuard<'_, Option<(Secret, Duration)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn first_line(file: io::Result<File>) -> io::Result<String> {
    let mut text = String::new();
    file?.take(LONGEST).read_to_string(&mut text)?;
    password_in(&text)
}

fn password_in(text: &str) -> io::Result<String> {
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() { Err(io::Error::other("its first line is empty")) } else { Ok(line.to_owned()) }
}

/// What the command prints. It ends before `until`, by force if need be, with all that it started.
fn run(command: &str, until: u64) -> io::Result<String> {
    /// A group of processes, which ends with this.
    struct Group(Child);
    impl Drop for Group {
        fn drop(&mut self) {
            if let (Ok(None), Some(group)) = (self.0.try_wait(), Pid::from_raw(self.0.id().cast_signed())) {
                let _ = kill_process_group(group, Signal::KILL);
                let _ = self.0.wait();
            }
        }
    }

    let child = Command::new("/bin/sh")
        .args(["-c", command])
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut group = Group(child);
    let mut printed = Vec::new();
    if let Some(pipe) = group.0.stdout.take() {
        let mut bytes = [0; 4096];
        loop {
            let left = Duration::from_nanos(until.saturating_sub(boot_nanos()));
            if left.is_zero() {
                return Err(late());
            }
            let wait = Timespec::try_from(left).map_err(io::Error::other)?;
            if matches!(
                poll(&mut [PollFd::new(&pipe, PollFlags::IN)], Some(&wait)),
                Ok(0) | Err(rustix::io::Errno::INTR)
            ) {
                continue;
            }
            match rustix::io::read(&pipe, &mut bytes)? {
                0 => break,
                read => printed.extend_from_slice(bytes.get(..read).unwrap_or_default()),
            }
            if printed.len() as u64 > LONGEST {
                return Err(io::Error::other("it prints too much"));
            }
        }
    }
    loop {
        match group.0.try_wait() {
            Ok(Some(status)) if !status.success() => {
                return Err(io::Error::other(format!("it ended with {status}")));
            }
            // Where the program takes care of its children itself, nobody can say how this one
            // ended.
            Ok(Some(_)) | Err(_) => break,
            Ok(None) if boot_nanos() >= until => return Err(late()),
            Ok(None) => thread::sleep(STEP),
        }
    }
    password_in(std::str::from_utf8(&printed).map_err(|_| io::Error::other("it prints no text"))?)
}

fn late() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, "it takes longer than connect_timeout")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> u64 {
        boot_nanos() + 10_000_000_000
    }

    #[test]
    fn a_command_prints_the_password_in_time() {
        assert_eq!(run("echo one; echo two", soon()).unwrap(), "one");
        for (command, says) in
            [("echo x; exit 3", "exit status: 3"), ("true", "first line is empty"), ("yes", "too much")]
        {
            let error = run(command, soon()).unwrap_err();
            assert!(error.to_string().contains(says), "{command}: {error}");
        }
    }

    /// Nor does what it started.
    #[test]
    fn a_command_does_not_outlive_its_time() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().display();
        let command = format!("(sleep 60; echo late) & echo $! > {path}; wait");
        let until = boot_nanos() + 300_000_000;
        assert_eq!(run(&command, until).unwrap_err().kind(), ErrorKind::TimedOut);
        let child = std::fs::read_to_string(file.path()).unwrap();
        let gone = |state: String| state.is_empty() || state.contains(") Z ");
        let stat = format!("/proc/{}/stat", child.trim());
        let soon = soon();
        while !gone(std::fs::read_to_string(&stat).unwrap_or_default()) {
            assert!(boot_nanos() < soon, "it lives on");
            thread::sleep(STEP);
        }
    }
}
