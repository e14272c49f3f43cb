//! Orders whose daemon or keeper dies: afterwards each is done or was never begun, and who gave it was told.

use crate::fleet::{Fleet, signal};
use crate::points::Means;
use crate::support::{Ran, get_path, wait_for};
use std::path::PathBuf;

/// What an order left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Done,
    Undone,
}

impl Fleet {
    /// Does what passes a point, and checks what became of it. `fired` says whether the fault has happened: an order
    /// that nothing happened to must succeed.
    pub fn provoke(&mut self, means: Means, fired: &dyn Fn() -> bool) {
        match means {
            Means::Traffic => {}
            Means::Repeat => std::fs::write(self.home.faults().join("pump.published"), "kill").unwrap(),
            Means::Channel => {
                // A client of round robin may be the one whose connection dies.
                drop(get_path(self.ports[1], "/channel"));
            }
            Means::Restart => self.restart(),
            Means::Reload => self.reload(),
            Means::Start => self.start_many(20),
            Means::Hundred => self.hundred(),
            Means::ScaleUp => self.scale(3, 6),
            Means::ScaleDown => self.scale(6, 3),
            Means::Delete => self.delete_many(),
            Means::Exit => self.exit(),
            Means::Save => self.save(),
            Means::Update => self.update(),
            Means::Daemon => self.next_daemon(),
            Means::Keeper => {
                self.kill_keeper();
                self.report.killed("keeper");
                wait_for("what follows", || if fired() { Ok(()) } else { Err("not yet".into()) });
            }
            Means::Both => {
                self.kill_both();
                self.report.killed("both");
                self.home.run(&["list"]);
            }
        }
    }

    fn next_daemon(&mut self) {
        let old = self.daemon_pid();
        signal(old, "KILL");
        self.report.killed("daemon");
        // The one after it may die before it signs.
        self.home.run(&["list"]);
    }

    /// Whoever gave an order knows what came of it.
    #[track_caller]
    fn said(&mut self, order: &str, ran: &Ran, left: Left) {
        if ran.code == 0 {
            assert_eq!(left, Left::Done, "`{order}` said that it was done\n{}", ran.all());
            return;
        }
        let (verb, app) = order.split_once(' ').unwrap_or((order, order));
        let named = |line: &str| line.contains(verb) || line.contains(app);
        assert!(ran.err.lines().any(named), "`{order}` failed without a word that names it: {ran:?}");
        self.report.cut += 1;
        match left {
            Left::Done => self.report.cut_done += 1,
            Left::Undone => self.report.cut_undone += 1,
        }
    }

    fn restart(&mut self) {
        let facts = |fleet: &Fleet| {
            let all = fleet.of("victim");
            let env = &all[0]["pm2_env"];
            let status = env["status"].as_str().unwrap_or_default().to_owned();
            (all[0]["pid"].as_i64().unwrap(), env["restart_time"].as_i64().unwrap(), status)
        };
        let (pid, restarts, _) = facts(self);
        let ran = self.home.run(&["restart", "victim"]);
        let left = wait_for("a whole restart, or none", || {
            let now = facts(self);
            match &now {
                (same, count, up) if *same == pid && *count == restarts && up == "online" => Ok(Left::Undone),
                (new, count, up) if *new > 0 && *new != pid && *count == restarts + 1 && up == "online" => {
                    Ok(Left::Done)
                }
                _ => Err(format!("{now:?} after {pid}, {restarts}: {ran:?}")),
            }
        });
        self.said("restart victim", &ran, left);
    }

    fn reload(&mut self) {
        let pids = |fleet: &Fleet| -> Vec<i64> {
            fleet.of("turnover").iter().map(|w| w["pid"].as_i64().unwrap()).collect()
        };
        let before = pids(self);
        self.report.reloads += 1;
        let ran = self.home.run(&["reload", "turnover"]);
        let left = wait_for("two instances that serve", || {
            let all = self.of("turnover");
            let up = all.iter().filter(|w| w["pm2_env"]["status"] == "online").count();
            if (all.len(), up) != (2, 2) {
                return Err(format!("{up} of {}", all.len()));
            }
            let same = pids(self).iter().filter(|pid| before.contains(pid)).count();
            match same {
                0 => Ok(Left::Done),
                2 => Ok(Left::Undone),
                _ => Err(format!("half of it is done: {ran:?}")),
            }
        });
        self.said("reload turnover", &ran, left);
    }

