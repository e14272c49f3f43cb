//! Upgrades that are not to be: programs that are none, that vanish, that die soon after they serve; and upgrades that meet
//! something else: a keeper or daemon that stands still, another upgrade, a stop and a reload under way.

use crate::fallen::{program_of, update};
use crate::rebuild::{Load, keeper_pid, leaders};
use crate::support::{TestHome, copy_program, fixture, free_port, is_alive, kill, need, wait_for, wait_http};
use pmon::client::Client;
use pmon::proto::Request;
use std::path::{Path, PathBuf};
use std::process::Stdio;

const PMON: &str = env!("CARGO_BIN_EXE_pmon");

fn rest(home: &TestHome) {
    home.file("rest.sh", "exec sleep 1000\n");
    home.ok(&["start", "rest.sh"]);
}

/// Pids and programs of everything.
fn facts(home: &TestHome) -> (Vec<i64>, [(i32, String); 2]) {
    (home.pids(), [keeper_pid(home), home.daemon_pid()].map(|pid| (pid, program_of(pid))))
}

fn executable(home: &TestHome, name: &str, bytes: &[u8]) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = home.work().join(name);
    std::fs::write(&path, bytes).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Asks the daemon to become a program; why not.
fn refusal(home: &TestHome, program: &Path) -> String {
    let mut client = Client::connect(&pmon::sys::paths::Home::at(home.path())).unwrap();
    client.call(Request::Upgrade { program: program.to_owned() }).unwrap_err().to_string()
}

/// A program of some instructions, for x86-64.
fn tiny(code: &[u8]) -> Vec<u8> {
    let (base, entry) = (0x40_0000_u64, 0x40_0078_u64);
    let size = 120 + code.len() as u64;
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    for half in [2_u16, 62] {
        elf.extend(half.to_le_bytes());
    }
    elf.extend(1_u32.to_le_bytes());
    for long in [entry, 64, 0] {
        elf.extend(long.to_le_bytes());
    }
    elf.extend(0_u32.to_le_bytes());
    for half in [64_u16, 56, 1, 64, 0, 0] {
        elf.extend(half.to_le_bytes());
    }
    for word in [1_u32, 5] {
        elf.extend(word.to_le_bytes());
    }
    for long in [0, base, base, size, size, 4096] {
        elf.extend(long.to_le_bytes());
    }
    elf.extend(code);
    elf
}

/// Writes ten bytes of itself to descriptor 4, where the answer belongs, again and again, then exits with this code.
fn garbage(code: u8) -> Vec<u8> {
    let mut bytes = vec![0x6a, 0x28, 0x5b]; // push 40; pop rbx
    bytes.extend([0xb8, 1, 0, 0, 0]); // mov eax, 1 (write)
    bytes.extend([0xbf, 4, 0, 0, 0]); // mov edi, 4
    bytes.extend([0xbe, 0, 0, 0x40, 0]); // mov esi, 0x400000
    bytes.extend([0xba, 10, 0, 0, 0]); // mov edx, 10
    bytes.extend([0x0f, 0x05]); // syscall
    bytes.extend([0xff, 0xcb, 0x75, 0xe6]); // dec ebx; jnz to mov eax
    bytes.extend([0xb8, 60, 0, 0, 0, 0xbf, code, 0, 0, 0, 0x0f, 0x05]); // exit(code)
    tiny(&bytes)
}

