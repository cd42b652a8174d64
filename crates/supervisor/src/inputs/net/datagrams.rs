//! Reads datagrams.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::fstat;
use rustix::net::sockopt::socket_recv_buffer_size;
use rustix::net::{RecvFlags, recvfrom};
use tokio::net::{UdpSocket, UnixDatagram};
use tokio::sync::watch;
use tokio::time::Instant;

use super::framing::{Decoder, Flaws};
use super::gather::Gathered;
use super::handover::Handover;
use super::{CHUNK_BYTES_MAX, FLUSH_PERIOD, is_stopped, kernel_drops, sleep_until, stopped};
use crate::config::checked::{DatagramFraming, StreamFraming};
use crate::inputs::InputError;
use crate::inputs::lines::cut_at_character;
use crate::ways::Closed;

/// Datagrams that are taken before anything else is looked at.
const RUN_MAX: usize = 256;
/// Peers whose datagrams are gathered at the same time.
const PEERS_MAX: usize = 256;
/// Largest datagram of UDP.
const UDP_BYTES_MAX: usize = 65_535;
/// While datagrams come, what the kernel dropped is looked up so often.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After a failure to receive.
const PAUSE: Duration = Duration::from_secs(1);

/// Where datagrams come from.
#[derive(Debug)]
pub(in crate::inputs) enum Socket {
    /// UDP.
    Udp(UdpSocket),
    /// A Unix socket.
    Unix(UnixDatagram),
}

/// Takes datagrams until told to stop, then those that have arrived already.
///
/// # Errors
/// When no output takes events any more.
pub(in crate::inputs) async fn receive(
    socket: Socket,
    framing: DatagramFraming,
    max_message: usize,
    handover: Handover,
    mut stop: watch::Receiver<bool>,
) -> Result<(), InputError> {
    let input = Arc::clone(&handover.shared.input);
    let bytes_max = match framing {
        // One byte more than allowed tells that a datagram is too long.
        DatagramFraming::Message => socket.largest().min(max_message.saturating_add(1)),
        DatagramFraming::Lines => socket.largest(),
    };
    let mut receiver = Receiver {
        buffer: vec![0; bytes_max],
        drops: socket.udp_inode().map(|inode| Drops { inode, counted: 0, unsaid: 0 }),
        socket,
        framing,
        max_message,
        handover,
        peers: Peers::default(),
        pause_until: None,
        is_at_end: false,
    };
    let mut result = receiver.until_stopped(&mut stop).await;
    if result.is_ok() {
        result = receiver.take_arrived().await;
    }
    receiver.is_at_end = true;
    receiver.look_at_drops();
    let Receiver { socket, handover, .. } = receiver;
    drop(socket);
    handover.finish().await;
    match result {
        Err(Closed) if !is_stopped(&stop) => Err(InputError::OutputsClosed { input }),
        _ => Ok(()),
    }
}

struct Receiver {
    socket: Socket,
    framing: DatagramFraming,
    max_message: usize,
    handover: Handover,
    buffer: Vec<u8>,
    peers: Peers,
    drops: Option<Drops>,
    /// Receiving has failed; it is tried again then.
    pause_until: Option<Instant>,
    /// Only what has arrived already is taken.
    is_at_end: bool,
}

/// What ended a run of datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    /// There are no more.
    Dry,
    /// Enough is gathered for chunks.
    Full,
    /// There may be more, and others shall have a turn.
    Long,
}

/// What the kernel dropped.
struct Drops {
    inode: u64,
    counted: u64,
    /// Of these, what the log does not say yet.
    unsaid: u64,
}

