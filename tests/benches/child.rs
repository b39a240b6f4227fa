//! Processes beside the bench: each on a core of its choice, ended with the bench.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// Everything that serves runs here.
pub const SERVER_CORE: &str = "0";
/// Everything that asks runs here.
pub const LOAD_CORE: &str = "1";

/// For the whole product with the world around it.
pub const EVERY_CORE: &str = "0,1";

/// A command that will run on one core, or on several.
pub fn on_core(core: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", core]).arg(program);
    command
}

/// A server process; killed when dropped, unless [`Server::stop`] ended it in order.
pub struct Server {
    child: Child,
    /// Open while the child shall run.
    input: Option<ChildStdin>,
    /// What a part of this program says.
    output: Option<BufReader<ChildStdout>>,
}

impl Server {
    /// Starts a program that runs until it is killed.
    pub fn start(mut command: Command) -> Result<Server> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let child = child.with_context(|| format!("starting {command:?}"))?;
        Ok(Server {
            child,
            input: None,
            output: None,
        })
    }

    /// Starts this program again in another part; gives the one line it prints when it is ready.
    pub fn start_self(part: &str, core: &str, folder: &Path) -> Result<(Server, String)> {
        let mut command = on_core(core, std::env::current_exe()?);
        command.args(["part", part]).arg(folder);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.with_context(|| format!("starting {command:?}"))?;
        let input = child.stdin.take();
        let output = child.stdout.take().map(BufReader::new);
        let mut server = Server {
            child,
            input,
            output,
        };
        let line = server.hear().with_context(|| format!("starting {part}"))?;
        Ok((server, line))
    }

    /// Says a word to a part of this program.
    pub fn tell(&mut self, word: &str) -> Result<()> {
        let input = self.input.as_mut().context("a part of the bench")?;
        writeln!(input, "{word}")?;
        Ok(())
    }

    /// The next line it says.
    pub fn hear(&mut self) -> Result<String> {
        let output = self.output.as_mut().context("a part of the bench")?;
        let mut line = String::new();
        output.read_line(&mut line)?;
        ensure!(!line.is_empty(), "it ended");
        Ok(line.trim_end().to_owned())
    }

    /// Whether it still runs; says so as an error when not.
    pub fn expect_alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("the server ended with {status}"),
        }
    }

    /// The most memory it had, in KiB.
    pub fn peak_memory(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        field(&status, "VmHWM:").context("the kernel tells VmHWM")
    }

    /// What it and the processes below it share out among them, in KiB.
    pub fn memory_with_children(&self) -> Result<u64> {
        let mut family = vec![self.child.id()];
        let mut total = 0;
        while let Some(id) = family.pop() {
            let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
            let children = children.unwrap_or_default();
            family.extend(
                children
                    .split_whitespace()
                    .filter_map(|id| id.parse::<u32>().ok()),
            );
            let rollup = fs::read_to_string(format!("/proc/{id}/smaps_rollup"));
            total += field(&rollup.unwrap_or_default(), "Pss:").unwrap_or_default();
        }
        Ok(total)
    }

    /// CPU time that it took so far.
    pub fn cpu(&self) -> Result<Duration> {
        let (user, system) = cpu_of(&self.child.id().to_string())?;
        Ok(user + system)
    }

    /// Ends a part of this program in order.
    pub fn stop(mut self) -> Result<()> {
        if self.input.take().is_some() {
            let status = self.child.wait()?;
            ensure!(status.success(), "a part of the bench ended with {status}");
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.input.take().is_some() {
            // Its input has ended, so it ends; only then is what it keeps gone too.
            if let Err(error) = self.child.wait() {
                eprintln!("a part of the bench did not end: {error}");
            }
            return;
        }
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// In a part: says it is ready, and waits until the bench wants it to end.
pub fn serve_until_told(ready: &str) -> Result<()> {
    use std::io::Read;

    println!("{ready}");
    std::io::stdout().flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// CPU time of this process and of its children that ended, user and system, in hundredths of a second.
pub fn cpu() -> Result<(Duration, Duration)> {
    cpu_of("self")
}

fn cpu_of(process: &str) -> Result<(Duration, Duration)> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, after_name) = stat.rsplit_once(')').context("a name in brackets")?;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    // proc_pid_stat(5): 14 utime, 15 stime, 16 cutime, 17 cstime; the name was the second.
    let ticks = |from: usize| -> Result<Duration> {
        let both = fields.get(from..from + 2).context("times of the CPU")?;
        let ticks: u64 = both
            .iter()
            .map(|field| field.parse::<u64>().unwrap_or(0))
            .sum();
        Ok(Duration::from_millis(ticks * 10))
    };
    Ok((ticks(11)?, ticks(13)?))
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
