//! Sessions: who is connected, whom we promised to know again, and what they must not give us twice.
//!
//! This endpoint hands out no messages, so a session holds nothing but that it exists and the packet ids
//! of messages of QoS 2 between PUBLISH and PUBREL. Clients keep or drop what they have not seen
//! acknowledged by that, so the answer must be true, also after a crash: a session is in the database
//! before its client is told of it, and a packet id in the same transaction as its message.

mod held;
mod table;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use rusqlite::Connection;
use stages::frame::Micros;
use tokio::sync::{Notify, watch};

pub(super) use self::{held::Held, table::PacketChanges};
use super::{
    now,
    packer::{Packer, Ticket},
};
use crate::{
    database::{Database, DatabaseError, Durability, Registration},
    failpoint::fail_point,
};

/// `Tidy` runs at the start, where there are too many sessions, and each time so many clients have connected.
const PURGE_EVERY: u64 = 1024;

/// All sessions of this data directory.
pub(super) struct Sessions {
    database: Database,
    sessions_max: u32,
    expiry_secs_max: u32,
    clients: Arc<Clients>,
    begun: AtomicU64,
}

/// What is known of clients beside the database.
struct Clients {
    packer: Arc<Packer>,
    held: Arc<Held>,
    register: Mutex<Register>,
}

#[derive(Default)]
struct Register {
    /// The connection that has a client's id, for each.
    live: HashMap<String, Holder>,
    /// What connections have left behind that is not in the database yet.
    left: HashMap<String, Left>,
}

struct Holder {
    key: u64,
    takeover: Arc<Notify>,
    /// Closed when the connection is done with the session.
    ended: watch::Receiver<()>,
}

/// The messages of QoS 2 of a session that wait to be durable while its client is away.
#[derive(Clone)]
struct Left {
    session: i64,
    packets: HashMap<u16, Ticket>,
}

/// Names a message of QoS 2 from its PUBLISH to its PUBREL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PacketKey {
    pub(super) session: i64,
    pub(super) packet_id: u16,
}

/// Why a session could not be begun.
#[derive(Debug, thiserror::Error)]
pub(super) enum BeginError {
    /// There are too many already.
    #[error("there are sessions_max, {0}, sessions already")]
    Full(u32),
    /// It could not be written.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl From<rusqlite::Error> for BeginError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.into())
    }
}

impl Sessions {
    /// Sessions whose clients were connected to a process that is dead are kept from now on for
    /// `expiry_secs_max`: how long exactly each was to be kept died with it.
    pub(super) async fn open(
        database: Database,
        packer: Arc<Packer>,
        held: Arc<Held>,
        sessions_max: u32,
        expiry_secs_max: u32,
    ) -> Result<Self, DatabaseError> {
        let clients = Arc::new(Clients { packer, held, register: Mutex::default() });
        let sessions = Self { database, sessions_max, expiry_secs_max, clients, begun: AtomicU64::new(0) };
        let tidy = sessions.tidy();
        sessions.database.write(Durability::Fsync, move |connection| tidy.run(connection)).await?;
        Ok(sessions)
    }

    fn tidy(&self) -> Tidy {
        Tidy {
            clients: Arc::clone(&self.clients),
            registration: self.database.registration(),
            now: now(),
            expiry_secs_max: self.expiry_secs_max,
        }
    }

    /// Makes the caller the one connection of this client: closes another one, waits for its end, and
    /// answers whether there was a session to take up. `clean` begins a new one; with an expiry of 0
    /// it ends with the connection. A connection of the client to another process is not closed, but has no
    /// say about the session any more.
    pub(super) async fn begin(
        &self,
        client_id: &str,
        clean: bool,
        expiry_secs: u32,
    ) -> Result<(Session, bool), BeginError> {
        let key = self.begun.fetch_add(1, Ordering::Relaxed);
        let (mut session, before) = self.claim(client_id, key, expiry_secs);
        if let Some(mut before) = before {
            before.takeover.notify_one();
            // Nothing is ever sent: the only change is that the holder has dropped its end.
            let _closed = before.ended.changed().await;
        }
        let purges = key % PURGE_EVERY == PURGE_EVERY - 1;
        // Before the database is asked: what becomes durable in between is found there.
        let left = self.clients.left_by(client_id, purges);
        let (asked, tidy, sessions_max) = (client_id.to_owned(), self.tidy(), self.sessions_max);
        let write = move |connection: &Connection| {
            if purges {
                tidy.run(connection)?;
            }
            let resumed = if clean { None } else { table::find(connection, &asked, tidy.now)? };
            let packets = match resumed {
                Some(session) => table::packets(connection, session)?,
                None => Vec::new(),
            };
            let kept = settle(connection, &asked, resumed, expiry_secs > 0, sessions_max, &tidy)?;
            Ok::<_, BeginError>((resumed, kept, packets))
        };
        fail_point!("session_before");
        let written = self.database.write(Durability::Fsync, write).await;
        if let Err(BeginError::Full(_)) = written {
            // For those who come later. Not in the same write, which is undone.
            let tidy = self.tidy();
            self.database.post(move |connection| tidy.run(connection));
        }
        let (resumed, kept, packets) = written?;
        fail_point!("session_after");
        session.session = kept;
        session.lost = kept.map(|kept| self.clients.held.hold(kept));
        session.unreleased.extend(packets.into_iter().map(|packet_id| (packet_id, None)));
        self.clients.lock().left.remove(client_id);
        if let Some(left) = left
            && resumed == Some(left.session)
        {
            let waiting = left.packets.into_iter().map(|(packet_id, ticket)| (packet_id, Some(ticket)));
            session.unreleased.extend(waiting);
        }
        Ok((session, resumed.is_some()))
    }