#[test]
fn a_program_that_is_none_is_refused_with_the_reason_and_all_goes_on() {
    let home = TestHome::new();
    rest(&home);
    let before = facts(&home);
    let mut programs = vec![
        (executable(&home, "empty", b""), "Exec format error"),
        (executable(&home, "text", b"not a program\n"), "Exec format error"),
        (PathBuf::from("/bin/true"), "did not say so"),
        (PathBuf::from("/bin/false"), "did not say so"),
    ];
    // Another architecture: aarch64 on anything else, x86-64 there.
    let mut foreign = std::fs::read(PMON).unwrap();
    foreign.truncate(1 << 20);
    foreign[18] = if foreign[18] == 0xb7 { 0x3e } else { 0xb7 };
    programs.push((executable(&home, "foreign", &foreign), "Exec format error"));
    if cfg!(target_arch = "x86_64") {
        programs.push((executable(&home, "garbage-0", &garbage(0)), "did not say so"));
        programs.push((executable(&home, "garbage-1", &garbage(1)), "did not say so"));
    }
    for (program, why) in programs {
        let said = refusal(&home, &program);
        assert!(said.contains(&*program.display().to_string()) && said.contains(why), "{said}");
        assert_eq!(facts(&home), before, "{}", program.display());
    }
    home.ok(&["restart", "rest"]);
}

