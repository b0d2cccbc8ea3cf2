//! Both sides, the network between them, and time.

use crate::agent::{self, Agent, Crash, Out, Script};
use crate::server::{Clock, GROUPS, Incoming, LATE, Server, by};
use crate::wire::{Conn, LANES, Up};
use fleet::JobRequest;
use schema::{CommandSeq, HostTopic, JobId};
use std::collections::BTreeMap;

const START_MS: u64 = 1_700_000_000_000;
/// A connect that is not answered fails after this.
const CONNECT_MS: u64 = 10_000;

/// What kind of world it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nature {
    /// Another broker stands between: order is kept within a topic only, and wills may come late.
    pub(crate) foreign_broker: bool,
    /// Commands that may be on their way without a PUBACK.
    pub(crate) window: usize,
    /// How far the agent's clock is ahead.
    pub(crate) clock_ahead_ms: u64,
}

impl Default for Nature {
    fn default() -> Self {
        Self { foreign_broker: false, window: 4, clock_ahead_ms: 0 }
    }
}

/// Who notices that a connection broke; the other side finds out later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notices {
    Agent,
    Server,
    Both,
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Somebody asks for a job.
    Dispatch {
        request: u8,
        script: Script,
    },
    /// Somebody cancels one of the newest jobs.
    Cancel {
        which: usize,
    },
    PutCredentials,
    DeleteCredentials,
    /// The broker reads messages of a topic.
    Read {
        lane: usize,
        count: usize,
    },
    /// The last messages of a topic come once more.
    RepeatUp {
        lane: usize,
        count: usize,
    },
    /// A live message is lost.
    LoseLive,
    /// The fleet takes messages in.
    Ingest {
        count: usize,
    },
    /// The same, and the server crashes between its last commit and its answer.
    IngestAndCrash {
        count: usize,
    },
    /// The store does not take a message: its session ends.
    NotTaken,
    /// The agent gets messages.
    Receive {
        count: usize,
    },
    RepeatDown {
        count: usize,
    },
    /// The next message to the agent is lost, if it may be.
    LoseDown,
    WriteNotes,
    Pass {
        ms: u64,
    },
    /// On to the next thing that the agent waits for.
    Wake,
    /// The connection breaks; so many messages of each direction still arrive.
    Break {
        notices: Notices,
        up: usize,
        down: usize,
    },
    Network {
        works: bool,
    },
    /// The network is away for so long.
    Absence {
        hours: u64,
    },
    /// A will that was held up arrives.
    LateWill {
        which: usize,
    },
    CrashServer,
    StartServer,
    CrashAgent,
    /// At the n-th record from now.
    CrashAgentAt {
        records: u32,
        crash: Crash,
    },
    StopAgent,
    StartAgent,
    AgentDisk {
        fails: bool,
    },
    GiveUpLog {
        which: usize,
    },
    LoseState {
        with_slots: bool,
        enroll: bool,
    },
    Sweep,
}

pub(crate) struct World {
    pub(crate) nature: Nature,
    pub(crate) clock: Clock,
    pub(crate) server: Server,
    pub(crate) agent: Agent,
    conns: BTreeMap<u64, Conn>,
    next_conn: u64,
    /// The connection that the agent has.
    agent_conn: Option<u64>,
    connecting: Option<(u64, Vec<u8>)>,
    network_works: bool,
    late_wills: Vec<Vec<u8>>,
    pub(crate) jobs: Vec<JobId>,
    pub(crate) cancelled: Vec<JobId>,
    pub(crate) lost_states: u32,
}

impl World {
    pub(crate) fn new(nature: Nature) -> Self {
        let clock = Clock::new(START_MS);
        let (server, login) = Server::new(&clock, nature.window);
        let agent = Agent::new(login, agent::now(clock.now(), nature.clock_ahead_ms));
        let mut world = Self {
            nature,
            clock,
            server,
            agent,
            conns: BTreeMap::new(),
            next_conn: 1,
            agent_conn: None,
            connecting: None,
            network_works: true,
            late_wills: Vec::new(),
            jobs: Vec::new(),
            cancelled: Vec::new(),
            lost_states: 0,
        };
        world.after_agent();
        world
    }

