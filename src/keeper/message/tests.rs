//! The bytes that stay, what later versions may add, and what is no message.

use super::*;
use crate::sys::spawn::{Creds, Stage};
use proptest::prelude::*;

const RUN: Run = Run { entry: 7, generation: 3 };

fn hex(message: &Message) -> String {
    let bytes = [&message.header(0)[..], &message.body].concat();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Frozen: a keeper of this version will meet daemons of later ones.
#[test]
fn the_bytes_of_version_1_stay() {
    let spawn = ToKeeper::Spawn(Spawn {
        run: RUN,
        token: 9,
        creds: Some(Creds { uid: 1, gid: 2, groups: vec![4] }),
        listen_pid: true,
        program: b"/p".to_vec(),
        cwd: b"/".to_vec(),
        argv: vec![b"p".to_vec()],
        envp: vec![b"A=1".to_vec()],
        map: vec![(1, 0)],
        keep: vec![(Tag::new(Tag::OUT_PIPE, 3), 1)],
        blob: b"{}".to_vec(),
    });
    let golden = concat!(
        "01000100510000000700000000000000030000000000000009000000000000000600000001000000020000000100",
        "000004000000020000002f70010000002f01000000010000007001000000",
        "03000000413d31010000000100000000000000010000000103000001000000020000007b7d"
    );
    assert_eq!(hex(&spawn.encode()), golden);
    let kill = ToKeeper::Kill { run: RUN, signal: 15, group: true };
    assert_eq!(hex(&kill.encode()), "0700010001000000070000000000000003000000000000000f0000000000000001");
    let keep = ToKeeper::Keep { entry: 7, tag: Tag::new(Tag::LISTENER, 2) };
    assert_eq!(hex(&keep.encode()), "0200010000000000070000000000000000000000000000006502000000000000");
    let failed = ToDaemon::SpawnFailed { run: RUN, token: 9, errno: 2, stage: Stage::Exec };
    let golden = "440001000800000007000000000000000300000000000000090000000000000000000000020006 00";
    assert_eq!(hex(&failed.encode()), golden.replace(' ', ""));
    let adopt = ToKeeper::Adopt(Adopt {
        run: RUN,
        pid: 5,
        exited: Some(256),
        spawned_ms: 6,
        keep: vec![(Tag::new(Tag::OUT_PIPE, 3), 0)],
        blob: b"{}".to_vec(),
    });
    let golden = concat!(
        "0c000100220000000700000000000000030000000000000005000000000000000100000000010000",
        "0600000000000000010000000103000000000000020000007b7d"
    );
    assert_eq!(hex(&adopt.encode()), golden);
    assert_eq!(hex(&ToKeeper::Ping.encode()), format!("0d000100{}", "00".repeat(28)));
    let upgraded = ToDaemon::Upgraded { keeper_pid: 9, refusal: b"no".to_vec() };
    let golden = format!("4600010006000000{}0900000000000000020000006e6f", "00".repeat(16));
    assert_eq!(hex(&upgraded.encode()), golden);
    assert_eq!(hex(&ToDaemon::Pong.encode()), format!("47000100{}", "00".repeat(28)));
}

#[test]
fn the_welcome_of_a_keeper_without_marks_is_understood() {
    let welcome =
        ToDaemon::Welcome { keeper_pid: 9, entries: 2, restarts: 1, search: true, past: Past::default() };
    let mut message = welcome.encode();
    let golden = "400001000400000002000000000000000100000000000000090000000000000001000000";
    assert_eq!(hex(&message), golden);
    message.body.clear();
    let old =
        ToDaemon::Welcome { keeper_pid: 9, entries: 2, restarts: 1, search: false, past: Past::default() };
    assert_eq!(ToDaemon::decode(&message), Ok(Some(old)));
}

#[test]
fn later_versions_may_add_kinds_and_fields() {
    let mut message = ToKeeper::Kill { run: RUN, signal: 9, group: false }.encode();
    message.body.extend_from_slice(b"more");
    let kill = ToKeeper::Kill { run: RUN, signal: 9, group: false };
    assert_eq!(ToKeeper::decode(&message), Ok(Some(kill)));
    message.kind = 40;
    assert_eq!(ToKeeper::decode(&message), Ok(None));
    assert_eq!(ToDaemon::decode(&message), Ok(None));
}

#[test]
fn a_count_that_cannot_be_is_refused_before_it_is_believed() {
    let mut message = ToKeeper::Spawn(Spawn {
        run: RUN,
        token: 0,
        creds: None,
        listen_pid: false,
        program: vec![],
        cwd: vec![],
        argv: vec![],
        envp: vec![],
        map: vec![],
        keep: vec![],
        blob: vec![],
    })
    .encode();
    message.body[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(ToKeeper::decode(&message), Err(Malformed));
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..40)
}

fn run() -> impl Strategy<Value = Run> {
    (any::<u64>(), any::<u64>()).prop_map(|(entry, generation)| Run { entry, generation })
}

fn tag() -> impl Strategy<Value = Tag> {
    (any::<u8>(), 0..1u32 << 24).prop_map(|(kind, index)| Tag::new(kind, index))
}

fn keep() -> impl Strategy<Value = Vec<(Tag, u32)>> {
    prop::collection::vec((tag(), any::<u32>()), 0..5)
}

fn spawn() -> impl Strategy<Value = Spawn> {
    let creds = (any::<u32>(), any::<u32>(), prop::collection::vec(any::<u32>(), 0..5));
    let creds = prop::option::of(creds.prop_map(|(uid, gid, groups)| Creds { uid, gid, groups }));
    let list = || prop::collection::vec(bytes(), 0..5);
    let map = prop::collection::vec((any::<u32>(), any::<u32>()), 0..5);
    let head = (run(), any::<u64>(), creds, any::<bool>());
    (head, bytes(), bytes(), list(), list(), map, keep(), bytes()).prop_map(
        |((run, token, creds, listen_pid), program, cwd, argv, envp, map, keep, blob)| Spawn {
            run,
            token,
            creds,
            listen_pid,
            program,
            cwd,
            argv,
            envp,
            map,
            keep,
            blob,
        },
    )
}

fn to_keeper() -> impl Strategy<Value = ToKeeper> {
    let kill = (run(), 0..i32::MAX, any::<bool>());
    let adopt = (run(), any::<u32>(), any::<Option<i32>>(), any::<u64>(), keep(), bytes());
    prop_oneof![
        spawn().prop_map(ToKeeper::Spawn),
        (any::<u64>(), tag()).prop_map(|(entry, tag)| ToKeeper::Keep { entry, tag }),
        (any::<u64>(), tag()).prop_map(|(entry, tag)| ToKeeper::Drop { entry, tag }),
        (any::<u64>(), bytes()).prop_map(|(entry, blob)| ToKeeper::Blob { entry, blob }),
        run().prop_map(ToKeeper::Ack),
        any::<u64>().prop_map(|entry| ToKeeper::Forget { entry }),
        kill.prop_map(|(run, signal, group)| ToKeeper::Kill { run, signal, group }),
        Just(ToKeeper::Ready),
        bytes().prop_map(|path| ToKeeper::UpgradeDaemon { path }),
        bytes().prop_map(|path| ToKeeper::UpgradeKeeper { path }),
        Just(ToKeeper::Shutdown),
        adopt.prop_map(|(run, pid, exited, spawned_ms, keep, blob)| {
            ToKeeper::Adopt(Adopt { run, pid, exited, spawned_ms, keep, blob })
        }),
        Just(ToKeeper::Ping),
        any::<u64>().prop_map(|entry| ToKeeper::Trying { entry }),
        (any::<u64>(), any::<u64>()).prop_map(|(entry, key)| ToKeeper::Aside { entry, key }),
        (any::<u64>(), any::<u64>()).prop_map(|(entry, key)| ToKeeper::TakeBack { entry, key }),
        bytes().prop_map(ToKeeper::LastWords),
        prop::collection::vec((any::<u64>(), bytes()), 0..5).prop_map(ToKeeper::Blobs),
    ]
}

fn past() -> impl Strategy<Value = Past> {
    let aside = prop::collection::vec((any::<u64>(), any::<u64>()), 0..5);
    (any::<u32>(), any::<i32>(), bytes(), bytes(), aside, any::<bool>()).prop_map(
        |(deaths, status, words, undone, aside, all)| Past { deaths, status, words, undone, aside, all },
    )
}

fn to_daemon() -> impl Strategy<Value = ToDaemon> {
    let state = prop_oneof![
        Just(ProcessState::None),
        Just(ProcessState::Running),
        (any::<i32>(), any::<u64>()).prop_map(|(status, exit_ms)| ProcessState::Exited { status, exit_ms }),
    ];
    let tags = prop::collection::vec(tag(), 0..5);
    let entry = (run(), any::<u32>(), state, any::<u64>(), any::<bool>(), tags, bytes());
    let micros = || any::<u64>().prop_map(Duration::from_micros);
    let usage = (micros(), micros(), any::<u64>());
    let usage = usage.prop_map(|(user, system, max_rss_kib)| Spent { user, system, max_rss_kib });
    let stage = (0..7u16).prop_map(Stage::from_number);
    prop_oneof![
        (any::<u32>(), any::<u64>(), any::<u64>(), any::<bool>(), past()).prop_map(
            |(keeper_pid, entries, restarts, search, past)| {
                ToDaemon::Welcome { keeper_pid, entries, restarts, search, past }
            }
        ),
        (any::<u32>(), bytes()).prop_map(|(keeper_pid, refusal)| ToDaemon::Upgraded { keeper_pid, refusal }),
        entry.prop_map(|(run, pid, state, spawned_ms, has_pidfd, tags, blob)| {
            ToDaemon::Entry { run, pid, state, spawned_ms, has_pidfd, tags, blob }
        }),
        Just(ToDaemon::End),
        Just(ToDaemon::Pong),
        (run(), any::<u64>(), any::<u32>(), any::<u64>())
            .prop_map(|(run, token, pid, spawned_ms)| { ToDaemon::Spawned { run, token, pid, spawned_ms } }),
        (run(), any::<u64>(), 0..4096i32, stage)
            .prop_map(|(run, token, errno, stage)| { ToDaemon::SpawnFailed { run, token, errno, stage } }),
        (run(), any::<u32>(), any::<i32>(), any::<u64>(), usage).prop_map(
            |(run, pid, status, exit_ms, usage)| ToDaemon::Exited { run, pid, status, exit_ms, usage }
        ),
    ]
}

fn travelled(message: &Message) -> Message {
    let (mut arrived, len) = Message::from_header(&message.header(0)).unwrap();
    assert_eq!(len, message.body.len());
    arrived.body.clone_from(&message.body);
    arrived
}

proptest! {
    #[test]
    fn what_the_daemon_says_arrives(said in to_keeper()) {
        prop_assert_eq!(ToKeeper::decode(&travelled(&said.encode())), Ok(Some(said)));
    }

    #[test]
    fn what_the_keeper_says_arrives(said in to_daemon()) {
        prop_assert_eq!(ToDaemon::decode(&travelled(&said.encode())), Ok(Some(said)));
    }

    #[test]
    fn garbage_is_refused_without_harm(
        kind in prop_oneof![0..19u16, 62..72u16, any::<u16>()],
        request: u64,
        body in prop::collection::vec(any::<u8>(), 0..200),
        header in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let message = Message { kind, id: 1, generation: 1, request, body };
        let _any = (ToKeeper::decode(&message), ToDaemon::decode(&message), Message::from_header(&header));
    }

    #[test]
    fn a_body_cut_short_is_refused(said in spawn(), cut: prop::sample::Index) {
        let mut message = ToKeeper::Spawn(said).encode();
        message.body.truncate(cut.index(message.body.len()));
        prop_assert_eq!(ToKeeper::decode(&message), Err(Malformed));
    }
}
