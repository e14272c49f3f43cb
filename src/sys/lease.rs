//! A home that is to last no longer than a process: `lease` in it names that process, by pid and birth.

use super::child::{self, Member};
use super::paths::Home;
use super::plain;
use super::replace::{self, Sync};
use std::io;
use std::os::fd::OwnedFd;

/// Lets a home end with this process.
pub fn sign(home: &Home) -> io::Result<()> {
    let us = child::member(std::process::id()).ok_or(io::ErrorKind::NotFound)?;
    let text = format!("{} {}\n", us.pid, us.start_time);
    replace::file(&home.lease(), text.as_bytes(), Sync::Cache)
}

/// With what a home ends.
#[derive(Debug)]
pub enum Lease {
    /// It has none.
    None,
    /// With the process of this pidfd.
    Until(OwnedFd),
    /// That process is gone.
    Over,
}

/// What a home's lease says. One that cannot be read is an error: nobody is to be ended by mistake.
pub fn read(home: &Home) -> io::Result<Lease> {
    let text = match plain::text(&home.lease()) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Lease::None),
        text => text?,
    };
    let mut numbers = text.split_whitespace();
    let mut member =
        || Some(Member { pid: numbers.next()?.parse().ok()?, start_time: numbers.next()?.parse().ok()? });
    let Some(holder) = member() else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it names no process"));
    };
    match child::open(holder.pid)? {
        Some(pidfd) if child::is_alive(holder) => Ok(Lease::Until(pidfd)),
        Some(_another) => Ok(Lease::Over),
        None => Ok(Lease::Over),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_with_its_process_and_not_with_another_of_that_pid() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        assert!(matches!(read(&home).unwrap(), Lease::None));
        sign(&home).unwrap();
        assert!(matches!(read(&home).unwrap(), Lease::Until(_)));
        std::fs::write(home.lease(), format!("{} 1", std::process::id())).unwrap();
        assert!(matches!(read(&home).unwrap(), Lease::Over));
        std::fs::write(home.lease(), "garbage").unwrap();
        assert!(read(&home).is_err());
    }
}
