//! Bad days of the home: removed, moved, taken, read-only, full, frozen, at odd paths, somebody else's; and what ends with it.

use crate::rebuild::{keeper_pid, kill_both, leaders};
use crate::support::{TestHome, is_alive, kill, need, wait_for};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A worker that rests, by this name.
pub fn start_resting(home: &TestHome, name: &str) {
    let script = home.file("rest.sh", "echo began; exec sleep 1000\n");
    home.ok(&["start", &script.display().to_string(), "--name", name, "-f"]);
}

/// Asks until a list says this, on stderr.
fn wait_notice(home: &TestHome, words: &str) {
    wait_for(words, || {
        let said = home.ok(&["list"]).err;
        if said.contains(words) { Ok(()) } else { Err(said) }
    });
}

/// What a home holds of its fleet's states.
fn states(home: &TestHome) -> usize {
    let files = std::fs::read_dir(home.path().join("state")).into_iter().flatten().flatten();
    files.filter(|file| file.path().extension().is_some_and(|e| e == "json")).count()
}

/// A file system, unmounted when dropped.
struct Mounted(PathBuf);

impl Mounted {
    /// A tmpfs; `None` and a word where this is not allowed (CI has root).
    fn tmpfs(at: &Path, options: &str) -> Option<Mounted> {
        std::fs::create_dir_all(at).unwrap();
        let text = at.display().to_string();
        let done =
            Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs", &text]).status().unwrap();
        if !done.success() {
            eprintln!("not tested: mounting a tmpfs needs root and CAP_SYS_ADMIN");
            return None;
        }
        Some(Mounted(at.to_owned()))
    }

