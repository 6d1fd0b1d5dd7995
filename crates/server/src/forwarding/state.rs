//! [`State`]: both machines, and whom to tell what they say.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use roomful_proto::cluster::sessions::{
    Body, Carried, Guest, GuestOutput, GuestSettings, Message, NodeId, Owner, OwnerOutput,
    OwnerSettings, Ticket, Told, Want,
};
use roomful_proto::{Moment, SessionId};
use tokio::sync::Notify;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;

/// Both machines, and whom to tell what they say.
pub(super) struct State {
    pub(super) owner: Owner,
    pub(super) guest: Guest,
    visitors: HashMap<Ticket, Post<Told>>,
    /// The streams of sessions of this node whose WebSocket is at another.
    streams: HashMap<SessionId, Post<ToStream>>,
    /// The tasks that poll for other nodes: one whose sender is dropped gives up.
    polls: HashMap<SessionId, oneshot::Sender<()>>,
    /// What waits to be said.
    saying: VecDeque<Message>,
    /// Somebody says it.
    speaks: bool,
}

/// What is to be done without the lock.
pub(super) enum Job {
    Poll(SessionId),
    Body(SessionId, Vec<Carried>),
    OpenStream(SessionId),
    Overlap(SessionId),
    Break(SessionId),
}

/// What the stream of a session is told.
pub(super) enum ToStream {
    Packet(Carried),
    /// The client has closed it: in order, or not.
    End(bool),
}

/// The sending half of a queue whose bytes are counted.
struct Post<T> {
    sender: UnboundedSender<T>,
    waiting: Arc<Waiting>,
}

/// The receiving half.
pub(super) struct Inbox<T> {
    receiver: UnboundedReceiver<T>,
    waiting: Arc<Waiting>,
}

/// What both halves know of a queue.
#[derive(Default)]
struct Waiting {
    bytes: AtomicUsize,
    /// Rung when more came than may wait. Nothing comes after that.
    overflowed: Notify,
}

fn queue<T>() -> (Post<T>, Inbox<T>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let waiting = Arc::new(Waiting::default());
    (Post { sender, waiting: Arc::clone(&waiting) }, Inbox { receiver, waiting })
}

impl<T> Post<T> {
    /// `false` where more than `bytes_max` bytes would wait, or nobody takes them any more.
    fn send(&self, item: T, bytes: usize, bytes_max: usize) -> bool {
        let waiting = self.waiting.bytes.fetch_add(bytes, Ordering::Relaxed);
        // One always fits, however large.
        let fits = waiting == 0 || waiting + bytes <= bytes_max;
        if !fits {
            self.waiting.overflowed.notify_one();
        }
        fits && self.sender.send(item).is_ok()
    }
}

impl<T> Inbox<T> {
    /// The next; `None` when nothing more comes, or too much did.
    pub(super) async fn next(&mut self, bytes: impl FnOnce(&T) -> usize) -> Option<T> {
        let item = self.receiver.recv().await?;
        self.waiting.bytes.fetch_sub(bytes(&item), Ordering::Relaxed);
        Some(item)
    }

    /// Waits until more has come than may wait.
    pub(super) fn overflowed(&self) -> impl Future<Output = ()> + use<T> {
        let waiting = Arc::clone(&self.waiting);
        async move { waiting.overflowed.notified().await }
    }
}

/// Bytes that wait with what a request is told.
pub(super) fn told_bytes(told: &Told) -> usize {
    match told {
        Told::Drained(packets) | Told::TakeOver(packets) => packets.iter().map(packet_bytes).sum(),
        _ => 0,
    }
}

/// Bytes that wait with what a stream is told.
pub(super) fn stream_bytes(told: &ToStream) -> usize {
    match told {
        ToStream::Packet(packet) => packet_bytes(packet),
        ToStream::End(_) => 0,
    }
}

const fn packet_bytes(packet: &Carried) -> usize {
    // What it takes in memory beside.
    packet.len() + size_of::<Carried>()
}

impl State {
    pub(super) fn new(me: NodeId, owner: OwnerSettings, guest: GuestSettings) -> Self {
        Self {
            owner: Owner::new(me.clone(), owner),
            guest: Guest::new(me, guest),
            visitors: HashMap::new(),
            streams: HashMap::new(),
            polls: HashMap::new(),
            saying: VecDeque::new(),
            speaks: false,
        }
    }

