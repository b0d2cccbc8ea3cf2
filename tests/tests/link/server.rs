//! The server: the real fleet on a file, and around it what the server program does between fleet and broker.

use crate::gate::{Kept, Notes, Session};
use crate::wire::Down;
use fleet::record::{Actor, CredentialsInput, Group, Predecessor, Schedule, Secret};
use fleet::{
    ArchiveKey, ArchiveOpener, By, DrawnIdentity, Driver, Fleet, FleetState, Handled, Heard, Promotion,
    RestoreAs, Settings,
};
use schema::enroll::MAX_TOKEN_CHARS;
use schema::envelope::{self, Key, Sealed};
use schema::{
    CommandSeq, EnrollRequest, EnrollResponse, HostId, HostTopic, InstallationId, Slot, Timestamp, Token,
    Topic,
};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::broadcast;

/// The source groups of the host.
pub(crate) const GROUPS: [&str; 3] = ["etc", "home", "srv"];

/// The server's virtual clock, in milliseconds since 1970, and its random source.
#[derive(Clone)]
pub(crate) struct Clock {
    at: Arc<AtomicU64>,
    dice: Arc<Mutex<u64>>,
}

impl Clock {
    pub(crate) fn new(at: u64) -> Self {
        Self { at: Arc::new(AtomicU64::new(at)), dice: Arc::new(Mutex::new(0x9E37_79B9_7F4A_7C15)) }
    }

    pub(crate) fn now(&self) -> u64 {
        self.at.load(Ordering::SeqCst)
    }

    pub(crate) fn set(&self, at: u64) {
        self.at.store(at, Ordering::SeqCst);
    }

    fn driver(&self) -> Driver {
        let (clock, dice) = (self.clone(), self.dice.clone());
        Driver {
            now: Arc::new(move || Timestamp(clock.now())),
            random: Arc::new(move |buffer| {
                let mut state = dice.lock().expect("dice");
                for byte in buffer {
                    *state ^= *state << 13;
                    *state ^= *state >> 7;
                    *state ^= *state << 17;
                    *byte = state.to_be_bytes()[3];
                }
            }),
        }
    }
}

/// What enrolment gives an agent.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) host: HostId,
    pub(crate) key: Key,
    pub(crate) key_id: u8,
}

/// The connection of a will that comes late.
pub(crate) const LATE: u64 = 0;

/// A message that waits for the fleet; without a topic, the end of a connection.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) conn: u64,
    pub(crate) topic: Option<HostTopic>,
    pub(crate) payload: Vec<u8>,
}

/// What a message has led to, outside the server.
#[derive(Debug, Default)]
pub(crate) struct After {
    /// The live session must end.
    pub(crate) kick: bool,
}

/// All that a crash of the server takes with it.
pub(crate) struct Up {
    pub(crate) fleet: Fleet,
    wakes: broadcast::Receiver<HostId>,
    pub(crate) live: Option<Session>,
    kept: Option<Kept>,
    pub(crate) incoming: VecDeque<Incoming>,
    notes: Notes,
}

/// An archive of the server, and what it should have held then.
struct Archived {
    file: tempfile::NamedTempFile,
    opener: ArchiveOpener,
    password: Option<String>,
}

pub(crate) struct Server {
    folder: tempfile::TempDir,
    archived: Option<Archived>,
    /// The server that another one was made of.
    former: Option<tempfile::TempDir>,
    /// What proves to that one that its place is taken, when the other one was promoted.
    statement: Option<Vec<u8>>,
    clock: Clock,
    runtime: Runtime,
    window: usize,
    pub(crate) host: HostId,
    pub(crate) up: Option<Up>,
    /// The credentials as they should be at the agent: the repository's password.
    pub(crate) password: Option<String>,
}