#[test]
fn a_program_that_vanishes_while_it_is_asked_is_what_keeper_and_daemon_become_all_the_same() {
    if !cfg!(debug_assertions) {
        return;
    }
    let home = TestHome::new();
    std::fs::create_dir_all(home.faults()).unwrap();
    rest(&home);
    let (pids, keeper) = (home.pids(), keeper_pid(&home));
    std::fs::write(home.faults().join("keeper.checked"), "stop").unwrap();
    let copy = home.work().join("pmon-gone");
    copy_program(&copy);
    let mut asking = std::process::Command::new(&copy);
    asking.arg("update").env("PMON_HOME", home.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let asking = asking.spawn().unwrap();
    wait_for("the keeper to have asked it", || {
        let stat = std::fs::read_to_string(format!("/proc/{keeper}/stat")).unwrap_or_default();
        if stat.contains(") T ") { Ok(()) } else { Err(stat) }
    });
    std::fs::remove_file(&copy).unwrap();
    kill(keeper, "CONT");
    let done = asking.wait_with_output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let gone = format!("{} (deleted)", copy.display());
    assert_eq!([keeper, home.daemon_pid()].map(program_of), [gone.clone(), gone]);
    assert_eq!((home.pids(), home.restarts()), (pids, vec![0]));
}

#[test]
fn a_program_that_serves_and_dies_soon_after_twice_makes_room_for_the_old_one() {
    if !cfg!(debug_assertions) {
        return;
    }
    let home = TestHome::new();
    std::fs::create_dir_all(home.faults()).unwrap();
    rest(&home);
    let (pids, old) = (home.pids(), program_of(home.daemon_pid()));
    std::fs::write(home.faults().join("run.breath"), "abort 2 always program=pmon-weak").unwrap();
    // It serves, and that is what the command sees.
    let (_either, said) = update(&home, "pmon-weak");
    let told = wait_for("the old one", || {
        let said = home.run(&["list"]).all();
        let undone = said.contains("pmon-weak` was tried as the new program: it served and ended (SIGABRT)");
        if undone && program_of(home.daemon_pid()) == old { Ok(said) } else { Err(said) }
    });
    assert!(!told.contains("set aside"), "{said} {told}");
    assert_eq!((home.pids(), home.restarts()), (pids.clone(), vec![0]));
    let (done, said) = update(&home, "pmon-sound");
    assert!(done, "{said}");
    assert_eq!((home.pids(), home.restarts()), (pids, vec![0]));
}

#[test]
fn an_upgrade_that_no_daemon_hears_says_so() {
    let home = TestHome::new();
    assert!(home.ok(&["update"]).all().contains("No daemon is running"));
    rest(&home);
    let (pids, keeper) = (home.pids(), keeper_pid(&home));
    // Dead, it is back before it is asked.
    kill(home.daemon_pid(), "KILL");
    let (done, said) = update(&home, "pmon-1");
    assert!(done, "{said}");
    // Stopped, it is replaced first, and then again.
    kill(home.daemon_pid(), "STOP");
    let (done, said) = update(&home, "pmon-2");
    assert!(done, "{said}");
    let copy = home.work().join("pmon-2").display().to_string();
    assert_eq!([keeper, home.daemon_pid()].map(program_of), [copy.clone(), copy]);
    assert_eq!((home.pids(), home.restarts()), (pids, vec![0]));
}

#[test]
fn an_upgrade_that_the_keeper_does_not_hear_is_refused_and_works_when_it_does() {
    let home = TestHome::new();
    rest(&home);
    let (pids, keeper, old) = (home.pids(), keeper_pid(&home), program_of(home.daemon_pid()));
    kill(keeper, "STOP");
    let (done, said) = update(&home, "pmon-1");
    assert!(!done && said.contains("hear from the keeper that it can"), "{said}");
    assert_eq!(program_of(home.daemon_pid()), old);
    kill(keeper, "CONT");
    let (done, said) = update(&home, "pmon-2");
    assert!(done, "{said}");
    let copy = home.work().join("pmon-2").display().to_string();
    assert_eq!([keeper_pid(&home), home.daemon_pid()].map(program_of), [copy.clone(), copy]);
    assert_eq!((home.pids(), home.restarts()), (pids, vec![0]));
}

#[test]
fn two_upgrades_at_once_end_as_one_program() {
    let home = TestHome::new();
    rest(&home);
    let pids = home.pids();
    for round in 0..3 {
        let names = [format!("pmon-{round}-a"), format!("pmon-{round}-b")];
        let done = std::thread::scope(|scope| {
            names.each_ref().map(|name| scope.spawn(|| update(&home, name))).map(|one| one.join().unwrap())
        });
        assert!(done.iter().any(|(done, _)| *done), "{done:?}");
        for (done, said) in done {
            assert!(done || said.contains("another upgrade") || said.contains("goes on as before"), "{said}");
        }
        let programs = [keeper_pid(&home), home.daemon_pid()].map(program_of);
        assert_eq!(programs[0], programs[1]);
        assert!(programs[0].contains(&format!("pmon-{round}-")), "{programs:?}");
        assert_eq!((home.pids(), home.restarts()), (pids.clone(), vec![0]));
    }
}

#[test]
fn an_upgrade_while_one_app_is_slow_to_stop_and_another_is_reloaded_leaves_both_to_the_new_version() {
    need("node", "apt-get install nodejs");
    let (home, port) = (TestHome::new(), free_port());
    home.file("slow.sh", "trap 'while [ ! -e go ]; do sleep 0.05; done; exit 0' INT\necho > up\nwhile :; do sleep 0.05; done\n");
    home.ok(&["start", "slow.sh", "--kill-timeout", "30000"]);
    let script = fixture("server.js").display().to_string();
    let start = ["start", &script, "--name", "web", "-i", "4"];
    home.command(&start).env("PORT", port.to_string()).output().unwrap();
    wait_http(port);
    wait_for("the trap", || std::fs::metadata(home.work().join("up")).map_err(|e| e.to_string()));
    let slow = home.pids()[0];
    let load = Load::on(port);
    let begin = |args: &[&str]| home.command(args).spawn().unwrap();
    let stop = begin(&["stop", "slow"]);
    let reload = begin(&["reload", "web", "--parallel", "1"]);
    wait_for("both to be under way", || {
        let (statuses, restarts) = (home.statuses(), home.restarts());
        if statuses[0] == "stopping" && restarts.contains(&1) { Ok(()) } else { Err(format!("{statuses:?}")) }
    });
    let (done, said) = update(&home, "pmon-new");
    assert!(done, "{said}");
    assert!(is_alive(i32::try_from(slow).unwrap()), "nobody killed it");
    assert_eq!(home.statuses()[0], "stopping");
    let reload = reload.wait_with_output().unwrap();
    assert!(reload.status.success(), "{}", String::from_utf8_lossy(&reload.stderr));
    home.file("go", "");
    let stop = stop.wait_with_output().unwrap();
    assert!(stop.status.success(), "{}", String::from_utf8_lossy(&stop.stderr));
    assert_eq!(home.statuses(), ["stopped", "online", "online", "online", "online"]);
    assert_eq!(home.restarts(), [0, 1, 1, 1, 1]);
    assert_eq!(load.end(), Vec::<String>::new());
    assert_eq!(leaders(&home), 4);
}