    pub(crate) fn step(&mut self, step: &Step) {
        self.connect();
        match *step {
            Step::Dispatch { request, script } => {
                self.dispatch(request, script);
            }
            Step::Cancel { which } => {
                if let Some(&job) = self.jobs.iter().rev().nth(which) {
                    self.cancel(job);
                }
            }
            Step::PutCredentials if self.server.up.is_some() => self.server.put_credentials(),
            Step::DeleteCredentials if self.server.up.is_some() => self.server.delete_credentials(),
            Step::PutCredentials | Step::DeleteCredentials => {}
            Step::Read { lane, count } => (0..count).for_each(|_| self.read(lane)),
            Step::RepeatUp { lane, count } => {
                if let Some(conn) = self.live_conn() {
                    conn.up[lane % LANES].repeat(
                        count,
                        |message| matches!(message, Up::Publish(topic, _) if *topic != HostTopic::Live),
                    );
                }
            }
            Step::LoseLive => self.lose_live(),
            Step::Ingest { count } => (0..count).for_each(|_| self.ingest(false)),
            Step::IngestAndCrash { count } => {
                (1..count).for_each(|_| self.ingest(false));
                self.ingest(true);
            }
            Step::NotTaken => {
                // Of the live session: nobody would say a will again.
                let next = self.server.up.as_ref().and_then(|up| up.incoming.front()).map(|next| next.conn);
                if next.is_some_and(|conn| self.server.is_live(conn)) {
                    self.server.drop_incoming();
                    self.end_session(Some(0));
                }
            }
            Step::Receive { count } => (0..count).for_each(|_| self.receive()),
            Step::RepeatDown { count } => {
                if let Some(conn) = self.agent_conn.and_then(|id| self.conns.get_mut(&id)) {
                    conn.down.repeat(count, |message| message.packet_id != 0);
                }
            }
            Step::LoseDown => {
                if let Some(conn) = self.agent_conn.and_then(|id| self.conns.get_mut(&id))
                    && conn.down.first().is_some_and(|message| message.packet_id == 0)
                {
                    conn.down.pop();
                }
            }
            Step::WriteNotes => self.server.write_notes(),
            Step::Pass { ms } => self.pass(ms),
            Step::Wake => self.wake(120_000),
            Step::Break { notices, up, down } => self.break_connection(notices, up, down),
            Step::Network { works } => {
                self.network_works = works;
                if !works {
                    self.break_connection(Notices::Both, 0, 0);
                }
            }
            Step::Absence { hours } => {
                self.break_connection(Notices::Both, 0, 0);
                let worked = std::mem::replace(&mut self.network_works, false);
                self.pass(hours * 3_600_000);
                self.network_works = worked;
            }
            Step::LateWill { which } => self.late_will(which),
            Step::CrashServer => self.crash_server(),
            Step::StartServer => self.server.start(),
            Step::CrashAgent => self.agent.crash(),
            Step::CrashAgentAt { records, crash } => {
                if self.agent.is_up() {
                    self.agent.crash_at = Some((records, crash));
                }
            }
            Step::StopAgent => self.agent.shut_down(),
            Step::StartAgent => self.agent.start(),
            Step::AgentDisk { fails } => self.agent.journal.fails = fails,
            Step::GiveUpLog { which } => {
                if let Some((job, lines)) = self.agent.journal.give_up(which) {
                    self.agent.fates.entry(job).or_default().lines_given_up += lines;
                }
            }
            Step::LoseState { with_slots, enroll } => self.lose_state(with_slots, enroll),
            Step::Sweep => {
                if self.server.up.is_some() {
                    self.server.run(async |fleet| fleet.sweep().await);
                }
            }
        }
        self.after_agent();
        self.fill();
        self.check_presence();
    }

    pub(crate) fn dispatch(&mut self, request: u8, script: Script) -> Option<JobId> {
        self.server.up.as_ref()?;
        let request = match usize::from(request) {
            group if group < GROUPS.len() => JobRequest::Backup { group: GROUPS[group].to_owned() },
            3 => JobRequest::Unlock { all: None },
            4 => JobRequest::Stats,
            5 => JobRequest::Check { subset_pct: None },
            _ => JobRequest::Probe,
        };
        let host = self.server.host;
        // Refused when the host is away, or does the same already.
        let job = self.server.run(async |fleet| fleet.dispatch(host, request, by()).await).ok()?;
        self.jobs.push(job.id);
        self.agent.scripts.insert(job.id, script);
        self.agent.fates.entry(job.id).or_default();
        self.fill();
        Some(job.id)
    }

