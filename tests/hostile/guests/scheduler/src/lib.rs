//! Owns a scheduler that fails in the way that a setting names, at its second call.
use std::hint::black_box;

use persea_plugin_sdk::prelude::*;

#[derive(Default)]
struct Hostile {
    how: String,
    asked: u32,
    started: Vec<u32>,
}

impl Scheduler for Hostile {
    fn describe() -> Description {
        Description::new("hostile", "fails in every way that a scheduler can")
            .settings(["scheduler.hostile.how"])
    }

    fn begin(&mut self, _: Vec<Node>, settings: &Attributes) -> Result<(), Error> {
        self.how = settings
            .text("scheduler.hostile.how")
            .unwrap_or_default()
            .to_owned();
        match self.how.as_str() {
            "refuses" => Err(Error::new("invalid", "not with me")),
            "never-begins" => loop {
                black_box(&self.how);
            },
            _ => Ok(()),
        }
    }

    fn next(&mut self, ready: &[u32]) -> Result<Choice, Error> {
        self.asked += 1;
        if self.how == "once" {
            // A task that was chosen once must not be offered again.
            let again = ready.iter().find(|task| self.started.contains(task));
            return match (again, ready.first()) {
                (Some(task), _) => {
                    let message = format!("{task} was to start before");
                    Err(Error::new("invalid", message))
                }
                (None, Some(first)) => {
                    self.started.push(*first);
                    Ok(Choice::Start(*first))
                }
                (None, None) => Ok(Choice::Wait),
            };
        }
        if self.how == "last" {
            return Ok(ready
                .last()
                .map_or(Choice::Wait, |last| Choice::Start(*last)));
        }
        if self.asked == 1 {
            return Ok(Choice::Start(ready[0]));
        }
        match self.how.as_str() {
            "panics" => panic!("no idea"),
            "loops" => loop {
                black_box(&self.how);
            },
            "errs" => Err(Error::new("io", "out of order")),
            "lies" => Ok(Choice::Start(4711)),
            "drops-nothing" => Ok(Choice::Drop(Vec::new())),
            _ => Ok(Choice::Wait),
        }
    }
}

export!(scheduler: Hostile);
