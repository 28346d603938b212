//! Turns of a reactor with real sockets, of which a test decides what epoll reports.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use socket2::{Domain, SockRef, Socket as AnySocket, Type};

use super::*;
use crate::net::clock::scripted::{advance, now};
use crate::net::mailbox::Mailbox;
use crate::server::connection_id::ConnectionId;
use crate::server::handle::{Handle, To};
use crate::server::handler::{Echo, Reply};
use crate::server::seats::Seats;
use crate::server::workers::Workers;
use crate::wire::codec::{Codec, Framing};

/// A reactor, and what it needs to own connections.
struct Rig {
    reactor: Reactor<Echo>,
    mailbox: Mailbox<Mail<()>>,
    server: Handle,
    listener: TcpListener,
    seats: Arc<Seats>,
}

/// A reactor without timeouts, its mailbox, and a handle of its server.
fn reactor<H: Handler<Session = ()>>(
    handler: Arc<H>,
    workers: Option<Workers<()>>,
    budget: usize,
    tick: Option<Duration>,
) -> (Reactor<H>, Mailbox<Mail<()>>, Handle) {
    let ((event_loop, mailbox), (_, acceptor)) =
        (EventLoop::new().expect("a loop"), EventLoop::new().expect("a loop"));
    let codec = Codec::new(Framing::line(), 1024 * 1024);
    let server = Handle::new(acceptor, Box::new(vec![mailbox.clone()]), 1, codec);
    let shared = Shared::new(server.clone(), handler, workers, budget, 0);
    let timeouts = Timeouts { message: None, write: None, idle: None };
    let reactor = Reactor::new(event_loop, shared, timeouts, tick, Duration::ZERO);
    (reactor, mailbox, server)
}

impl Rig {
    fn new(echo: Arc<Echo>, workers: Option<Workers<()>>, budget: usize) -> Rig {
        let (reactor, mailbox, server) = reactor(echo, workers, budget, None);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let seats = Seats::new(100, mailbox.waker());
        Rig { reactor, mailbox, server, listener, seats }
    }

    /// A connection whose kernel buffers hold as little as possible, and the server's end of it.
    fn join(&self) -> (TcpStream, TcpStream) {
        let client = AnySocket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        client.set_recv_buffer_size(1).expect("a buffer");
        client.connect(&self.listener.local_addr().expect("an address").into()).expect("accepted");
        let (socket, address) = self.listener.accept().expect("a connection");
        SockRef::from(&socket).set_send_buffer_size(1).expect("a buffer");
        socket.set_nonblocking(true).expect("non-blocking");
        let end = socket.try_clone().expect("a descriptor");
        let (seat, log) = (self.seats.take().expect("a seat"), Default::default());
        self.mailbox.send(Mail::Adopt(Newcomer { socket, address, opened: 0, log, seat }));
        (client.into(), end)
    }

    fn push(&self, message: &[u8], when_full: WhenFull) {
        assert_eq!(self.server.send(To::All, &[message], when_full), Ok(()));
    }

    /// A turn in which epoll reports this of the first connection.
    fn turn(&mut self, events: Option<i32>) {
        let token = Token::new(1, 0);
        self.reactor.run_once(events.map(|bits| Event::scripted(token, bits)).into_iter());
    }
}

#[test]
fn a_long_message_to_all_is_not_held_once_for_each_of_them() {
    const MESSAGE: usize = 50_000;
    let mut rig = Rig::new(Arc::default(), None, 2 * MESSAGE);
    let members: Vec<_> = (0..20).map(|_| rig.join()).collect();
    for (_, end) in &members {
        SockRef::from(end).set_send_buffer_size(4 * MESSAGE).expect("a buffer");
    }
    rig.push(&[b'x'; MESSAGE], WhenFull::Drop);
    rig.turn(None);
    let sent = rig.server.stats().sum(|reactor| &reactor.sent);
    assert_eq!(sent, (members.len() * (MESSAGE + 1)) as u64);
    let most = rig.reactor.shared.budget.most_held();
    assert!(most <= 3 * MESSAGE + 10, "{most}");
}

