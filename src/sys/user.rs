//! Users and groups, read from `/etc/passwd` and `/etc/group`.
//!
//! Not through `getpwnam(3)`: that loads NSS plugins, which a static glibc cannot.

use std::io;

/// A line of passwd(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Login name.
    pub name: String,
    /// Numeric user.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Home directory.
    pub home: String,
}

/// The account called so; `None` if there is none.
pub fn by_name(name: &str) -> io::Result<Option<Account>> {
    Ok(accounts(&read("/etc/passwd")?).find(|a| a.name == name))
}

/// The first account with this uid; `None` if there is none.
pub fn by_uid(uid: u32) -> io::Result<Option<Account>> {
    Ok(accounts(&read("/etc/passwd")?).find(|a| a.uid == uid))
}

/// The gid of the group called so; `None` if there is none.
pub fn group_by_name(name: &str) -> io::Result<Option<u32>> {
    Ok(group(&read("/etc/group")?, name))
}

/// The real uid of this process.
pub fn current_uid() -> u32 {
    rustix::process::getuid().as_raw()
}

/// The uid that files of this process get.
pub fn effective_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The real gid of this process.
pub fn current_gid() -> u32 {
    rustix::process::getgid().as_raw()
}

/// The login name of a uid, or the number where passwd(5) does not know it (containers).
pub fn name_of(uid: u32) -> String {
    by_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |account| account.name)
}

/// The login name of this process's user.
pub fn current_name() -> String {
    name_of(current_uid())
}

/// A missing file is an empty one: minimal containers have neither.
fn read(path: &str) -> io::Result<String> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(e) => Err(io::Error::new(e.kind(), format!("{path}: {e}"))),
    }
}

/// Lines that do not parse (comments, NIS's `+`) are passed over.
fn accounts(text: &str) -> impl Iterator<Item = Account> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let (_comment, home) = (fields.next()?, fields.next()?);
        Some(Account { name: name.to_owned(), uid, gid, home: home.to_owned() })
    })
}

fn group(text: &str, name: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then_some(())?;
        fields.nth(1)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_do_not_parse_are_passed_over() {
        let text = "# comment\n+::::::\nroot:x:0:0:root:/root:/bin/bash\nweb:x:33:44::/srv/web:/bin/false\n";
        let found: Vec<_> = accounts(text).collect();
        let web = Account { name: "web".into(), uid: 33, gid: 44, home: "/srv/web".into() };
        assert_eq!(found.len(), 2);
        assert_eq!(found.get(1), Some(&web));
    }

    #[test]
    fn a_group_is_found_by_its_whole_name() {
        let text = "adm:x:4:syslog\nad:x:7:\n";
        assert_eq!(group(text, "ad"), Some(7));
        assert_eq!(group(text, "a"), None);
    }

    #[test]
    fn this_process_has_a_name() {
        assert!(!current_name().is_empty());
        assert_eq!(by_name("no such user here").unwrap(), None);
    }
}