    /// Looks for the owner of a session. There is room for so many visitors.
    pub(super) fn visit(
        &mut self,
        now: Moment,
        session: SessionId,
        want: Want,
        room: usize,
    ) -> Option<(Ticket, Inbox<Told>)> {
        if self.guest.len() >= room {
            return None;
        }
        let ticket = self.guest.ask(now, session, want)?;
        let (post, inbox) = queue();
        self.visitors.insert(ticket, post);
        Some((ticket, inbox))
    }

    /// A request is done with: `in_order` if its client said so.
    pub(super) fn leave(&mut self, ticket: Ticket, in_order: bool) {
        self.visitors.remove(&ticket);
        self.guest.leave(ticket, in_order);
    }

    pub(super) fn keep_stream(&mut self, session: SessionId) -> Inbox<ToStream> {
        let (post, inbox) = queue();
        self.streams.insert(session, post);
        inbox
    }

    pub(super) fn keep_poll(&mut self, session: SessionId) -> oneshot::Receiver<()> {
        let (given_up, giving_up) = oneshot::channel();
        self.polls.insert(session, given_up);
        giving_up
    }

    pub(super) fn end_poll(&mut self, session: SessionId) {
        self.polls.remove(&session);
    }

    pub(super) fn end_stream(&mut self, session: SessionId) {
        self.streams.remove(&session);
        self.owner.stream_ended(session);
    }

    /// Passes on what the machines say. No more than `bytes_max` bytes wait for one stream.
    pub(super) fn settle(&mut self, bytes_max: usize) -> Vec<Job> {
        let mut jobs = Vec::new();
        loop {
            if let Some(output) = self.owner.poll() {
                jobs.extend(self.owner_says(output, bytes_max));
            } else if let Some(output) = self.guest.poll() {
                self.guest_says(output, bytes_max);
            } else {
                return jobs;
            }
        }
    }

    fn owner_says(&mut self, output: OwnerOutput, bytes_max: usize) -> Option<Job> {
        match output {
            OwnerOutput::Say(message) => self.saying.push_back(message),
            OwnerOutput::Poll(session) => return Some(Job::Poll(session)),
            OwnerOutput::Body(session, packets) => return Some(Job::Body(session, packets)),
            OwnerOutput::OpenStream(session) => return Some(Job::OpenStream(session)),
            OwnerOutput::Overlap(session) => return Some(Job::Overlap(session)),
            OwnerOutput::Break(session) => return Some(Job::Break(session)),
            OwnerOutput::DropPoll(session) => {
                self.polls.remove(&session);
            }
            OwnerOutput::Stream(session, packet) => {
                let bytes = packet_bytes(&packet);
                let post = self.streams.get(&session);
                if !post.is_some_and(|post| post.send(ToStream::Packet(packet), bytes, bytes_max)) {
                    self.owner.lost(session);
                }
            }
            OwnerOutput::CloseStream(session, in_order) => {
                if let Some(post) = self.streams.remove(&session) {
                    post.send(ToStream::End(in_order), 0, usize::MAX);
                }
            }
        }
        None
    }

    fn guest_says(&mut self, output: GuestOutput, bytes_max: usize) {
        match output {
            GuestOutput::Say(message) => self.saying.push_back(message),
            GuestOutput::Tell(ticket, told) => {
                let bytes = told_bytes(&told);
                let post = self.visitors.get(&ticket);
                if !post.is_some_and(|post| post.send(told, bytes, bytes_max)) {
                    // Whoever waits sees the end of the queue.
                    self.visitors.remove(&ticket);
                }
            }
        }
    }

    /// `false` where somebody speaks already, or there is nothing to say.
    pub(super) fn begin_speaking(&mut self) -> bool {
        let begins = !self.speaks && !self.saying.is_empty();
        self.speaks |= begins;
        begins
    }

    /// The next message; whoever speaks has ended when there is none.
    pub(super) fn next_message(&mut self) -> Option<Message> {
        let message = self.saying.pop_front();
        self.speaks = message.is_some();
        message
    }

    /// A message does not reach anybody: what hangs on it ends.
    pub(super) fn not_said(&mut self, message: &Message) {
        match &message.body {
            Body::Drain { session, .. } => self.owner.lost(*session),
            Body::Packet { session, .. } => self.guest.lost(*session),
            // What waits for an answer to these has its time.
            _ => {}
        }
    }
}