    fn claim(&self, client_id: &str, key: u64, expiry_secs: u32) -> (Session, Option<Holder>) {
        let (end, ended) = watch::channel(());
        let takeover = Arc::new(Notify::new());
        let holder = Holder { key, takeover: Arc::clone(&takeover), ended };
        let before = self.clients.lock().live.insert(client_id.to_owned(), holder);
        let session = Session {
            unreleased: HashMap::new(),
            client_id: client_id.to_owned(),
            key,
            session: None,
            lost: None,
            expiry_secs,
            takeover,
            clients: Arc::clone(&self.clients),
            database: self.database.clone(),
            _end: end,
        };
        (session, before)
    }
}

/// Has the database hold the session that a client has from now on, if it is to outlive the connection, and
/// none else of it; answers its number.
fn settle(
    connection: &Connection,
    client_id: &str,
    resumed: Option<i64>,
    outlives: bool,
    sessions_max: u32,
    tidy: &Tidy,
) -> Result<Option<i64>, BeginError> {
    let owner = tidy.registration.owner();
    if let Some(session) = resumed
        && outlives
    {
        return Ok(Some(table::keep(connection, client_id, session, owner)?));
    }
    table::forget(connection, client_id)?;
    if !outlives {
        return Ok(None);
    }
    let is_full = || Ok::<_, BeginError>(table::count(connection)? >= i64::from(sessions_max));
    if is_full()? {
        // Some may be past their time.
        table::purge(connection, tidy.now)?;
        if is_full()? {
            return Err(BeginError::Full(sessions_max));
        }
    }
    Ok(Some(table::create(connection, client_id, owner)?))
}

/// Sessions that nobody will end begin to expire, those of dead processes and those whose end could not be written,
/// and those past their time are removed.
struct Tidy {
    clients: Arc<Clients>,
    registration: Arc<Registration>,
    now: Micros,
    expiry_secs_max: u32,
}

impl Tidy {
    fn run(&self, connection: &Connection) -> Result<(), DatabaseError> {
        let expires_at = table::after(self.now, self.expiry_secs_max);
        table::adopt(connection, &self.registration, expires_at)?;
        let is_connected = |client_id: &str| self.clients.lock().live.contains_key(client_id);
        table::abandon(connection, self.registration.owner(), is_connected, expires_at)?;
        table::purge(connection, self.now)
    }
}

impl Clients {
    /// What the last connection of this client has left. Now and then drops that of all clients where it
    /// is durable by now.
    fn left_by(&self, client_id: &str, purges: bool) -> Option<Left> {
        let mut register = self.lock();
        if purges {
            let waits = |left: &Left| left.packets.values().any(|ticket| !self.packer.is_durable(*ticket));
            register.left.retain(|_, left| waits(left));
        }
        register.left.get(client_id).cloned()
    }

    /// A panic leaves the maps whole: they are changed by single calls.
    fn lock(&self) -> MutexGuard<'_, Register> {
        self.register.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The session of one connection; dropping it lets the next connection of this client go on.
pub(super) struct Session {
    /// The messages of QoS 2 that were taken and are not released yet, by packet id, with what each waits
    /// for to be durable; with none it was when this connection began.
    pub(super) unreleased: HashMap<u16, Option<Ticket>>,
    client_id: String,
    key: u64,
    /// Its number in the database; none if it ends with the connection.
    session: Option<i64>,
    /// Becomes true when another process has it.
    lost: Option<Arc<AtomicBool>>,
    expiry_secs: u32,
    takeover: Arc<Notify>,
    clients: Arc<Clients>,
    database: Database,
    _end: watch::Sender<()>,
}

impl Session {
    /// Waits until another connection wants this session. Safe to cancel.
    pub(super) async fn taken_over(&self) {
        self.takeover.notified().await;
    }

    /// Whether another process has this session, so that nothing was remembered of what was durable last.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.as_ref().is_some_and(|lost| lost.load(Ordering::Acquire))
    }

    /// What to remember in the database of a message of QoS 2; nothing if the session ends with the
    /// connection.
    pub(super) fn packet(&self, packet_id: u16) -> Option<PacketKey> {
        self.session.map(|session| PacketKey { session, packet_id })
    }

    /// The connection is over: from now on the session's time runs, `expiry_secs` if the client has
    /// changed its mind.
    pub(super) async fn end(self, expiry_secs: Option<u32>) {
        let Some(session) = self.session else { return };
        let (owner, now) = (self.database.owner(), now());
        let expiry_secs = expiry_secs.unwrap_or(self.expiry_secs);
        let write = move |connection: &Connection| -> Result<(), DatabaseError> {
            match expiry_secs {
                0 => table::give_up(connection, session, owner)?,
                _ => table::expire(connection, session, owner, table::after(now, expiry_secs))?,
            }
            Ok(())
        };
        if let Err(error) = self.database.write(Durability::Process, write).await {
            // The session then is as after a crash: kept for longer, from the next `Tidy` on.
            tracing::warn!(client = self.client_id, %error, "cannot note the end of a session");
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let packer = &self.clients.packer;
        let waits = |(packet_id, ticket): (u16, Option<Ticket>)| {
            ticket.filter(|ticket| !packer.is_durable(*ticket)).map(|ticket| (packet_id, ticket))
        };
        if let Some(session) = self.session {
            self.clients.held.let_go(session);
        }
        let packets: HashMap<u16, Ticket> = self.unreleased.drain().filter_map(waits).collect();
        let mut register = self.clients.lock();
        if let Some(session) = self.session
            && !packets.is_empty()
        {
            register.left.insert(self.client_id.clone(), Left { session, packets });
        }
        if register.live.get(&self.client_id).is_some_and(|holder| holder.key == self.key) {
            register.live.remove(&self.client_id);
        }
    }
}