impl Server {
    /// A server with a host that is enrolled and has source groups and credentials.
    pub(crate) fn new(clock: &Clock, window: usize) -> (Self, Login) {
        let folder = in_memory();
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        let mut server = Self {
            folder,
            archived: None,
            former: None,
            statement: None,
            clock: clock.clone(),
            runtime,
            window,
            host: HostId([0; 16]),
            up: None,
            password: None,
        };
        server.start();
        let fleet = server.fleet().clone();
        let (host, token) =
            server.runtime.block_on(fleet.create_host("attic", vec![], by())).expect("a new host");
        server.host = host.id;
        for name in GROUPS {
            let group = Group {
                name: name.to_owned(),
                includes: vec!["/etc".to_owned()],
                retry_max: 12,
                ..Group::default()
            };
            server.runtime.block_on(fleet.put_group(host.id, None, group, by())).expect("a group");
        }
        let login = server.enroll_with(token.text.expose());
        server.put_credentials();
        (server, login)
    }

    pub(crate) fn start(&mut self) {
        if self.up.is_some() {
            return;
        }
        let settings = Settings {
            mqtt_addresses: vec!["backup.example:8883".to_owned()],
            authorities: vec![vec![7; 40]],
            timezone: "UTC".to_owned(),
            keep: Default::default(),
        };
        let fleet = Fleet::open(self.folder.path(), settings, self.clock.driver()).expect("the store opens");
        self.up = Some(Up {
            wakes: fleet.wakes(),
            fleet,
            live: None,
            kept: None,
            incoming: VecDeque::new(),
            notes: Notes::default(),
        });
    }

    /// Makes an archive of it, in place of the one before.
    pub(crate) fn archive(&mut self) {
        let identity = DrawnIdentity::draw();
        let key = ArchiveKey::Recipients(vec![identity.recipient()]);
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        let archiving = self.fleet().begin_archive(Vec::new(), "0.0.1").expect("an instant");
        archiving.write(&key, &mut file).expect("an archive");
        let opener = ArchiveOpener::Drawn(identity);
        self.archived = Some(Archived { file, opener, password: self.password.clone() });
    }

    /// Makes another server of the archive, which takes this one's place: by a restore, or as its standby. `false`: there is no
    /// archive.
    pub(crate) fn restore(&mut self, is_standby: bool) -> bool {
        let Some(archived) = self.archived.take() else { return false };
        self.crash();
        let folder = in_memory();
        let to = folder.path().join("restored");
        let (from, opener, driver) = (archived.file.path(), &archived.opener, self.clock.driver());
        if is_standby {
            let url = "http://127.0.0.1:1".to_owned();
            let predecessor = Predecessor { url, authority: None, plain: false };
            let promotion = Promotion { predecessor, recipient: "age1x".to_owned(), server: None };
            fleet::promote(from, opener, &to, (driver, RestoreAs::default()), &promotion).expect("a server");
        } else {
            fleet::restore(from, opener, &to, driver).expect("a server");
        }
        for entry in std::fs::read_dir(&to).expect("a folder") {
            let entry = entry.expect("an entry");
            std::fs::rename(entry.path(), folder.path().join(entry.file_name())).expect("it moves");
        }
        std::fs::remove_dir(&to).expect("it is empty");
        self.former = Some(std::mem::replace(&mut self.folder, folder));
        self.password.clone_from(&archived.password);
        // The same archive may be restored once more.
        self.archived = Some(archived);
        self.start();
        let statement = self.fleet().statement("https://standby").expect("the store");
        self.statement = statement.map(|(_, sealed)| sealed);
        true
    }

    /// Tells this server that another one has its place. `false`: that one was not promoted.
    pub(crate) fn tell(&self) -> bool {
        let Some(statement) = self.statement.clone() else { return false };
        let heard = self.run(async |fleet| fleet.hear_of_successor(&statement, by()).await);
        assert_eq!(heard.expect("the store"), Heard::StandsStill);
        true
    }

    /// The server that another one was made of runs in its place, or the other way round. `false`: there is none.
    pub(crate) fn change_places(&mut self) -> bool {
        let Some(former) = &mut self.former else { return false };
        std::mem::swap(&mut self.folder, former);
        self.crash();
        self.start();
        true
    }

    /// What was committed stays.
    pub(crate) fn crash(&mut self) {
        self.up = None;
    }

