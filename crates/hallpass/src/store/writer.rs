//! The writer: one task that owns the write path of this node and commits in groups.
//!
//! It takes what has queued up, runs the rules in memory, writes one multi-row statement per table, commits, and only then
//! answers. A refused change has written nothing, so no savepoints are needed. What is waited for while one batch commits becomes
//! the next batch; there is no timer.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use futures_util::FutureExt as _;
use hallpass_core::caller::Grant;
use hallpass_core::time::Timestamp;
use tokio::sync::{mpsc, oneshot};

use super::batch::{Batch, Outcome, Work};
use super::callers::Callers;
use super::engine::{CAP, Pool, StoreFile, on_engine};
use super::error::{Refusal, StoreError, WriteError};
use super::followers::{self, Followers};
use super::statistics::Statistics;
use super::{access_log, activity, audit, digests, service_tokens};

/// How many messages wait for the writer before those who send more wait, too.
pub(super) const QUEUE: usize = 1024;
/// How long a batch may take: longer than a lock is waited for, and than the database lets a statement run.
const WRITE_TIME: Duration = Duration::from_secs(20);
/// How many change rows are kept for followers.
pub(super) const CHANGES_KEPT: i64 = 100_000;

/// What the writer is asked to do.
pub(super) enum Message {
    /// Make a change.
    Write(Box<Job>),
    /// Write down when things were last used, and what the gate decided, as far as it is noted.
    Note,
    /// Forget old change rows.
    Prune,
    /// Forget what the gate decided before this time.
    ForgetAccesses(Timestamp),
}

/// A change, with who may make it and who waits for it.
pub(super) struct Job {
    pub(super) grant: Grant,
    pub(super) now: Timestamp,
    pub(super) work: Work,
    pub(super) answer: oneshot::Sender<Result<Outcome, WriteError>>,
}

/// The task's state.
pub(super) struct Writer {
    pub(super) statistics: Statistics,
    pub(super) pool: Pool,
    pub(super) file: StoreFile,
    pub(super) callers: Arc<Callers>,
    pub(super) followers: Followers,
    pub(super) tokens: service_tokens::Statements,
    pub(super) digests: digests::Statements,
    pub(super) audit: audit::Statements,
    pub(super) activity: activity::Statements,
    pub(super) noted: Arc<activity::Activity>,
}

/// How a transaction failed.
enum Failure {
    /// Before its commit: nothing was written.
    Before(sqlx::Error),
    /// During its commit: nobody knows.
    AtCommit(sqlx::Error),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Before(error)
    }
}

impl Writer {
    /// Starts the writer on a thread of its own, with its own event loop. Several times per batch it waits for the database, and
    /// among the requests each of these answers would have to wait for its turn. Whoever waits for the result gets the
    /// connections back when every sender is gone and the queue is empty.
    pub(super) fn start(mut self, queue: mpsc::Receiver<Message>) -> io::Result<oneshot::Receiver<Pool>> {
        let events = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (done, when_done) = oneshot::channel();
        thread::Builder::new().name("hallpass-writer".to_owned()).spawn(move || {
            let pool = events.block_on(async move {
                self.pool = self.pool.moved_here().await;
                self.run(queue).await.moved_away().await
            });
            // Whoever closes the store may have given up waiting.
            let _ = done.send(pool);
        })?;
        Ok(when_done)
    }

    async fn run(mut self, mut queue: mpsc::Receiver<Message>) -> Pool {
        let mut messages = Vec::with_capacity(CAP);
        while queue.recv_many(&mut messages, CAP).await > 0 {
            let mut jobs = Vec::with_capacity(messages.len());
            let mut chores = Vec::new();
            for message in messages.drain(..) {
                match message {
                    Message::Write(job) => jobs.push(*job),
                    chore => chores.push(chore),
                }
            }
            if !jobs.is_empty() {
                // A panic drops the transaction, which undoes it, and must not end the only task that can write.
                let committed = AssertUnwindSafe(self.commit(&jobs)).catch_unwind();
                let answers = match tokio::time::timeout(WRITE_TIME, committed).await {
                    Ok(Ok(answers)) => answers,
                    Ok(Err(_)) => unknown(&jobs, "the writer panicked"),
                    Err(_) => {
                        self.pool = self.pool.reopened();
                        unknown(&jobs, "the store does not answer")
                    }
                };
                answer(jobs, answers);
            }
            for chore in chores {
                if tokio::time::timeout(WRITE_TIME, self.run_chore(chore)).await.is_err() {
                    self.pool = self.pool.reopened();
                }
            }
        }
        self.callers.settle().await;
        self.pool
    }

    async fn run_chore(&self, chore: Message) {
        match chore {
            Message::Note => self.note().await,
            Message::Prune => self.prune().await,
            Message::ForgetAccesses(before) => self.forget_accesses(before).await,
            Message::Write(_) => {}
        }
    }

    /// Commits a batch; where one job of several spoils it, each by itself.
    async fn commit(&mut self, jobs: &[Job]) -> Vec<Result<Outcome, WriteError>> {
        // What is in a file that is gone nobody is told of, and nothing is written into it. It is looked for once more before
        // anybody is told that something was.
        if let Err(error) = self.pool.expect_file(self.file).await {
            tracing::error!(%error, jobs = jobs.len(), "a batch of writes failed");
            return jobs.iter().map(|_| Err(error.clone().into())).collect();
        }
        match self.transact(jobs).await {
            Ok(outcomes) => outcomes,
            Err(Failure::Before(error)) if spoils_a_batch(&error) => {
                let mut answers = Vec::with_capacity(jobs.len());
                for job in jobs {
                    answers.push(match self.transact(std::slice::from_ref(job)).await {
                        Ok(outcomes) => {
                            outcomes.into_iter().next().unwrap_or_else(|| Err(Refusal::Absent.into()))
                        }
                        Err(Failure::Before(error)) if is_conflict(&error) => Err(Refusal::Conflict.into()),
                        Err(failure) => Err(failure.into()),
                    });
                }
                answers
            }
            // Busy, or a lost connection: waiting once more for every job would take that long for each.
            Err(failure) => {
                if matches!(failure, Failure::Before(sqlx::Error::PoolTimedOut)) {
                    // The only connection cannot be made: a new attempt must not wait for this one.
                    self.pool = self.pool.reopened();
                }
                let error = StoreError::from(failure);
                tracing::error!(%error, jobs = jobs.len(), "a batch of writes failed");
                jobs.iter().map(|_| Err(error.clone().into())).collect()
            }
        }
    }

