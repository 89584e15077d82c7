//! Owns a batch runner; the README of the corpus says what it does.
use common::description;
use persea_plugin_sdk::messages;
use persea_plugin_sdk::prelude::*;

struct Corpus;

impl Plugin for Corpus {
    fn describe() -> Description {
        let description = description().role(Role::runner(["corpus-batch", "corpus"]));
        description.role(Role::batch_runner(["corpus-batch"]))
    }
}

impl Runner for Corpus {
    fn run(_: Task) -> Result<Outcome, Error> {
        Ok(Outcome::pass())
    }
}

impl BatchRunner for Corpus {
    fn run_batch(batch: &mut Batch) -> Result<(), Error> {
        let mut count = 0;
        while let Some(task) = batch.take_task()? {
            count += 1;
            batch.finish_task(match task.runnable.uri.as_deref() {
                Some("bad") => Err(Error::new("io", "it is bad")),
                _ => {
                    messages::whiteboard(&format!("{count} of a batch"))?;
                    Ok(Outcome::warn("in a batch"))
                }
            })?;
        }
        Ok(())
    }
}

export!(Corpus: runner, batch_runner);