    pub(crate) fn fleet(&self) -> &Fleet {
        &self.up.as_ref().expect("the server is up").fleet
    }

    pub(crate) fn read(&self) -> FleetState {
        self.fleet().read().expect("a snapshot")
    }

    pub(crate) fn run<T>(&self, act: impl AsyncFnOnce(&Fleet) -> T) -> T {
        self.runtime.block_on(act(self.fleet()))
    }

    pub(crate) fn put_credentials(&mut self) {
        let password = format!("repo-password of {}", self.clock.now());
        let input = CredentialsInput {
            url: "rest:https://box.example:8000/attic".to_owned(),
            repo_password: Some(Secret::new(password.clone())),
            ..CredentialsInput::default()
        };
        let host = self.host;
        if self.run(async |fleet| fleet.put_credentials(host, Slot::Repo, input, by()).await).is_ok() {
            self.password = Some(password);
        }
    }

    /// Backs source groups up by themselves.
    pub(crate) fn put_schedule(&mut self, name: &str, cron: &str, groups: &[&str]) {
        let schedule = Schedule {
            name: name.to_owned(),
            cron: cron.to_owned(),
            timezone: "UTC".to_owned(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            enabled: true,
            retry_max: 12,
            ..Schedule::default()
        };
        let host = self.host;
        self.run(async |fleet| fleet.put_schedule(host, None, schedule, by()).await).expect("a schedule");
    }

    pub(crate) fn delete_credentials(&mut self) {
        let host = self.host;
        if self.run(async |fleet| fleet.delete_credentials(host, Slot::Repo, by()).await).is_ok() {
            self.password = None;
        }
    }

    /// The machine is set up anew, with a new token that says it is the same one: its backups go on.
    pub(crate) fn enroll(&mut self) -> Login {
        let host = self.host;
        let token = self
            .run(async |fleet| fleet.new_enroll_token(host, fleet::record::TokenMachine::Same, by()).await)
            .expect("an enrolment token");
        self.enroll_with(token.text.expose())
    }

    fn enroll_with(&self, text: &str) -> Login {
        let mut buffer = [0; MAX_TOKEN_CHARS];
        let token = Token::parse(text, &mut buffer).expect("a token");
        let request = EnrollRequest {
            installation: InstallationId([9; 16]),
            hostname: "attic.example",
            os: "Debian GNU/Linux 13",
            arch: "x86_64",
            agent_version: "0.1.0",
        };
        let mut room = [0; 1024];
        let topic = Topic::EnrollRequest(token.id);
        let sealed = envelope::seal(&token.key, 0, [1; 24], topic, &request, &mut room).expect("it fits");
        let answer = self.run(async |fleet| fleet.enroll(token.id, sealed, "198.51.100.7").await);
        let mut room = vec![0; answer.len()];
        let plain = Sealed::parse(&answer)
            .and_then(|sealed| sealed.open(&token.key, Topic::EnrollResponse(token.id), &mut room))
            .expect("an answer");
        match schema::decode::<EnrollResponse<'_>>(plain).expect("an answer") {
            EnrollResponse::Welcome { host, link_key, key_id, .. } => {
                Login { host, key: Key::new(link_key), key_id }
            }
            EnrollResponse::Refused(reason) => panic!("refused: {reason:?}"),
        }
    }

    /// A connection comes in; the one before it must have ended.
    pub(crate) fn admit(&mut self, conn: u64) {
        let window = self.window;
        if let Some(up) = &mut self.up {
            assert!(up.live.is_none());
            up.live = Some(Session::new(conn, up.kept.take(), window));
        }
    }

    /// The live session ends; what MQTT wants kept is kept.
    pub(crate) fn end_session(&mut self) {
        if let Some(up) = &mut self.up
            && let Some(session) = up.live.take()
        {
            up.kept = Some(session.into_kept());
        }
    }

    pub(crate) fn is_live(&self, conn: u64) -> bool {
        self.up.as_ref().and_then(|up| up.live.as_ref()).is_some_and(|live| live.conn == conn)
    }