    async fn transact(&self, jobs: &[Job]) -> Result<Vec<Result<Outcome, WriteError>>, Failure> {
        let done = self.run_transaction(jobs).await;
        match &done {
            Ok(_) => self.statistics.batch.observe(f64::from(u32::try_from(jobs.len()).unwrap_or(u32::MAX))),
            Err(_) => {
                self.statistics.failed.inc();
            }
        }
        done
    }

    async fn run_transaction(&self, jobs: &[Job]) -> Result<Vec<Result<Outcome, WriteError>>, Failure> {
        let mut tx = self.pool.begin().await?;
        let mut batch = Batch::default();
        let ids = service_tokens::sorted(jobs.iter().filter_map(|job| job.work.service_token()));
        let mut concerns_gate = false;
        if !ids.is_empty() {
            let held = self.tokens.read(&mut tx, &ids).await?;
            let now = jobs.iter().map(|job| job.now).max().unwrap_or(Timestamp::FOREVER);
            concerns_gate = held.iter().any(|stored| followers::is_ending(&stored.token, now));
            batch.hold(held);
        }
        let mut outcomes = Vec::with_capacity(jobs.len());
        for job in jobs {
            let outcome = match &job.work {
                // The commonest work needs nothing of the store but what was loaded.
                Work::ChangeServiceToken { id, change, fresh } => {
                    let changed = batch.change(&job.grant, job.now, *id, change, fresh.as_ref());
                    changed.map(Outcome::ServiceToken)
                }
                work => Box::pin(batch.add(&mut tx, &job.grant, job.now, work)).await?,
            };
            outcomes.push(outcome.map_err(WriteError::from));
        }
        if batch.is_empty() {
            // Nothing to write: the dropped transaction ends by itself, and there is nothing to wait for.
            return Ok(outcomes);
        }
        batch.write(&mut tx, self).await?;
        tx.commit().await.map_err(Failure::AtCommit)?;
        // What was written into a file that is gone, nobody finds again.
        if let Err(error) = self.pool.expect_file(self.file).await {
            return Err(Failure::AtCommit(sqlx::Error::Io(io::Error::other(error))));
        }
        if batch.concerns_callers() {
            // Whoever was told that an API token is gone must be able to rely on it.
            self.callers.catch_up().await;
        }
        if concerns_gate || batch.entries.iter().any(followers::concerns) {
            // The same for whoever was told that a service token is.
            self.followers.catch_up().await;
        }
        Ok(outcomes)
    }

    /// What cannot be written now is tried again the next time. Where a commit was lost on its way, acceptances may be counted twice.
    async fn note(&self) {
        let Some(taken) = self.noted.take() else { return };
        let written = match self.pool.expect_file(self.file).await {
            Ok(()) => self.activity.write(&self.pool, taken).await.map_err(StoreError::from),
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            tracing::warn!(%error, "could not write down what was used; it will be tried again");
        }
    }

    async fn forget_accesses(&self, before: Timestamp) {
        match access_log::forget(&self.pool, before).await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "forgot old rows of the access log"),
            Err(error) => tracing::warn!(%error, "could not forget old rows of the access log"),
        }
    }

    async fn prune(&self) {
        let text = "DELETE FROM changes WHERE revision <= (SELECT n FROM revision) - $1";
        let pruned = on_engine!(Pool, &self.pool, pool => {
            sqlx::query(text).bind(CHANGES_KEPT).execute(pool).await.map(|done| done.rows_affected())
        });
        if let Err(error) = pruned {
            tracing::warn!(%error, "could not prune old change rows");
        }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Before(error) => error.into(),
            Failure::AtCommit(error) => Self::UnknownOutcome(error.to_string()),
        }
    }
}

impl From<Failure> for WriteError {
    fn from(failure: Failure) -> Self {
        Self::Store(failure.into())
    }
}

fn unknown(jobs: &[Job], why: &str) -> Vec<Result<Outcome, WriteError>> {
    tracing::error!(why, jobs = jobs.len(), "the outcome of a batch of writes is unknown");
    jobs.iter().map(|_| Err(StoreError::UnknownOutcome(why.to_owned()).into())).collect()
}

fn answer(jobs: Vec<Job>, answers: Vec<Result<Outcome, WriteError>>) {
    for (job, result) in jobs.into_iter().zip(answers) {
        // Whoever asked may have hung up.
        let _ = job.answer.send(result);
    }
}

/// Whether the error comes from one job of the batch or from a race with another node: then each job deserves its own try.
fn spoils_a_batch(error: &sqlx::Error) -> bool {
    const SERIALIZATION_FAILURE: &str = "40001";
    const DEADLOCK: &str = "40P01";
    let raced = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    is_conflict(error) || raced.is_some_and(|code| code == SERIALIZATION_FAILURE || code == DEADLOCK)
}

fn is_conflict(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| {
        error.is_unique_violation() || error.is_foreign_key_violation() || error.is_check_violation()
    })
}