    pub(crate) fn cancel(&mut self, job: JobId) {
        if self.server.up.is_some() && self.server.run(async |fleet| fleet.cancel(job, by()).await).is_ok() {
            self.cancelled.push(job);
        }
    }

    fn live_conn(&mut self) -> Option<&mut Conn> {
        let id = self.server.up.as_ref()?.live.as_ref()?.conn;
        self.conns.get_mut(&id)
    }

    /// The broker reads one message of its live connection.
    fn read(&mut self, lane: usize) {
        let Some(id) = self.server.up.as_ref().and_then(|up| up.live.as_ref()).map(|live| live.conn) else {
            return;
        };
        let Some(conn) = self.conns.get_mut(&id) else { return };
        match conn.up[lane % LANES].pop() {
            Some(Up::Publish(topic, payload)) => {
                self.server.take_in(Incoming { conn: id, topic: Some(topic), payload });
            }
            Some(Up::Subscribe) => self.server.subscribed(),
            Some(Up::PubAck(packet_id)) => self.server.acknowledged(packet_id),
            Some(Up::Disconnect) => {
                conn.will.clear();
                self.end_session(Some(0));
            }
            None if !conn.agent_open && conn.nothing_comes_up() => self.end_session(Some(0)),
            None => {}
        }
        self.fill();
    }

    fn ingest(&mut self, crash: bool) {
        let has_any = self.server.up.as_ref().is_some_and(|up| !up.incoming.is_empty());
        if !has_any {
            return;
        }
        match self.server.ingest(crash) {
            Some(after) if after.kick => self.end_session(Some(usize::MAX)),
            Some(_) => self.fill(),
            None => self.crash_server(),
        }
    }

    fn receive(&mut self) {
        let Some(id) = self.agent_conn else { return };
        let Some(conn) = self.conns.get_mut(&id) else { return };
        match conn.down.pop() {
            Some(message) => self.agent.message(&message.payload, message.packet_id),
            None if !conn.server_open => {
                self.forget_agent_conn();
                self.agent.disconnected();
            }
            None => {}
        }
        self.after_agent();
    }

    fn lose_live(&mut self) {
        let lane = if self.nature.foreign_broker { 3 } else { 0 };
        if let Some(conn) = self.live_conn()
            && matches!(conn.up[lane].first(), Some(Up::Publish(HostTopic::Live, _)))
        {
            conn.up[lane].pop();
        }
    }

    /// Carries out what the agent wants of the network.
    fn after_agent(&mut self) {
        for out in std::mem::take(&mut self.agent.out) {
            match out {
                Out::Connect { will } => self.connecting = Some((self.clock.now() + CONNECT_MS, will)),
                Out::Send(message) => {
                    let by_topic = self.nature.foreign_broker;
                    if let Some(conn) = self.agent_conn.and_then(|id| self.conns.get_mut(&id))
                        && conn.server_open
                    {
                        conn.send(message, by_topic);
                    }
                }
                Out::Drop => {
                    self.connecting = None;
                    self.forget_agent_conn();
                }
            }
        }
    }

    fn forget_agent_conn(&mut self) {
        if let Some(id) = self.agent_conn.take()
            && let Some(conn) = self.conns.get_mut(&id)
        {
            conn.agent_open = false;
            if !conn.server_open {
                self.conns.remove(&id);
            }
        }
    }

    /// A connect that was begun comes about, when it can.
    fn connect(&mut self) {
        if !self.network_works || self.server.up.is_none() {
            return;
        }
        let Some((_, will)) = self.connecting.take() else { return };
        // It takes over.
        self.end_session(Some(0));
        let id = self.next_conn;
        self.next_conn += 1;
        self.conns.insert(id, Conn::new(will));
        self.agent_conn = Some(id);
        self.server.admit(id);
        self.fill();
        self.agent.connected();
        if let Some(plan) = self.server.fleet().plan(self.server.host) {
            self.agent.take_plan(&plan);
        }
        self.after_agent();
    }