    pub(crate) fn take_in(&mut self, incoming: Incoming) {
        if let Some(up) = &mut self.up {
            up.incoming.push_back(incoming);
        }
    }

    pub(crate) fn forget_greeting(&mut self) {
        if let Some(live) = self.up.as_mut().and_then(|up| up.live.as_mut()) {
            live.is_greeted = false;
        }
    }

    /// The first message that waits is not taken.
    pub(crate) fn drop_incoming(&mut self) {
        if let Some(up) = &mut self.up {
            up.incoming.pop_front();
        }
    }

    pub(crate) fn subscribed(&mut self) {
        if let Some(live) = self.up.as_mut().and_then(|up| up.live.as_mut()) {
            live.subscribed();
        }
    }

    pub(crate) fn acknowledged(&mut self, packet_id: u16) {
        if let Some(up) = &mut self.up
            && let Some(live) = &mut up.live
        {
            live.acknowledged(packet_id, &mut up.notes);
        }
    }

    /// Hands the first message that waits to the fleet. With `crash`, that is the last thing the server does: nobody
    /// hears of it.
    pub(crate) fn ingest(&mut self, crash: bool) -> Option<After> {
        let next = self.up.as_mut()?.incoming.pop_front()?;
        let Incoming { conn, topic, payload } = next;
        let host = self.host;
        let before = self.read().presence(host).expect("presence");
        let handled = self.run(async |fleet| match topic {
            None => Ok({
                fleet.connection_ended(host).await;
                Handled::default()
            }),
            Some(HostTopic::Evt) => fleet.handle_report(host, &payload, "198.51.100.7").await,
            Some(HostTopic::Presence) => fleet.handle_presence(host, &payload, "198.51.100.7").await,
            Some(HostTopic::RepoStats) => fleet.handle_stats(host, &payload).await,
            Some(HostTopic::Live | HostTopic::Bulk | HostTopic::Cmd | HostTopic::Plan) => {
                fleet.handle_live(host, &payload);
                Ok(Handled::default())
            }
        });
        let handled = handled.expect("the store works");
        let presence = self.read().presence(host).expect("presence");
        if conn == LATE {
            assert_eq!(presence.epoch, before.epoch, "a late will of an older connection counted");
        }
        if crash {
            return None;
        }
        let live = self.up.as_mut()?.live.as_mut();
        let Some(live) = live else { return Some(After::default()) };
        if topic == Some(HostTopic::Presence) && live.conn == conn {
            // A clean gone takes it back.
            live.is_greeted = presence.online;
        }
        if let Some(reply) = handled.reply {
            live.send(reply);
        }
        if handled.rewound {
            return Some(After { kick: true });
        }
        if handled.wake {
            live.outbox_grew();
        }
        Some(After::default())
    }

    /// Sends what is due on the live session: to which connection, and what.
    pub(crate) fn fill(&mut self) -> Option<(u64, Vec<Down>)> {
        let up = self.up.as_mut()?;
        let mut is_woken = false;
        while up.wakes.try_recv().is_ok() {
            is_woken = true;
        }
        let live = up.live.as_mut()?;
        if is_woken {
            live.outbox_grew();
        }
        let out = live.fill(&up.fleet, self.host, &mut up.notes);
        Some((live.conn, out))
    }

    /// Writes down what the gate noted.
    pub(crate) fn write_notes(&mut self) {
        let host = self.host;
        let Some(up) = &mut self.up else { return };
        let Notes { sent, delivered } = std::mem::take(&mut up.notes);
        if sent > CommandSeq(0) {
            self.run(async |fleet| fleet.command_sent(host, sent).await);
        }
        if delivered > CommandSeq(0) {
            self.run(async |fleet| fleet.command_delivered(host, delivered).await);
        }
    }
}

/// In memory where there is such a folder: nobody pulls the plug on this test.
fn in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder")
}

pub(crate) fn by() -> By {
    By { actor: Actor::Operator("ada".to_owned()), peer: "192.0.2.1".to_owned() }
}