    pub fn start_many(&mut self, count: usize) {
        let ran = self.home.run(&["start", "rest.sh", "--name", "many", "-f", "-i", &count.to_string()]);
        let left = wait_for("all of it, or nothing", || {
            let all = self.of("many");
            let up = all.iter().filter(|w| w["pm2_env"]["status"] == "online").count();
            match (all.len(), up) {
                (0, _) => Ok(Left::Undone),
                (all, up) if all == count && up == count => Ok(Left::Done),
                (all, up) => Err(format!("{up} of {all} are online: {ran:?}")),
            }
        });
        self.said("start many", &ran, left);
        if left == Left::Done {
            self.home.run(&["delete", "many"]);
            self.nothing_of_many();
        }
    }

    #[track_caller]
    fn nothing_of_many(&self) {
        wait_for("nothing of `many`", || {
            let left = self.of("many").len();
            if left == 0 {
                return Ok(());
            }
            self.home.run(&["delete", "many"]);
            Err(format!("{left} are left"))
        });
    }

    /// A hundred apps of one file.
    fn hundred(&mut self) {
        let app = |n: u32| {
            let name = format!("many-{n}");
            serde_json::json!({ "name": name, "namespace": "hundred", "script": "rest.sh" })
        };
        let apps: Vec<_> = (0..100).map(app).collect();
        self.home.file("hundred.json", &serde_json::json!({ "apps": apps }).to_string());
        let ran = self.home.run(&["start", "hundred.json"]);
        let mine = |fleet: &Fleet| -> Result<(usize, usize), String> {
            let all = fleet.list()?;
            let mine = all.iter().filter(|w| w["name"].as_str().is_some_and(|n| n.starts_with("many-")));
            let mine: Vec<_> = mine.map(|w| w["pm2_env"]["status"] == "online").collect();
            Ok((mine.len(), mine.iter().filter(|up| **up).count()))
        };
        let left = wait_for("all hundred, or none", || match mine(self)? {
            (0, _) => Ok(Left::Undone),
            (100, 100) => Ok(Left::Done),
            (all, up) => Err(format!("{up} of {all} are online: {ran:?}")),
        });
        self.said("start hundred", &ran, left);
        if left == Left::Done {
            self.home.ok(&["delete", "hundred"]);
        }
        // On a machine that is busy, killed ones may be a while in ending; each is gone when it has.
        wait_for("deleted ones to be gone", || match mine(self)? {
            (0, _) => Ok(()),
            (all, up) => Err(format!("{all}, {up} of them online")),
        });
    }

    /// From so many processes to so many.
    fn scale(&mut self, from: usize, to: usize) {
        let online = |fleet: &Fleet| {
            let all = fleet.of("many");
            let up = all.iter().filter(|w| w["pm2_env"]["status"] == "online").count();
            (all.len(), up)
        };
        let plan = std::fs::read_dir(self.home.faults()).unwrap().flatten().map(|file| file.path());
        // What makes them ready is not what is to die.
        let armed: Vec<_> = plan.filter(|path| path.file_name().is_some_and(|n| n != "passed")).collect();
        let aside: Vec<_> = armed.into_iter().map(|path| (std::fs::read(&path).unwrap(), path)).collect();
        aside.iter().for_each(|(_, path)| std::fs::remove_file(path).unwrap());
        self.home.ok(&["start", "rest.sh", "--name", "many", "-f", "-i", &from.to_string()]);
        assert_eq!(online(self), (from, from));
        aside.into_iter().for_each(|(text, path)| std::fs::write(path, text).unwrap());
        let ran = self.home.run(&["scale", "many", &to.to_string()]);
        let at_once = self.of("many").len();
        assert!(ran.code != 0 || at_once == to, "it said done, and {at_once} are there: {ran:?}");
        let left = wait_for("as many as before, or as ordered", || match online(self) {
            (all, up) if all == up && up == to => Ok(Left::Done),
            (all, up) if all == up && up == from => Ok(Left::Undone),
            (all, up) => Err(format!("{up} of {all} are online: {ran:?}")),
        });
        self.said("scale many", &ran, left);
        self.home.run(&["delete", "many"]);
        self.nothing_of_many();
    }