    /// The broker ends its live session and publishes its will; so much of what is on its way down still arrives.
    fn end_session(&mut self, down: Option<usize>) {
        let Some(id) = self.server.up.as_ref().and_then(|up| up.live.as_ref()).map(|live| live.conn) else {
            return;
        };
        self.server.end_session();
        let Some(conn) = self.conns.get_mut(&id) else { return };
        conn.server_open = false;
        if let Some(keep) = down {
            conn.down.cut(keep);
        }
        let will = std::mem::take(&mut conn.will);
        if !conn.agent_open {
            self.conns.remove(&id);
        }
        if self.nature.foreign_broker && id % 2 == 0 && !will.is_empty() {
            // Whoever stands between does not say when a connection ends.
            return self.late_wills.push(will);
        }
        if !will.is_empty() {
            self.server.take_in(Incoming { conn: id, topic: Some(HostTopic::Presence), payload: will });
        }
        if !self.nature.foreign_broker {
            self.server.take_in(Incoming { conn: id, topic: None, payload: Vec::new() });
        }
    }

    fn break_connection(&mut self, notices: Notices, up: usize, down: usize) {
        if notices != Notices::Server
            && let Some(id) = self.agent_conn
        {
            if let Some(conn) = self.conns.get_mut(&id) {
                conn.up.iter_mut().for_each(|lane| lane.cut(up));
            }
            self.forget_agent_conn();
            self.agent.disconnected();
            self.after_agent();
        }
        if notices != Notices::Agent {
            self.end_session(Some(down));
        }
    }

    fn late_will(&mut self, which: usize) {
        if let Some(which) = which.checked_rem(self.late_wills.len())
            && self.server.up.is_some()
        {
            let payload = self.late_wills.remove(which);
            self.server.take_in(Incoming { conn: LATE, topic: Some(HostTopic::Presence), payload });
        }
    }

    fn crash_server(&mut self) {
        if let Some(id) = self.server.up.as_ref().and_then(|up| up.live.as_ref()).map(|live| live.conn)
            && let Some(conn) = self.conns.get_mut(&id)
        {
            conn.server_open = false;
            conn.down.cut(1);
            if !conn.agent_open {
                self.conns.remove(&id);
            }
        }
        self.server.crash();
    }

    fn lose_state(&mut self, with_slots: bool, enroll: bool) {
        self.lost_states += 1;
        let login = (enroll && self.server.up.is_some()).then(|| self.server.enroll());
        if login.is_some() {
            // The server's record of what went before ends with the old key, and the old connection counts no more.
            self.server.forget_greeting();
            for &job in &self.jobs {
                self.agent.fates.entry(job).or_default().forgotten = true;
            }
        }
        self.agent.lose_state(with_slots, login);
        self.after_agent();
    }

    /// What is due goes out on the live session.
    fn fill(&mut self) {
        if let Some((id, out)) = self.server.fill()
            && let Some(conn) = self.conns.get_mut(&id)
        {
            out.into_iter().for_each(|message| conn.down.push(message));
        }
    }

    pub(crate) fn pass(&mut self, ms: u64) {
        let until = self.clock.now() + ms;
        for _ in 0..20_000 {
            let connect_ends = self.connecting.as_ref().map(|(ends, _)| *ends);
            let next = self.agent.wakes_at().into_iter().chain(connect_ends).min().unwrap_or(u64::MAX);
            let at = next.min(until).max(self.clock.now());
            self.clock.set(at);
            if connect_ends.is_some_and(|ends| ends <= at) {
                self.connecting = None;
                self.agent.disconnected();
            }
            self.agent.tick(agent::now(at, self.nature.clock_ahead_ms));
            self.after_agent();
            if next > until {
                return;
            }
        }
        panic!("the agent never sleeps: {:?}", self.agent.core().map(agent_core::Core::next_wake));
    }

    fn wake(&mut self, longest: u64) {
        let next = self.agent.wakes_at().unwrap_or(u64::MAX);
        let ms = next.saturating_sub(self.clock.now()).min(longest);
        self.pass(ms);
    }

    /// Online exactly when the live session's hello was taken, once all that was said has been heard.
    fn check_presence(&self) {
        let Some(up) = &self.server.up else { return };
        if !up.incoming.is_empty() || !self.late_wills.is_empty() {
            return;
        }
        let presence = self.server.read().presence(self.server.host).expect("presence");
        match &up.live {
            None => assert!(!presence.online, "nobody is connected: {presence:?}"),
            Some(live) if live.is_greeted => {
                assert!(presence.online, "it is connected and has said hello: {presence:?}");
            }
            Some(_) => {}
        }
    }

