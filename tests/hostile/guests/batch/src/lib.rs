//! Owns a batch runner that does with each task what its uri says.

use persea_plugin_sdk::cases::{self, Case};
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{self, Child, Command, Input, Output, Pipe};

struct Batches;

/// Starts a tool that writes each line of its input to its standard error.
fn start_tool() -> Result<Child, Error> {
    let script = "while read -r line; do echo \"$line\" >&2; echo done; done";
    let tool = Command::new("sh").args(["-c", script]);
    let tool = tool.stdin(Input::Pipe).stdout(Output::Pipe);
    process::start(&tool.stderr(Output::file("stderr")))
}

/// Lets the tool write a line, and waits until that is done.
fn tell(tool: Option<&Child>, line: &str) -> Result<(), Error> {
    let tool = tool.ok_or_else(|| Error::new("no-tool", "the tool was not started"))?;
    tool.write(line.as_bytes())?;
    tool.read(Pipe::Stdout, 16).map(drop)
}

impl Plugin for Batches {
    fn describe() -> Description {
        Description::new("batches", "runs batches, and misbehaves in them")
            .role(Role::runner(["batch"]))
            .role(Role::batch_runner(["batch"]))
    }
}

impl Runner for Batches {
    fn run(_: Task) -> Result<Outcome, Error> {
        Ok(Outcome::warn("alone"))
    }
}

impl BatchRunner for Batches {
    fn run_batch(batch: &mut Batch) -> Result<(), Error> {
        // Tests count the batches by this count of tasks, which begins anew with each.
        let mut count = 0;
        let mut tool = None;
        while let Some(task) = batch.take_task()? {
            count += 1;
            let outcome = match task.runnable.uri.as_deref().unwrap_or_default() {
                "panic" => panic!("the deep end"),
                "error" => return Err(Error::new("tired", "it wants no more")),
                "leave" => return Ok(()),
                "bad" => Err(Error::new("bad", "this one went wrong")),
                "loop" => loop {
                    std::hint::black_box(&task);
                },
                "greedy" => match batch.take_task() {
                    Ok(_) => Ok(Outcome::fail("it got two")),
                    Err(error) => Ok(Outcome::warn(error.message)),
                },
                "twice" => {
                    batch.finish_task(Ok(Outcome::pass()))?;
                    let again = batch.finish_task(Ok(Outcome::fail("again")));
                    assert!(again.is_err(), "it was finished twice");
                    continue;
                }
                "sleep" => {
                    let sleep = Command::new("sleep").arg("1000");
                    process::run(&sleep)
                        .map(|exit| Outcome::fail(format!("ended by {:?}", exit.signal())))
                }
                "says" => {
                    persea_plugin_sdk::messages::whiteboard(&task.id)?;
                    let echo = Command::new("echo").arg(&task.id);
                    process::run(&echo.stdout(Output::file("stdout")))?;
                    Ok(Outcome::pass())
                }
                "tool" => {
                    tool = Some(start_tool()?);
                    Ok(Outcome::pass())
                }
                "tells" => {
                    tell(tool.as_ref(), "during the test\n")?;
                    batch.finish_task(Ok(Outcome::pass()))?;
                    tell(tool.as_ref(), "between two tests\n")?;
                    continue;
                }
                "cases" => {
                    cases::start(["running"])?;
                    let ended = [("running", Status::Pass), ("unannounced", Status::Fail)];
                    cases::finish(ended.map(|(name, status)| Case::new([name], status)))?;
                    Ok(Outcome::pass())
                }
                "stray" => {
                    // The orphan is a grandchild, which dropping the child does not end.
                    process::run(&Command::new("sh").args(["-c", "setsid sleep 1000 &"]))?;
                    Ok(Outcome::pass().with("left-behind", 2))
                }
                _ => Ok(Outcome::pass().with("count", count)),
            };
            batch.finish_task(outcome)?;
        }
        Ok(())
    }
}

export!(Batches: runner, batch_runner);