impl Receiver {
    async fn until_stopped(&mut self, stop: &mut watch::Receiver<bool>) -> Result<(), Closed> {
        let mut flush_at: Option<Instant> = None;
        let mut look_at: Option<Instant> = None;
        loop {
            tokio::select! {
                biased;
                () = stopped(stop) => return Ok(()),
                () = sleep_until(flush_at), if flush_at.is_some() => {
                    flush_at = None;
                    self.flush().await?;
                }
                () = sleep_until(look_at), if look_at.is_some() => {
                    look_at = None;
                    self.look_at_drops();
                }
                () = sleep_until(self.pause_until), if self.pause_until.is_some() => self.pause_until = None,
                ready = self.socket.readable(), if self.pause_until.is_none() => {
                    if let Err(error) = ready {
                        self.failed(&error);
                    } else if self.take_run() == Run::Full {
                        flush_at = None;
                        self.flush().await?;
                    } else if !self.peers.list.is_empty() {
                        flush_at = flush_at.or_else(|| Some(Instant::now() + FLUSH_PERIOD));
                    }
                    look_at = look_at.or_else(|| Some(Instant::now() + LOOK_EVERY));
                }
            }
        }
    }

    /// Takes a run of datagrams, and tells what ended it.
    fn take_run(&mut self) -> Run {
        for _ in 0..RUN_MAX {
            let received = if self.is_at_end {
                self.socket.receive_now(&mut self.buffer)
            } else {
                self.socket.try_receive(&mut self.buffer)
            };
            match received {
                Ok((len, ip)) => self.take(len, ip),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Run::Dry,
                Err(error) => {
                    self.failed(&error);
                    return Run::Dry;
                }
            }
            if self.peers.bytes >= CHUNK_BYTES_MAX || self.peers.list.len() >= PEERS_MAX {
                return Run::Full;
            }
        }
        Run::Long
    }

    /// One datagram has come.
    fn take(&mut self, len: usize, ip: Option<IpAddr>) {
        let datagram = self.buffer.get(..len).unwrap_or(&self.buffer);
        let shared = &self.handover.shared;
        let ip_text = ip.map(|ip| ip.to_string());
        let peer = ip_text.as_deref();
        // Where messages name their host themselves, those of all peers may stand in one chunk.
        let gathered = self.peers.of(ip.filter(|_| !shared.names_hosts()));
        let before = gathered.bytes();
        let flaws = match self.framing {
            DatagramFraming::Lines => {
                let mut decoder = Decoder::new(StreamFraming::Lines, self.max_message);
                let mut add = |line: &[u8]| shared.add(line, peer, gathered);
                decoder.feed(datagram, &mut add).expect("lines have no lengths");
                decoder.finish(&mut add);
                decoder.take_flaws()
            }
            DatagramFraming::Message => {
                let whole = datagram.strip_suffix(b"\n").unwrap_or(datagram);
                let whole = whole.strip_suffix(b"\r").unwrap_or(whole);
                let kept = whole.get(..cut_at_character(whole, self.max_message)).unwrap_or(whole);
                if !kept.is_empty() {
                    shared.add(kept, peer, gathered);
                }
                let cut_bytes = (whole.len() - kept.len()) as u64;
                Flaws { cut: cut_bytes.min(1), cut_bytes, incomplete: 0 }
            }
        };
        let added = gathered.bytes() - before;
        self.peers.bytes += added;
        shared.note_flaws(flaws, peer);
    }

    async fn flush(&mut self) -> Result<(), Closed> {
        for (host, mut gathered) in self.peers.take() {
            self.handover.send(&mut gathered, host.as_ref()).await?;
        }
        Ok(())
    }

    /// Takes what has arrived before the stop: at most what the kernel holds for the socket.
    async fn take_arrived(&mut self) -> Result<(), Closed> {
        self.is_at_end = true;
        let (most, mut taken) = (self.socket.buffer_bytes(), 0);
        let mut run = Run::Long;
        while run != Run::Dry && taken < most {
            let before = self.peers.bytes;
            run = self.take_run();
            taken += self.peers.bytes - before;
            if run == Run::Full {
                self.flush().await?;
            }
        }
        self.flush().await
    }