#[test]
fn a_report_of_room_that_was_used_already_sends_nothing_before_the_replies_of_a_worker() {
    let echo = Arc::new(Echo { prefix: vec![b'r'; 128 * 1024], ..Echo::default() });
    let (jobs, queue) = crossbeam_channel::bounded(256);
    let workers = Some(Workers::new(jobs, 0, 256));
    let mut rig = Rig::new(Arc::clone(&echo), workers, usize::MAX);
    let (mut client, end) = rig.join();
    rig.turn(None);
    let work = |rig: &Rig| {
        let mut job = queue.try_recv().expect("a job");
        job.run(&rig.server, &*echo);
        rig.mailbox.send(Mail::Finish(job));
    };
    client.write_all(b"1\n2\n").expect("sent");
    while end.peek(&mut [0; 4]).unwrap_or(0) < 4 {}
    rig.turn(Some(libc::EPOLLIN));
    work(&rig);
    rig.turn(None);
    // The reply to the first line does not fit, and the second line waits behind it.
    let reply = echo.prefix.len() + 2;
    let sent = reply - (rig.reactor.shared.budget.held() - 2);
    assert!(sent < reply);
    // There is room for the rest of it before the reactor learns of that, and a push uses it.
    client.read_exact(&mut vec![0; sent]).expect("it is under way");
    SockRef::from(&end).set_send_buffer_size(2 * reply).expect("a buffer");
    while end.unacknowledged().expect("a number") > 0 {}
    let pushed = vec![b'p'; 1024 * 1024];
    rig.push(&pushed, WhenFull::Close);
    rig.turn(Some(libc::EPOLLOUT));
    work(&rig);
    let all = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut all = vec![0; 2 * reply - sent + pushed.len() + 1];
            client.read_exact(&mut all).expect("all of it");
            all
        });
        while !reader.is_finished() {
            rig.turn(Some(libc::EPOLLOUT));
        }
        reader.join().expect("all of it")
    });
    let letters: String = all.chunk_by(|a, b| a == b).map(|run| char::from(run[0])).collect();
    assert_eq!(letters, "r1\nr2\np\n");
}

#[test]
fn a_connection_that_pushes_have_closed_is_no_stale_event() {
    let mut rig = Rig::new(Arc::default(), None, usize::MAX);
    let _stuck = rig.join();
    while rig.server.stats().closed() == 0 {
        (0..30).for_each(|_| rig.push(&[b'x'; 60_000], WhenFull::Close));
        rig.turn(None);
    }
    assert_eq!(rig.server.stats().closed_for(Reason::PushFull), 1);
    assert_eq!(rig.server.stats().sum(|reactor| &reactor.stale), 0);
}

#[test]
fn a_wait_is_shorter_by_the_time_that_a_tick_took() {
    struct SlowTick;
    impl Handler for SlowTick {
        type Session = ();
        fn opened(&self, _: ConnectionId, _: SocketAddr, _: &mut Reply<'_>) {}
        fn message(&self, (): &mut (), _: &[u8], _: &mut Reply<'_>) {}
        fn tick(&self, _: usize) {
            advance(Duration::from_millis(60));
        }
    }
    advance(Duration::ZERO);
    let every = Duration::from_millis(100);
    let (mut reactor, ..) = reactor(Arc::new(SlowTick), None, usize::MAX, Some(every));
    advance(every);
    assert_eq!(reactor.run_once(std::iter::empty()), Some(Duration::from_millis(40)));
}

#[test]
fn a_wait_ends_with_the_next_turn_of_a_drain() {
    advance(Duration::ZERO);
    let mut rig = Rig::new(Arc::default(), None, usize::MAX);
    rig.reactor.drain_spread = Duration::from_millis(400);
    let _peers = [rig.join(), rig.join()];
    rig.mailbox.send(Mail::Drain(now() + Duration::from_secs(3600)));
    // The first has its turn at once, and the second after half of the time.
    let wait = rig.reactor.run_once(std::iter::empty());
    assert_eq!(wait, Some(Duration::from_millis(200)));
}
