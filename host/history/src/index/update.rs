//! Owns bringing an index up to date: journals that are new or have changed are read, jobs that are
//! gone are forgotten. Does not know the questions.

use std::collections::BTreeMap;
use std::io;

use persea_journal::FILE_NAME;
use rusqlite::{Transaction, TransactionBehavior, params};

use super::{Failure, Index};
use crate::record::JobRecord;
use crate::scan::{self, Signature};

/// The number of jobs that are read before they are written: another host that writes waits no
/// longer than for these, and a host that is killed loses no more.
const BATCH: usize = 500;

/// A job whose journal cannot be read, or not all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobFault {
    /// The name of the job's directory.
    pub job: String,
    /// What is wrong, with the journal's path.
    pub what: String,
}

/// What an update has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// The number of journals that were read.
    pub read: usize,
    /// The number of jobs that are gone.
    pub forgotten: usize,
    /// The jobs with a fault, also those whose journals have not changed since.
    pub faults: Vec<JobFault>,
}

impl Index {
    /// Brings the index up to date. A journal that has not changed is not read again.
    pub(super) fn update(&mut self) -> Result<Update, Failure> {
        let scan::Jobs {
            readable: present,
            unreadable,
        } = scan::jobs_in(&self.root).map_err(Failure::Results)?;
        let mut gone = Vec::new();
        let mut known = std::collections::HashSet::new();
        for (name, signature) in self.signatures()? {
            match present.get(&name) {
                Some(now) if *now == signature => {
                    known.insert(name);
                }
                Some(_) => {}
                // The index keeps what it has of a job that nobody can look into.
                None if unreadable.contains_key(&name) => {}
                None => gone.push(name),
            }
        }
        let changed = present.iter().filter(|(name, _)| !known.contains(*name));
        let changed: Vec<(&String, &Signature)> = changed.collect();
        for batch in changed.chunks(BATCH) {
            let records = batch.iter().map(|(name, signature)| {
                let record = JobRecord::read(&self.root.join(name));
                (name.as_str(), **signature, record)
            });
            let records: Vec<_> = records.collect();
            let transaction = self.begin()?;
            for (name, signature, record) in &records {
                insert(&transaction, name, *signature, record)?;
            }
            transaction.commit()?;
        }
        // One that another host has found since this one has looked is not gone.
        gone.retain(|name| matches!(scan::signature(&self.root.join(name)), Ok(None)));
        if !gone.is_empty() {
            let transaction = self.begin()?;
            for name in &gone {
                forget(&transaction, name)?;
            }
            transaction.execute(
                "DELETE FROM tests WHERE id NOT IN (SELECT test FROM runs)",
                [],
            )?;
            transaction.commit()?;
        }
        Ok(Update {
            read: changed.len(),
            forgotten: gone.len(),
            faults: self.faults(unreadable)?,
        })
    }

    fn begin(&mut self) -> rusqlite::Result<Transaction<'_>> {
        self.connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
    }

    fn signatures(&self) -> rusqlite::Result<Vec<(String, Signature)>> {
        let text = "SELECT name, size, changed, inode FROM jobs";
        let mut statement = self.connection.prepare(text)?;
        let rows = statement.query_map([], |row| {
            let signature = Signature {
                size: row.get(1)?,
                changed: row.get(2)?,
                inode: row.get(3)?,
            };
            Ok((row.get(0)?, signature))
        })?;
        rows.collect()
    }

    /// The faults of journals, and those of jobs that cannot be looked into, by the jobs' names.
    fn faults(&self, unreadable: BTreeMap<String, io::Error>) -> rusqlite::Result<Vec<JobFault>> {
        let text = "SELECT name, fault FROM jobs WHERE fault IS NOT NULL ORDER BY name";
        let mut statement = self.connection.prepare(text)?;
        let rows = statement.query_map([], |row| {
            Ok(JobFault {
                job: row.get(0)?,
                what: row.get(1)?,
            })
        })?;
        let mut faults: Vec<JobFault> = rows.collect::<rusqlite::Result<_>>()?;
        faults.retain(|fault| !unreadable.contains_key(&fault.job));
        faults.extend(unreadable.into_iter().map(|(job, error)| {
            let path = self.root.join(&job).join(FILE_NAME);
            let what = format!("{}: {error}", path.display());
            JobFault { job, what }
        }));
        faults.sort_by(|a, b| a.job.cmp(&b.job));
        Ok(faults)
    }
}

/// A number for SQLite, whose numbers have a sign. Nanoseconds of Unix time fit until 2262.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Writes a job in place of what the index had of it.
fn insert(
    transaction: &Transaction<'_>,
    name: &str,
    signature: Signature,
    record: &JobRecord,
) -> rusqlite::Result<()> {
    forget(transaction, name)?;
    let tally = serde_json::to_string(&record.tally);
    let tally = tally.map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    let end = record.end.as_ref();
    let revision = record.revision.as_ref();
    let mut statement = transaction.prepare(
        "INSERT INTO jobs (name, size, changed, inode, job_id, started, elapsed, interrupted_by,
            total, tally, flaky, project, commit_id, branch, fault)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
    )?;
    let job = statement.insert(params![
        name,
        signature.size,
        signature.changed,
        signature.inode,
        record.id,
        signed(record.started),
        end.map(|end| signed(end.elapsed)),
        end.and_then(|end| end.interrupted_by.as_deref()),
        signed(record.total as u64),
        tally,
        signed(record.flaky as u64),
        record.project,
        revision.map(|revision| revision.commit.as_str()),
        revision.and_then(|revision| revision.branch.as_deref()),
        record.fault,
    ])?;
    let mut find = transaction.prepare("SELECT id FROM tests WHERE title = ?1")?;
    let mut add = transaction.prepare("INSERT INTO tests (title) VALUES (?1)")?;
    let mut write = transaction.prepare(
        "INSERT INTO runs (test, job, status, has_started, elapsed, attempts, flaky)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for run in record.runs.iter().filter(|run| !run.is_cut_short) {
        let mut rows = find.query([&run.title])?;
        let test: i64 = match rows.next()? {
            Some(row) => row.get(0)?,
            None => add.insert([&run.title])?,
        };
        write.execute(params![
            test,
            job,
            run.status.name(),
            run.has_started,
            signed(run.elapsed),
            signed(run.attempts as u64),
            run.is_flaky,
        ])?;
    }
    Ok(())
}

fn forget(transaction: &Transaction<'_>, name: &str) -> rusqlite::Result<()> {
    transaction.execute(
        "DELETE FROM runs WHERE job = (SELECT id FROM jobs WHERE name = ?1)",
        [name],
    )?;
    transaction.execute("DELETE FROM jobs WHERE name = ?1", [name])?;
    Ok(())
}