    /// Time passes on both sides, and all that can move does.
    pub(crate) fn live(&mut self, ms: u64) {
        const EACH_MS: u64 = 30_000;
        for _ in 0..ms.div_ceil(EACH_MS) {
            self.pass(EACH_MS);
            if self.server.up.is_some() {
                self.server.run(async |fleet| fleet.tick().await);
                self.fill();
            }
            for _ in 0..2_000 {
                if !self.move_once() {
                    break;
                }
            }
        }
    }

    /// From now on everything works. Returns when nothing moves any more.
    pub(crate) fn heal(&mut self) {
        const LONGEST_MS: u64 = 6 * 3_600_000;
        self.network_works = true;
        self.agent.journal.fails = false;
        self.agent.crash_at = None;
        self.server.start();
        if self.agent.core().is_some() && self.agent.is_stopping() {
            self.pass(60_000);
        }
        self.agent.start();
        self.after_agent();
        let begun_at = self.clock.now();
        for _ in 0..5_000 {
            if !self.move_once() {
                if self.is_at_rest() {
                    return;
                }
                self.wake(60_000);
                let waited_ms = self.clock.now() - begun_at;
                assert!(waited_ms < LONGEST_MS, "it does not come to rest: {}", self.describe());
            }
        }
        panic!("it moves for ever: {}", self.describe());
    }

    /// Whatever can move now moves; false when nothing can.
    fn move_once(&mut self) -> bool {
        self.connect();
        if !self.late_wills.is_empty() {
            self.late_will(0);
        }
        let mut has_moved = false;
        let reads = self.live_conn().is_some_and(|conn| !conn.nothing_comes_up() || !conn.agent_open);
        if reads {
            (0..LANES).for_each(|lane| self.read(lane));
            has_moved = true;
        }
        if self.server.up.as_ref().is_some_and(|up| !up.incoming.is_empty()) {
            self.ingest(false);
            has_moved = true;
        }
        let receives = self
            .agent_conn
            .and_then(|id| self.conns.get(&id))
            .is_some_and(|conn| !conn.down.is_empty() || !conn.server_open);
        if receives {
            self.receive();
            has_moved = true;
        }
        self.server.write_notes();
        self.fill();
        self.check_presence();
        has_moved
    }

    fn is_at_rest(&self) -> bool {
        let Some(core) = self.agent.core() else { return false };
        let saved = core.saved();
        let is_done = saved.held.is_empty() && saved.acked == saved.last_report;
        core.is_connected()
            && is_done
            && !core.store_fails()
            && self.agent_conn.is_some_and(|id| self.server.is_live(id))
            && self.server.fleet().commands_after(self.server.host, CommandSeq(0), 1).is_empty()
            && self.server.read().open_jobs(self.server.host).expect("jobs").is_empty()
            && self.agent.credentials().1 == core.saved().slot(schema::Slot::Repo).revision
    }

    /// Both sides, for a message of a failure.
    pub(crate) fn describe(&self) -> String {
        let read = self.server.read();
        let commands = self.server.fleet().commands_after(self.server.host, CommandSeq(0), 100);
        format!(
            "agent {:?}\nsession {:?}\nopen jobs {:?}\noutbox {:?}\npresence {:?}",
            self.agent.core().map(agent_core::Core::saved),
            self.server.up.as_ref().and_then(|up| up.live.as_ref()),
            read.open_jobs(self.server.host),
            commands.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(),
            read.presence(self.server.host),
        )
    }

    /// The connection is made anew, and all is said again.
    pub(crate) fn reconnect(&mut self) {
        self.break_connection(Notices::Both, 0, 0);
        self.heal();
    }

    pub(crate) fn go_away(&mut self) {
        self.network_works = false;
        self.break_connection(Notices::Both, 0, 0);
        while self.server.up.as_ref().is_some_and(|up| !up.incoming.is_empty()) {
            self.ingest(false);
        }
        if !self.late_wills.is_empty() {
            self.late_will(0);
            self.ingest(false);
        }
        self.check_presence();
    }
}