    fn failed(&mut self, error: &io::Error) {
        self.pause_until = Some(Instant::now() + PAUSE);
        let shared = &self.handover.shared;
        shared.counters.connection_errors.add(1);
        if let Some(held_back) = shared.complaints.may_say("receive") {
            tracing::error!(input = &*shared.input, held_back, "cannot receive: {error}; it is tried again");
        }
    }

    /// Counts what the kernel has dropped since the last look, and says it now and then; at the end what is left to say.
    fn look_at_drops(&mut self) {
        let Some(drops) = &mut self.drops else { return };
        let Some(now) = kernel_drops::of_socket(drops.inode) else { return };
        let more = now.saturating_sub(drops.counted);
        drops.counted = now;
        drops.unsaid += more;
        let shared = &self.handover.shared;
        shared.counters.datagrams_dropped.add(more);
        if drops.unsaid > 0 && (self.is_at_end || shared.complaints.may_say("dropped").is_some()) {
            let datagrams = std::mem::take(&mut drops.unsaid);
            tracing::warn!(
                input = &*shared.input,
                datagrams,
                "the kernel dropped {datagrams} datagrams that were not read in time: the outputs are slower than the \
                 senders, or `receive_buffer` is too small"
            );
        }
    }
}

/// Messages by the peer that sent them, in the order in which the peers came.
#[derive(Default)]
struct Peers {
    by_ip: HashMap<Option<IpAddr>, usize>,
    list: Vec<(Option<Arc<str>>, Gathered)>,
    bytes: usize,
}

impl Peers {
    fn of(&mut self, ip: Option<IpAddr>) -> &mut Gathered {
        let index = *self.by_ip.entry(ip).or_insert_with(|| {
            self.list.push((ip.map(|ip| ip.to_string().into()), Gathered::default()));
            self.list.len() - 1
        });
        let (_, gathered) = self.list.get_mut(index).expect("each number is that of a peer");
        gathered
    }

    fn take(&mut self) -> Vec<(Option<Arc<str>>, Gathered)> {
        std::mem::take(self).list
    }
}

impl Socket {
    /// Bytes that a datagram may have.
    fn largest(&self) -> usize {
        match self {
            Self::Udp(_) => UDP_BYTES_MAX,
            Self::Unix(_) => usize::MAX,
        }
    }

    async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Udp(socket) => socket.readable().await,
            Self::Unix(socket) => socket.readable().await,
        }
    }

    fn try_receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Option<IpAddr>)> {
        match self {
            Self::Udp(socket) => {
                let (len, from) = socket.try_recv_from(buffer)?;
                Ok((len, Some(from.ip().to_canonical())))
            }
            Self::Unix(socket) => Ok((socket.try_recv(buffer)?, None)),
        }
    }

    /// As [`try_receive`](Self::try_receive), but asks the kernel even where the event loop knows of nothing yet.
    fn receive_now(&self, buffer: &mut [u8]) -> io::Result<(usize, Option<IpAddr>)> {
        let (len, _, from) = match self {
            Self::Udp(socket) => recvfrom(socket, buffer, RecvFlags::DONTWAIT)?,
            Self::Unix(socket) => recvfrom(socket, buffer, RecvFlags::DONTWAIT)?,
        };
        let ip = from.and_then(|from| SocketAddr::try_from(from).ok()).map(|from| from.ip().to_canonical());
        Ok((len, ip))
    }

    fn buffer_bytes(&self) -> usize {
        let bytes = match self {
            Self::Udp(socket) => socket_recv_buffer_size(socket),
            Self::Unix(socket) => socket_recv_buffer_size(socket),
        };
        bytes.unwrap_or(CHUNK_BYTES_MAX)
    }

    fn udp_inode(&self) -> Option<u64> {
        match self {
            Self::Udp(socket) => fstat(socket).ok().map(|stat| stat.st_ino),
            Self::Unix(_) => None,
        }
    }
}