    fn delete_many(&mut self) {
        self.home.run(&["start", "rest.sh", "--name", "many", "-f", "-i", "5"]);
        let ran = self.home.run(&["delete", "many"]);
        let left = wait_for("none of them, or all as they were", || {
            let all = self.of("many");
            let up = all.iter().filter(|w| w["pm2_env"]["status"] == "online").count();
            match (all.len(), up) {
                (0, _) => Ok(Left::Done),
                (5, 5) => Ok(Left::Undone),
                (all, up) => Err(format!("{up} of {all} are online: {ran:?}")),
            }
        });
        self.said("delete many", &ran, left);
        self.nothing_of_many();
    }

    /// A process that ends with a code of its own, while somebody dies over it.
    pub fn exit(&mut self) {
        let code = i64::try_from(1 + self.report.exits % 200).unwrap();
        let old = self.of("code")[0]["pm2_env"]["created_at"].clone();
        std::fs::write(self.home.work().join("code.txt"), code.to_string()).unwrap();
        let before = self.of("code")[0]["pm2_env"]["restart_time"].as_i64().unwrap();
        let ran = self.home.run(&["restart", "code"]);
        self.report.exits += 1;
        let known = wait_for("the end of what ends by itself", || {
            let one = self.of("code").remove(0);
            let env = &one["pm2_env"];
            if env["status"] == "stopped" {
                if env["exit_code"] == code {
                    return Ok(true);
                }
                if env["restart_time"].as_i64() != Some(before) {
                    return Err(format!("exit code {} instead of {code}, {old}", env["exit_code"]));
                }
                if ran.code != 0 {
                    // It was not begun.
                    return Ok(false);
                }
            }
            Err(format!("{}, code {} instead of {code}", env["status"], env["exit_code"]))
        });
        if known {
            self.report.exits_known += 1;
        } else {
            self.report.exits -= 1;
        }
        self.said("restart code", &ran, if known { Left::Done } else { Left::Undone });
    }

    pub fn save(&mut self) {
        let path = self.home.path().join("dump.json");
        let before = std::fs::read(&path).ok();
        let ran = self.home.run(&["save"]);
        let now = std::fs::read(&path).ok();
        if let Some(text) = &now {
            let whole: Result<serde_json::Value, _> = serde_json::from_slice(text);
            assert!(whole.is_ok(), "the dump is whole at any time");
        }
        let done = now.is_some() && (ran.code == 0 || now != before);
        self.said("save", &ran, if done { Left::Done } else { Left::Undone });
    }

    fn update(&mut self) {
        let copy = self.other_program();
        let ran = std::process::Command::new(&copy)
            .args(["update"])
            .env("PMON_HOME", self.home.path())
            .env("PMON_FAULTS", self.home.faults())
            .env("NO_COLOR", "1")
            .output()
            .unwrap();
        let ran = Ran {
            code: ran.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&ran.stdout).into_owned(),
            err: String::from_utf8_lossy(&ran.stderr).into_owned(),
        };
        let left = wait_for("a daemon of the one program or the other", || {
            self.list()?;
            let program =
                std::fs::read_link(format!("/proc/{}/exe", self.daemon_pid())).map_err(|e| e.to_string())?;
            Ok(if program == copy { Left::Done } else { Left::Undone })
        });
        self.said("update pmon-", &ran, left);
    }

    /// A program that the daemon does not run at present.
    fn other_program(&self) -> PathBuf {
        let program = std::fs::read_link(format!("/proc/{}/exe", self.daemon_pid())).unwrap();
        let names = ["pmon-a", "pmon-b"].map(|name| self.home.work().join(name));
        for path in &names {
            if !path.exists() {
                crate::support::copy_program(path);
            }
        }
        names.into_iter().find(|path| *path != program).unwrap()
    }
}
