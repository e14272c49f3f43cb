//! By what each named point is passed.

/// How a point is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// By the load alone.
    Traffic,
    /// A batch of lines is begun and not ended.
    Repeat,
    /// A question over the channel of a Node worker.
    Channel,
    /// An app of one process is restarted.
    Restart,
    /// An app in cluster mode is reloaded.
    Reload,
    /// An app of twenty processes is started.
    Start,
    /// A hundred apps are started.
    Hundred,
    /// Three processes become six.
    ScaleUp,
    /// Six processes become three.
    ScaleDown,
    /// One of five is deleted.
    Delete,
    /// A process ends by itself, with a code.
    Exit,
    /// The fleet is saved.
    Save,
    /// Keeper and daemon become another program.
    Update,
    /// The daemon is killed: the next one passes it, or the keeper does.
    Daemon,
    /// The keeper is killed.
    Keeper,
    /// Both are.
    Both,
}

/// Deaths besides those at the first and a later pass of each point: in the middle of starting a hundred apps, and of scaling.
pub const ALSO: &[(&str, u64, Means)] = &[
    ("turn.record", 1, Means::Hundred),
    ("turn.kept", 1, Means::Hundred),
    ("spawn.asked", 50, Means::Hundred),
    ("act.spawned", 50, Means::Hundred),
    ("keeper.cloned", 50, Means::Hundred),
    ("turn.record", 1, Means::ScaleUp),
    ("spawn.noted", 2, Means::ScaleUp),
    ("spawn.asked", 1, Means::ScaleUp),
    ("keeper.cloned", 2, Means::ScaleUp),
    ("turn.kept", 1, Means::ScaleDown),
    ("act.signalled", 1, Means::ScaleDown),
    ("act.exited", 1, Means::ScaleDown),
    ("act.over", 1, Means::ScaleDown),
    ("keeper.reaped", 1, Means::ScaleDown),
];

/// By what this point is passed; `None`: another test does that.
pub fn means(point: &str) -> Option<Means> {
    let (room, step) = point.split_once('.').unwrap_or((point, ""));
    Some(match (room, step) {
        ("pump", "repeat") => Means::Repeat,
        ("pump", "ended") => Means::Exit,
        ("pump", "staged" | "placed" | "published" | "half_written" | "written" | "half_taken" | "taken")
        | ("pump", "committed") => Means::Traffic,
        ("rotate", "begun" | "aside" | "made" | "done") => Means::Traffic,
        ("compress", "begun" | "block" | "packed" | "renamed" | "removed") => Means::Traffic,
        ("hub", "accepted" | "handed") => Means::Traffic,
        ("hub", "peeked" | "done" | "listener_kept") => Means::Channel,
        ("replace", "write" | "rename" | "renamed") | ("dump", "copied") => Means::Save,
        ("turn", "unacknowledged") => Means::Exit,
        ("turn", "handled" | "record" | "kept" | "published" | "deed" | "reply" | "replied") => {
            Means::Restart
        }
        ("act", "exited") | ("owner", "pipe_closed") => Means::Exit,
        ("act", "over") | ("owner", "forget") | ("state", "forget") => Means::Delete,
        ("act", "pid_file" | "spawned" | "signalled") | ("state", "write" | "rename") => Means::Restart,
        ("spawn", "made" | "noted" | "asked") => Means::Start,
        ("boot", "search" | "searched" | "bound") | ("orphans", "sorted" | "adopted") => Means::Both,
        ("boot", "begun" | "read" | "sockets" | "files" | "doors" | "taken" | "ready") => Means::Daemon,
        ("attach", "entry" | "listener" | "worker" | "record" | "fed" | "begun" | "told") => Means::Daemon,
        ("run", "breath") => Means::Traffic,
        ("upgrade", "begin" | "asked" | "keeper_done" | "room") => Means::Update,
        ("rebuild", "begun" | "started" | "order" | "ready") => Means::Keeper,
        ("keeper", "image" | "checked" | "exec" | "resumed") => Means::Update,
        ("keeper", "received" | "handled") => Means::Restart,
        ("keeper", "clone" | "cloned" | "tell_spawned" | "told_spawned") => Means::Start,
        ("keeper", "reaped" | "tell_exited" | "told_exited") => Means::Exit,
        ("keeper", "heard_out" | "daemon_started" | "tell_entry" | "told_entry") => Means::Daemon,
        ("keeper", "adopted" | "adopted_all") => Means::Keeper,
        _ => return None,
    })
}

/// At which later pass it is done once more, by which means.
pub fn later(point: &str, means: Means) -> Option<(u64, Means)> {
    match means {
        Means::Restart if point.starts_with("turn.") => Some((3, Means::Reload)),
        Means::Restart => Some((3, Means::Start)),
        Means::Start => Some((10, Means::Start)),
        Means::Traffic if point.starts_with("pump.") || point.starts_with("hub.") => Some((4, means)),
        Means::Daemon if ["entry", "worker", "listener"].iter().any(|step| point.ends_with(step)) => {
            Some((4, means))
        }
        Means::Keeper if point == "keeper.adopted" || point == "rebuild.order" => Some((3, means)),
        Means::Traffic | Means::Daemon | Means::Keeper => None,
        Means::Repeat | Means::Channel | Means::Reload | Means::Delete | Means::Exit => None,
        Means::Save | Means::Update | Means::Both => None,
        Means::Hundred | Means::ScaleUp | Means::ScaleDown => None,
    }
}
