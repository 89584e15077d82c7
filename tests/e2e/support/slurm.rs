//! Owns clusters for tests: Slurm with a controller and two nodes on this machine, with state, keys
//! and ports of their own.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::{Fixture, Ran, finish, wait_until};

/// The processors that each node says it has. More than a test uses, so that the jobs of several
/// tests run at once.
const PROCESSORS: usize = 64;

/// A running cluster.
pub struct Cluster {
    files: tempfile::TempDir,
    nodes: [String; 2],
    munged: Child,
    controller: Mutex<Option<Child>>,
    daemons: Mutex<[Option<Child>; 2]>,
}

/// A port that nothing listens on.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A daemon of Slurm or Munge, which are in a directory that not everybody has in PATH.
fn daemon(name: &str) -> Command {
    let mut command = Command::new(format!("/usr/sbin/{name}"));
    command
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

impl Cluster {
    /// The cluster that all tests share that only run jobs in it.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cluster) = shared.upgrade() {
            return cluster;
        }
        let cluster = Arc::new(Self::start(""));
        *shared = Arc::downgrade(&cluster);
        cluster
    }

    /// Starts a cluster, with more lines for its configuration.
    pub fn start(more: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let id = std::process::id();
        // Jobs have control groups by these names and numbers, which differ between clusters.
        let nodes = [1, 2].map(|node| format!("p{id}c{number}n{node}"));
        let first_job = 1 + (id % 1000) * 1000 + number * 100;
        let files = tempfile::tempdir().unwrap();
        let path = files.path();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(path, open).unwrap();
        for directory in ["state", &nodes[0], &nodes[1], "munge"] {
            std::fs::create_dir(path.join(directory)).unwrap();
        }
        let key = path.join("key");
        std::fs::write(&key, format!("{:0>1024}", format!("{id} {number}"))).unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o400);
        std::fs::set_permissions(&key, private).unwrap();
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        let host = host.trim().split('.').next().unwrap();
        let [controller, first, second] = [(); 3].map(|()| free_port());
        let config = format!(
            "ClusterName=c{number}\nSlurmctldHost={host}(127.0.0.1)\nSlurmctldPort={controller}\n\
             SlurmUser=root\nSlurmdUser=root\nAuthType=auth/munge\n\
             AuthInfo=socket={0}/munge/socket\nCredType=cred/munge\nMpiDefault=none\n\
             ProctrackType=proctrack/cgroup\nTaskPlugin=task/none\n\
             JobAcctGatherType=jobacct_gather/none\nSelectType=select/cons_tres\n\
             SelectTypeParameters=CR_CPU\nSwitchType=switch/none\nReturnToService=2\n\
             SlurmdParameters=config_overrides\n\
             SchedulerParameters=sched_interval=1,batch_sched_delay=0,sched_min_interval=1000\n\
             StateSaveLocation={0}/state\nSlurmdSpoolDir={0}/%n\nSlurmctldPidFile={0}/c.pid\n\
             SlurmdPidFile={0}/%n.pid\nSlurmctldLogFile={0}/controller.log\n\
             SlurmdLogFile={0}/%n.log\nSlurmctldTimeout=5\nInactiveLimit=0\nKillWait=5\n\
             FirstJobId={first_job}\n{more}\n\
             NodeName={1} NodeHostname={host} NodeAddr=127.0.0.1 Port={first} CPUs={PROCESSORS}\n\
             NodeName={2} NodeHostname={host} NodeAddr=127.0.0.1 Port={second} CPUs={PROCESSORS}\n\
             PartitionName=lab Nodes={1},{2} Default=YES MaxTime=INFINITE State=UP \
             OverSubscribe=NO\n",
            path.display(),
            nodes[0],
            nodes[1],
        );
        std::fs::write(path.join("slurm.conf"), config).unwrap();
        let groups =
            "CgroupPlugin=cgroup/v1\nCgroupMountpoint=/sys/fs/cgroup\nCgroupAutomount=no\n";
        std::fs::write(path.join("cgroup.conf"), groups).unwrap();
        let option = |name: &str, file: &str| format!("--{name}={}/munge/{file}", path.display());
        let munged = daemon("munged")
            .args(["--foreground", "--force", "--num-threads=2"])
            .arg(format!("--key-file={}", key.display()))
            .args([option("socket", "socket"), option("pid-file", "pid")])
            .args([option("log-file", "log"), option("seed-file", "seed")])
            .spawn()
            .expect("munged, of Debian's package munge");
        let cluster = Self {
            files,
            nodes,
            munged,
            controller: Mutex::default(),
            daemons: Mutex::default(),
        };
        wait_until("munged", || {
            match cluster.files.path().join("munge/socket").exists() {
                true => Ok(()),
                false => Err("no socket".to_owned()),
            }
        });
        cluster.start_controller();
        for node in [0, 1] {
            cluster.start_node(node);
        }
        cluster.wait_until_idle();
        cluster
    }

    fn config(&self) -> std::path::PathBuf {
        self.files.path().join("slurm.conf")
    }

    /// Makes the cluster that of a command.
    pub fn of<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("SLURM_CONF", self.config())
    }

    /// Makes this number of nodes, with this number of tests at once on each, the user's choice.
    pub fn configure(&self, project: &Fixture, nodes: usize, slots: usize) {
        let settings = self.settings(nodes, slots);
        project.user_config(&format!("run.spawner = \"slurm\"\n{settings}"));
    }

    /// The settings with which the spawner takes this number of nodes, with this number of tests at
    /// once on each.
    pub fn settings(&self, nodes: usize, slots: usize) -> String {
        format!(
            "spawner.slurm.nodes = {nodes}\nspawner.slurm.slots = {slots}\n\
             spawner.slurm.lease = 5\n"
        )
    }

    /// The binary in a project, on this cluster.
    pub fn persea(&self, project: &Fixture, args: &[&str]) -> Command {
        let mut command = project.persea(args);
        self.of(&mut command);
        command
    }

    /// Runs the binary in a project to its end.
    pub fn run(&self, project: &Fixture, args: &[&str]) -> Ran {
        finish(self.persea(project, args).spawn().unwrap())
    }

    /// What a program of Slurm writes, which must succeed.
    #[track_caller]
    pub fn ask(&self, program: &str, args: &[&str]) -> String {
        let mut command = Command::new(program);
        let asked = self.of(command.args(args)).output().expect("slurm-wlm");
        let said = String::from_utf8_lossy(&asked.stderr);
        assert!(asked.status.success(), "{program} {args:?}: {said}");
        String::from_utf8(asked.stdout).unwrap()
    }

    /// The name of a node: 0 or 1.
    pub fn node(&self, number: usize) -> &str {
        &self.nodes[number]
    }

    fn start_controller(&self) {
        let mut command = daemon("slurmctld");
        let controller = self.of(command.args(["-D", "-i"])).spawn();
        let mut place = self
            .controller
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *place = Some(controller.expect("slurmctld, of Debian's package slurm-wlm"));
    }

    /// Ends the controller. Nodes and jobs stay.
    pub fn stop_controller(&self) {
        let mut place = self
            .controller
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut controller = place.take().unwrap();
        super::signal(controller.id(), "TERM");
        controller.wait().unwrap();
    }

    /// Starts the controller again, with what it has saved.
    pub fn restart_controller(&self) {
        self.start_controller();
        wait_until("the controller answers", || {
            let mut command = Command::new("scontrol");
            let asked = self.of(command.arg("ping")).output().unwrap();
            match asked.status.success() {
                true => Ok(()),
                false => Err(String::from_utf8_lossy(&asked.stdout).into_owned()),
            }
        });
    }

    /// Starts the daemon of a node.
    pub fn start_node(&self, node: usize) {
        let mut command = daemon("slurmd");
        command.current_dir(self.files.path().join(&self.nodes[node]));
        let daemon = self
            .of(command.args(["-D", "-N", &self.nodes[node]]))
            .spawn();
        let mut daemons = self.daemons.lock().unwrap_or_else(PoisonError::into_inner);
        daemons[node] = Some(daemon.expect("slurmd, of Debian's package slurm-wlm"));
    }

    /// Kills the daemon of a node and everything that it has started, as if the node was switched
    /// off.
    pub fn kill_node(&self, node: usize) {
        let mut daemons = self.daemons.lock().unwrap_or_else(PoisonError::into_inner);
        let mut daemon = daemons[node].take().unwrap();
        daemon.kill().unwrap();
        daemon.wait().unwrap();
        let name = &self.nodes[node];
        let variable = format!("SLURMD_NODENAME={name}\0");
        let directory = self.files.path().join(name);
        let of_node =
            |at: &Path, environment: &str| at == directory || environment.contains(&variable);
        for pid in self.processes_where(of_node) {
            kill(pid);
        }
    }

    /// The processes of the cluster for which the working directory and the environment fit.
    /// Daemons and their step managers, which overwrite their environment, are found by the working
    /// directory, and what they have started by the cluster's configuration.
    fn processes_where(&self, fits: impl Fn(&Path, &str) -> bool) -> Vec<u32> {
        let mark = format!("SLURM_CONF={}\0", self.config().display());
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let found = entries.filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let environment = std::fs::read(entry.path().join("environ")).ok()?;
            let environment = String::from_utf8_lossy(&environment);
            let at = std::fs::read_link(entry.path().join("cwd")).ok()?;
            let is_own = environment.contains(&mark) || at.starts_with(self.files.path());
            (is_own && fits(&at, &environment)).then_some(pid)
        });
        found.collect()
    }

    /// Waits until both nodes can be used and no job uses them.
    #[track_caller]
    pub fn wait_until_idle(&self) {
        wait_until("both nodes are idle", || {
            let mut command = Command::new("sinfo");
            command.args(["--noheader", "--Node", "--format=%T"]);
            let asked = self.of(&mut command).output().unwrap();
            let states = String::from_utf8_lossy(&asked.stdout).into_owned();
            match states.as_str() {
                "idle\nidle\n" => Ok(()),
                _ => Err(states + &String::from_utf8_lossy(&asked.stderr)),
            }
        });
    }

    /// The numbers of the jobs that wait, run or end, for which a project's directory for temporary
    /// files is noted.
    pub fn jobs_of(&self, project: &Fixture) -> Vec<String> {
        self.jobs_in(project, "PENDING,RUNNING,SUSPENDED,COMPLETING,CONFIGURING")
    }

    /// [`Cluster::jobs_of`], only in these states.
    pub fn jobs_in(&self, project: &Fixture, states: &str) -> Vec<String> {
        let args = ["--noheader", "--format=%i %k", "--states", states];
        let jobs = self.ask("squeue", &args);
        let root = project.root().display().to_string();
        let own = jobs.lines().filter(|line| line.contains(&root));
        let numbers = own.filter_map(|line| line.split_whitespace().next());
        numbers.map(str::to_owned).collect()
    }

    /// Waits for the job of a project, and returns its number.
    #[track_caller]
    pub fn job_of(&self, project: &Fixture) -> String {
        wait_until("a job of Slurm", || {
            self.jobs_of(project)
                .pop()
                .ok_or("there is none".to_owned())
        })
    }

    /// Neither a process of the project, nor a job, nor a file for temporary files is left, within
    /// the time that anything may take.
    #[track_caller]
    pub fn assert_nothing_left(&self, project: &Fixture) {
        self.assert_nothing_runs(project);
        wait_until("all files are removed from the nodes", || {
            let entries = std::fs::read_dir(project.root()).unwrap().flatten();
            // The next job removes the host's own directory.
            let kept = entries.filter(|entry| entry.path().join("helper").exists());
            let names = kept.map(|entry| entry.file_name().to_string_lossy().into_owned());
            match names
                .filter(|name| name.starts_with("persea-"))
                .collect::<Vec<_>>()
            {
                left if left.is_empty() => Ok(()),
                left => Err(format!("{left:?}")),
            }
        });
    }

    /// Neither a process of the project nor a job is left. Slurm kills what runs on a node that it
    /// takes away, so nobody is there to remove the files.
    #[track_caller]
    pub fn assert_nothing_runs(&self, project: &Fixture) {
        wait_until("all jobs have ended", || {
            match self.jobs_of(project).as_slice() {
                [] => Ok(()),
                jobs => Err(format!("{jobs:?}")),
            }
        });
        project.assert_no_strays();
    }
}

fn kill(pid: u32) {
    let _ = Command::new("kill")
        .args(["-KILL", &pid.to_string()])
        .stderr(Stdio::null())
        .status();
}

/// Removes a control group with all below it. Fails silently for one that has processes.
fn remove_group(path: &Path) {
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove_group(&entry.path());
        }
    }
    let _ = std::fs::remove_dir(path);
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let daemons = self
            .daemons
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        let controller = self
            .controller
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        let all = daemons.iter_mut().chain([controller]);
        for daemon in all.filter_map(Option::as_mut).chain([&mut self.munged]) {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        for pid in self.processes_where(|_, _| true) {
            kill(pid);
        }
        let hierarchies = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten();
        for hierarchy in hierarchies.flatten() {
            for node in &self.nodes {
                remove_group(&hierarchy.path().join(format!("slurm_{node}")));
            }
        }
    }
}