    /// Lays it over itself, so that nothing can be written by these paths. (Itself, it cannot be made read-only while
    /// files are open.)
    fn read_only(&self) -> Mounted {
        let mount = |args: &[&str]| {
            assert!(Command::new("mount").args(args).arg(&self.0).status().unwrap().success(), "{args:?}");
        };
        mount(&["--bind", &self.0.display().to_string()]);
        mount(&["-o", "remount,bind,ro"]);
        Mounted(self.0.clone())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _thawed =
            Command::new("fsfreeze").arg("-u").arg(&self.0).stderr(std::process::Stdio::null()).status();
        let _done = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_home_that_is_removed_or_moved_under_its_daemon_is_made_anew_with_the_same_fleet() {
    let home = TestHome::new();
    start_resting(&home, "up");
    start_resting(&home, "down");
    home.ok(&["stop", "down"]);
    let (pids, daemon, keeper) = (home.pids(), home.daemon_pid(), keeper_pid(&home));
    let elsewhere = home.work().join("moved");
    for round in 0..3 {
        match round {
            0 => std::fs::remove_dir_all(home.path()).unwrap(),
            1 => std::fs::rename(home.path(), &elsewhere).unwrap(),
            _ => {
                for name in ["keeper.lock", "pmon.sock", "pmon.pid", "start.lock"] {
                    std::fs::remove_file(home.path().join(name)).unwrap();
                }
            }
        }
        // At once: not an empty second fleet.
        assert_eq!((home.pids(), home.statuses()), (pids.clone(), vec!["online".into(), "stopped".into()]));
        wait_for("its files", || {
            let there = (states(&home), keeper_pid(&home), home.path().join("pmon.pid").exists());
            if there == (2, keeper, true) { Ok(()) } else { Err(format!("{there:?}")) }
        });
        assert_eq!((home.daemon_pid(), leaders(&home)), (daemon, 1));
    }
    wait_notice(&home, "made anew");
    assert!(home.log().contains("made anew"), "{}", home.log());
    // Its next daemon is found there too, and what was written anew is enough for the death of both.
    home.kill_daemon();
    assert_eq!(home.pids(), pids);
    kill_both(&home);
    assert_eq!((home.pids(), home.restarts(), leaders(&home)), (pids, vec![0, 0], 1));
    home.ok(&["restart", "all"]);
    // Nobody takes over workers that another home's daemon has.
    let stranger = home.command(&["list"]).env("PMON_HOME", &elsewhere).output().unwrap();
    let said = String::from_utf8_lossy(&stranger.stderr).into_owned();
    let _ended = home.command(&["kill"]).env("PMON_HOME", &elsewhere).output();
    assert!(home.statuses() == ["online"; 2] && leaders(&home) == 2, "{said}");
    assert_eq!(home.restarts(), [1, 0]);
}

#[test]
fn each_of_its_files_alone_is_put_back() {
    let home = TestHome::new();
    start_resting(&home, "up");
    let pids = home.pids();
    for name in ["pmon.sock", "keeper.lock", "pmon.pid", "pmon.log", "state"] {
        let path = home.path().join(name);
        match path.is_dir() {
            true => std::fs::remove_dir_all(&path).unwrap(),
            false => std::fs::remove_file(&path).unwrap(),
        }
        assert_eq!(home.pids(), pids, "{name}");
        wait_for(name, || if path.exists() { Ok(()) } else { Err("missing".into()) });
    }
    wait_for("its state", || if states(&home) == 1 { Ok(()) } else { Err("none".into()) });
    assert_eq!(leaders(&home), 1);
}

#[test]
fn a_home_that_another_has_taken_is_left_to_him_and_taken_back_when_he_leaves() {
    let home = TestHome::new();
    start_resting(&home, "up");
    let pids = home.pids();
    let lock_path = home.path().join("keeper.lock");
    std::fs::remove_file(&lock_path).unwrap();
    // It may be faster, and have it already.
    let taken = wait_for("the lock", || {
        let _removed = std::fs::remove_file(&lock_path);
        pmon::sys::lock::Lock::attempt(&lock_path).unwrap().ok_or_else(|| "held".to_owned())
    });
    taken.sign().unwrap();
    wait_notice(&home, "another keeper (pid");
    assert!(home.ok(&["list"]).err.contains(&std::process::id().to_string()));
    // As if the other had removed it too.
    std::fs::remove_file(home.path().join("pmon.sock")).unwrap();
    wait_for("nobody to answer", || {
        let there = home.path().join("pmon.sock").exists();
        if there { Err("there is a socket".into()) } else { Ok(()) }
    });
    drop(taken);
    wait_for("the fleet", || {
        let found = home.run(&["jlist"]);
        if found.out.contains(&format!("\"pid\":{}", pids[0])) { Ok(()) } else { Err(found.all()) }
    });
    assert_eq!(leaders(&home), 1);
}

#[test]
fn a_second_keeper_is_refused_though_it_can_have_the_lock() {
    let home = TestHome::new();
    start_resting(&home, "up");
    let (daemon, keeper) = (home.daemon_pid(), keeper_pid(&home));
    // Frozen, it cannot put it back.
    kill(daemon, "STOP");
    std::fs::remove_file(home.path().join("keeper.lock")).unwrap();
    let said = home.command(&["keeper"]).output().unwrap();
    kill(daemon, "CONT");
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    let named = said.contains(&daemon.to_string()) || said.contains(&keeper.to_string());
    assert!(said.contains("another keeper (pid") && named, "{said}");
    assert_eq!((home.pids().len(), leaders(&home)), (1, 1));
}

#[test]
fn odd_paths_work_and_impossible_ones_are_refused_with_a_word() {
    let long = ["a".repeat(100), "b".repeat(100), "c".repeat(100)].iter().collect::<PathBuf>();
    std::thread::scope(|scope| {
        for name in [long, "with spaces and 'quotes'".into(), "new\nline".into(), "grün €".into()] {
            scope.spawn(move || {
                let home = TestHome::at(&name);
                start_resting(&home, "up");
                let pids = home.pids();
                home.kill_daemon();
                assert_eq!(home.pids(), pids, "{name:?}");
                kill_both(&home);
                assert_eq!((home.pids(), leaders(&home)), (pids, 1), "{name:?}");
                assert!(home.ok(&["logs", "up", "--nostream"]).out.contains("began"));
                home.ok(&["kill"]);
            });
        }
    });
    let home = TestHome::new();
    let refused = |path: &std::ffi::OsStr, word: &str| {
        let ran = home.command(&["list"]).env("PMON_HOME", path).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(!ran.status.success() && said.contains(word), "{said}");
    };
    let file = home.file("file", "");
    refused(file.as_os_str(), "no directory");
    refused(file.join("below").as_os_str(), "directory");
    refused(std::os::unix::ffi::OsStrExt::from_bytes(b"/tmp/pmon-test-\xff"), "UTF-8");
    if pmon::sys::user::current_uid() == 0 {
        let theirs = home.work().join("theirs");
        std::fs::create_dir(&theirs).unwrap();
        std::os::unix::fs::chown(&theirs, Some(65534), Some(65534)).unwrap();
        refused(theirs.as_os_str(), "belongs to user");
    }
}

#[test]
fn a_home_behind_a_link_is_made_anew_where_the_link_leads_later() {
    let home = TestHome::at("link");
    let (first, second) = (home.work().join("first"), home.work().join("second"));
    std::fs::create_dir(&first).unwrap();
    std::fs::create_dir(&second).unwrap();
    std::os::unix::fs::symlink(&first, home.path()).unwrap();
    start_resting(&home, "up");
    let pids = home.pids();
    std::fs::remove_file(home.path()).unwrap();
    std::os::unix::fs::symlink(&second, home.path()).unwrap();
    assert_eq!((home.pids(), leaders(&home)), (pids.clone(), 1));
    wait_for("its state", || if states(&home) == 1 { Ok(()) } else { Err("none".into()) });
    kill_both(&home);
    assert_eq!((home.pids(), leaders(&home)), (pids, 1));
}

#[test]
fn a_lock_that_is_held_by_another_is_named_with_his_pid() {
    let home = TestHome::new();
    std::fs::create_dir_all(home.path()).unwrap();
    let lock = pmon::sys::lock::Lock::attempt(&home.path().join("keeper.lock")).unwrap().unwrap();
    lock.sign().unwrap();
    let ran = home.command(&["keeper"]).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(!ran.status.success() && said.contains(&format!("(pid {})", std::process::id())), "{said}");
}

#[test]
fn on_a_read_only_home_the_fleet_is_led_on_and_written_down_when_it_can_be_again() {
    let home = TestHome::new();
    let Some(disk) = Mounted::tmpfs(&home.path(), "size=4m,mode=700") else { return };
    start_resting(&home, "up");
    home.ok(&["save"]);
    let dump = std::fs::read(home.path().join("dump.json")).unwrap();
    let lid = disk.read_only();
    start_resting(&home, "late");
    home.ok(&["restart", "up"]);
    home.ok(&["stop", "late"]);
    home.ok(&["start", "late"]);
    let refused = home.run(&["save"]).expect(1);
    assert!(refused.all().contains("Read-only file system"), "{}", refused.all());
    home.run(&["set", "pm2-logrotate:max_size", "5M"]).expect(1);
    assert_eq!(home.statuses(), ["online"; 2]);
    wait_notice(&home, "Read-only file system");
    let pids = home.pids();
    kill(home.daemon_pid(), "KILL");
    wait_for("the same fleet of another daemon", || {
        let now = home.pids();
        if now == pids { Ok(()) } else { Err(format!("{now:?}")) }
    });
    assert_eq!(std::fs::read(home.path().join("dump.json")).unwrap(), dump);
    drop(lid);
    wait_for("two states", || if states(&home) == 2 { Ok(()) } else { Err("missing".into()) });
    wait_for("no complaint", || {
        let said = home.ok(&["list"]).err;
        if said.contains("Read-only") { Err(said) } else { Ok(()) }
    });
    kill_both(&home);
    assert_eq!((home.pids(), leaders(&home)), (pids, 2));
    home.ok(&["kill"]);
}

#[test]
fn on_a_full_home_every_verb_says_the_truth_and_all_is_written_when_there_is_room() {
    let home = TestHome::new();
    let Some(_disk) = Mounted::tmpfs(&home.path(), "size=400k,mode=700") else { return };
    start_resting(&home, "up");
    home.ok(&["set", "pm2-logrotate:retain", "5"]);
    home.ok(&["save"]);
    let kept = |name: &str| std::fs::read(home.path().join(name)).unwrap();
    let before = (kept("dump.json"), kept("module_conf.json"));
    let ballast = home.path().join("ballast");
    let _full = Command::new("dd")
        .args(["if=/dev/zero", "bs=4096"])
        .arg(format!("of={}", ballast.display()))
        .output();
    start_resting(&home, "late");
    home.ok(&["restart", "up"]);
    for verb in [&["save"][..], &["set", "pm2-logrotate:retain", "6"]] {
        let refused = home.run(verb).expect(1);
        assert!(refused.all().contains("No space left"), "{}", refused.all());
    }
    wait_notice(&home, "No space left");
    assert_eq!((home.statuses(), leaders(&home)), (vec!["online".to_owned(); 2], 2));
    let pids = home.pids();
    // Neither is a daemon that starts now stopped by it; and what is not on the disk, the workers carry.
    kill(home.daemon_pid(), "KILL");
    wait_for("the same fleet", || if home.pids() == pids { Ok(()) } else { Err("another".into()) });
    assert_eq!((kept("dump.json"), kept("module_conf.json")), before);
    std::fs::remove_file(&ballast).unwrap();
    wait_for("two states", || if states(&home) == 2 { Ok(()) } else { Err("missing".into()) });
    wait_for("no complaint", || {
        let said = home.ok(&["list"]).err;
        if said.contains("No space") { Err(said) } else { Ok(()) }
    });
    kill_both(&home);
    assert_eq!((home.pids(), leaders(&home)), (pids, 2));
    home.ok(&["save"]);
    home.ok(&["kill"]);
}

#[test]
fn a_home_whose_disk_hangs_holds_up_no_order_and_no_list() {
    let home = TestHome::new();
    let image = home.work().join("disk");
    std::fs::create_dir_all(home.path()).unwrap();
    std::fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
    let mounted = Command::new("mkfs.ext4").arg("-qF").arg(&image).status().is_ok_and(|done| done.success())
        && Command::new("mount")
            .args(["-o", "loop"])
            .arg(&image)
            .arg(home.path())
            .status()
            .unwrap()
            .success();
    if !mounted {
        return eprintln!("not tested: freezing a file system needs root, loop devices and e2fsprogs");
    }
    let disk = Mounted(home.path());
    // Logs elsewhere: what a frozen log does is another matter.
    let script = home.file("rest.sh", "exec sleep 1000\n").display().to_string();
    let start =
        |name: &str| home.ok(&["start", &script, "--name", name, "-f", "-o", "/dev/null", "-e", "/dev/null"]);
    start("up");
    assert!(Command::new("fsfreeze").arg("-f").arg(&disk.0).status().unwrap().success());
    let began = std::time::Instant::now();
    start("late");
    home.ok(&["restart", "up"]);
    home.ok(&["stop", "late"]);
    assert_eq!(home.statuses(), ["online", "stopped"]);
    wait_notice(&home, "does not answer");
    let took = began.elapsed();
    assert!(Command::new("fsfreeze").arg("-u").arg(&disk.0).status().unwrap().success());
    eprintln!("start, restart, stop and the notice on a frozen home: {took:?}");
    wait_for("the states", || if states(&home) == 2 { Ok(()) } else { Err("missing".into()) });
    wait_for("no complaint", || {
        let said = home.ok(&["list"]).err;
        if said.contains("does not answer") { Err(said) } else { Ok(()) }
    });
    home.ok(&["kill"]);
}

#[test]
fn when_kill_says_stopped_nothing_is_left() {
    let home = TestHome::new();
    for _ in 0..3 {
        start_resting(&home, "up");
        let both = [home.daemon_pid(), keeper_pid(&home)];
        let said = home.ok(&["kill"]).out;
        assert!(said.contains("Daemon Stopped"), "{said}");
        assert!(both.iter().all(|pid| !is_alive(*pid)) && home.processes().is_empty());
        assert!(!home.path().join("pmon.sock").exists() && !home.path().join("pmon.pid").exists());
    }
}

#[test]
fn a_demo_that_is_killed_leaves_no_fleet_and_no_home() {
    let home = TestHome::new();
    let temporary = home.work();
    let mut demo = home.command(&["demo", "--no-node", "--instances", "2", "--seconds", "100", "--once"]);
    let mut demo = demo.env("TMPDIR", &temporary).env_remove("PMON_HOME").spawn().unwrap();
    let place = || {
        let entries = std::fs::read_dir(&temporary).unwrap().flatten();
        entries.map(|entry| entry.path()).find(|path| path.display().to_string().contains("pmon-demo-"))
    };
    let daemon: i32 = wait_for("the demo's daemon", || {
        let path = place().ok_or("no home")?.join("pmon.pid");
        std::fs::read_to_string(path)
            .map_err(|e| e.to_string())?
            .parse()
            .map_err(|_empty| "no pid".to_owned())
    });
    wait_for("its workers", || {
        let pids =
            std::fs::read_dir(place().ok_or("no home")?.join("pids")).map_err(|e| e.to_string())?.count();
        if pids == 2 { Ok(()) } else { Err(format!("{pids}")) }
    });
    let workers: Vec<i32> = std::fs::read_dir(place().unwrap().join("pids"))
        .unwrap()
        .flatten()
        .filter_map(|file| std::fs::read_to_string(file.path()).ok()?.parse().ok())
        .collect();
    kill(i32::try_from(demo.id()).unwrap(), "KILL");
    demo.wait().unwrap();
    wait_for("the end of everything", || {
        let left: Vec<_> = workers.iter().chain([&daemon]).filter(|pid| is_alive(**pid)).collect();
        if left.is_empty() && place().is_none() { Ok(()) } else { Err(format!("{left:?} {:?}", place())) }
    });
}

#[test]
fn after_a_reboot_the_dump_brings_back_what_was_saved_and_nothing_else() {
    let home = TestHome::new();
    let script = home.file("rest.sh", "exec sleep 1000\n").display().to_string();
    for name in ["zeta", "alpha", "mid"] {
        let mut start = home.command(&[
            "start",
            &script,
            "--name",
            name,
            "-f",
            "--kill-timeout",
            "777",
            "--namespace",
            "ns",
        ]);
        assert!(start.env("SPECIAL", format!("value of {name}")).output().unwrap().status.success());
    }
    home.ok(&["restart", "alpha"]);
    home.ok(&["stop", "mid"]);
    home.ok(&["save"]);
    start_resting(&home, "unsaved");
    let workers = home.pids();
    kill_both(&home);
    for pid in workers.into_iter().filter(|pid| *pid != 0) {
        kill(i32::try_from(pid).unwrap(), "KILL");
    }
    // The files are of another boot.
    for file in std::fs::read_dir(home.path().join("state")).unwrap().flatten() {
        let mut state: serde_json::Value =
            serde_json::from_slice(&std::fs::read(file.path()).unwrap()).unwrap();
        state["boot"] = "another".into();
        std::fs::write(file.path(), state.to_string()).unwrap();
    }
    assert_eq!(home.jlist(), [] as [serde_json::Value; 0]);
    assert_eq!(states(&home), 0);
    // The dump was cut short: there is the one before it, which is the same but for what came between.
    home.ok(&["resurrect"]);
    home.ok(&["save"]);
    std::fs::write(home.path().join("dump.json"), "{\"version\":1,\"workers\":[{\"app\"").unwrap();
    home.ok(&["delete", "all"]);
    let said = home.ok(&["resurrect"]).all();
    assert!(said.contains("the dump before it"), "{said}");
    let facts: Vec<_> = home
        .jlist()
        .iter()
        .map(|w| {
            let env = &w["pm2_env"];
            let text = |v: &serde_json::Value| v.as_str().unwrap_or("?").to_owned();
            (
                text(&w["name"]),
                text(&env["status"]),
                text(&env["SPECIAL"]),
                text(&env["namespace"]),
                env["restart_time"].as_i64(),
                env["kill_timeout"].as_i64(),
            )
        })
        .collect();
    let fact = |name: &str, status: &str| {
        (name.to_owned(), status.to_owned(), format!("value of {name}"), "ns".to_owned(), Some(0), Some(777))
    };
    assert_eq!(facts, [fact("zeta", "online"), fact("alpha", "online"), fact("mid", "stopped")]);
    // What could not be read is not overwritten.
    home.ok(&["save"]);
    let aside = std::fs::read_dir(home.path())
        .unwrap()
        .flatten()
        .any(|file| file.file_name().to_string_lossy().starts_with("dump.json.corrupt-"));
    assert!(aside);
}

#[test]
fn a_kill_of_both_right_after_a_start_adopts_what_was_started() {
    let home = TestHome::new();
    for n in 1..=5 {
        start_resting(&home, &format!("app{n}"));
        kill_both(&home);
        assert_eq!((home.pids().len(), home.restarts(), leaders(&home)), (n, vec![0; n], n));
    }
    // Also of those whose states are not on the disk, as if that had hung or been full.
    std::fs::remove_dir_all(home.path().join("state")).unwrap();
    let pids = home.pids();
    kill_both(&home);
    let _late = std::fs::remove_dir_all(home.path().join("state"));
    assert_eq!((home.pids(), leaders(&home)), (pids, 5));
}

/// Node is told to load what is not there yet when the home is full from the beginning.
#[test]
fn on_a_home_that_was_always_full_node_still_starts() {
    need("node", "apt-get install nodejs");
    let home = TestHome::new();
    let Some(_disk) = Mounted::tmpfs(&home.path(), "size=64k,mode=700") else { return };
    for name in ["logs", "pids", "state"] {
        std::fs::create_dir(home.path().join(name)).unwrap();
    }
    for name in ["pmon.log", "start.lock", "keeper.lock"] {
        std::fs::write(home.path().join(name), "").unwrap();
    }
    let ballast = home.path().join("ballast");
    let _full = Command::new("dd")
        .args(["if=/dev/zero", "bs=4096"])
        .arg(format!("of={}", ballast.display()))
        .output();
    let script = home.file("stay.js", "setInterval(() => {}, 1000)\n").display().to_string();
    home.ok(&["start", &script, "--name", "stay"]);
    wait_notice(&home, "No space left");
    assert_eq!((home.statuses(), home.restarts()), (vec!["online".to_owned()], vec![0]));
}
