//! No answer before its commit is on disk. A killed process proves nothing about that, since the kernel keeps what was written;
//! so the order of the system calls is looked at, and on PostgreSQL how far the log has been flushed. Each test is shown to
//! fail on a store that does not wait.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hallpass::store::{Durability, Location};
use serde_json::json;
use tokio::task::JoinSet;

use crate::harness::{Actor, Engine, Options, Place, Process, TestServer, text};
use crate::inspect::{Database, Installation};

/// How many changes are asked for, one after the other.
const CHANGES: usize = 60;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs strace: ./test brings it and runs this"]
async fn sqlite_answers_after_the_fsync() {
    let seen = watch(Path::new(env!("CARGO_BIN_EXE_hallpass"))).await;
    assert_eq!(seen.answers, CHANGES, "{seen:?}");
    assert_eq!(seen.with_writes, CHANGES, "an answer without a commit: {seen:?}");
    assert_eq!(seen.too_early, 0, "answers ahead of their fsync: {seen:?}");
    assert!(seen.syncs >= CHANGES, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs strace: ./test brings it and runs this"]
async fn a_sqlite_store_that_does_not_sync_is_noticed() {
    let seen = watch(&unsynced()).await;
    assert_eq!((seen.answers, seen.with_writes), (CHANGES, CHANGES), "{seen:?}");
    assert_eq!((seen.too_early, seen.syncs), (CHANGES, 0), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs strace: ./test brings it and runs this"]
async fn many_changes_share_an_fsync() {
    const CALLERS: u64 = 64;
    const EACH: u64 = 30;
    // A disk that takes its time, so that it does not depend on this machine how many changes gather meanwhile.
    const SLOW: &str = "inject=fsync,fdatasync:delay_exit=20000";
    let installation = Installation::new(Engine::Sqlite).await;
    let trace = installation.file("trace.txt");
    let program = Path::new(env!("CARGO_BIN_EXE_hallpass"));
    let process = installation.serve_traced(&["trace=fsync,fdatasync", SLOW], &trace, program);
    let actor = installation.key_actor(&process);
    let path = installation.tokens_path();
    let mut work = JoinSet::new();
    for n in 0..CALLERS {
        let (actor, path) = (actor.clone(), path.clone());
        work.spawn(async move {
            let id = create(&actor, &path, &format!("caller {n}")).await;
            for _ in 0..EACH {
                actor.post(&format!("{path}/{id}/refresh"), json!({})).await.result(200);
            }
        });
    }
    work.join_all().await;
    let seen = Trace::read(&end(process, &trace));
    let acknowledged = CALLERS * (EACH + 1);
    assert!(seen.syncs > 0, "{seen:?}");
    // The slack is for the start, where the callers do not come all at once.
    assert!(seen.syncs as u64 <= acknowledged / 20 + 32, "{} fsyncs for {acknowledged} changes", seen.syncs);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs strace: ./test brings it and runs this"]
async fn a_failed_fsync_is_no_success() {
    outage("inject=fsync,fdatasync:error=EIO:when=20..29").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs strace: ./test brings it and runs this"]
async fn a_full_disk_is_no_success() {
    outage("inject=pwrite64:error=ENOSPC:when=300..329").await;
}

/// Lets the disk fail for a while: what fails is not acknowledged and not seen, reading goes on, what was acknowledged stays,
/// and when the disk is well again, so is the server.
async fn outage(failure: &str) {
    let installation = Installation::new(Engine::Sqlite).await;
    let trace = installation.file("trace.txt");
    let program = Path::new(env!("CARGO_BIN_EXE_hallpass"));
    let process = installation.serve_traced(&["trace=fsync,fdatasync,pwrite64", failure], &trace, program);
    let (actor, path) = (installation.key_actor(&process), installation.tokens_path());
    let (mut acknowledged, mut failed) = (BTreeSet::new(), BTreeSet::new());
    for n in 0..120 {
        let name = format!("token {n}");
        let reply = actor.post(&path, json!({"name": name})).await;
        if reply.status == 201 {
            acknowledged.insert(name);
        } else {
            assert_eq!(reply.codes(), [10001], "{}", reply.text);
            assert_eq!(names(&actor, &path).await, acknowledged, "after {}", reply.text);
            failed.insert(name);
        }
    }
    assert!(!failed.is_empty(), "nothing has failed");
    assert!(acknowledged.contains("token 0") && acknowledged.contains("token 119"), "{failed:?}");
    assert_eq!(names(&actor, &path).await, acknowledged);
    let text = end(process, &trace);
    assert!(text.contains("(INJECTED)"), "{text}");

    let process = installation.serve();
    let actor = installation.key_actor(&process);
    assert_eq!(names(&actor, &path).await, acknowledged);
    Database::open(&installation.place.location).await.revision().await;
}

async fn names(actor: &Actor, path: &str) -> BTreeSet<String> {
    let listed = actor.get(path).await.result(200);
    listed.as_array().unwrap().iter().map(|token| text(&token["name"])).collect()
}

/// The server that answers too early.
fn unsynced() -> PathBuf {
    let directory = Path::new(env!("CARGO_BIN_EXE_hallpass")).parent().unwrap();
    let program = directory.join("examples").join("unsynced");
    let shown = program.display();
    assert!(program.exists(), "{shown} is missing; `cargo build -p hallpass --examples` makes it");
    program
}

/// Runs a program under strace, asks it for one change after the other, and says what it did.
async fn watch(program: &Path) -> Trace {
    let installation = Installation::new(Engine::Sqlite).await;
    let trace = installation.file("trace.txt");
    let calls = "trace=fsync,fdatasync,write,writev,pwrite64,pwritev,sendto,sendmsg";
    let process = installation.serve_traced(&[calls], &trace, program);
    let (actor, path) = (installation.key_actor(&process), installation.tokens_path());
    let mut id = String::new();
    for n in 0..CHANGES {
        match n % 4 {
            0 => id = create(&actor, &path, &format!("token {n}")).await,
            1 => drop(actor.post(&format!("{path}/{id}/refresh"), json!({})).await.result(200)),
            2 => drop(actor.post(&format!("{path}/{id}/rotate"), json!({})).await.result(200)),
            _ => drop(actor.delete(&format!("{path}/{id}")).await.result(200)),
        }
    }
    Trace::read(&end(process, &trace))
}

async fn create(actor: &Actor, path: &str, name: &str) -> String {
    let made = actor.post(path, json!({"name": name})).await.result(201);
    text(&made["id"])
}

/// Kills a traced process and reads its whole trace.
fn end(process: Process, trace: &Path) -> String {
    let id = process.child.id().to_string();
    process.kill();
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let text = std::fs::read_to_string(trace).unwrap();
        let mut ends = text.lines().filter_map(|line| line.split_once(" +++ "));
        if ends.any(|(thread, _)| thread.trim_end() == id) {
            return text;
        }
        assert!(Instant::now() < deadline, "strace does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What a trace tells of SQLite's log and of the answers. Only right for one client that waits for each answer, and for a store
/// in which nothing is written but what was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Trace {
    /// Replies of the 200s.
    answers: usize,
    /// Those since whose predecessor the log was written.
    with_writes: usize,
    /// Those that left while something written was not synced yet.
    too_early: usize,
    /// Finished syncs of the log.
    syncs: usize,
}

impl Trace {
    fn read(text: &str) -> Self {
        let mut trace = Self::default();
        // Writes are numbered. A sync covers those that began before it, once it has succeeded.
        let (mut written, mut synced, mut answered) = (0_usize, 0_usize, 0_usize);
        let mut under_way = HashMap::new();
        for line in text.lines() {
            let Some((thread, event)) = line.split_once(char::is_whitespace) else {
                continue;
            };
            let event = event.trim_start();
            if let Some(resumed) = event.strip_prefix("<... ") {
                if let Some(covered) = under_way.remove(thread)
                    && resumed.trim_end().contains("= 0")
                {
                    synced = synced.max(covered);
                    trace.syncs += 1;
                }
                continue;
            }
            let Some((call, arguments)) = event.split_once('(') else {
                continue;
            };
            let file = arguments.split_once('<').and_then(|(_, file)| file.split_once('>'));
            let log = file.is_some_and(|(file, _)| file.ends_with("-wal"));
            match call {
                "fsync" | "fdatasync" if log && event.contains("<unfinished ...>") => {
                    under_way.insert(thread, written);
                }
                "fsync" | "fdatasync" if log && event.trim_end().contains("= 0") => {
                    synced = written;
                    trace.syncs += 1;
                }
                "fsync" | "fdatasync" => {}
                _ if log => written += 1,
                _ if event.contains("\"HTTP/1.1 2") => {
                    trace.answers += 1;
                    trace.with_writes += usize::from(written > answered);
                    trace.too_early += usize::from(written > synced);
                    answered = written;
                }
                _ => {}
            }
        }
        trace
    }
}

#[test]
fn a_trace_is_read_in_order() {
    const WRITE: &str = "7 pwrite64(13</d/hallpass.db-wal>, \"x\", 4096, 32) = 4096\n";
    const SYNC: &str = "7 fdatasync(13</d/hallpass.db-wal>) = 0\n";
    const BEGUN: &str = "7 fsync(13</d/hallpass.db-wal> <unfinished ...>\n";
    const DONE: &str = "7 <... fsync resumed>)   = 0\n";
    const ANSWER: &str =
        "8 writev(9<socket:[5]>, [{iov_base=\"HTTP/1.1 200 OK\\r\\nconte\"..., iov_len=9}], 1) = 9\n";
    let too_early = |lines: &[&str]| {
        let trace = Trace::read(&lines.concat());
        assert_eq!((trace.answers, trace.with_writes), (1, 1));
        trace.too_early == 1
    };
    assert!(!too_early(&[WRITE, WRITE, SYNC, ANSWER]));
    assert!(!too_early(&[WRITE, BEGUN, DONE, ANSWER]));
    assert!(too_early(&[WRITE, ANSWER]));
    assert!(too_early(&[WRITE, ANSWER, SYNC]));
    assert!(too_early(&[SYNC, WRITE, ANSWER]));
    assert!(too_early(&[WRITE, SYNC, WRITE, ANSWER]));
    assert!(too_early(&[WRITE, BEGUN, ANSWER, DONE]));
    assert!(too_early(&[BEGUN, WRITE, DONE, ANSWER]));
    assert!(too_early(&[
        WRITE,
        "7 fsync(13</d/hallpass.db>) = 0\n",
        "7 fsync(13</d/hallpass.db-wal>) = -1 EIO (Input/output error)\n",
        ANSWER
    ]));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: ./test brings one and runs this"]
async fn postgres_answers_after_the_flush() {
    let place = Place::new(Engine::Postgres).await;
    let seen = flushes(place, Durability::Full, usize::MAX).await;
    assert_eq!(seen, 0, "answers ahead of their flush");
}

/// An administrator may have told the database not to wait.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: ./test brings one and runs this"]
async fn a_database_that_would_not_wait_is_made_to() {
    let place = Place::new(Engine::Postgres).await;
    let Location::Postgres(url) = &place.location else {
        panic!("it is on PostgreSQL");
    };
    let (_, name) = url.rsplit_once('/').unwrap();
    let lazily = format!("ALTER DATABASE {name} SET synchronous_commit = off");
    Database::open(&place.location).await.execute(&lazily).await;
    let seen = flushes(place, Durability::Full, usize::MAX).await;
    assert_eq!(seen, 0, "answers ahead of their flush");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: ./test brings one and runs this"]
async fn a_postgres_store_that_does_not_wait_is_noticed() {
    const ENOUGH: usize = 5;
    let place = Place::new(Engine::Postgres).await;
    let seen = flushes(place, Durability::NoneForTests, ENOUGH).await;
    assert_eq!(seen, ENOUGH, "too few answers ahead of their flush");
}

/// Cuts the server's connections over and over while it is writing. What it acknowledges meanwhile stays, and it recovers.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: ./test brings one and runs this"]
async fn lost_connections_are_replaced() {
    const CUT: &str = "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity \
                       WHERE datname = current_database() AND application_name = 'hallpass'";
    let server = TestServer::start(Engine::Postgres).await;
    let mut database = Database::open(&server.place.location).await;
    let (actor, path) = (server.key(&server.home), server.home.tokens_path());
    let mut work = JoinSet::new();
    for n in 0..8 {
        let (actor, path) = (actor.clone(), path.clone());
        work.spawn(async move {
            let (mut acknowledged, mut failed) = (BTreeSet::new(), BTreeSet::new());
            for step in 0..100 {
                let name = format!("token {n} {step}");
                let reply = actor.post(&path, json!({"name": name})).await;
                if reply.status == 201 {
                    acknowledged.insert(name);
                } else {
                    assert_eq!(reply.refusal(), (503, 10001), "{}", reply.text);
                    failed.insert(name);
                }
            }
            (acknowledged, failed)
        });
    }
    let (mut acknowledged, mut failed) = (BTreeSet::new(), BTreeSet::new());
    let mut cut = 0;
    while !work.is_empty() {
        tokio::select! {
            Some(done) = work.join_next() => {
                let (more_acknowledged, more_failed) = done.unwrap();
                acknowledged.extend(more_acknowledged);
                failed.extend(more_failed);
            }
            () = tokio::time::sleep(Duration::from_millis(100)) => cut += database.number(CUT).await,
        }
    }
    assert!(cut > 0 && !failed.is_empty() && !acknowledged.is_empty(), "{cut} connections cut");
    // Each dead connection is noticed by whoever uses it next.
    let deadline = Instant::now() + Duration::from_secs(5);
    while actor.post(&path, json!({"name": "afterwards"})).await.status != 201 {
        assert!(Instant::now() < deadline, "the server does not recover");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    acknowledged.insert("afterwards".to_owned());
    let sql = "SELECT name FROM service_tokens";
    let stored: BTreeSet<_> = database.rows::<(String,)>(sql).await.into_iter().map(|(name,)| name).collect();
    assert_eq!(acknowledged.difference(&stored).next(), None, "acknowledged, and gone");
    // A commit whose answer was lost may have happened.
    assert_eq!(stored.difference(&(&acknowledged | &failed)).next(), None, "nobody asked for it");
    database.revision().await;
}

/// Counts answers that left before the log was flushed, until there are `enough`.
///
/// A commit's record lies behind where the log ended before the request. So a log that is not flushed beyond that point when the
/// answer is there proves that the answer came too early, whoever else writes to this cluster. What others flush can hide such
/// an answer, which is why it takes many tries to see `enough` of them.
async fn flushes(place: Place, durability: Durability, enough: usize) -> usize {
    const PATIENCE: Duration = Duration::from_secs(30);
    const END: &str = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint";
    const FLUSHED: &str = "SELECT pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0')::bigint";
    let server = TestServer::start_at(place, Engine::Postgres, Options::default(), durability).await;
    let mut database = Database::open(&server.place.location).await;
    let actor = server.key(&server.home);
    let path = server.home.tokens_path();
    let id = create(&actor, &path, "token").await;
    let refresh = format!("{path}/{id}/refresh");
    let began = Instant::now();
    let (mut seen, mut tries) = (0, 0);
    while seen < enough && (tries < 200 || (enough < usize::MAX && began.elapsed() < PATIENCE)) {
        let end = database.number(END).await;
        actor.post(&refresh, json!({})).await.result(200);
        let flushed = database.number(FLUSHED).await;
        seen += usize::from(flushed <= end);
        tries += 1;
    }
    seen
}
